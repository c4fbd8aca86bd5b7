"""From a path to an open sound track, or to a SampleError that names the file and the cause."""

from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from cliptide.configs.errors import SampleError
from cliptide.datasets.video.opening import CONTAINERS, OPEN_OPTIONS, cause_of

REENCODE = "Replace it, or save what is whole: ffmpeg -i IN -vn OUT.wav"
NO_TRACK = "has no sound track"  # said of a video alone
_MEND_CODEC = "ffmpeg -i IN -c:v copy -c:a aac OUT.mp4"

# What tells its length. Of others (MP3, bare AAC) FFmpeg guesses it by the rate of bits, which was
# a quarter too much for a sound of 20 s that begins softly.
_TELL_LENGTH = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "wav", "flac", "ogg", "avi")


def opened_sound(path: Path) -> InputContainer:
    """Open a file that may have sound; whoever opens it closes it.

    Raises:
        SampleError: FFmpeg cannot open it.
    """
    try:
        # See `datasets.video.opening` for the absolute path, the list and the skipped pictures.
        container: InputContainer = av.open(
            str(path.absolute()),
            "r",
            options={"skip_frame": "all"},
            container_options={"format_whitelist": CONTAINERS},
            **OPEN_OPTIONS,
        )
        return container
    except MemoryError:  # FFmpeg's own is an FFmpegError, too
        raise
    except PermissionError as error:
        raise SampleError(
            f"{path}: no permission to read it. Change the file's permissions or owner."
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise SampleError(
            f"{path}: is no sound file or video that FFmpeg can open, or it is damaged or cut "
            f"short ({cause_of(error)}). {REENCODE}"
        ) from error


def sound_of(path: Path, container: InputContainer) -> AudioStream:
    """The first sound track of an open file, ready to decode.

    Raises:
        SampleError: It has none, or no decoder is there for it.
    """
    if not container.streams.audio:
        kinds = sorted({stream.type for stream in container.streams})
        # FFmpeg opens an image, too, as a video of one frame.
        is_video = "video" in kinds and not _is_image(container.format.name)
        found = f"{NO_TRACK}, only {' and '.join(kinds)}" if is_video else "holds no sound"
        raise SampleError(f"{path}: {found}. Choose a file with sound.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise SampleError(
            f"{path}: no decoder for its sound. Re-encode it where it plays: {_MEND_CODEC}"
        )
    stream.codec_context.skip_frame = "DEFAULT"
    stream.codec_context.thread_count = 1  # threads in loader workers have deadlocked others
    return stream


def _is_image(format_name: str) -> bool:
    return format_name == "image2" or format_name.endswith("_pipe")


def told_length_s(container: InputContainer, stream: AudioStream) -> float | None:
    """How long the file says that its sound is, seconds; None where it says nothing of worth."""
    if container.format.name not in _TELL_LENGTH:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base
