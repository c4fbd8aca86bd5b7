"""The contract of every temporal part.

    forward   features (B, T, D), lengths (B,)  -> (B, T, dim)
    step      feature (B, D), state             -> (B, dim), state

Both give the same numbers. The state goes in and comes out; nothing is kept in the module, so
nothing can leak from one video to the next.
"""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Temporal(nn.Module, ABC):
    """Base of what carries features over time.

    Attributes:
        dim: Size of a step's output.
        can_step: False where a step needs frames that are still to come.
    """

    dim: int
    can_step: bool = True

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Run over padded clips.

        Args:
            features: (B, T, D) float32, padded at the end of T; the padding never counts.
            lengths: (B,) int64, real frames of each clip, 1..T.

        Returns:
            (B, T, dim) float32, zero at the padding.
        """

    @abstractmethod
    def initial_state(self, feature: Tensor) -> Any:
        """The state before the first step, on the device and in the type of `feature` (B, D)."""

    @abstractmethod
    def step(self, feature: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take one step: feature (B, D) and state so far -> output (B, dim) and new state."""
