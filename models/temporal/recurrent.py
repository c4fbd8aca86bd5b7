"""RNN, LSTM and GRU over the features, with true lengths and explicit state.

rnn    h_t = tanh(W x_t + U h_{t-1} + b)

lstm   i, f, o = sigmoid(W_* x_t + U_* h_{t-1} + b_*)      g = tanh(W_g x_t + U_g h_{t-1} + b_g)
       c_t = f * c_{t-1} + i * g       h_t = o * tanh(c_t)

gru    r, z = sigmoid(W_* x_t + U_* h_{t-1} + b_*)         n = tanh(W x_t + r * (U h_{t-1} + b))
       h_t = (1 - z) * n + z * h_{t-1}

With the encoder's output x_t, the article's network is h_t = rnn([x_t; h_{t-1}]), which is the
Elman RNN (1990) here as `rnn`; LSTM: Hochreiter & Schmidhuber (1997), with the forget gate of
Gers et al. (2000); GRU: Cho et al. (2014).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import dropout as drop
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from cliptide.models.temporal.base import (
    Temporal,
    all_real,
    from_the_end,
    last_real,
    without_padding,
)
from cliptide.models.temporal.unrolled import State, each_step

CELLS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


KINDS = ("weight", "bias")


def _rnn_step(of_state: Sequence[Tensor], given: Tensor, state: State) -> State:
    return (torch.tanh(given + linear(state[0], *of_state)),)


def _lstm_step(of_state: Sequence[Tensor], given: Tensor, state: State) -> State:
    let_in, keep, new, show = (given + linear(state[0], *of_state)).chunk(4, dim=1)
    c = torch.sigmoid(keep) * state[1] + torch.sigmoid(let_in) * torch.tanh(new)
    return torch.sigmoid(show) * torch.tanh(c), c


def _gru_step(of_state: Sequence[Tensor], given: Tensor, state: State) -> State:
    (h,) = state
    of_gates, of_new = torch.split(given, [2 * h.shape[1], h.shape[1]], dim=1)
    gates, kept = torch.split(linear(h, *of_state), [2 * h.shape[1], h.shape[1]], dim=1)
    reset, update = torch.sigmoid(of_gates + gates).chunk(2, dim=1)
    new = torch.tanh(of_new + reset * kept)
    return (new + update * (h - new),)


# One step, of what the input's matrix product has given (B, gates * hidden).
STEPS = {"rnn": _rnn_step, "lstm": _lstm_step, "gru": _gru_step}


class RecurrentTemporal(Temporal):
    """One or more layers of torch's recurrent cells.

    Each clip runs for its own length, so padding never enters a state. Packing does that, but on a
    CPU its gradient costs with the square of the length. So there, layers that read forwards run
    from one clip's end to the next with the clips that still go on; those that also read backwards
    are packed, to begin at the last real frame, and so are all on a GPU.

        length 5   0 1 2 | 3 4 | .      three runs of 3, 2 and 1 steps, with 3, 2 and 1 clips
        length 3   0 1 2 | . . | .
        length 6   0 1 2 | 3 4 | 5

    Args:
        cell: `rnn`, `lstm` or `gru`.
        input_dim: D, the size of a feature.
        hidden: Size of the state, a layer and direction.
        layers: Number of layers.
        bidirectional: Also read each clip backwards; such a model cannot step.
        dropout: Share dropped between layers in training.
        recurrent_dropout: Share of h_{t-1} dropped on its way into the recurrent matrix in
            training: of each layer and direction the same units at all steps of a call, and for
            all its clips (Gal & Ghahramani 2016, with a mask for the batch in place of one for
            each clip, so that it can stand on the columns of the matrix in torch's fused cells).
    """

    def __init__(
        self,
        cell: str,
        *,
        input_dim: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell, self.recurrent_dropout = cell, recurrent_dropout
        self.rnn = CELLS[cell](
            input_dim,
            hidden,
            num_layers=layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.dim = hidden * (2 if bidirectional else 1)
        self.can_step = not bidirectional
        self._initialise(cell, hidden)

    def _initialise(self, cell: str, hidden: int) -> None:
        # Orthogonal recurrent weights keep the state's norm over many steps (Saxe et al. 2014);
        # a forget-gate bias of 1 lets an LSTM remember from the start (Jozefowicz et al. 2015).
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("weight_hh"):
                for gate in torch.split(parameter.data, hidden):
                    nn.init.orthogonal_(gate)
            elif name.startswith("bias"):
                nn.init.zeros_(parameter)
                if cell == "lstm" and name.startswith("bias_ih"):
                    nn.init.ones_(parameter.data[hidden : 2 * hidden])

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`."""
        directions = 2 if self.rnn.bidirectional else 1
        count = self.rnn.num_layers * directions
        zeros = feature.new_zeros(count, feature.shape[0], self.rnn.hidden_size)
        return (zeros, torch.zeros_like(zeros)) if isinstance(self.rnn, nn.LSTM) else zeros

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`; of a bidirectional part, whole clips alone make sense."""
        weights, steps = self._dropped_weights(), features.shape[1]
        if all_real(steps, lengths):
            return self._run(features, lengths, state, weights)
        if torch.compiler.is_compiling():
            return self._in_a_graph(features, lengths, state)
        # Where clips end: each once. On a GPU one packed call is faster than several.
        ends = sorted({*lengths.tolist(), steps} - {0})
        if self.rnn.bidirectional or features.device.type != "cpu":
            ends = [steps]
        parts, start = [], 0
        for end in ends:
            going = (lengths > start).to(features.device)
            part = features.new_zeros(len(lengths), end - start, self.dim)
            if bool(going.any()):
                here = (lengths - start).clamp(max=end - start)[going.to(lengths.device)]
                given = features[going, start:end]
                run = self._run if all_real(end - start, here) else self._packed
                some, new = run(given, here, _rows(state, going), weights)
                part = part.index_put((going,), some.to(part.dtype))
                state = _with_rows(state, going, new)
            parts.append(part)
            start = end
        return torch.cat(parts, dim=1), state

    def _in_a_graph(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The layers from plain operations, for a graph that holds for any T and any lengths."""
        # h, and of an LSTM c: (layers * directions, B, hidden) each.
        before = state if isinstance(state, tuple) else (state,)
        directions = ("", "_reverse") if self.rnn.bidirectional else ("",)
        steps = without_padding(features, lengths)
        ends: list[list[Tensor]] = []
        for layer in range(self.rnn.num_layers):
            outputs = []
            for direction in directions:
                start = tuple(part[len(ends)] for part in before)
                of_input, of_state = (
                    [getattr(self.rnn, f"{kind}_{side}_l{layer}{direction}") for kind in KINDS]
                    for side in ("ih", "hh")
                )
                given = linear(from_the_end(steps, lengths) if direction else steps, *of_input)
                states = each_step(partial(STEPS[self.cell], of_state), given, start)
                pairs = zip(states, start, strict=True)
                ends.append([last_real(part, lengths, begun) for part, begun in pairs])
                outputs.append(from_the_end(states[0], lengths) if direction else states[0])
            steps = without_padding(torch.cat(outputs, dim=2), lengths)
        after = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return steps, after if isinstance(state, tuple) else after[0]

    def _packed(
        self, features: Tensor, lengths: Tensor, state: Any, weights: dict[str, Tensor]
    ) -> tuple[Tensor, Any]:
        packed = pack_padded_sequence(
            features, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        outputs, state = functional_call(self.rnn, weights, (packed, state))
        steps, _ = pad_packed_sequence(outputs, batch_first=True, total_length=features.shape[1])
        return steps, state

    def _dropped_weights(self) -> dict[str, Tensor]:
        """Recurrent weights with the columns of the units that are dropped at zero."""
        dropped = {}
        if self.training and self.recurrent_dropout:
            for name, weight in self.rnn.named_parameters():
                if name.startswith("weight_hh"):
                    kept = drop(weight.new_ones(weight.shape[1]), self.recurrent_dropout)
                    dropped[name] = weight * kept
        return dropped

    def _run(
        self, features: Tensor, lengths: Tensor, state: Any, weights: dict[str, Tensor]
    ) -> tuple[Tensor, Any]:
        """Features (B, T, D) of clips that all have T frames."""
        steps, state = functional_call(self.rnn, weights, (features, state))
        return steps, state


def _rows(state: Any, chosen: Tensor) -> Any:
    """The state (layers, B, hidden), or a pair of such, of some clips of a batch."""
    if isinstance(state, tuple):
        return tuple(_rows(part, chosen) for part in state)
    return state[:, chosen]


def _with_rows(state: Any, chosen: Tensor, new: Any) -> Any:
    """The state of a batch, with that of some clips replaced."""
    if isinstance(state, tuple):
        return tuple(_with_rows(*parts) for parts in zip(state, [chosen] * 2, new, strict=True))
    # Under autocast cuDNN computes in float16, whatever the state came in.
    return state.index_copy(1, chosen.nonzero()[:, 0], new.to(state.dtype))
