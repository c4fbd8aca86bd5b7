"""From a model's path to a recognizer. PyTorch is imported only for a model that needs it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cliptide.app.inference.recognise import ActionRecognizer


def load(path: str | os.PathLike[str], *, device: str = "auto") -> "ActionRecognizer":
    """Load a model file.

    Args:
        path: A `model.safetensors` written by training.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        ModelFileError: The file is no model, is truncated or is of a newer format.
        DeviceError: This machine lacks the device.
    """
    from cliptide.app.inference.network import load_network

    return load_network(Path(path), device=device)
