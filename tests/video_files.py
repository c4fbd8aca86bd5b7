"""Real videos for tests: small, written by PyAV, a number to be read back in every frame.

    frames = numbered_frames(30, height=48, width=64)
    path = write_video(tmp_path / "clip.mp4", frames, codec="libx264")
    read_number(decoded_frame)  # which frame this is, also after lossy coding and resizing

The number stands in binary in the upper half, one black or white column for each bit, so that
the picture also tells up from down and left from right; a coloured block moves below it.
"""

import wave
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

NUMBER_BITS = 8


def numbered_frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return (count, height, width, 3) uint8 RGB frames that carry their number, 0..255."""
    if count > 2**NUMBER_BITS:
        raise ValueError(f"{count} frames do not fit into {NUMBER_BITS} bits.")
    frames = np.empty((count, height, width, 3), np.uint8)
    edges = _column_edges(width)
    lower = slice(height // 2, height)
    for number, frame in enumerate(frames):
        for bit, (left, right) in enumerate(edges):
            frame[: height // 2, left:right] = 235 if number >> bit & 1 else 20
        frame[lower] = (40 + 2 * (number % 64), 90, 160)
        left = (3 * number) % max(1, width - 8)
        frame[lower, left : left + 8] = (200, 60, 40)
    return frames


def read_number(frame: np.ndarray) -> int:
    """Read the number from an (H, W, 3) uint8 frame of `numbered_frames`."""
    height, width = frame.shape[:2]
    rows = frame[height // 8 : 3 * height // 8]
    number = 0
    for bit, (left, right) in enumerate(_column_edges(width)):
        margin = (right - left) // 4
        if rows[:, left + margin : right - margin].mean() > 128:
            number |= 1 << bit
    return number


def read_numbers(frames: np.ndarray) -> list[int]:
    """Read the number of each frame of (N, H, W, 3)."""
    return [read_number(frame) for frame in frames]


def write_video(
    path: Path,
    frames: np.ndarray,
    *,
    fps: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    hflip: bool = False,
    container: str | None = None,
    gop_size: int = 12,
    max_b_frames: int = 2,
    colorspace: int | None = None,
    color_range: int | None = None,
    codec_options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    audio: bool = False,
) -> Path:
    """Encode frames into a video file, deterministically, and return its path.

    Args:
        path: Where to write; its ending picks the container unless `container` does.
        frames: (N, H, W, 3) uint8 RGB, or raw pictures in `pix_fmt` as PyAV's `from_ndarray`
            takes them (a sequence of arrays), which reach the encoder unconverted.
        fps: Frame rate of the header, and of the time stamps where `pts` is not given.
        codec: FFmpeg's name of the encoder.
        pix_fmt: Pixel format of the encoded picture.
        pts: Presentation time stamps in units of `time_base`, rising; for uneven rates.
        time_base: Seconds in one unit of `pts`; 1/1000 where only `pts` is given.
        rotation: Display rotation in degrees, clockwise, written as a flag beside the pixels.
        hflip: Whether the flag also mirrors left and right (mp4 and mov only).
        container: FFmpeg's name of the container format.
        gop_size: Frames from one key frame to the next at most.
        max_b_frames: B-frames in a row at most; for the codecs that have them.
        colorspace: AVColorSpace tag: 1 bt709, 5 or 6 bt601, 9 bt2020.
        color_range: AVColorRange tag: 1 limited, 2 full.
        codec_options: Private options of the encoder; libx264 and libx265 default to veryfast.
        container_options: Options of the muxer, such as movflags.
        audio: Whether to add a second of silence as a second stream.
    """
    options = dict(codec_options or {})
    if codec in ("libx264", "libx265", "libx264rgb"):
        options.setdefault("preset", "veryfast")
    if (
        codec == "libx265"
    ):  # without a thread pool: with one, its end was once waited for without end
        options.setdefault("x265-params", "log-level=none:pools=none:frame-threads=1")
    if codec == "libvpx-vp9":
        options.setdefault("cpu-used", "8")
        options.setdefault("deadline", "realtime")
    if codec == "libsvtav1":
        options.setdefault("preset", "12")
    first = np.asarray(frames[0])
    is_rgb = first.ndim == 3 and first.shape[2:] == (3,)
    source_format = "rgb24" if is_rgb else pix_fmt
    picture = av.VideoFrame.from_ndarray(first, format=source_format)
    if time_base is None:
        time_base = Fraction(1, 1000) if pts is not None else 1 / Fraction(fps)

    with av.open(str(path), "w", format=container, options=dict(container_options or {})) as out:
        stream = out.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, pix_fmt
        context = stream.codec_context
        context.time_base = time_base
        context.gop_size = gop_size
        context.thread_count = 1
        if codec in ("libx264", "libx265", "mpeg4", "mpeg2video"):
            context.max_b_frames = max_b_frames
        if colorspace is not None:
            context.colorspace = colorspace
        if color_range is not None:
            context.color_range = color_range
        if rotation or hflip:
            # FFmpeg counts display rotation counter-clockwise.
            stream.set_display_rotation(-rotation, hflip=hflip)
        sound = out.add_stream("aac", rate=16000) if audio else None
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source_format)
            if colorspace is not None:
                frame.colorspace = colorspace
            if color_range is not None:
                frame.color_range = color_range
            frame.pts = number if pts is None else pts[number]
            frame.time_base = time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 16000
            silence.pts = 0
            out.mux([*sound.encode(silence), *sound.encode(None)])
    return path


def write_mjpeg(
    path: Path, pictures: Iterable[np.ndarray], *, pts: Sequence[int], container: str | None = None
) -> Path:
    """Write pictures of any sizes as one MJPEG stream, with the packets' stamps as given.

    Each picture is encoded on its own, so the size may change midway; time stamps are in
    milliseconds and are not checked: they may repeat where the container lets them (matroska).
    """
    pictures = list(pictures)
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for stamp, picture in zip(pts, pictures, strict=True):
            for packet in _encode_jpeg(picture):
                packet.stream = stream
                packet.time_base = Fraction(1, 1000)
                packet.pts = packet.dts = stamp
                out.mux(packet)
    return path


def write_wav(path: Path, seconds: int, *, rate: int = 8000) -> Path:
    """Write sound of one level, a byte a sample, and return its path."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 1, rate, 0, "NONE", ""))
        out.writeframes(b"\x90" * (seconds * rate))
    return path


VOP_START = b"\0\0\1\xb6"
# Kind P, no second passed, marker, time 0 in 5 bits (of a 25th), marker, not coded; stuffing.
EMPTY_VOP = VOP_START + bytes([0b01010000, 0b01011111])


def write_packed_avi(
    path: Path, frames: np.ndarray, *, gop_size: int = 12, max_b_frames: int = 2
) -> Path:
    """Write MPEG-4 with packed B-frames, as DivX and XviD put it into AVI.

    The first B-frame behind another picture travels in that picture's packet, the next in its
    own, and an empty one makes up the number; stamps simply count the packets.
    """
    with av.open(str(path), "w", format="avi") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.thread_count = gop_size, max_b_frames, 1
        pictures: list[bytes] = []
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            pictures += [bytes(packet) for packet in stream.encode(frame)]
        pictures += [bytes(packet) for packet in stream.encode(None)]
        kinds = ["IPB"[data[data.index(VOP_START) + 4] >> 6] for data in pictures]
        packed: list[bytes] = []
        in_debt = False
        for data, kind, following in zip(pictures, kinds, [*kinds[1:], ""], strict=True):
            if kind == "B" and in_debt is False:
                packed[-1] += data
                in_debt = True
            else:
                packed.append(data)
            if in_debt and following != "B":
                packed.append(EMPTY_VOP)
                in_debt = False
        at = packed[0].index(VOP_START)
        mark = b"\0\0\1\xb2DivX503b1393p"
        packed[0] = packed[0][:at] + mark + packed[0][at:]
        for number, data in enumerate(packed):
            packet = av.Packet(len(data))
            packet.update(data)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = data[data.index(VOP_START) + 4] >> 6 == 0
            out.mux(packet)
    return path


def jpeg_bytes(picture: np.ndarray) -> bytes:
    """Encode an (H, W, 3) uint8 RGB picture as a JPEG."""
    return b"".join(bytes(packet) for packet in _encode_jpeg(picture))


def _encode_jpeg(picture: np.ndarray) -> list[Any]:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "2", "qmax": "4"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame = frame.reformat(format="yuvj420p")
    frame.pts = 0
    return [*encoder.encode(frame), *encoder.encode(None)]


def _column_edges(width: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, width, NUMBER_BITS + 1).round().astype(int).tolist()
    return list(pairwise(edges))
