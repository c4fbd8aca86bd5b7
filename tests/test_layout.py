"""The folders app, configs, datasets, models are imported as cliptide.<folder>: what that needs."""

import multiprocessing
import os
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from cliptide.configs.sizes import parse_size

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
FOLDERS = sorted(SETUPTOOLS["package-dir"].values())


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("cliptide.configs", "fusionnet.yaml"),
        ("cliptide.configs", "phrases.yaml"),
        ("cliptide.app.evaluation.report", "page.html.jinja"),
        ("cliptide.app.evaluation.report", "compare.html.jinja"),
        ("cliptide.app.serving.page", "icon.svg"),
        ("cliptide.app.tuning", "study.html.jinja"),
        ("cliptide.models", "py.typed"),
    ],
)
def test_data_file_is_a_package_resource(package, name):
    assert (resources.files(package) / name).is_file()


def test_spawned_worker_finds_the_package():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(parse_size, ("128x171",)).get(timeout=60) == (128, 171)


def test_datasets_folder_has_no_init_file():
    # With one, `python -m cliptide.app` from the checkout hides Hugging Face datasets.
    assert not (ROOT / "datasets" / "__init__.py").exists()


def test_libraries_that_look_for_hugging_face_datasets_import_from_the_checkout():
    # In the checkout `import datasets` finds our folder as an empty namespace.
    run = subprocess.run(
        [sys.executable, "-c", "import lightning.pytorch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_every_folder_with_files_is_a_listed_package():
    found = {
        "cliptide." + ".".join(d.relative_to(ROOT).parts)
        for f in FOLDERS
        for d in [ROOT / f, *(p for p in (ROOT / f).rglob("*") if p.is_dir())]
        if d.name != "__pycache__" and any(c.is_file() for c in d.iterdir())
    }
    assert found == set(SETUPTOOLS["packages"])


def test_types_hold_across_the_folders(tmp_path):
    (tmp_path / "cliptide").mkdir()
    for folder in FOLDERS:
        (tmp_path / "cliptide" / folder).symlink_to(ROOT / folder, target_is_directory=True)
    config = [
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(ROOT / ".mypy_cache"),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *config, "cliptide"],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
