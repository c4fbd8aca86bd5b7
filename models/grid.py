"""From feature maps to a vector that still knows where something is."""

import torch
from torch import Tensor, nn

GRID = 4


def grid_of_averages(maps: Tensor) -> Tensor:
    """Averages over a GRID x GRID grid of cells: maps (N, C, h, w) -> (N, C, GRID * GRID).

    The cells are those of torch's AdaptiveAvgPool2d, which on Apple's GPUs refuses maps whose
    sides GRID does not divide; one matrix product runs everywhere.
    """
    rows, columns = _cell_shares(maps.shape[2]), _cell_shares(maps.shape[3])
    return torch.flatten(maps, 2) @ torch.kron(rows, columns).T.to(maps)


def _cell_shares(length: int) -> Tensor:
    """(GRID, length) float32: the share of each pixel along a side in the average of each cell."""
    shares = torch.zeros(GRID, length)
    for cell in range(GRID):
        start, end = cell * length // GRID, -(-(cell + 1) * length // GRID)
        shares[cell, start:end] = 1 / (end - start)
    return shares


class GridProjection(nn.Sequential):
    """Maps (N, C, h, w) of any size -> grid of averages -> linear, layer norm -> (N, dim).

    Args:
        channels: C.
        dim: Size of the vector.
    """

    def __init__(self, channels: int, dim: int) -> None:
        linear = nn.Linear(channels * GRID * GRID, dim, bias=False)
        super().__init__(linear, nn.LayerNorm(dim), nn.ReLU())

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        flat = torch.flatten(grid_of_averages(maps), 1)
        vector: Tensor = super().forward(flat)  # type: ignore[no-untyped-call]
        return vector
