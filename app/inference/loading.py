"""From a model's path to a recognizer. PyTorch is imported only for a model that needs it."""

import os
from pathlib import Path

from cliptide.app.inference.onnx_engine import is_onnx, open_onnx
from cliptide.app.inference.recognise import ActionRecognizer


def load(path: str | os.PathLike[str], *, device: str = "auto") -> ActionRecognizer:
    """Load a model file.

    Args:
        path: A `model.safetensors` written by training; or the folder that `cliptide export
            --format onnx` wrote, or a file in it, which ONNX Runtime runs without PyTorch.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        ModelFileError: The file is no model, is truncated or is of a newer format.
        DeviceError: This machine lacks the device.
    """
    if is_onnx(Path(path)):
        return ActionRecognizer(open_onnx(path, device=device))
    from cliptide.app.inference.network import load_network  # takes seconds

    return load_network(Path(path), device=device)
