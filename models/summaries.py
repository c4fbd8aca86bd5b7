"""From the steps of a clip to one vector: last, mean, max, attention; each also step by step.

    forward   steps (B, T, D), lengths (B,)         -> (B, D)           whole clips
    advance   steps (B, T, D), lengths (B,), state  -> (B, D), state    a chunk of clips
    step      step (B, D), state                    -> (B, D), state    one step

Padding never counts. `last` reads the last real step, not the last of the padded axis.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from cliptide.models.temporal.base import last_real, precise, real_steps, without_padding


class Summary(nn.Module, ABC):
    """Base of the summaries."""

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Summarise clips.

        Args:
            steps: (B, T, D) float32, padded at the end of T.
            lengths: (B,) int64, real frames of each clip, 1..T.

        Returns:
            (B, D) float32.
        """
        return self.advance(steps, lengths, self.initial_state(steps[:, 0]))[0]

    @abstractmethod
    def initial_state(self, step: Tensor) -> Any:
        """The state before the first step, for streams of (B, D)."""

    @abstractmethod
    def advance(self, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take in the next steps of clips.

        Args:
            steps: (B, T, D) float32, padded at the end of T.
            lengths: (B,) int64, 0..T: some clips may have ended before.
            state: What `initial_state` or the chunk before returned.

        Returns:
            The summary so far (B, D), and the new state.
        """

    def step(self, step: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take in one step (B, D); return the summary so far (B, D) and the new state."""
        ones = torch.ones(step.shape[0], dtype=torch.int64, device=step.device)
        return self.advance(step[:, None], ones, state)


class LastStep(Summary):
    """The last real step; of a bidirectional model, the end of either direction.

    Args:
        bidirectional: The second half of each step belongs to the backward direction, which ends
            at the first frame.
    """

    def __init__(self, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def initial_state(self, step: Tensor) -> Any:
        """The last step so far."""
        return torch.zeros_like(step)

    def advance(self, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.advance`."""
        last = last_real(steps, lengths, state)
        if self.bidirectional:
            half = steps.shape[-1] // 2
            last = torch.cat([last[:, :half], steps[:, 0, half:]], dim=1)
        return last, last


class MeanOfSteps(Summary):
    """The mean over the real steps."""

    def initial_state(self, step: Tensor) -> Any:
        """The sum so far and how many steps it holds."""
        total = torch.zeros_like(step, dtype=precise(step.dtype))
        return total, total.new_zeros(step.shape[0], 1)

    def advance(self, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.advance`."""
        total, count = state
        total = total + without_padding(steps, lengths).sum(dim=1, dtype=total.dtype)
        count = count + lengths.to(count)[:, None]
        return (total / count).to(steps.dtype), (total, count)


class MaxOfSteps(Summary):
    """The largest value of each feature over the real steps."""

    def initial_state(self, step: Tensor) -> Any:
        """The largest values so far."""
        return torch.full_like(step, -torch.inf)

    def advance(self, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.advance`."""
        real = real_steps(steps.shape[1], lengths, steps.device)[..., None]
        here = torch.where(real, steps, steps.new_full((), -torch.inf)).amax(dim=1)
        largest = torch.maximum(state, here)
        return largest, largest


class AttentionOverSteps(Summary):
    """A weighted mean; the weights are a softmax of a learnt score over the real steps.

    Feed-forward attention of Raffel & Ellis (2015), section 1. The softmax is kept running with
    its largest score, as in Milakov & Gimelshein (2018), so that long streams stay finite.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1))

    def initial_state(self, step: Tensor) -> Any:
        """Largest score, weighted sum and sum of weights so far."""
        # Not infinity: of a clip that has no frame in a chunk, inf - inf would be no number.
        total = torch.zeros_like(step, dtype=precise(step.dtype))
        lowest = total.new_full((step.shape[0], 1), torch.finfo(torch.float32).min / 2)
        return lowest, total, total.new_zeros(step.shape[0], 1)

    def advance(self, steps: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.advance`."""
        largest, total, weights = state
        real = real_steps(steps.shape[1], lengths, steps.device)[..., None]
        # Scored after zeroing: what the padding holds must not reach a gradient either.
        steps = without_padding(steps, lengths)
        scores = torch.where(real, self.score(steps).to(total.dtype), -torch.inf)
        new_largest = torch.maximum(largest, scores.amax(dim=1)).detach()
        fade, weight = torch.exp(largest - new_largest), torch.exp(scores - new_largest[:, None])
        total = total * fade + (weight * steps).sum(dim=1)
        weights = weights * fade + weight.sum(dim=1)
        return (total / weights).to(steps.dtype), (new_largest, total, weights)
