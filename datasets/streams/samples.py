"""Reading samples: one stream of them, or several put together by time. No torch.

rgb      0   1   2   3   4   5   6   7        the clock: the first stream that can be read
chosen       *           *           *        by the sampling rule, at moments t
flow         |           |           |        what is on at t
audio    ..[...].....[...].....[...]..        the window around t

joined step   here (S) | rgb | flow | audio   float32, one after another; `here` says which
streams the sample has, what it lacks is 0
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError
from cliptide.datasets.looks import Looks
from cliptide.datasets.reading import Views, different_views
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.stream import Steps, Stream, Track

if TYPE_CHECKING:
    from cliptide.datasets.kept import KeptRows  # which imports torch

# From the times of all steps (N,) to the numbers of those of each view.
Choose = Callable[[NDArray[np.float64]], list[list[int]]]


@dataclass(frozen=True)
class ReadSample:
    """What was read of a sample.

    Attributes:
        pts_s: (N,) times of all steps of the clock.
        duration_s: Its length, seconds.
        chosen: Numbers of the steps of each view.
        views: Of each view what each stream shows, (T, *step); None of a stream that the sample
            does not have.
        missing: Why, of each such stream.
        looks: What the first view looks like, where that was asked for and can be said.
    """

    pts_s: NDArray[np.float64]
    duration_s: float
    chosen: list[list[int]]
    views: list[list[Steps | None]]
    missing: dict[str, str]
    looks: Looks | None


def read_sample(
    record: SampleRecord,
    streams: Sequence[Stream],
    *,
    choose: Choose,
    kept: "Sequence[KeptRows | None]" = (),
    index: int = 0,
    shift: float = 0.0,
    with_looks: bool = False,
) -> ReadSample:
    """Read a sample.

    Args:
        record: The sample.
        streams: What to read of it.
        choose: Picks steps.
        kept: Of each stream where rows are kept; empty keeps none.
        index: The sample's place there.
        shift: See `Track.shift`.
        with_looks: Whether `looks` is wanted.

    Raises:
        SampleError: No stream of it can be read.
    """
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        tracks: dict[int, Track] = {}
        for place, stream in enumerate(streams):
            try:
                where = kept[place] if kept else None
                alone = len(streams) == 1
                tracks[place] = _opened(stream, record, stack, where, index, alone=alone)
                tracks[place].shift(shift)
            except SampleError as error:
                missing[stream.name] = str(error)
        while tracks:
            place, clock = next(iter(tracks.items()))
            chosen = choose(clock.pts_s)
            wanted = sorted({number for numbers in chosen for number in numbers})
            try:
                of_clock = clock.steps(wanted)
                break
            except SampleError as error:
                missing[streams[place].name] = str(error)
                del tracks[place]
        else:
            raise SampleError(next(iter(missing.values())))
        read: list[Steps | None] = [None] * len(streams)
        read[place] = of_clock
        times_s = clock.pts_s[wanted]
        for other in [other for other in tracks if other != place]:
            try:
                read[other] = tracks[other].around(times_s)
            except SampleError as error:
                missing[streams[other].name] = str(error)
        row_of = {number: row for row, number in enumerate(wanted)}
        rows = [[row_of[number] for number in numbers] for numbers in chosen]
        looks = None
        if with_looks:
            looks = streams[place].looks(clock, of_clock[rows[0]])
        return ReadSample(
            pts_s=clock.pts_s,
            duration_s=clock.duration_s,
            chosen=chosen,
            views=[[None if steps is None else steps[some] for steps in read] for some in rows],
            missing=missing,
            looks=looks,
        )


def _opened(
    stream: Stream,
    record: SampleRecord,
    stack: ExitStack,
    kept: "KeptRows | None",
    index: int,
    *,
    alone: bool,
) -> Track:
    """A stream's track: from memory, or opened and put there where it fits.

    What cannot be read to its end is no sample of a single stream; of several, the steps that are
    wanted may lie before the damage, as they do where nothing is kept.
    """
    found = kept.get(index) if kept is not None else None
    if found is not None:
        return stream.from_content(*found)
    track = stack.enter_context(stream.open(record))
    if kept is not None and kept.has_room(stream.num_rows(track)):
        try:
            times_s, rows = stream.content(track)
        except SampleError:
            if alone:
                raise
            return track
        kept.put(index, times_s, rows, track.duration_s)
        return stream.from_content(times_s, rows, track.duration_s)
    return track


def joined(views: Sequence[Steps | None], streams: Sequence[Stream]) -> Steps:
    """Put the steps of one view together.

    Args:
        views: What each stream shows, (T, *step); None where the sample has none.
        streams: Their streams.

    Returns:
        Of a single stream its steps as they are. Of several (T, F) float32: see the module.
    """
    if len(streams) == 1:
        assert views[0] is not None, "a sample without any stream is not read"
        return views[0]
    count = next(len(steps) for steps in views if steps is not None)
    here = np.array([steps is not None for steps in views], dtype=np.float32)
    parts = [np.broadcast_to(here, (count, len(here)))]
    for steps, stream in zip(views, streams, strict=True):
        if steps is None:
            parts.append(np.zeros((count, stream.step_size), dtype=np.float32))
        else:
            parts.append(channels_first(steps).reshape(count, -1).astype(np.float32))
    return np.concatenate(parts, axis=1)


def channels_first(steps: Steps) -> Steps:
    """Pictures (T, H, W, 3) as the network has them, (T, 3, H, W); all else as it is."""
    return steps.transpose(0, 3, 1, 2) if steps.ndim == 4 else steps


def read_views(
    record: SampleRecord, streams: Sequence[Stream], *, rule: SamplingRule, num_views: int = 1
) -> Views:
    """Read the clips of a sample as evaluation does.

    Raises:
        SampleError: It cannot be read.
    """
    read = read_sample(
        record, streams, choose=lambda pts_s: different_views(pts_s, rule, num_views=num_views)
    )
    return Views(
        tuple(joined(view, streams) for view in read.views),
        len({number for numbers in read.chosen for number in numbers}),
        read.duration_s,
        dict(read.missing),
    )
