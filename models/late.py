"""Late fusion: each stream has a temporal part, a summary and a head of its own.

    features  [x_1; x_2; ...; here]  (B, T, D_1 + D_2 + ... + S), from `encoders.joined`
      -> temporal parts side by side -> summaries side by side -> heads side by side
      -> log p = sum_s w_s log p_s, the weights w over what is here summing to 1

In training the heads' outputs come apart, (B, S, K), so that each stream learns by itself and
none hides behind a better one; the weights are then fitted on validation.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cliptide.configs.tasks import Task
from cliptide.models.summaries import Summary
from cliptide.models.temporal.base import Temporal, without_padding

# Weights are tried in steps of 1 / GRID.
GRID = 20
# Of a stream that a clip lacks; not NaN, which means that a training diverged.
MISSING = float("inf")
_LEAST = 1e-7  # weights that sum to less are none


class SideBySide(Temporal):
    """Temporal parts over slices of the features; what says which streams are there goes on.

    Args:
        parts: One a stream.
        dims: Size of each stream's slice.
    """

    def __init__(self, parts: Sequence[Temporal], dims: Sequence[int]) -> None:
        super().__init__()
        self._parts, self.dims = nn.ModuleList(parts), tuple(dims)
        self.dim = sum(part.dim for part in parts) + len(parts)
        self.can_step = all(part.can_step for part in parts)

    @property
    def parts(self) -> list[Temporal]:
        """The temporal parts."""
        return list(self._parts)  # type: ignore[arg-type]

    def _split(self, features: Tensor) -> tuple[Tensor, ...]:
        return torch.split(features, [*self.dims, len(self.dims)], dim=-1)

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`."""
        slices = self._split(feature)[:-1]
        return tuple(
            part.initial_state(piece) for part, piece in zip(self.parts, slices, strict=True)
        )

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`."""
        *slices, here = self._split(features)
        found = [
            part.advance(piece, lengths, before)
            for part, piece, before in zip(self.parts, slices, state, strict=True)
        ]
        steps = torch.cat([*(out for out, _ in found), without_padding(here, lengths)], dim=-1)
        return steps, tuple(after for _, after in found)


class SummariesSideBySide(Summary):
    """Summaries over slices of the steps; a stream is there if it was at any step.

    Args:
        parts: One a stream.
        dims: Size of each stream's slice.
    """

    def __init__(self, parts: Sequence[Summary], dims: Sequence[int]) -> None:
        super().__init__()
        self._parts, self.dims = nn.ModuleList(parts), tuple(dims)

    @property
    def parts(self) -> list[Summary]:
        """The summaries."""
        return list(self._parts)  # type: ignore[arg-type]

    def _split(self, steps: Tensor) -> tuple[Tensor, ...]:
        return torch.split(steps, [*self.dims, len(self.dims)], dim=-1)

    def initial_state(self, step: Tensor) -> Any:
        """See `Summary.initial_state`."""
        *slices, here = self._split(step)
        states = tuple(
            part.initial_state(piece) for part, piece in zip(self.parts, slices, strict=True)
        )
        return states, torch.zeros_like(here)

    def advance(self, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.advance`."""
        *slices, here = self._split(steps)
        states, seen = state
        found = [
            part.advance(piece, lengths, before)
            for part, piece, before in zip(self.parts, slices, states, strict=True)
        ]
        seen = torch.maximum(seen, without_padding(here, lengths).amax(dim=1))
        vector = torch.cat([*(out for out, _ in found), seen], dim=-1)
        return vector, (tuple(after for _, after in found), seen)


class LateHead(nn.Module):
    """Heads over slices of a clip's vector, and what their answers weigh.

    Args:
        heads: One a stream.
        dims: Size of each stream's slice.
        task: What the outputs are for.

    Attributes:
        weights: (S,) of the streams, 1 / S before they are fitted.
        keeps_apart: Whether outputs come apart outside training too, to fit the weights.
    """

    weights: Tensor

    def __init__(self, heads: Sequence[nn.Module], dims: Sequence[int], *, task: Task) -> None:
        super().__init__()
        self.heads, self.dims, self.task = nn.ModuleList(heads), tuple(dims), task
        self.keeps_apart = False
        self.register_buffer("weights", torch.full((len(dims),), 1 / len(dims)))

    def forward(self, vector: Tensor) -> Tensor:
        """(B, D) -> (B, K) raw outputs; in training (B, S, K), `MISSING` where one is."""
        *slices, here = torch.split(vector, [*self.dims, len(self.dims)], dim=-1)
        each = [head(piece) for head, piece in zip(self.heads, slices, strict=True)]
        outputs, here = torch.stack(each, dim=1).float(), here > 0
        if self.training or self.keeps_apart:
            return outputs.masked_fill(~here[..., None], MISSING)
        return weighted(outputs, here, self.weights, task=self.task)


def weighted(outputs: Tensor, here: Tensor, weights: Tensor, *, task: Task) -> Tensor:
    """Weigh the streams' scores: log p = sum_s w_s log p_s, made to sum to 1 later.

    A logarithmic opinion pool (Genest and Zidek 1986, section 3.3): where one stream knows a half
    of the answer and another the other half, it knows both; a mean of probabilities does not.

    Args:
        outputs: (B, S, K) raw outputs of each stream.
        here: (B, S) bool.
        weights: (S,); over the streams that are there they are made to sum to 1, and where all of
            those weigh nothing they weigh alike.
        task: What the outputs mean.

    Returns:
        (B, K): logits, or the mean of numbers.
    """
    given = torch.where(here, weights.to(outputs), outputs.new_zeros(()))
    nothing = given.sum(dim=1, keepdim=True) < _LEAST
    given = torch.where(nothing, here.to(outputs), given)
    share = (given / given.sum(dim=1, keepdim=True))[..., None]
    scores = torch.log_softmax(outputs, dim=2) if task == "single" else outputs
    return (scores * share).sum(dim=1)


def mean_of_streams(outputs: Tensor) -> Tensor:
    """The mean (B, K) over the streams that each clip has, of outputs that come apart (B, S, K)."""
    here = ~outputs.isinf().any(dim=2, keepdim=True)
    return torch.where(here, outputs, 0.0).sum(dim=1) / here.sum(dim=1)


def fit_weights(
    outputs: Tensor, labels: Tensor, *, task: Task, scale: Tensor | None = None
) -> tuple[float, ...]:
    """The weights (S,) of least loss on validation, from a grid over the simplex.

    Args:
        outputs: (N, S, K) raw outputs of each stream, `MISSING` where a sample lacks it.
        labels: (N,) class indices, or (N, K) labels or targets.
        task: What they mean.
        scale: (K,) of a regression, the spread of each target.
    """
    here = ~outputs.isinf().any(dim=2)
    outputs = outputs.masked_fill(~here[..., None], 0.0)
    if scale is not None:
        outputs, labels = outputs / scale, labels / scale
    best, least = None, float("inf")
    for weights in _simplex(outputs.shape[1], GRID):
        fused = weighted(outputs, here, torch.tensor(weights), task=task)
        if task == "single":
            loss = nn.functional.cross_entropy(fused, labels)
        elif task == "multi":
            loss = nn.functional.binary_cross_entropy_with_logits(fused, labels)
        else:
            loss = nn.functional.mse_loss(fused, labels)
        if float(loss) < least - 1e-9:
            best, least = weights, float(loss)
    assert best is not None, "no loss was a number"
    return best


def _simplex(count: int, steps: int) -> list[tuple[float, ...]]:
    """Weights that sum to 1, in steps of 1 / steps; the most even ones first."""
    if count == 1:
        return [(1.0,)]

    def parts(left: int, places: int) -> list[tuple[int, ...]]:
        if places == 1:
            return [(left,)]
        return [(n, *rest) for n in range(left + 1) for rest in parts(left - n, places - 1)]

    grid = [tuple(n / steps for n in numbers) for numbers in parts(steps, count)]
    return sorted(grid, key=lambda weights: max(weights))
