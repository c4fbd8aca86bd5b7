"""Telling whether two videos show the same: exactly, and nearly.

Exactly: a digest of the decoded pictures, blind to container, file name and metadata.
Nearly: 64 bits for each of a few frames, which re-encoding, scaling and a little noise change
little. The bits say whether the low frequencies of the small grey picture lie above their
median (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
"""

import hashlib
import zlib
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

HASHED_FRAMES = 5
HASH_BITS = 64
_SIDE = 32
_LOW = 8
# Below this deviation of grey levels (of 255) a picture is blank: its bits would be noise.
_BLANK = 3.0


def _cosines() -> NDArray[np.float32]:
    k, x = np.mgrid[1 : _LOW + 1, :_SIDE]  # without k = 0, the brightness
    waves: NDArray[np.float32] = np.cos(np.pi * k * (2 * x + 1) / (2 * _SIDE)).astype(np.float32)
    return waves


_COSINES = _cosines()


class FramesDigest:
    """Digest of all pictures of a video, fed frame by frame."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, frame: VideoFrame) -> None:
        """Take in every pixel of a frame."""
        self._hash.update(f"{frame.format.name} {frame.width}x{frame.height}".encode())
        for number, plane in enumerate(frame.planes):
            used = _used_bytes(frame, number)
            rows: Any = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
            rows = rows[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
            # What lies between the picture's edge and the line's end is left over from before.
            checksum = zlib.crc32(rows[:, :used].tobytes())
            self._hash.update(checksum.to_bytes(4, "big"))

    def hexdigest(self) -> str:
        """The digest so far, 32 hexadecimal digits."""
        return self._hash.hexdigest()


def _used_bytes(frame: VideoFrame, number: int) -> int:
    """Bytes of a line that are picture, in one of a frame's planes."""
    plane, parts = frame.planes[number], frame.format.components
    if len(frame.planes) == 1 and len(parts) > 1:  # packed, such as RGB
        return min(plane.line_size, frame.width * frame.format.padded_bits_per_pixel // 8)
    here = [part for part in parts if part.plane == number]
    return min(plane.line_size, plane.width * sum((part.bits + 7) // 8 for part in here))


class FrameHasher:
    """Gives 64 bits for the look of a frame; keeps FFmpeg's converter between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def hash(self, frame: VideoFrame) -> int | None:
        """The frame's bits, or None for a blank picture."""
        small = self._reformatter.reformat(
            frame, width=_SIDE, height=_SIDE, format="gray", interpolation="AREA", threads=1
        )
        plane: Any = small.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        grey = rows[:_SIDE, :_SIDE].astype(np.float32)
        if grey.std() < _BLANK:
            return None
        low = (_COSINES @ grey @ _COSINES.T).ravel()
        return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hashed_indices(num_frames: int) -> list[int]:
    """The frames to hash: the middle of each of `HASHED_FRAMES` equal stretches."""
    return [(2 * part + 1) * num_frames // (2 * HASHED_FRAMES) for part in range(HASHED_FRAMES)]


class PicturesSeen:
    """Digest of all frames of a video and the looks of a few, fed frame by frame.

    Args:
        expected_frames: How many there should be, which places the few.
    """

    def __init__(self, expected_frames: int) -> None:
        self._wanted = hashed_indices(max(expected_frames, 1))
        self._looks: list[int | None] = []
        self._digest, self._hasher = FramesDigest(), FrameHasher()
        self._count = 0

    def add(self, frame: VideoFrame) -> None:
        """Take in the next frame."""
        self._digest.add(frame)
        while len(self._looks) < HASHED_FRAMES and self._wanted[len(self._looks)] <= self._count:
            self._looks.append(self._hasher.hash(frame))
        self._count += 1

    def result(self) -> tuple[str, tuple[int | None, ...]]:
        """The digest, empty where there was no frame, and the looks.

        A look is None for a blank frame and for one behind an early end.
        """
        if not self._count:
            return "", ()
        missing = HASHED_FRAMES - len(self._looks)
        return self._digest.hexdigest(), (*self._looks, *[None] * missing)
