"""From feature maps to a vector that still knows where something is."""

import torch
from torch import Tensor, nn

GRID = 4


def grid_of_averages(maps: Tensor) -> Tensor:
    """Averages over a GRID x GRID grid of cells: maps (N, C, h, w) -> (N, C, GRID * GRID).

    The cells are those of torch's AdaptiveAvgPool2d, which on Apple's GPUs refuses maps whose
    sides GRID does not divide, and in exported graphs maps of any other size than the one they
    were exported with; one matrix product runs everywhere.
    """
    rows, columns = _cell_shares(maps.shape[2], maps), _cell_shares(maps.shape[3], maps)
    shares = torch.flatten(rows[:, None, :, None] * columns[None, :, None, :], 2)
    return torch.flatten(maps, 2) @ torch.flatten(shares, 0, 1).T


def _cell_shares(length: int, maps: Tensor) -> Tensor:
    """(GRID, length): the share of each pixel along a side in the average of each cell."""
    pixel = torch.arange(length, device=maps.device)
    cell = torch.arange(GRID, device=maps.device)[:, None]
    # Rounded down and up; in whole numbers, because a graph keeps the length open.
    start = cell * length // GRID
    end = ((cell + 1) * length + GRID - 1) // GRID
    inside = (pixel >= start) & (pixel < end)
    return torch.where(inside, 1.0 / (end - start), 0.0).to(maps.dtype)


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
