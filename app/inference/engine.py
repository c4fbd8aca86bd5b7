"""What runs a network: arrays in, raw outputs out. PyTorch, or ONNX Runtime without PyTorch.

Everything that reads videos and makes answers of outputs stands on this protocol alone, and so
does not care which of the two it is.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.temperature import scaled
from cliptide.configs.tasks import Task
from cliptide.models.info import ModelInfo

DIVERGED = (
    "The model's scores are not numbers (NaN): its training diverged. Train again with a "
    "smaller --train.lr or --train.clip_grad, or --train.precision fp32."
)
Frames = NDArray[Any]  # pictures uint8, other steps float32 or int64
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
State = Any


class Engine(Protocol):
    """A network that can be run.

    Attributes:
        info: What its model file says.
        can_step: Whether it goes through a stream frame by frame; False where it looks at frames
            that are still to come.
        can_encode: Whether at least its encoder does, and frames of a stream need be encoded but
            once.
    """

    info: ModelInfo
    can_step: bool
    can_encode: bool

    def score_clips(self, clips: Sequence[Frames]) -> Floats:
        """Score whole clips.

        Args:
            clips: Each (T, *step), T of its own; pictures (T, height, width, 3) uint8 RGB.

        Returns:
            (B, K) float32 raw outputs: logits, or numbers in the user's units.
        """

    def encode(self, frames: Frames, state: State | None) -> tuple[Floats, State]:
        """Encode the next steps (N, *step) of one stream; None begins it.

        Returns:
            Features (N, D) or maps (N, C, h, w) float32, and the new state.
        """

    def score_features(self, features: Floats, lengths: Ints) -> Floats:
        """Score clips of encoded frames: (B, T, ...) padded at the end of T, lengths (B,), 1..T.

        Returns:
            (B, K) float32 raw outputs.
        """

    def step(self, features: Floats, begin: Bools, state: State | None) -> tuple[Floats, State]:
        """Take one encoded frame (B, ...) of each of B streams.

        Args:
            features: What `encode` made of it.
            begin: (B,) whether a stream begins with this frame, whatever its state holds.
            state: What the call before returned; None at first.

        Returns:
            (B, K) float32 raw outputs of what was seen so far, and the new state.
        """


def scores_of(outputs: Floats, *, task: Task, temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn raw outputs (B, K) into scores (B, K): probabilities, or numbers."""
    values = outputs.astype(np.float64)
    if task == "regression":
        return values
    if task == "multi":
        # Both halves of the sigmoid, so that no exponential grows beyond what a number holds.
        small = np.exp(-np.abs(values))
        multi: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1.0 + small)
        return multi
    grown = np.exp(values - values.max(axis=-1, keepdims=True))
    return scaled(grown / grown.sum(axis=-1, keepdims=True), temperature)
