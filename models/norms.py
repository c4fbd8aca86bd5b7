"""Normalisation layers, and what batch norm does where it has nothing to compare with."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def lonely_norms_held(network: nn.Module, lengths: Tensor) -> Iterator[None]:
    """Let batch norms use their running statistics where a batch gives them one value a channel.

    A single frame, or in the head a single clip, has no variance: torch refuses it, and leaving
    the clip out would mean that it is never learnt from where batches hold one clip each. Hold
    them until the backward pass is done, which may compute activations again.

    Args:
        network: A `Recognizer`; its head normalises over clips, all else over frames.
        lengths: (B,) int64, frames of each clip.
    """
    held = [
        module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.training
        if (len(lengths) if name.startswith("head.") else int(lengths.sum())) < 2
    ]
    for module in held:
        module.eval()
    try:
        yield
    finally:
        for module in held:
            module.train()
