"""A small CNN to train from scratch, for small data and for CPUs."""

import torch
from torch import Tensor, nn

from cliptide.models.encoders.base import EncodedFrames, PictureEncoder
from cliptide.models.encoders.checkpointing import in_segments
from cliptide.models.encoders.shift import Shifted
from cliptide.models.grid import GridProjection
from cliptide.models.norms import MAP_NORMS


class TinyEncoder(PictureEncoder):
    """Four convolutions of stride 2, then a 4 x 4 grid of averages into one vector.

    The grid is kept because where something is matters to an action; a global average would
    erase it. Any frame from 2 x 2 pixels upward is taken.

        3 -> 24w -> 48w -> 96w -> 128w maps -> grid 4 x 4 -> linear -> 128w

    Args:
        width: Scale of the filter counts.
        pool: `grid`, or `mean` for a global average: then no vector knows where something is.
        shift: `none`, or a temporal shift in front of each convolution but the first: `causal`,
            or `both`.
        frame_differences: See `PictureEncoder`.
        norm: Behind each convolution: `batch`, `group` or `layer`.
    """

    def __init__(
        self,
        *,
        width: float = 1.0,
        pool: str = "grid",
        shift: str = "none",
        frame_differences: bool = False,
        norm: str = "batch",
    ) -> None:
        super().__init__(frame_differences=frame_differences)
        filters = [max(4, round(count * width)) for count in (24, 48, 96, 128)]
        layers: list[nn.Module] = []
        channels = self.in_channels
        for count in filters:
            convolution: nn.Module = nn.Conv2d(channels, count, 3, stride=2, padding=1, bias=False)
            if shift != "none" and layers:
                convolution = Shifted(convolution, both=shift == "both")
            layers += [convolution, MAP_NORMS[norm](count), nn.ReLU(inplace=True)]
            channels = count
        self.features = nn.Sequential(*layers)
        self.dim = self.channels = channels
        self.project: nn.Module
        if pool == "mean":
            self.project = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        else:
            self.project = GridProjection(channels, channels)

    def encode(self, images: Tensor) -> EncodedFrames:
        """See `PictureEncoder.encode`."""
        if self.checkpointing and torch.is_grad_enabled():
            layers = list(self.features)
            groups = [nn.Sequential(*layers[at : at + 3]) for at in range(0, len(layers), 3)]
            maps = in_segments(groups, images, norms_of=self)
        else:
            maps = self.features(images)
        return EncodedFrames(maps, self.project(maps))
