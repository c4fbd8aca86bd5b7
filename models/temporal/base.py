"""The contract of every temporal part.

    forward   features (B, T, D), lengths (B,)         -> (B, T, dim)           whole clips
    advance   features (B, T, D), lengths (B,), state  -> (B, T, dim), state    a chunk of clips
    step      feature (B, D), state                    -> (B, dim), state       one frame

All three give the same numbers. The state goes in and comes out; nothing is kept in the module,
so nothing can leak from one video to the next. A part that keeps space (`takes` is `maps`) gets
feature maps (C, h, w) where the others get vectors (D,).
"""

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError


class Temporal(nn.Module, ABC):
    """Base of what carries features over time.

    Attributes:
        dim: Size of a step's output.
        takes: What it is given of each frame: the `pooled` vector or the feature `maps`.
        can_step: False where a step needs frames that are still to come.
    """

    dim: int
    takes: Literal["pooled", "maps"] = "pooled"
    can_step: bool = True

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Run over padded clips.

        Args:
            features: (B, T, D) or (B, T, C, h, w) float32, padded at the end of T; the padding
                never counts, whatever it holds.
            lengths: (B,) int64, real frames of each clip, 1..T.

        Returns:
            (B, T, dim) float32, zero at the padding.
        """
        return self.advance(features, lengths, self.initial_state(features[:, 0]))[0]

    @abstractmethod
    def initial_state(self, feature: Tensor) -> Any:
        """The state before the first step, on the device and in the type of `feature` (B, ...)."""

    @abstractmethod
    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Go on over the next frames of clips.

        Args:
            features: (B, T, D) or (B, T, C, h, w) float32, padded at the end of T.
            lengths: (B,) int64, real frames of each clip here, 0..T: some may have ended before.
            state: What `initial_state` or the chunk before returned.

        Returns:
            Outputs (B, T, dim), zero at the padding, and each clip's state behind its last real
            frame.
        """

    def step(self, feature: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take one step: feature (B, ...) and state so far -> output (B, dim) and new state.

        Raises:
            ConfigError: The part needs frames that are still to come.
        """
        if not self.can_step:
            raise ConfigError(CANNOT_STEP)
        ones = torch.ones(feature.shape[0], dtype=torch.int64, device=feature.device)
        outputs, state = self.advance(feature[:, None], ones, state)
        return outputs[:, 0], state


CANNOT_STEP = (
    "This model cannot go through a stream: it looks at frames that are still to come "
    "(model.bidirectional true reads each clip from its end, model.shift both takes the next "
    "frame). Train with model.bidirectional false and model.shift causal or none, or pass whole "
    "clips."
)


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type to carry a state in over many steps: in bfloat16, 256 + 1 is 256."""
    return torch.promote_types(dtype, torch.float32)


def real_steps(num_steps: int, lengths: Tensor, device: torch.device) -> Tensor:
    """(B, T) bool: True where a clip has a real frame."""
    return torch.arange(num_steps, device=device)[None, :] < lengths.to(device)[:, None]


def without_padding(steps: Tensor, lengths: Tensor) -> Tensor:
    """Steps (B, T, ...) with zeros at the padding, whatever it held."""
    if all_real(steps.shape[1], lengths):
        return steps
    real = real_steps(steps.shape[1], lengths, steps.device)
    return torch.where(real.view(*real.shape, *[1] * (steps.ndim - 2)), steps, steps.new_zeros(()))


def all_real(num_steps: int, lengths: Tensor) -> bool:
    """Whether no clip is padded, so that masks may be left out; False where a graph is traced."""
    # A graph that is being exported cannot branch on values.
    return not torch.compiler.is_compiling() and bool((lengths == num_steps).all())


def last_real(steps: Tensor, lengths: Tensor, before: Tensor) -> Tensor:
    """Of steps (B, T, ...) each clip's last real one (B, ...), or `before` where it has none."""
    lengths = lengths.to(steps.device)
    last = steps[torch.arange(steps.shape[0], device=steps.device), (lengths - 1).clamp(min=0)]
    return torch.where(lengths.view(-1, *[1] * (last.ndim - 1)) > 0, last, before)


def from_the_end(steps: Tensor, lengths: Tensor) -> Tensor:
    """Steps (B, T, D) with the real ones of each clip in reverse order; padding stays behind."""
    if all_real(steps.shape[1], lengths):
        return steps.flip(1)
    number = torch.arange(steps.shape[1], device=steps.device)[None, :]
    lengths = lengths.to(steps.device)[:, None]
    source = torch.where(number < lengths, lengths - 1 - number, number)
    return steps.gather(1, source[..., None].expand_as(steps))
