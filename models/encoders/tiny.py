"""A small CNN to train from scratch, for small data and for CPUs."""

import torch
from torch import Tensor, nn

from cliptide.models.encoders.base import EncodedFrames, Encoder

GRID = 4


class GridOfAverages(nn.Module):
    """Averages over a GRID x GRID grid of cells: maps (N, C, h, w) -> (N, C, GRID * GRID).

    The cells are those of torch's AdaptiveAvgPool2d, which on Apple's GPUs refuses maps whose
    sides GRID does not divide; one matrix product runs everywhere.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        rows, columns = _cell_shares(maps.shape[2]), _cell_shares(maps.shape[3])
        return torch.flatten(maps, 2) @ torch.kron(rows, columns).T.to(maps)


def _cell_shares(length: int) -> Tensor:
    """(GRID, length) float32: the share of each pixel along a side in the average of each cell."""
    shares = torch.zeros(GRID, length)
    for cell in range(GRID):
        start, end = cell * length // GRID, -(-(cell + 1) * length // GRID)
        shares[cell, start:end] = 1 / (end - start)
    return shares


class TinyEncoder(Encoder):
    """Four convolutions of stride 2, then a 4 x 4 grid of averages into one vector.

    The grid is kept because where something is matters to an action; a global average would
    erase it. Any frame from 2 x 2 pixels upward is taken.

        3 -> 24w -> 48w -> 96w -> 128w maps -> grid 4 x 4 -> linear -> 128w
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        filters = [max(4, round(count * width)) for count in (24, 48, 96, 128)]
        layers: list[nn.Module] = []
        channels = 3
        for count in filters:
            layers += [
                nn.Conv2d(channels, count, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(count),
                nn.ReLU(inplace=True),
            ]
            channels = count
        self.features = nn.Sequential(*layers)
        self.grid = GridOfAverages()
        self.dim = channels
        self.project = nn.Sequential(
            nn.Linear(channels * GRID * GRID, self.dim, bias=False),
            nn.LayerNorm(self.dim),
            nn.ReLU(),
        )

    def encode(self, images: Tensor, lengths: Tensor) -> EncodedFrames:
        """See `Encoder.encode`."""
        maps = self.features(images)
        return EncodedFrames(maps, self.project(torch.flatten(self.grid(maps), 1)))
