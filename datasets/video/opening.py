"""From a path to an open FFmpeg stream, or to a VideoError that names the file and the cause.

Everything that can be wrong with a file before its first frame is told apart here, and every
error of PyAV or the operating system passes through `video_errors` on its way out.
"""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import av
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.timeline import DEFAULT_RATE_FPS

Device = Literal["cpu", "cuda"]

# 16K; FFmpeg itself ends at twice that. One such picture takes 400 MB in RGB.
MOST_PIXELS = 2**27

REENCODE = "Replace it, or try to save what is whole: ffmpeg -i IN -c:v libx264 OUT.mp4"


@contextmanager
def video_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn errors of PyAV and the operating system into a VideoError that names the file.

    Args:
        path: The file to name.
        doing: What failed, such as "frame 3 of 12 cannot be decoded".
    """
    try:
        yield
    except PermissionError as error:
        raise VideoError(
            f"{path}: no permission to read it. Change the file's permissions or owner."
        ) from error
    except FileNotFoundError as error:
        raise VideoError(f"{path}: vanished while it was read. Check where it went.") from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: {doing} ({cause_of(error)}). {REENCODE}") from error


def check_is_file(path: str | os.PathLike[str], *, kind: str = "video") -> Path:
    """Return the path of a regular file that is not empty; opens nothing, so it cannot hang.

    Args:
        path: What to look at.
        kind: What it should be, for the error.

    Raises:
        VideoError: Nothing is there, or it is a folder, a pipe or device, or empty.
    """
    file = Path(os.fsdecode(path))
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(f"{file}: there is no such file. Check the path.") from error
    except ValueError as error:  # a null byte in the name
        raise VideoError(f"{str(file)!r}: this cannot be a file name ({error}).") from error
    except OSError as error:
        raise VideoError(f"{file}: cannot be looked at ({cause_of(error)}).") from error
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{file}: is a folder, not a {kind}. Name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe waits for its writer, perhaps for ever.
        raise VideoError(f"{file}: is a pipe or device, not a regular file. Save it to a file.")
    if status.st_size == 0:
        raise VideoError(f"{file}: is empty (0 bytes). Copy or download it again.")
    return file


# A title in an unknown encoding must not make the frames unreadable; PyAV 19 sees to it itself.
OPEN_OPTIONS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


@contextmanager
def opened(
    path: Path, *, threads: int, device: Device = "cpu"
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file's video stream for a `with` block; see `open_stream`."""
    container, stream = open_stream(path, threads=threads, device=device)
    try:
        yield container, stream
    finally:
        container.close()


def open_stream(
    path: Path, *, threads: int, device: Device = "cpu"
) -> tuple[InputContainer, VideoStream]:
    """Open the first video stream of a file that is no attached picture.

    Opening decodes nothing: FFmpeg would decode up to dozens of frames to guess what only the
    frames themselves can tell for sure (1080p H.264: 127 ms in place of 3).

    Args:
        path: The file.
        threads: FFmpeg's decoding threads; 0 lets FFmpeg choose.
        device: What decodes; "cuda" falls back to the CPU with one warning a process.

    Returns:
        The container, which the caller closes, and its stream, ready to decode.

    Raises:
        VideoError: The file is no media file, has no video, or no decoder is there for it.
    """
    with video_errors(path, "is not a video FFmpeg can open, or it is damaged or cut short"):
        # FFmpeg would take "a:b.mp4" for a protocol; an absolute path has no such beginning.
        container = _opened_container(path, device)
    try:
        # FFmpeg lists the cover of a song as a video stream of one frame.
        pictures = [s for s in container.streams.video if Disposition.attached_pic in s.disposition]
        streams = [s for s in container.streams.video if s not in pictures]
        if not container.streams:
            raise VideoError(f"{path}: holds nothing; it is damaged or cut short. {REENCODE}")
        if not streams:
            kinds = sorted({stream.type for stream in container.streams if stream not in pictures})
            found = [*kinds, "a cover picture"] if pictures else kinds
            raise VideoError(
                f"{path}: has no video, only {' and '.join(found)}. Name a video file."
            )
        stream = streams[0]
        if stream.codec_context is None:
            raise VideoError(
                f"{path}: no decoder for its video codec. "
                "Re-encode it where it plays: ffmpeg -i IN -c:v libx264 OUT.mp4"
            )
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MOST_PIXELS:
            raise VideoError(
                f"{path}: its header says {width} x {height} pixels, which no video has; it is "
                f"damaged. {REENCODE}"
            )
        stream.codec_context.thread_count = threads
        if threads != 1:
            stream.codec_context.thread_type = "AUTO"
    except BaseException:
        container.close()
        raise
    return container, stream


def is_encrypted(packet: "Packet[VideoStream] | Packet[AudioStream]") -> bool:
    """Whether a packet says that its content is encrypted."""
    return any(
        str(getattr(data, "data_type", "")) == "encryption_info" for data in packet.iter_sidedata()
    )


# Formats that name other files or addresses to read, and text drawn as video.
_PLAYLISTS = {"concat", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sdp", "tty"}
_PLAYLISTS |= {"webm_dash_manifest"}
CONTAINERS = ",".join(sorted(av.formats_available - _PLAYLISTS))

_missing_devices: set[str] = set()


def _opened_container(path: Path, device: Device) -> InputContainer:
    # FFmpeg would take "a:b.mp4" for a protocol; an absolute path has no such beginning.
    name = str(path.absolute())
    options: dict[str, Any] = {
        "options": {"skip_frame": "all"},
        "container_options": {"format_whitelist": CONTAINERS},
        **OPEN_OPTIONS,
    }
    container: InputContainer
    if device == "cpu" or device in _missing_devices:
        container = av.open(name, "r", **options)
        return container
    try:
        # A codec or format that the hardware does not know is decoded by the CPU.
        hardware = HWAccel(device_type=device, allow_software_fallback=True)
        container = av.open(name, "r", hwaccel=hardware, **options)
    except (av.FFmpegError, OSError, RuntimeError, ValueError) as error:
        container = av.open(name, "r", **options)
        # The file is good, so it was the device.
        _missing_devices.add(device)
        warnings.warn(
            f"No video can be decoded on {device!r} here ({cause_of(error)}); the CPU decodes "
            'instead. Pass device="cpu" to silence this.',
            RuntimeWarning,
            stacklevel=6,  # who called open_video
        )
    return container


@dataclass(frozen=True)
class StreamFacts:
    """What the header tells and cannot well lie about.

    Attributes:
        time_base: Seconds in one unit of the time stamps.
        rate_fps: The nominal rate, for where time stamps say nothing.
        has_audio: Whether there is a sound track.
    """

    time_base: Fraction
    rate_fps: float
    has_audio: bool

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> Self:
        """Read the facts of an open stream."""
        return cls(
            time_base=_fraction(stream.time_base),
            rate_fps=_nominal_rate_fps(stream),
            has_audio=bool(container.streams.audio),
        )


def _fraction(time_base: Fraction | None) -> Fraction:
    """Make a Python fraction of PyAV's time base, of its own type from 19 on; 1/1000 for none."""
    if time_base is None:
        return Fraction(1, 1000)
    return Fraction(time_base.numerator, time_base.denominator)


def _nominal_rate_fps(stream: VideoStream) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        # PyAV 19 gives 0/0 for an unknown rate, earlier ones None.
        if rate is not None and rate.numerator > 0 and rate.denominator > 0:
            return float(rate)
    return DEFAULT_RATE_FPS


def cause_of(error: Exception) -> str:
    """What an error of PyAV or the operating system says of itself."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
