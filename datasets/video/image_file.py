"""One image file, decoded and upright.

FFmpeg's decoders are given the bytes of the file at once: opening it as a video, with a search for
its format, takes four times as long. The first bytes tell the format, whatever the name says.
Cameras store how an image was held as a number in EXIF (tag 274, "Orientation"); it is read here,
because FFmpeg hands it on in JPEG and PNG only from some release on, and PyAV not in all.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.opening import MOST_PIXELS, check_is_file
from cliptide.datasets.video.picture import Orientation

_DECODERS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "mjpeg"),
    (b"BM", "bmp"),
    (b"RIFF", "webp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    *((b"P%d" % number, "ppm") for number in range(1, 7)),
)

# What makes an image upright by the number in EXIF (CIPA DC-008, 4.6.4): transpose, flips.
_ORIENTATIONS = {
    1: Orientation(),
    2: Orientation(flip_x=True),
    3: Orientation(flip_x=True, flip_y=True),
    4: Orientation(flip_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, flip_x=True),
    7: Orientation(transpose=True, flip_x=True, flip_y=True),
    8: Orientation(transpose=True, flip_y=True),
}
_ORIENTATION_TAG = 274
_SCAN, _APP1 = 0xDA, 0xE1  # markers of JPEG (ITU-T T.81, B.1.1.3)
_MEND = "Replace it, or take it out."


def read_image(path: Path) -> tuple[VideoFrame, Orientation]:
    """Decode an image file.

    Args:
        path: A png, jpg, bmp, webp, tif, ppm or pgm file. Of several pages the first is taken.

    Returns:
        The frame, upright, in the pixel format the file has, and what made it upright.

    Raises:
        VideoError: It is not there, no image, damaged or cut short.
    """
    file = check_is_file(path)
    try:
        data = file.read_bytes()
        name = next((name for head, name in _DECODERS if data.startswith(head)), None)
        if name is None:
            raise VideoError(
                f"{path}: is no image that can be read: png, jpg, bmp, webp, tif, ppm or pgm. "
                f"{_MEND}"
            )
        frame = _decoded(data, name)
    except PermissionError as error:
        raise VideoError(
            f"{path}: no permission to read it. Change the file's permissions or owner."
        ) from error
    except (av.FFmpegError, OSError) as error:
        cause = error.strerror or str(error)
        raise VideoError(f"{path}: is damaged or cut short ({cause}). {_MEND}") from error
    if frame is None:
        raise VideoError(f"{path}: is damaged or cut short (its picture is not whole). {_MEND}")
    orientation = _ORIENTATIONS.get(exif_orientation(data), Orientation())
    if orientation != Orientation():
        upright = orientation.apply(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(upright), format="rgb24")
    return frame, orientation


def _decoded(data: bytes, name: str) -> VideoFrame | None:
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1  # loader workers would multiply the decoder's own
    decoder.options = {"max_pixels": str(MOST_PIXELS)}
    if name == "mjpeg":
        # Of a JPEG that is cut short FFmpeg makes a picture that is grey below, without an error.
        # Other decoders find that themselves, and refuse sound TIFF with EXIF by this setting.
        decoder.options |= {"err_detect": "explode"}
        if not _has_end(data):
            return None
    frames = [*decoder.decode(Packet(data)), *decoder.decode(None)]
    return frames[0] if frames else None


def _has_end(jpeg: bytes) -> bool:
    """Whether the end marker follows the pixels, among which its two bytes cannot be."""
    scan = next((at for marker, at, _ in _jpeg_segments(jpeg) if marker == _SCAN), None)
    return scan is not None and jpeg.find(b"\xff\xd9", scan) >= 0


def _jpeg_segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Give marker, beginning and end of each segment's content, up to that of the pixels."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        if jpeg[at + 1] == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        stop = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        yield jpeg[at + 1], at + 4, stop
        if jpeg[at + 1] == _SCAN:
            return
        at = stop


def exif_orientation(data: bytes) -> int:
    """Read how an image was held from the bytes of its file: 1 to 8; 1 where it does not say."""
    block = _exif_block(data)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, entry)
            if tag == _ORIENTATION_TAG:
                return int(value)
    except struct.error:  # EXIF that is cut short costs the picture nothing
        pass
    return 1


def _exif_block(data: bytes) -> bytes:
    """Find EXIF, which is a small TIFF file, in the parts that an image file is made of."""
    if data.startswith((b"II*\0", b"MM\0*")):
        return data
    if data.startswith(b"\xff\xd8"):
        for marker, start, stop in _jpeg_segments(data):
            if marker == _APP1 and data[start : start + 6] == b"Exif\0\0":
                return data[start + 6 : stop]
    elif data.startswith(b"\x89PNG"):
        at = 8
        while at + 8 <= len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if data[at + 4 : at + 8] == b"eXIf":
                return data[at + 8 : at + 8 + length]
            at += 12 + length
    elif data.startswith(b"RIFF"):
        at = 12
        while at + 8 <= len(data):
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            if data[at : at + 4] == b"EXIF":
                return data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0")
            at += 8 + length + length % 2
    return b""
