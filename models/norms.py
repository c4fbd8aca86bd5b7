"""Normalisation layers by name, and batch norm where it has nothing to compare with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Wu & He (2018), "Group Normalization", table 3: 8 to 32 channels a group are equally good.
GROUP_CHANNELS = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of about 8 channels a group; fewer channels make one group."""
    most = max(1, channels // GROUP_CHANNELS)
    groups = next(count for count in range(most, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


# Over the maps (N, C, h, w) of a convolution. Over all channels and places of one frame is what
# layer norm is for a CNN (Wu & He, section 3).
MAP_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": group_norm,
    "layer": lambda channels: nn.GroupNorm(1, channels),
}
# Over vectors (B, D).
VECTOR_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


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
