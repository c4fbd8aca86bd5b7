"""Temporal shift inside the CNN: a share of the channels comes from the neighbouring frames.

    causal   x_t -> [x_{t-1}[:C/8], x_t[C/8:]]                            streams
    both     x_t -> [x_{t+1}[:C/8], x_{t-1}[C/8:C/4], x_t[C/4:]]          whole clips alone

Lin, Gan & Han (2019), "TSM: Temporal Shift Module", section 4: within the residual branch, so
that the identity path keeps the frame as it is. It costs no parameter and no multiplication; a
2-D convolution behind it sees motion.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError
from cliptide.models.encoders.packed import next_frames, previous_frames

# Of each kind of residual block: the first layer of the branch, and what says that it is residual.
BRANCHES = {
    "torchvision.models.resnet.BasicBlock": ("conv1", ""),
    "torchvision.models.resnet.Bottleneck": ("conv1", ""),
    "torchvision.models.regnet.ResBottleneckBlock": ("f.a.0", ""),
    "torchvision.models.mobilenetv2.InvertedResidual": ("conv.0.0", "use_res_connect"),
    "torchvision.models.mobilenetv3.InvertedResidual": ("block.0.0", "use_res_connect"),
    "torchvision.models.efficientnet.MBConv": ("block.0.0", "use_res_connect"),
    "torchvision.models.efficientnet.FusedMBConv": ("block.0.0", "use_res_connect"),
    "torchvision.models.mnasnet._InvertedResidual": ("layers.0", "apply_residual"),
    "torchvision.models.convnext.CNBlock": ("block.0", ""),
    "timm.models.resnet.BasicBlock": ("conv1", ""),
    "timm.models.resnet.Bottleneck": ("conv1", ""),
    "timm.models.regnet.Bottleneck": ("conv1.conv", ""),
    "timm.models._efficientnet_blocks.InvertedResidual": ("conv_pw", "has_skip"),
    "timm.models._efficientnet_blocks.EdgeResidual": ("conv_exp", "has_skip"),
    "timm.models._efficientnet_blocks.UniversalInvertedResidual": ("pw_exp.conv", "has_skip"),
    "timm.models.convnext.ConvNeXtBlock": ("conv_dw", ""),
}
CAN_SHIFT = (
    "tiny, resnet*, resnext*, wide_resnet*, regnet_*, mobilenet_*, efficientnet_*, mnasnet*, "
    "convnext_*; or of timm its resnet, resnext, regnet, mobilenet, efficientnet and convnext"
)
SHIFT_SHARE = 8  # one channel in so many is taken from a neighbour, per direction (TSM, table 3)


def residual_branches(network: nn.Module, *, name: str) -> list[str]:
    """Find the layer that begins the branch of each residual block.

    Args:
        network: A network of torchvision or timm.
        name: Its name, for the message.

    Returns:
        Paths of the layers within the network.

    Raises:
        ConfigError: The network has no residual blocks.
    """
    found = []
    for path, module in network.named_modules():
        kind = f"{type(module).__module__}.{type(module).__name__}"
        if kind in BRANCHES:
            layer, flag = BRANCHES[kind]
            if not flag or getattr(module, flag):
                found.append(f"{path}.{layer}")
    if not found:
        raise ConfigError(
            f"model.shift needs an encoder with residual blocks, and {name} has none. Use one of: "
            f"{CAN_SHIFT}; or --model.motion features, which suits every encoder."
        )
    return found


class ShiftPass:
    """One pass of packed frames through an encoder: what its shifts look at, and what they show.

    The convolutions around a shift know of no time and hand nothing on, so it finds its pass in
    the context of the thread: two threads may use one network, and nothing stays in a module.

    Args:
        lengths: (B,) int64, frames of each clip.
        before: What each shift showed last, (B, C/8, h, w) or None, by shift.

    Attributes:
        shown: Likewise, behind the last frame of each clip.
    """

    def __init__(self, lengths: Tensor, before: "dict[TemporalShift, Tensor | None]") -> None:
        self.lengths, self.before = lengths, before
        self.shown: dict[TemporalShift, Tensor] = {}

    def again(self) -> "ShiftPass":
        """The same pass once more, for activations that are computed again."""
        return ShiftPass(self.lengths, self.before)


_current: ContextVar[ShiftPass | None] = ContextVar("shift_pass", default=None)


def current_pass() -> ShiftPass | None:
    """The pass that this thread is in."""
    return _current.get()


@contextmanager
def in_pass(shifts: ShiftPass | None) -> Iterator[None]:
    """Let the shifts of an encoder belong to a pass meanwhile."""
    token = _current.set(shifts)
    try:
        yield
    finally:
        _current.reset(token)


class TemporalShift(nn.Module):
    """Shifts channels of packed frames (N, C, h, w) between the frames of a clip; see `in_pass`.

    Args:
        both: Also take channels from the next frame.
    """

    def __init__(self, *, both: bool = False) -> None:
        super().__init__()
        self.both = both

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        shifts = current_pass()
        assert shifts is not None, "the encoder begins each pass"
        count = max(1, maps.shape[1] // SHIFT_SHARE)
        at = count if self.both else 0  # the first channels come from the next frame
        given = maps[:, at : at + count]
        before = shifts.before.get(self)
        if before is None:
            # Before the first frame there is nothing.
            before = given.new_zeros(shifts.lengths.shape[0], *given.shape[1:])
        previous, shifts.shown[self] = previous_frames(given, shifts.lengths, before)
        parts = [previous, maps[:, at + count :]]
        if self.both:
            parts.insert(0, next_frames(maps[:, :count], shifts.lengths))
        return torch.cat(parts, dim=1)


class Shifted(nn.Module):
    """A layer with a temporal shift in front of it.

    Args:
        layer: The layer, mostly a residual branch's first convolution.
        both: See `TemporalShift`.
    """

    def __init__(self, layer: nn.Module, *, both: bool = False) -> None:
        super().__init__()
        self.shift, self.layer = TemporalShift(both=both), layer

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.layer(self.shift(maps))
        return out


def shift_branches(network: nn.Module, branches: Sequence[str], *, both: bool) -> None:
    """Put a shift in front of layers of a network, given by their paths."""
    for branch in branches:
        parent, _, child = branch.rpartition(".")
        shifted = Shifted(network.get_submodule(branch), both=both)
        setattr(network.get_submodule(parent), child, shifted)
