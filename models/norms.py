"""Normalisation layers by name, and batch norm where it has nothing to compare with."""

from collections.abc import Callable
from typing import Any

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


def spare_lone_values(network: nn.Module) -> None:
    """Let each batch norm use its running statistics where a batch gives it one value a channel.

    A single value has no variance, and torch refuses it: one frame of two pixels alone in a
    batch, or in the head one clip. Left out of training, such clips would be learnt from never
    where each batch holds one. The statistics stay as they are.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            guard = _LoneValues()
            module.register_forward_pre_hook(guard.before)
            module.register_forward_hook(guard.after, always_call=True)


class _LoneValues:
    """Holds one batch norm in evaluation mode while it is given one value a channel."""

    def __init__(self) -> None:
        self.holds = False

    def before(self, norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        values = given[0]
        if norm.training and values.numel() == values.shape[1]:
            norm.training, self.holds = False, True

    def after(self, norm: nn.Module, given: tuple[Tensor, ...], result: Any) -> None:
        if self.holds:
            norm.training, self.holds = True, False
