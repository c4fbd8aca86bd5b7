"""From a JPEG to a frame as the model takes it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.app.serving.errors import ApiError
from cliptide.datasets.fitting import Fit, place, set_in_frame

_START = b"\xff\xd8"
# Start of frame in all its kinds (ITU-T T.81, table B.1).
_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) that a JPEG's header tells, without decoding; None for what is none."""
    if not data.startswith(_START):
        return None
    at = len(_START)
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _SIZES:
            height = int.from_bytes(data[at + 5 : at + 7])
            width = int.from_bytes(data[at + 7 : at + 9])
            return (height, width) if height and width else None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def check_jpeg(data: bytes, *, most_pixels: int) -> None:
    """Refuse what is no JPEG, or one that would fill the memory, before it is decoded.

    Raises:
        ApiError: It is one of these.
    """
    size = jpeg_size(data)
    if size is None:
        raise ApiError(422, "not_a_jpeg", "The message is no JPEG. Send one JPEG a message.")
    if size[0] * size[1] > most_pixels:
        raise ApiError(
            422,
            "too_many_pixels",
            f"The JPEG has {size[1]} x {size[0]} pixels, and this server takes {most_pixels}. "
            "Send it smaller.",
        )


def fitted_jpeg(data: bytes, *, size: tuple[int, int], fit: Fit) -> NDArray[np.uint8]:
    """Decode a JPEG that was checked, upright, to (height, width, 3) uint8 RGB.

    Raises:
        ApiError: It is damaged.
    """
    flags = cv2.IMREAD_COLOR_RGB
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if picture is None:
        raise ApiError(422, "not_a_jpeg", "The JPEG is damaged. Send it anew.")
    placement = place(fit, video_size=picture.shape[:2], size=size)
    if placement.crop is not None:
        top, left, height, width = placement.crop
        picture = picture[top : top + height, left : left + width]
    # As videos are scaled: the mean over the area that a pixel covers.
    shape = (placement.size[1], placement.size[0])
    scaled = np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)
    frame: NDArray[np.uint8] = set_in_frame(scaled[None], placement, size=size)[0]
    return frame
