"""Normalisation layers, and what batch norm does where it has nothing to compare with."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def hold_lonely_norms(encoder: nn.Module, head: nn.Module, lengths: Tensor) -> list[nn.Module]:
    """Let batch norms use their running statistics where a batch gives them one value a channel.

    A single frame, or in the head a single clip, has no variance: torch refuses it, and leaving
    the clip out would mean that it is never learnt from where batches hold one clip each.

    Args:
        encoder: Normalises over the frames of a batch.
        head: Normalises over the clips of a batch.
        lengths: (B,) int64, frames of each clip.

    Returns:
        The layers that were set to evaluation; set them to training when the batch is done.
    """
    lonely = [encoder] if lengths.sum() < 2 else []
    lonely += [head] if len(lengths) < 2 else []
    held: list[nn.Module] = [
        module
        for part in lonely
        for module in part.modules()
        if isinstance(module, _BatchNorm) and module.training
    ]
    for module in held:
        module.eval()
    return held
