"""A small CNN over windows of log-mel columns."""

import torch
from torch import Tensor, nn

from cliptide.models.encoders.base import EncodedFrames, WindowEncoder
from cliptide.models.grid import GridProjection

_FILTERS = (32, 64, 96)
# A band that varies less than this (4 dB) in the training data is mostly empty there: to divide by
# so little would make any sound in it louder than all others.
_LEAST_SPREAD = 1.0


class SpectrogramEncoder(WindowEncoder):
    """Three convolutions of stride 2 over (bands, columns), then a 4 x 4 grid into one vector.

    The grid is kept because which band sounds, and when in the window, is what the sound is; an
    average over all bands would erase it.

        1 -> 32 -> 64 -> 96 maps -> grid 4 x 4 -> linear -> dim

    Args:
        shape: (window, mels) of a step, each 4 or more.
        dim: Size of the pooled vector.
    """

    def __init__(self, shape: tuple[int, ...], *, dim: int) -> None:
        super().__init__(shape)
        mels = shape[1]
        self.register_buffer("centre", torch.zeros(mels))
        self.register_buffer("spread", torch.ones(mels))
        layers: list[nn.Module] = []
        channels = 1
        for count in _FILTERS:
            layers += [
                nn.Conv2d(channels, count, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(count),
                nn.ReLU(inplace=True),
            ]
            channels = count
        self.features = nn.Sequential(*layers)
        self.channels, self.dim = channels, dim
        self.project = GridProjection(channels, dim)

    def standardise_by(self, centre: Tensor, spread: Tensor) -> None:
        """Set what is taken from each band, and what it is divided by.

        Args:
            centre: (mels,) float, means over the training data.
            spread: (mels,) float, standard deviations; those below 1 count as 1.
        """
        self.get_buffer("centre").copy_(centre)
        self.get_buffer("spread").copy_(spread.clamp(min=_LEAST_SPREAD))

    def encode(self, steps: Tensor) -> EncodedFrames:
        """Encode steps (N, window, mels) float32, as `datasets.streams.log_mel` gives them."""
        level = (steps - self.get_buffer("centre")) / self.get_buffer("spread")
        maps = self.features(level.transpose(1, 2).unsqueeze(1))
        return EncodedFrames(maps, self.project(maps))
