"""Motion made explicit: differences of consecutive features, between encoder and temporal part.

    x_t -> norm([x_t; x_t - x_{t-1}; |x_t - x_{t-1}|])        0 at a clip's first frame

Pooled appearance features of neighbouring frames are nearly equal; what moves is in their small
difference, which a recurrent layer would first have to learn to take. The sign tells the
direction, the absolute value how much moves, whichever way.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cliptide.models.encoders.packed import previous_frames

PARTS = 3  # feature, difference, absolute difference


class MotionState(NamedTuple):
    """The last feature of each clip (B, D) or (B, C, h, w)."""

    feature: Tensor


class FeatureDifferences(nn.Module):
    """Puts signed and absolute differences beside packed features (N, D) or maps (N, C, h, w).

    A batch norm brings the three to one scale and keeps how they vary from clip to clip: a layer
    norm would blow up the noise of a clip in which nothing moves.

    Args:
        channels: D or C.
        maps: Whether it is given maps.
    """

    def __init__(self, channels: int, *, maps: bool = False) -> None:
        super().__init__()
        self.out_channels = PARTS * channels
        self.norm = (nn.BatchNorm2d if maps else nn.BatchNorm1d)(self.out_channels)

    def forward(
        self, features: Tensor, lengths: Tensor, state: MotionState | None
    ) -> tuple[Tensor, MotionState]:
        """Add the differences.

        Args:
            features: (N, D) or (N, C, h, w), the real frames of all clips.
            lengths: (B,) int64, frames of each clip, 0 where it has ended; they sum to N.
            state: What the call before returned; None where the clips begin.

        Returns:
            (N, 3 D) or (N, 3 C, h, w), and the new state.
        """
        previous, last = previous_frames(features, lengths, state.feature if state else None)
        return self.beside(features, previous), MotionState(last)

    def beside(self, features: Tensor, previous: Tensor) -> Tensor:
        """Features (N, ...) with their differences from `previous` ones beside them."""
        change = features - previous
        moving: Tensor = self.norm(torch.cat([features, change, change.abs()], dim=1))
        return moving
