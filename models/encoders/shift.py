"""Temporal shift inside the CNN: a share of the channels comes from the neighbouring frames.

    causal   x_t -> [x_{t-1}[:C/8], x_t[C/8:]]                            streams
    both     x_t -> [x_{t+1}[:C/8], x_{t-1}[C/8:C/4], x_t[C/4:]]          whole clips alone

Lin, Gan & Han (2019), "TSM: Temporal Shift Module", section 4: within the residual branch, so
that the identity path keeps the frame as it is. It costs no parameter and no multiplication; a
2-D convolution behind it sees motion.
"""

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
    "timm.models.convnext.ConvNeXtBlock": ("conv_dw", ""),
}
CAN_SHIFT = (
    "tiny, resnet*, resnext*, wide_resnet*, regnet_*, mobilenet_*, efficientnet_*, mnasnet*, "
    "convnext_*, and those of timm/"
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
            f"{CAN_SHIFT}; or model.motion, which suits every encoder."
        )
    return found


class TemporalShift(nn.Module):
    """Shifts channels of packed frames (N, C, h, w) between the frames of a clip.

    The convolutions around it know of no time, so the encoder says before each pass which frames
    make a clip (`begin`) and afterwards takes the state (`shown`); between passes it means nothing.

    Args:
        both: Also take channels from the next frame.
    """

    def __init__(self, *, both: bool = False) -> None:
        super().__init__()
        self.both = both
        self.lengths: Tensor | None = None
        self.before: Tensor | None = None
        self.shown: Tensor | None = None

    def begin(self, lengths: Tensor, before: Tensor | None) -> None:
        """Say how many frames each clip has, and what was shown before: (B, C/8, h, w) or None."""
        self.lengths, self.before, self.shown = lengths, before, None

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        assert self.lengths is not None, "the encoder begins each pass"
        count = max(1, maps.shape[1] // SHIFT_SHARE)
        at = count if self.both else 0  # the first channels come from the next frame
        given = maps[:, at : at + count]
        before = self.before
        if before is None:
            # Before the first frame there is nothing.
            before = given.new_zeros(len(self.lengths), *given.shape[1:])
        previous, self.shown = previous_frames(given, self.lengths, before)
        parts = [previous, maps[:, at + count :]]
        if self.both:
            parts.insert(0, next_frames(maps[:, :count], self.lengths))
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
