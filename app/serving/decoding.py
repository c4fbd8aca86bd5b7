"""What the processes do that decode. They import no torch and hold no secret."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path

from cliptide.configs.errors import SampleError, TooLongError, VideoError
from cliptide.configs.streams import Streams
from cliptide.datasets.fitting import Fit
from cliptide.datasets.processes import end_with_parent, limit_memory
from cliptide.datasets.reading import Views
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.audio import AudioStream
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.playing import Playing, playing
from cliptide.datasets.streams.samples import read_views
from cliptide.datasets.streams.stream import Stream
from cliptide.datasets.video import TimedFrame, Video, open_video
from cliptide.datasets.video.opening import opened

READY = "ready"
FRAMES_AT_ONCE = 16
# A film of an hour has a last frame, too.
GRACE_S = 0.5
# Here an open file reaches another process without a name on disk.
PASSES_FILES = sys.platform == "linux"


@dataclass(frozen=True)
class Job:
    """A video to read.

    Attributes:
        name: What to call it in messages.
        path: Where it lies; None where the open file follows the job.
        size: (height, width) of the frames.
        fit: How the picture is fitted into them.
        streams: What is read.
        most_pixels: Width times height at most.
        most_s: Seconds that it may last.
    """

    name: str
    path: str | None
    size: tuple[int, int]
    fit: Fit
    streams: Streams
    most_pixels: int
    most_s: float

    @property
    def noun(self) -> str:
        """What is read, for messages."""
        return "video" if self.streams.has_pictures else "sound"

    @property
    def less(self) -> str:
        """What to send in its place where it is too much, for messages."""
        return "a shorter or smaller video" if self.streams.has_pictures else "a shorter sound"

    @property
    def reencoding(self) -> str:
        """A command that writes the file anew, for messages."""
        if not self.streams.has_pictures:
            return "ffmpeg -i IN -vn OUT.wav"
        return f"ffmpeg -i IN -c:v libx264{' -c:a aac' * self._has_both} OUT.mp4"

    @property
    def cutting(self) -> str:
        """A command that takes a part which is not too long, for messages."""
        # Matroska takes sound of any codec as it is.
        kept = "-c copy OUT.mkv" if self._has_both else "-c copy OUT.mp4"
        kept = kept if self.streams.has_pictures else "-vn -c copy OUT.mka"
        return f"ffmpeg -ss 0 -t {self.most_s:g} -i IN {kept}"

    @property
    def _has_both(self) -> bool:
        return self.streams.has_pictures and "audio" in self.streams.names


@dataclass(frozen=True)
class ClipsJob(Job):
    """Read the clips that evaluation takes.

    Attributes:
        rule: How frames are chosen.
        num_views: Clips of the video.
    """

    rule: SamplingRule
    num_views: int


@dataclass(frozen=True)
class FramesJob(Job):
    """Go through the whole video.

    Attributes:
        rate_fps: Frames a second.
    """

    rate_fps: float


@dataclass(frozen=True)
class Refused:
    """What is answered in the place of a result.

    Attributes:
        code: For programs.
        message: Why, with the mend.
        is_last: Whether the process ends with it.
    """

    code: str
    message: str
    is_last: bool = False


@dataclass(frozen=True)
class Beginning:
    """What comes before the frames: the length of the video, seconds."""

    duration_s: float


@dataclass(frozen=True)
class End:
    """What comes behind the last frame: why, of each stream that was masked."""

    missing: dict[str, str]


Answer = Views | Refused | Beginning | list[TimedFrame] | End


class _TooMuch(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def work(connection: Connection, memory_mb: int) -> None:
    """Read one video after the other, until the connection ends."""
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # for the one who ends the workers
    end_with_parent()
    limit_memory(memory_mb)
    connection.send(READY)
    while True:
        try:
            job: Job = connection.recv()
            with _file_of(job, connection) as path:
                last = _do(job, path, connection)
        except (EOFError, OSError):
            return
        if last:
            return


@contextlib.contextmanager
def _file_of(job: Job, connection: Connection) -> Iterator[Path]:
    if job.path is not None:
        yield Path(job.path)
        return
    handle = recv_handle(connection)
    try:
        # Opened anew through this name, each reader has a position of its own.
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def _do(job: Job, path: Path, connection: Connection) -> bool:
    """Answer one job; whether this process is spent."""
    refused: Refused | None = None
    try:
        for answer in _answers(job, path):
            connection.send(answer)
    except _TooMuch as error:
        refused = Refused(error.code, str(error))
    except TooLongError as error:
        message = _too_long(job, f"its sound lasts {error.length_s:.1f} s or more")
        refused = Refused("too_long", message)
    except SampleError as error:
        refused = Refused("not_readable", str(error).replace(str(path), job.name))
    except MemoryError:
        # What is left in memory after this is anybody's guess: begin anew.
        message = f"{job.name}: reading it needs more memory than the server gives one {job.noun}."
        refused = Refused("too_large", f"{message} Send {job.less}.", is_last=True)
    except (BrokenPipeError, ConnectionError):
        raise
    except Exception as error:
        message = f"{job.name}: reading it failed ({type(error).__name__}). Re-encode it: "
        refused = Refused("not_readable", message + job.reencoding)
    if refused is not None:
        connection.send(refused)
    return refused is not None and refused.is_last


def _answers(job: Job, path: Path) -> Iterator[Answer]:
    streams = build_streams(job.streams, size=job.size, fit=job.fit)
    for stream in streams:
        if isinstance(stream, AudioStream):
            stream.most_s = job.most_s + GRACE_S
    if isinstance(job, FramesJob):
        with _playing(job, path, streams) as sample:
            _check_length(job, sample.duration_s)
            yield Beginning(sample.duration_s)
            while together := list(islice(sample.steps, FRAMES_AT_ONCE)):
                yield together
        # Behind this the file may vanish, and Windows keeps what is still open.
        yield End(sample.missing)
    if isinstance(job, ClipsJob):
        _check_pictures(job, path)
        record = SampleRecord(path, job.name, label="", group="")
        views = read_views(record, streams, rule=job.rule, num_views=job.num_views)
        _check_length(job, views.duration_s)
        yield views


@contextlib.contextmanager
def _playing(job: FramesJob, path: Path, streams: tuple[Stream, ...]) -> Iterator[Playing]:
    if job.streams.names != ("rgb",):
        _check_pictures(job, path)
        with playing(path, streams, rate_fps=job.rate_fps, threads=1) as sample:
            yield sample
    else:
        with (
            _checked_video(job, path) as video,
            playing(path, streams, rate_fps=job.rate_fps, threads=1, video=video) as sample,
        ):
            yield sample


def _check_pictures(job: Job, path: Path) -> None:
    # Where other streams are read too, a sound without a picture will do.
    may_lack = (VideoError,) if len(job.streams.names) > 1 else ()
    if job.streams.has_pictures:
        with contextlib.suppress(*may_lack), _checked_video(job, path):
            pass


@contextlib.contextmanager
def _checked_video(job: Job, path: Path) -> Iterator[Video]:
    with opened(path, threads=1) as (_, stream):
        # Before anything of that size is decoded.
        _check_pixels(job, stream.codec_context.width, stream.codec_context.height)
    with open_video(path, image_rate=job.streams.steps.image_rate) as video:
        _check_length(job, video.duration_s)
        _check_pixels(job, video.width, video.height)
        yield video


def _check_pixels(job: Job, width: int, height: int) -> None:
    if width * height > job.most_pixels:
        raise _TooMuch(
            "too_many_pixels",
            f"{job.name}: its pictures have {width} x {height} pixels, and this server takes "
            f"{job.most_pixels}. Send it smaller: ffmpeg -i IN -vf scale=-2:720 OUT.mp4",
        )


def _check_length(job: Job, duration_s: float) -> None:
    if duration_s > job.most_s + GRACE_S:
        raise _TooMuch("too_long", _too_long(job, f"it lasts {duration_s:.0f} s"))


def _too_long(job: Job, what: str) -> str:
    return f"{job.name}: {what}, and this server takes {job.most_s:g} s. Send a part: {job.cutting}"
