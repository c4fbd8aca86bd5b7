"""From the steps of a clip to one vector: last, mean, max, attention; each also step by step.

    forward   steps (B, T, D), lengths (B,)  -> (B, D)
    step      step (B, D), state             -> (B, D), state

Padding never counts. `last` reads the last real step, not the last of the padded axis.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


def real_steps(num_steps: int, lengths: Tensor, device: torch.device) -> Tensor:
    """(B, T) bool: True where a clip has a real frame."""
    return torch.arange(num_steps, device=device)[None, :] < lengths.to(device)[:, None]


class Summary(nn.Module, ABC):
    """Base of the summaries."""

    @abstractmethod
    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Summarise clips.

        Args:
            steps: (B, T, D) float32, padded at the end of T.
            lengths: (B,) int64, real frames of each clip, 1..T.

        Returns:
            (B, D) float32.
        """

    def initial_state(self, step: Tensor) -> Any:
        """The state before the first step, for streams of (B, D)."""
        return None

    @abstractmethod
    def step(self, step: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take in one step (B, D); return the summary so far (B, D) and the new state."""


class LastStep(Summary):
    """The last real step; of a bidirectional model, the end of either direction.

    Args:
        bidirectional: The second half of each step belongs to the backward direction, which ends
            at the first frame.
    """

    def __init__(self, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.bidirectional = bidirectional

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """See `Summary.forward`."""
        rows = torch.arange(len(steps), device=steps.device)
        last = steps[rows, lengths.to(steps.device) - 1]
        if not self.bidirectional:
            return last
        half = steps.shape[-1] // 2
        return torch.cat([last[:, :half], steps[:, 0, half:]], dim=1)

    def step(self, step: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.step`."""
        return step, None


class MeanOfSteps(Summary):
    """The mean over the real steps."""

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """See `Summary.forward`."""
        real = real_steps(steps.shape[1], lengths, steps.device)[..., None]
        total = torch.where(real, steps, steps.new_zeros(())).sum(dim=1)
        return total / lengths.to(steps.device)[:, None]

    def initial_state(self, step: Tensor) -> Any:
        """The sum so far and how many steps it holds."""
        return torch.zeros_like(step), 0

    def step(self, step: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.step`."""
        total, count = state[0] + step, state[1] + 1
        return total / count, (total, count)


class MaxOfSteps(Summary):
    """The largest value of each feature over the real steps."""

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """See `Summary.forward`."""
        real = real_steps(steps.shape[1], lengths, steps.device)[..., None]
        return torch.where(real, steps, steps.new_full((), -torch.inf)).amax(dim=1)

    def initial_state(self, step: Tensor) -> Any:
        """The largest values so far."""
        return torch.full_like(step, -torch.inf)

    def step(self, step: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.step`."""
        largest = torch.maximum(state, step)
        return largest, largest


class AttentionOverSteps(Summary):
    """A weighted mean; the weights are a softmax of a learnt score over the real steps.

    Feed-forward attention of Raffel & Ellis (2015), section 1. Stepping keeps the softmax
    running with its largest score, as in Milakov & Gimelshein (2018), so long streams stay finite.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1))

    def forward(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """See `Summary.forward`."""
        real = real_steps(steps.shape[1], lengths, steps.device)[..., None]
        # Scored after zeroing: what the padding holds must not reach a gradient either.
        steps = torch.where(real, steps, steps.new_zeros(()))
        scores = torch.where(real, self.score(steps).float(), -torch.inf)
        return (torch.softmax(scores, dim=1) * steps).sum(dim=1)

    def initial_state(self, step: Tensor) -> Any:
        """Largest score, weighted sum and sum of weights so far."""
        largest = step.new_full((len(step), 1), -torch.inf)
        return largest, torch.zeros_like(step), step.new_zeros(len(step), 1)

    def step(self, step: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Summary.step`."""
        largest, total, weights = state
        score = self.score(step)
        new_largest = torch.maximum(largest, score)
        fade, weight = torch.exp(largest - new_largest), torch.exp(score - new_largest)
        total, weights = total * fade + weight * step, weights * fade + weight
        return total / weights, (new_largest, total, weights)
