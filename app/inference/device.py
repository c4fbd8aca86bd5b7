"""Where to compute."""

import torch

from cliptide.configs.errors import DeviceError
from cliptide.datasets.catalog.wording import counted


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device of this machine.

    `auto` takes a CUDA GPU, then Apple's MPS, then the CPU.

    Raises:
        DeviceError: The name is unknown or the machine lacks the device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    mend = "Use --device auto or --device cpu."
    kinds = "It is one of: auto, cpu, cuda, cuda:1 (the second GPU), mps."
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"There is no device {name!r}. {kinds}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"cliptide does not compute on {name!r}. {kinds}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            found = f"only {count}" if count else "none"
            raise DeviceError(
                f"The device {name!r} is a CUDA GPU, and torch {torch.__version__} finds {found} "
                f"on this machine. {mend}"
            )
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"The device {name!r} is Apple's GPU, and this machine has none. {mend}")
    return device


def describe_device(device: torch.device) -> str:
    """A device as a person would call it."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    if device.type == "cpu":
        return f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    return str(device)
