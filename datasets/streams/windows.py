"""Rows that come one after another, and windows over them as steps.

    rows      0 1 2 3 4 5 6 7 8 9 ...        columns of sound, rows of arrays, tokens
    window 4, hop 2
    step 0    0 1 2 3                        its time is that of its middle
    step 1        2 3 4 5
    step 2            4 5 6 7

A sequence shorter than a window is one step, and the last step ends with the last row. What lies
before the first row and behind the last is blank.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.stream import Steps, Stream, Track


class NothingThereError(SampleError):
    """A sample has a stream, but nothing of it at the moments asked for."""


@dataclass(frozen=True)
class Rows:
    """All rows of a sample.

    Attributes:
        times_s: (n,) float64, when each row is, seconds from the source's beginning, rising; 1 or
            more.
        rows: (n, *row).
        duration_s: Length of what they cover, seconds.
    """

    times_s: NDArray[np.float64]
    rows: Steps
    duration_s: float


class WindowedTrack(Track):
    """Windows over rows.

    Args:
        rows: What to go over.
        window: Rows in a step.
        hop: Rows from one step to the next.
        blank: What stands where no row is.
    """

    def __init__(self, rows: Rows, *, window: int, hop: int, blank: float | int) -> None:
        self.rows, self.window, self.hop, self.blank = rows, window, hop, blank
        self.duration_s = rows.duration_s
        self.shift(0.0)

    def shift(self, share: float) -> None:
        """See `Track.shift`."""
        count = len(self.rows.times_s)
        last = max(0, count - self.window)
        starts = np.arange(min(int(share * self.hop), last), last + 1, self.hop)
        if starts[-1] < last:
            starts = np.append(starts, last)
        self._starts = starts
        middles = np.minimum(starts + (self.window - 1) // 2, count - 1)
        self.pts_s = self.rows.times_s[middles]

    def steps(self, indices: Sequence[int]) -> Steps:
        """See `Track.steps`."""
        return self._windows(self._starts[np.asarray(indices, dtype=np.int64)])

    def around(self, times_s: NDArray[np.float64]) -> Steps:
        """Windows with the row nearest to each moment in their middle.

        Blank where rows pause: where the nearest is further away than half a window and half a row.

        Raises:
            NothingThereError: No row lies in any of them.
        """
        known = self.rows.times_s
        behind = np.clip(np.searchsorted(known, times_s), 1, max(1, len(known) - 1))
        behind = np.minimum(behind, len(known) - 1)
        before = np.maximum(behind - 1, 0)
        nearer = np.abs(known[before] - times_s) <= np.abs(known[behind] - times_s)
        nearest = np.where(nearer, before, behind)
        # Where rows end before the others do, what is there is nothing, and not the last row.
        step_s = self.rows.duration_s
        if len(known) > 1:
            step_s = float(np.median(np.diff(known)))  # the mean would count pauses, too
        beyond = np.zeros(len(times_s))
        if step_s > 0:
            beyond = np.where(times_s > known[-1], (times_s - known[-1]) / step_s, beyond)
            beyond = np.where(times_s < known[0], (times_s - known[0]) / step_s, beyond)
        starts = nearest + np.rint(beyond).astype(np.int64) - (self.window - 1) // 2
        inside = (times_s > known[0]) & (times_s < known[-1])
        # Rows of a window of one may come a little late.
        far = np.abs(known[nearest] - times_s) > (self.window + 1) / 2 * step_s
        starts[inside & far & (step_s > 0)] = len(known)  # where no row is
        if not ((starts < len(known)) & (starts + self.window > 0)).any():
            raise NothingThereError(
                f"Its times are from {known[0]:.2f} s to {known[-1]:.2f} s, and those of the other "
                f"streams from {times_s[0]:.2f} s to {times_s[-1]:.2f} s. Count all from the "
                "beginning of the video."
            )
        return self._windows(starts)

    def _windows(self, starts: NDArray[np.int64]) -> Steps:
        places = starts[:, None] + np.arange(self.window)
        inside = (places >= 0) & (places < len(self.rows.rows))
        steps: Steps = self.rows.rows[np.clip(places, 0, len(self.rows.rows) - 1)]
        steps[~inside] = self.blank
        return steps


class WindowedStream(Stream):
    """A stream that is read whole and goes over its rows by windows.

    Args:
        window: Rows in a step.
        hop: Rows from one step to the next.

    Attributes:
        blank: What stands where no row is.
    """

    blank: float | int = 0.0

    def __init__(self, *, window: int, hop: int) -> None:
        self.window, self.hop = window, hop

    @property
    def step_size(self) -> int:
        """See `Stream.step_size`."""
        return self.window * super().step_size

    def num_rows(self, track: Track) -> int:
        """See `Stream.num_rows`."""
        assert isinstance(track, WindowedTrack)
        return len(track.rows.times_s)

    @abstractmethod
    def read(self, record: SampleRecord) -> Rows:
        """Read all rows of a sample's part.

        Raises:
            SampleError: It cannot be read, or has none.
        """

    @contextmanager
    def open(self, record: SampleRecord) -> Iterator[Track]:
        """See `Stream.open`."""
        yield self._track(self.read(record))

    def content(self, track: Track) -> tuple[NDArray[np.float64], Steps]:
        """See `Stream.content`."""
        assert isinstance(track, WindowedTrack)
        return track.rows.times_s, track.rows.rows

    def from_content(self, times_s: NDArray[np.float64], rows: Steps, duration_s: float) -> Track:
        """See `Stream.from_content`."""
        return self._track(Rows(times_s, rows, duration_s))

    def _track(self, rows: Rows) -> WindowedTrack:
        return WindowedTrack(rows, window=self.window, hop=self.hop, blank=self.blank)
