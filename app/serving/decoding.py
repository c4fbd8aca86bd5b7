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

from cliptide.configs.errors import SampleError, VideoError
from cliptide.configs.streams import Streams
from cliptide.datasets.fitting import Fit
from cliptide.datasets.processes import end_with_parent, limit_memory
from cliptide.datasets.reading import Views
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.playing import playing
from cliptide.datasets.streams.samples import read_views
from cliptide.datasets.video import TimedFrame, open_video
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
    """What comes behind the last frame."""


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
    except SampleError as error:
        refused = Refused("not_a_video", str(error).replace(str(path), job.name))
    except MemoryError:
        # What is left in memory after this is anybody's guess: begin anew.
        message = f"{job.name}: reading it needs more memory than the server gives one video."
        refused = Refused("too_large", f"{message} Send it at a smaller size.", is_last=True)
    except (BrokenPipeError, ConnectionError):
        raise
    except Exception as error:
        message = f"{job.name}: reading it failed ({type(error).__name__}). Re-encode it: "
        refused = Refused("not_a_video", f"{message}ffmpeg -i IN -c:v libx264 OUT.mp4")
    if refused is not None:
        connection.send(refused)
    return refused is not None and refused.is_last


def _answers(job: Job, path: Path) -> Iterator[Answer]:
    # Where other streams are read too, a sound without a picture will do.
    may_lack = (VideoError,) if len(job.streams.names) > 1 else ()
    if job.streams.has_pictures:
        with contextlib.suppress(*may_lack):
            _check_pictures(job, path)
    streams = build_streams(job.streams, size=job.size, fit=job.fit)
    if isinstance(job, FramesJob):
        with playing(path, streams, rate_fps=job.rate_fps, threads=1) as sample:
            _check_length(job, sample.duration_s)
            yield Beginning(sample.duration_s)
            while together := list(islice(sample.steps, FRAMES_AT_ONCE)):
                yield together
    # Behind this the file may vanish, and Windows keeps what is still open.
    if isinstance(job, FramesJob):
        yield End()
    if isinstance(job, ClipsJob):
        record = SampleRecord(path, job.name, label="", group="")
        views = read_views(record, streams, rule=job.rule, num_views=job.num_views)
        _check_length(job, views.duration_s)
        yield views


def _check_pictures(job: Job, path: Path) -> None:
    with opened(path, threads=1) as (_, stream):
        # Before anything of that size is decoded.
        _check_pixels(job, stream.codec_context.width, stream.codec_context.height)
    with open_video(path) as video:
        _check_length(job, video.duration_s)
        _check_pixels(job, video.width, video.height)


def _check_pixels(job: Job, width: int, height: int) -> None:
    if width * height > job.most_pixels:
        raise _TooMuch(
            "too_many_pixels",
            f"{job.name}: its pictures have {width} x {height} pixels, and this server takes "
            f"{job.most_pixels}. Send it smaller: ffmpeg -i IN -vf scale=-2:720 OUT.mp4",
        )


def _check_length(job: Job, duration_s: float) -> None:
    if duration_s > job.most_s + GRACE_S:
        raise _TooMuch(
            "too_long",
            f"{job.name}: it lasts {duration_s:.0f} s, and this server takes "
            f"{job.most_s:g} s. Send a part: ffmpeg -ss 0 -t {job.most_s:g} -i IN -c copy OUT.mp4",
        )
