"""Late fusion: each stream has a temporal part, a summary and a head of its own.

    features  [x_1; x_2; ...; here]  (B, T, D_1 + D_2 + ... + S), from `encoders.joined`
      -> temporal parts side by side -> summaries side by side -> heads side by side
      -> log p = t sum_s w_s log p_s, over the n of S streams that are here; w sums to 1 over them
         t = 1 + (c - 1) (n - 1) / (S - 1)

In training the heads' outputs come apart, (B, S, K), so that each stream learns by itself and
none hides behind a better one; the weights w and the total c are then fitted on validation. Streams
that say the same want a total of 1, streams that know of different things up to S: two witnesses
who agree are surer than one. A stream that is alone has t = 1, and answers as itself.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cliptide.configs.tasks import Task
from cliptide.models.summaries import Summary
from cliptide.models.temporal.base import Temporal, without_padding

# All outputs of a stream that a clip lacks; not NaN, which means that a training diverged.
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
        weights: (S,) of the streams, summing to 1; alike before they are fitted.
        total: () what all streams together weigh, 1 to S; 1 before it is fitted.
        keeps_apart: Whether outputs come apart outside training too, to fit the weights.
    """

    weights: Tensor
    total: Tensor

    def __init__(self, heads: Sequence[nn.Module], dims: Sequence[int], *, task: Task) -> None:
        super().__init__()
        self.heads, self.dims, self.task = nn.ModuleList(heads), tuple(dims), task
        self.keeps_apart = False
        self.register_buffer("weights", torch.empty(len(dims)))
        self.register_buffer("total", torch.empty(()))
        self.weigh_alike()

    def weigh_alike(self) -> None:
        """Forget what was fitted."""
        self.weights.fill_(1 / len(self.dims))
        self.total.fill_(1.0)

    def forward(self, vector: Tensor) -> Tensor:
        """(B, D) -> (B, K) raw outputs; in training (B, S, K), `MISSING` where one is."""
        *slices, here = torch.split(vector, [*self.dims, len(self.dims)], dim=-1)
        each = [head(piece) for head, piece in zip(self.heads, slices, strict=True)]
        outputs, here = torch.stack(each, dim=1).float(), here > 0
        if self.training or self.keeps_apart:
            # A head that overflows has diverged; its stream is not missing.
            outputs = outputs.masked_fill(outputs.isinf(), torch.nan)
            return outputs.masked_fill(~here[..., None], MISSING)
        return weighted(outputs, here, self.weights, total=self.total, task=self.task)


def weighted(
    outputs: Tensor, here: Tensor, weights: Tensor, *, total: Tensor, task: Task
) -> Tensor:
    """Weigh the streams' scores: log p = t sum_s w_s log p_s, made to sum to 1 later.

    A logarithmic opinion pool (Genest and Zidek 1986, section 3.3): where one stream knows a half
    of the answer and another the other half, it knows both; a mean of probabilities does not.

    Args:
        outputs: (B, S, K) raw outputs of each stream.
        here: (B, S) bool.
        weights: (S,); over the streams that are there they are made to sum to 1, and where all of
            those weigh nothing they weigh alike.
        total: () c of the module's t; 1 gives means.
        task: What the outputs mean.

    Returns:
        (B, K): logits, or the mean of numbers.
    """
    given = torch.where(here, weights.to(outputs), outputs.new_zeros(()))
    nothing = given.sum(dim=1, keepdim=True) < _LEAST
    given = torch.where(nothing, here.to(outputs), given)
    share = (given / given.sum(dim=1, keepdim=True))[..., None]
    scores = torch.log_softmax(outputs, dim=2) if task == "single" else outputs
    more = (here.sum(dim=1, keepdim=True) - 1) / (here.shape[1] - 1)
    return (scores * share).sum(dim=1) * (1 + (total.to(outputs) - 1) * more)


def which_are_there(outputs: Tensor) -> Tensor:
    """Which streams clips have (B, S) bool, of outputs that come apart (B, S, K)."""
    return ~(outputs == MISSING).all(dim=2)


def mean_of_streams(outputs: Tensor) -> Tensor:
    """The mean (B, K) over the streams that each clip has, of outputs that come apart (B, S, K)."""
    here = which_are_there(outputs)[..., None]
    return torch.where(here, outputs, 0.0).sum(dim=1) / here.sum(dim=1)


class Fitted(NamedTuple):
    """What streams weigh.

    Attributes:
        weights: (S,) float64, summing to 1.
        total: () float64, 1 to S; 1 for regression, where sums of numbers mean nothing.
        outputs: (N, K) float64, what the samples are answered by them.
    """

    weights: Tensor
    total: Tensor
    outputs: Tensor


def fit_weights(
    outputs: Tensor, labels: Tensor, *, task: Task, scale: Tensor | None = None
) -> Fitted:
    """The weights and the total of least loss on validation (negative log-likelihood, or error).

    Args:
        outputs: (N, S, K) raw outputs of each stream, numbers, or `MISSING` where a sample lacks
            it; S is 2 or more.
        labels: (N,) class indices, or (N, K) labels or targets.
        task: What they mean.
        scale: (K,) of a regression, the spread of each target.
    """
    here = which_are_there(outputs)
    outputs = torch.where(here[..., None], outputs, 0.0).double()
    labels = labels if task == "single" else labels.double()
    count = outputs.shape[1]
    free = torch.zeros(count + 1, dtype=torch.float64, requires_grad=True)

    def fitted() -> Fitted:
        weights, total = torch.softmax(free[:count], dim=0), torch.ones_like(free[count])
        if task != "regression":
            total = 1 + (count - 1) * torch.sigmoid(free[count])
        return Fitted(weights, total, weighted(outputs, here, weights, total=total, task=task))

    def loss() -> Tensor:
        free.grad = None
        fused = fitted().outputs
        if task == "single":
            found = nn.functional.cross_entropy(fused, labels)
        elif task == "multi":
            found = nn.functional.binary_cross_entropy_with_logits(fused, labels)
        else:
            spread = 1.0 if scale is None else scale
            found = nn.functional.mse_loss(fused / spread, labels / spread)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe")
    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return fitted()
