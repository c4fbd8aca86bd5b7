"""Going through a sample of any length at a rate, step by step: for timelines and for watching."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cliptide.configs.errors import SampleError
from cliptide.datasets.reading import frames_at_rate
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.pictures import PatchStream, PictureStream
from cliptide.datasets.streams.samples import joined
from cliptide.datasets.streams.stream import Steps, Stream, Track
from cliptide.datasets.streams.windows import NothingThereError
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
        missing: Why, of each stream that is masked to the end: what cannot be opened is there at
            once, what breaks on the way from then on, and what has nothing at any step behind
            the last.
    """

    path: str
    duration_s: float
    steps: Iterator[TimedFrame]
    missing: dict[str, str] = field(default_factory=dict)


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
        missing: dict[str, str] = {}
        for stream in streams:
            try:
                tracks.append(stack.enter_context(stream.open(record)))
            except SampleError as error:
                tracks.append(None)
                errors.append(error)
                missing[stream.name] = str(error)
        clock = next((track for track in tracks if track is not None), None)
        if clock is None:
            raise errors[0]
        steps = _steps(tracks, clock, streams, missing, rate_fps=rate_fps)
        yield Playing(os.fspath(source), clock.duration_s, steps, missing)


def _steps(
    tracks: Sequence[Track | None],
    clock: Track,
    streams: Sequence[Stream],
    missing: dict[str, str],
    *,
    rate_fps: float,
) -> Iterator[TimedFrame]:
    """Steps from the first to the last of the clock, at the times of the source."""
    begin_s, end_s = float(clock.pts_s[0]), float(clock.pts_s[-1])
    count = int((end_s - begin_s) * rate_fps + 1e-6) + 1
    held = {place: track for place, track in enumerate(tracks) if track is not None}
    never_there = dict.fromkeys(held, "")
    broke: SampleError | None = None
    for start in range(0, count, AT_ONCE):
        times_s = begin_s + np.arange(start, min(start + AT_ONCE, count)) / rate_fps
        views: list[Steps | None] = [None] * len(tracks)
        for place, track in list(held.items()):
            try:
                views[place] = track.around(times_s)
                never_there.pop(place, None)
            except NothingThereError as error:
                if place in never_there:  # it may begin later
                    never_there[place] = str(error)
            except SampleError as error:
                broke = error
                never_there.pop(place, None)
                del held[place]
                missing[streams[place].name] = f"from {times_s[0]:.2f} s on: {error}"
        if all(view is None for view in views):
            assert broke is not None, "a clock that is whole has something at its own times"
            raise broke
        for number, step in enumerate(joined(views, streams)):
            yield TimedFrame(start + number, float(times_s[number]), step)
    missing.update((streams[place].name, why) for place, why in never_there.items())
