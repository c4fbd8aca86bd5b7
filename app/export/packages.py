"""What exporting takes beside cliptide's own packages. Imports nothing heavy."""

from importlib.util import find_spec

from cliptide.configs.errors import InputError

NEEDED = ("onnx", "onnxruntime", "onnxscript")


def require_packages(format: str) -> None:
    """Refuse at once where the packages of a format are missing.

    Raises:
        InputError: See above; it has the line that installs them.
    """
    missing = [name for name in NEEDED if find_spec(name) is None] if format == "onnx" else []
    if missing:
        raise InputError(
            f"cliptide export --format onnx needs {', '.join(missing)}. Install them with: "
            "pip install 'cliptide[export]'"
        )
