"""What a clip looks like in a few numbers: size, brightness, motion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Every so-manieth row and column is looked at: a mean needs no more.
_EVERY = 2
# ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255


@dataclass(frozen=True)
class Looks:
    """What a clip looks like.

    Attributes:
        width: Of the video as it is shown, pixels.
        height: Likewise.
        brightness: Mean luma of the frames looked at, 0 (black) to 1 (white).
        motion: Mean absolute change of luma between consecutive frames looked at, 0 to 1.
    """

    width: int
    height: int
    brightness: float
    motion: float


def looks_of(frames: NDArray[np.uint8], *, width: int, height: int) -> Looks:
    """Sum up frames.

    Args:
        frames: (N, H, W, 3) uint8 RGB, in order of time.
        width: Of the video, pixels.
        height: Likewise.
    """
    luma = frames[:, ::_EVERY, ::_EVERY].astype(np.float32) @ _LUMA
    motion = float(np.abs(np.diff(luma, axis=0)).mean()) if len(luma) > 1 else 0.0
    return Looks(width, height, float(luma.mean()), motion)
