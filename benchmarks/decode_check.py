"""Are the frames that a reader gives those that it was asked for?

The reference is reading in order with PyAV. Decoders of one standard agree to the bit, so frames
before resizing are compared pixel for pixel; readers' resized frames are compared small, because
each converts and resizes a little differently.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from decode_readers import as_pictures
from numpy.typing import NDArray

from cliptide.datasets.video import open_video

SMALL = (32, 43)
# Grey levels, on average over the small picture, by which another frame must be nearer than the
# asked one. Two ways to convert one frame differ by less; pictures that differ by less in a
# still scene cannot be told apart, and mistaking them does no harm.
TELLABLE = 0.05


class Reference:
    """All frames of a video, small, as reading in order gives them.

    Attributes:
        path: The video.
        num_frames: How many frames leave the decoder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            self._small = _small(frame.to_ndarray(format="rgb24") for frame in frames)
        self.num_frames = len(self._small)

    def wrong_frames(self, frames: Any, indices: Sequence[int]) -> int:
        """How many of a reader's frames look like another than the asked one."""
        pictures = _small(as_pictures(frames))
        wrong = abs(len(pictures) - len(indices))
        for picture, index in zip(pictures, indices, strict=False):
            distances = np.abs(self._small - picture).mean(axis=(1, 2, 3))
            wrong += bool(distances[index] > distances.min() + TELLABLE)
        return wrong


def check_pixels(path: Path, indices: Sequence[int]) -> None:
    """Fail unless cliptide's frames before resizing equal those of reading in order.

    Raises:
        AssertionError: A frame differs in at least one pixel.
    """
    with open_video(path) as video:
        if video.rotation:
            return
        frames = dict(zip(indices, video.frames_at(indices), strict=True))
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in frames and not np.array_equal(
                frames[index], frame.to_ndarray(format="rgb24")
            ):
                raise AssertionError(f"{path}: frame {index} differs from reading in order")


def _small(pictures: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """(N, 32, 43, 3) pictures without their mean colour: converters differ by up to 1.5 levels."""
    resized = [cv2.resize(p, SMALL[::-1], interpolation=cv2.INTER_AREA) for p in pictures]
    small = np.stack(resized).astype(np.float32)
    return small - small.mean(axis=(1, 2), keepdims=True)
