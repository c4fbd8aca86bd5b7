"""Going through a sample of any length at a rate, step by step: for timelines and for watching."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cliptide.configs.errors import SampleError
from cliptide.datasets.reading import frames_at_rate
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.pictures import PatchStream, PictureStream
from cliptide.datasets.streams.samples import joined
from cliptide.datasets.streams.stream import Steps, Stream, Track
from cliptide.datasets.video import TimedFrame, Video, open_video

# Steps of joined streams that are read together.
AT_ONCE = 32


@dataclass(frozen=True)
class Playing:
    """An open sample on its way.

    Attributes:
        path: The file.
        duration_s: Its length, seconds.
        steps: Its steps with their times, rising; what reads them may raise a SampleError.
    """

    path: str
    duration_s: float
    steps: Iterator[TimedFrame]


@contextmanager
def playing(
    source: str | os.PathLike[str],
    streams: Sequence[Stream],
    *,
    rate_fps: float,
    threads: int = 0,
    video: Video | None = None,
) -> Iterator[Playing]:
    """Open a sample and go through it; of pictures alone in constant memory.

    Args:
        source: The file or folder.
        streams: What to read of it.
        rate_fps: Steps a second.
        threads: FFmpeg's threads for a video alone; 0 lets it choose.
        video: The source where it is open as a video already; it stays open.

    Raises:
        SampleError: No stream of it can be read.
    """
    first = streams[0]
    if (
        len(streams) == 1
        and isinstance(first, PictureStream)
        and not isinstance(first, PatchStream)
    ):
        with (
            open_video(source, threads=threads, image_rate=first.image_rate)
            if video is None
            else nullcontext(video)
        ) as shown:
            frames = frames_at_rate(shown, rate_fps=rate_fps, size=first.size, fit=first.fit)
            yield Playing(os.fspath(source), shown.duration_s, frames)
        return
    record = SampleRecord(Path(source), os.fspath(source), label="", group="")
    with ExitStack() as stack:
        tracks: list[Track | None] = []
        errors = []
        for stream in streams:
            try:
                tracks.append(stack.enter_context(stream.open(record)))
            except SampleError as error:
                tracks.append(None)
                errors.append(error)
        clock = next((track for track in tracks if track is not None), None)
        if clock is None:
            raise errors[0]
        steps = _steps(tracks, clock, streams, rate_fps=rate_fps)
        yield Playing(os.fspath(source), clock.duration_s, steps)


def _steps(
    tracks: Sequence[Track | None], clock: Track, streams: Sequence[Stream], *, rate_fps: float
) -> Iterator[TimedFrame]:
    """Steps from the first to the last of the clock, at the times of the source."""
    begin_s, end_s = float(clock.pts_s[0]), float(clock.pts_s[-1])
    wanted_s = begin_s + np.arange(int((end_s - begin_s) * rate_fps + 1e-6) + 1) / rate_fps
    held = list(tracks)
    for start in range(0, len(wanted_s), AT_ONCE):
        times_s = wanted_s[start : start + AT_ONCE]
        views: list[Steps | None] = []
        for place, track in enumerate(held):
            try:
                views.append(None if track is None else track.around(times_s))
            except SampleError:
                held[place] = None  # it is masked from here on
                views.append(None)
                if not any(held):
                    raise
        for number, step in enumerate(joined(views, streams)):
            yield TimedFrame(start + number, float(times_s[number]), step)
