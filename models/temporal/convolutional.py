"""Recurrent layers over feature maps: where something happens is kept.

The article's [c; h_{t-1}] taken literally, with convolutions (*) over both:

ConvLSTM   i, f, o = sigmoid(W * x_t + U * h_{t-1} + b)      W, U and b of each its own
           g = tanh(W * x_t + U * h_{t-1} + b)
           c_t = f . c_{t-1} + i . g         h_t = o . tanh(c_t)

ConvGRU    z, r = sigmoid(W * x_t + U * h_{t-1} + b)
           g = tanh(W * x_t + U * (r . h_{t-1}) + b)
           h_t = (1 - z) . h_{t-1} + z . g

ConvLSTM: Shi et al. (2015), eq. 3, without the peepholes W_ci . c and so on: these weights belong
to the places of maps of one size, and here maps of any size are taken. ConvGRU: Ballas et al.
(2016), section 3.1. The convolution over x is done for all frames at once, that over h step by
step. A step's output is a linear layer on a 4 x 4 grid of averages of the last layer's h, so that
the vector still knows where.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from cliptide.models.grid import GRID, grid_of_averages
from cliptide.models.temporal.base import (
    Temporal,
    all_real,
    last_real,
    precise,
    real_steps,
    without_padding,
)
from cliptide.models.temporal.unrolled import each_step


class ConvLSTMCell(nn.Module):
    """ConvLSTM; the state is (h, c).

    Args:
        channels: C of the maps that are given.
        hidden: Channels of h.
        kernel: Side of the kernels, odd.
    """

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.of_input = nn.Conv2d(channels, 4 * hidden, kernel, padding=kernel // 2)
        self.of_state = nn.Conv2d(hidden, 4 * hidden, kernel, padding=kernel // 2, bias=False)
        _orthogonal_in_the_middle(self.of_state)
        # A forget-gate bias of 1 lets it remember from the start (Jozefowicz et al. 2015).
        bias = self.of_input.bias
        assert bias is not None
        nn.init.zeros_(bias)
        nn.init.ones_(bias.data[hidden : 2 * hidden])

    def initial_state(self, zeros: Tensor) -> tuple[Tensor, ...]:
        """The state before the first step, of zeros (B, hidden, h, w)."""
        return zeros, zeros

    def forward(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step: the input's convolution (B, 4 hidden, h, w) and the state -> new state."""
        gates = given + self.of_state(state[0])
        let_in, keep, show, new = gates.chunk(4, dim=1)
        c = torch.sigmoid(keep) * state[1] + torch.sigmoid(let_in) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(c), c


class ConvGRUCell(nn.Module):
    """ConvGRU; the state is (h,). See `ConvLSTMCell` for the arguments."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.of_input = nn.Conv2d(channels, 3 * hidden, kernel, padding=kernel // 2)
        self.of_state = nn.Conv2d(hidden, 2 * hidden, kernel, padding=kernel // 2, bias=False)
        self.of_kept = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, bias=False)
        _orthogonal_in_the_middle(self.of_state)
        _orthogonal_in_the_middle(self.of_kept)
        assert self.of_input.bias is not None
        nn.init.zeros_(self.of_input.bias)

    def initial_state(self, zeros: Tensor) -> tuple[Tensor, ...]:
        """The state before the first step, of zeros (B, hidden, h, w)."""
        return (zeros,)

    def forward(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One step: the input's convolution (B, 3 hidden, h, w) and the state -> new state."""
        (h,) = state
        of_gates, of_new = torch.split(given, [2 * h.shape[1], h.shape[1]], dim=1)
        update, reset = torch.sigmoid(of_gates + self.of_state(h)).chunk(2, dim=1)
        new = torch.tanh(of_new + self.of_kept(reset * h))
        return ((1 - update) * h + update * new,)


CONV_CELLS: dict[str, type[ConvLSTMCell] | type[ConvGRUCell]] = {
    "convlstm": ConvLSTMCell,
    "convgru": ConvGRUCell,
}


class ConvRecurrentTemporal(Temporal):
    """One or more layers of ConvLSTM or ConvGRU over maps of any size.

    Args:
        cell: `convlstm` or `convgru`.
        channels: C of the encoder's maps.
        hidden: Channels of the state, and size of a step's output.
        kernel: Side of the kernels, odd.
        layers: Number of layers.
        dropout: Share dropped between layers in training.
    """

    takes = "maps"

    def __init__(
        self,
        cell: str,
        *,
        channels: int,
        hidden: int,
        kernel: int = 3,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.dropout = hidden, dropout
        self.cells = nn.ModuleList(
            CONV_CELLS[cell](hidden if number else channels, hidden, kernel)
            for number in range(layers)
        )
        self.project = nn.Linear(hidden * GRID * GRID, hidden)

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`: of each layer (h,) or (h, c), each (B, hidden, h, w)."""
        # Half precision would lose what a long sequence adds in small parts.
        dtype = precise(feature.dtype)
        zeros = feature.new_zeros(feature.shape[0], self.dim, *feature.shape[2:], dtype=dtype)
        return tuple(cell.initial_state(zeros) for cell in self.cells)  # type: ignore[operator]

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`."""
        maps, states = without_padding(features, lengths), []
        for number, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            if number:
                maps = dropout(maps, self.dropout, self.training)
            maps, after = _run(cell, maps, lengths, before)
            states.append(after)
        vectors = self.project(torch.flatten(grid_of_averages(torch.flatten(maps, 0, 1)), 1))
        return without_padding(vectors.unflatten(0, maps.shape[:2]), lengths), tuple(states)


def _run(
    cell: nn.Module, maps: Tensor, lengths: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Maps (B, T, C, h, w) -> every h (B, T, hidden, h, w), and the state behind each clip."""
    given = cell.of_input(torch.flatten(maps, 0, 1))  # type: ignore[operator]
    if torch.compiler.is_compiling():
        states = each_step(cell, given.unflatten(0, maps.shape[:2]), state)
        pairs = zip(states, state, strict=True)
        return states[0], tuple(last_real(part, lengths, before) for part, before in pairs)
    hidden, padded = [], not all_real(maps.shape[1], lengths)
    real = real_steps(maps.shape[1], lengths, maps.device)[..., None, None, None]
    for number, of_frame in enumerate(given.unflatten(0, maps.shape[:2]).unbind(1)):
        new = cell(of_frame, state)
        if padded:
            pairs = zip(new, state, strict=True)
            new = tuple(torch.where(real[:, number], now, before) for now, before in pairs)
        state = new
        hidden.append(state[0])
    return torch.stack(hidden, dim=1), state


def _orthogonal_in_the_middle(convolution: nn.Conv2d) -> None:
    """Make each gate's kernel orthogonal at its middle and zero around it.

    Such a convolution keeps the norm of the maps exactly, as an orthogonal matrix does that of a
    vector ("delta-orthogonal", Xiao et al. 2018, section 3.3).
    """
    weight = convolution.weight.data
    middle = weight.shape[2] // 2
    nn.init.zeros_(weight)
    for gate in torch.split(weight, weight.shape[1]):
        gate[:, :, middle, middle] = nn.init.orthogonal_(torch.empty(gate.shape[:2]))
