"""Imports point down only, and what must be quick imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room may import itself and every room behind it in its own row.
MAY_IMPORT = {
    "configs": ("configs",),
    "datasets": ("datasets", "configs"),
    "models": ("models", "configs"),
    "app.inference": ("app.inference", "datasets", "models", "configs"),
    "app.evaluation": ("app.evaluation", "app.inference", "datasets", "models", "configs"),
    "app.training": (
        "app.training",
        "app.evaluation",
        "app.inference",
        "datasets",
        "models",
        "configs",
    ),
    "app.export": (
        "app.export",
        "app.evaluation",
        "app.inference",
        "datasets",
        "models",
        "configs",
    ),
    "app.tuning": (
        "app.tuning",
        "app.training",
        "app.evaluation",
        "app.inference",
        "datasets",
        "models",
        "configs",
    ),
    "app.serving": ("app.serving", "app.inference", "datasets", "models", "configs"),
    "app": ("app", "datasets", "models", "configs"),
}
SOURCES = [
    path
    for folder in ("app", "configs", "datasets", "models")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
HEAVY = (
    "torch",
    "lightning",
    "numpy",
    "torchvision",
    "sklearn",
    "cv2",
    "av",
    "albumentations",
    "optuna",
    "onnx",
    "onnxruntime",
    "fastapi",
    "uvicorn",
)


def room_of(dotted):
    return max(
        (room for room in MAY_IMPORT if dotted == room or dotted.startswith(room + ".")), key=len
    )


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down_only(path):
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    allowed = MAY_IMPORT[room_of(own)]
    for module in imported_modules(path):
        if module.startswith("cliptide."):
            target = module.removeprefix("cliptide.")
            if path == ROOT / "app" / "__init__.py":
                continue  # resolves its three names lazily
            assert any(target == room or target.startswith(room + ".") for room in allowed), (
                f"{own} imports {module}"
            )


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda p: p.name)
def test_configs_use_the_standard_library_alone(path):
    for module in imported_modules(path):
        assert (
            module.startswith("cliptide.configs") or module.split(".")[0] in sys.stdlib_module_names
        )


def test_only_transforms_uses_albumentations():
    users = [
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(module.split(".")[0] == "albumentations" for module in imported_modules(path))
    ]
    assert users == ["datasets/transforms.py"]


@pytest.mark.parametrize(
    "statement",
    [
        "from cliptide.app.cli import main; main(['--help'])",
        "from cliptide.app.cli import main; main(['trian'])",
        "from cliptide.app.cli import main; main(['train', 'x', '--data.framse', '3'])",
        "from cliptide.app.cli import main; main(['serve', '--help'])",
        "from cliptide.app.cli import main; main(['serve', 'x', '--prot', '3'])",
        "import cliptide.app",
    ],
)
def test_help_and_wrong_arguments_import_nothing_heavy(statement):
    code = f"import sys\n{statement}\nprint([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_no_module_is_called_after_nothing():
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in SOURCES if path.stem in vague]
