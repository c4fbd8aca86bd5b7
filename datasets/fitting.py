"""How a video's picture is fitted into the network's frame. Pure: sizes in, a placement out.

    resize      the whole picture, stretched              ┌──────┐ -> ┌────┐
    crop        the middle, at its own proportions        │ab  cd│    │b  c│
    letterbox   the whole, at its own proportions, bars   └──────┘    └────┘
    pad         the whole, never enlarged, bars

Bars are black.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Fit = Literal["resize", "crop", "letterbox", "pad"]


@dataclass(frozen=True)
class Placement:
    """Which part of a video's picture is taken, at what size, and where in the frame it stands.

    Attributes:
        crop: (top, left, height, width) of the part taken, pixels of the video; None takes all.
        size: (height, width) that it is scaled to.
        top: Black rows of the frame above it.
        left: Black columns of the frame left of it.
    """

    crop: tuple[int, int, int, int] | None
    size: tuple[int, int]
    top: int = 0
    left: int = 0


def place(fit: Fit, *, video_size: tuple[int, int], size: tuple[int, int]) -> Placement:
    """Fit a picture into a frame.

    Args:
        fit: `resize` stretches the whole picture over the frame; `crop` takes the largest part in
            its middle that has the frame's proportions; `letterbox` scales the whole picture, in
            its own proportions, until it touches the frame on two sides; `pad` does so only with
            a picture larger than the frame and leaves any other as large as it is.
        video_size: (height, width) of the upright video, each 1 or more.
        size: (height, width) of the frame, each 1 or more.
    """
    if fit == "resize":
        return Placement(None, size)
    height, width = video_size
    if fit == "crop":
        # The part is to the video as the frame is to what just covers it.
        part = _largest_within(video_size, proportions=size)
        if part == video_size:
            return Placement(None, size)
        return Placement(((height - part[0]) // 2, (width - part[1]) // 2, *part), size)
    fits_as_it_is = height <= size[0] and width <= size[1]
    if fit == "pad" and fits_as_it_is:
        scaled = video_size
    else:
        scaled = _largest_within(size, proportions=video_size)
    return Placement(None, scaled, (size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2)


def set_in_frame(
    frames: NDArray[np.uint8], placement: Placement, *, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Set pictures (N, h, w, 3) where they belong in black frames (N, *size, 3), RGB."""
    if frames.shape[1:3] == size:
        return frames
    framed = np.zeros((len(frames), *size, 3), np.uint8)
    rows = slice(placement.top, placement.top + frames.shape[1])
    columns = slice(placement.left, placement.left + frames.shape[2])
    framed[:, rows, columns] = frames
    return framed


def _largest_within(box: tuple[int, int], *, proportions: tuple[int, int]) -> tuple[int, int]:
    """The largest (height, width) within a box that has given proportions, 1 pixel at least.

    In whole numbers, rounded to the nearest: no side of a frame can come out a pixel too large.
    """
    height, width = proportions
    if width * box[0] <= height * box[1]:
        return box[0], max(1, (2 * width * box[0] + height) // (2 * height))
    return max(1, (2 * height * box[1] + width) // (2 * width)), box[1]
