"""minGRU and minLSTM: recurrent layers whose gates do not look back, for long sequences.

minGRU     z_t = sigmoid(W_z x_t)        c_t = W_c x_t
           h_t = (1 - z_t) * h_{t-1} + z_t * c_t

minLSTM    f_t = sigmoid(W_f x_t)        i_t = sigmoid(W_i x_t)        c_t = W_c x_t
           h_t = f_t / (f_t + i_t) * h_{t-1} + i_t / (f_t + i_t) * c_t

Feng et al. (2024), "Were RNNs All We Needed?", sections 3.1 and 3.2, in linear space. The gates of
all steps come from one matrix product, and `linear_scan` then solves for every h at once.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from cliptide.models.temporal.base import (
    Temporal,
    from_the_end,
    last_real,
    precise,
    without_padding,
)
from cliptide.models.temporal.scan import linear_scan

# Vectors of size `hidden` that a step needs of its input.
GATES = {"mingru": 2, "minlstm": 3}


class MinimalTemporal(Temporal):
    """One layer of minGRU or minLSTM.

    There is no recurrent matrix to make orthogonal. The gates begin with a bias of 1 towards
    keeping the state, as the forget gate of an LSTM does.

    Args:
        cell: `mingru` or `minlstm`.
        input_dim: D, the size of a feature.
        hidden: Size of the state, a direction.
        bidirectional: Also read each clip backwards; such a layer cannot step.
    """

    def __init__(
        self, cell: str, *, input_dim: int, hidden: int, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.cell, self.hidden = cell, hidden
        count = 2 if bidirectional else 1
        self.gates = nn.ModuleList(nn.Linear(input_dim, GATES[cell] * hidden) for _ in range(count))
        self.dim = count * hidden
        self.can_step = not bidirectional
        for linear in self.gates.children():
            assert isinstance(linear, nn.Linear)
            nn.init.zeros_(linear.bias)
            # The first gate of a minGRU lets new values in, that of a minLSTM keeps old ones.
            nn.init.constant_(linear.bias.data[:hidden], -1.0 if cell == "mingru" else 1.0)

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`: one (B, hidden) for each direction."""
        # Half precision would lose what a long sequence adds in small parts.
        dtype = precise(feature.dtype)
        zeros = feature.new_zeros(feature.shape[0], self.hidden, dtype=dtype)
        return (zeros,) * len(self.gates)

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`; of a bidirectional layer, whole clips alone make sense."""
        features = without_padding(features, lengths)
        outputs, ends = [], []
        for number, (gates, start) in enumerate(zip(self.gates, state, strict=True)):
            given = from_the_end(features, lengths) if number else features
            hidden = self._run(gates(given).to(start.dtype), start)
            ends.append(last_real(hidden, lengths, start))
            outputs.append(from_the_end(hidden, lengths) if number else hidden)
        return without_padding(torch.cat(outputs, dim=2), lengths), tuple(ends)

    def _run(self, gates: Tensor, start: Tensor) -> Tensor:
        """Gates before their sigmoids (B, T, 2 or 3 hidden) -> every h (B, T, hidden)."""
        parts = torch.split(gates, self.hidden, dim=2)
        if self.cell == "mingru":
            let_in = torch.sigmoid(parts[0])
            return linear_scan(1 - let_in, let_in * parts[1], start)
        # f / (f + i) = sigmoid(log f - log i), which no small gate makes 0 / 0.
        keep = torch.sigmoid(softplus(-parts[1]) - softplus(-parts[0]))
        return linear_scan(keep, (1 - keep) * parts[2], start)
