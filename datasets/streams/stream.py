"""The contract of every kind of sequence: what a sample's track is, and what a step of it is.

    stream.open(record) -> track      when its steps are, seconds; the steps themselves on demand
    track.steps(indices)              by number, on its own clock
    track.around(times_s)             by moment, on the clock of another stream of the same sample

So pictures, sound and rows of numbers are chosen by the same rules, and streams of different
rates are put together by time alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.looks import Looks
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.video.timeline import TOLERANCE_S

Steps = NDArray[Any]


class Track(ABC):
    """One stream of one sample, open.

    Attributes:
        pts_s: (N,) float64, when each step is, seconds from the source's beginning, rising; of
            the record's part alone. N is 1 or more.
        duration_s: Length of the part, seconds.
    """

    pts_s: NDArray[np.float64]
    duration_s: float

    @abstractmethod
    def steps(self, indices: Sequence[int]) -> Steps:
        """Read steps by number, 0..N - 1, in the order asked: (n, *step).

        Raises:
            SampleError: They cannot be read.
        """

    def around(self, times_s: NDArray[np.float64]) -> Steps:
        """Read what is on at moments (n,), seconds, rising: (n, *step)."""
        on_show = np.searchsorted(self.pts_s, times_s + TOLERANCE_S, side="right") - 1
        return self.steps(np.clip(on_show, 0, len(self.pts_s) - 1).tolist())

    def shift(self, share: float) -> None:  # noqa: B027 - frames lie where they lie
        """Begin its steps later, by a share (0 to below 1) of what lies between two of them.

        In training, so that a sound is not always cut at the same moments.
        """


class Stream(ABC):
    """How one kind of sequence is read.

    Attributes:
        name: One of `configs.streams.StreamName`.
        row_shape: Of what is kept in memory of a track, a row; see `content`.
        row_type: numpy's type of it.
        augments: Whether `augmented` is asked for in training.
        note: What the user should know of what was read so far; "" for nothing.
    """

    augments: bool = True
    note: str = ""

    name: ClassVar[str]
    row_shape: tuple[int, ...]
    row_type: type[Any]

    @abstractmethod
    def open(self, record: SampleRecord) -> AbstractContextManager[Track]:
        """Open a sample.

        Raises:
            SampleError: It cannot be read, or has no such stream.
        """

    @property
    def step_size(self) -> int:
        """Numbers in a step; pictures as the network has them."""
        return math.prod(self.row_shape)

    def num_rows(self, track: Track) -> int:
        """Rows of a track's `content`."""
        return len(track.pts_s)

    @abstractmethod
    def content(self, track: Track) -> tuple[NDArray[np.float64], Steps]:
        """Read all of an open track, to be kept in memory: times (n,) and rows (n, *row_shape)."""

    @abstractmethod
    def from_content(self, times_s: NDArray[np.float64], rows: Steps, duration_s: float) -> Track:
        """Make a track of what `content` gave."""

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Change the steps (n, *step) of a training sample, the same way for the same seed."""
        del seed
        return steps

    def looks(self, track: Track, steps: Steps) -> Looks | None:
        """What steps look like in a few numbers; None of what is no picture, or not open."""
        del track, steps
        return None

    @abstractmethod
    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """Draw steps (n, *step) for a person: (n, height, width, 3) uint8 RGB, any width."""

    def shown(
        self, track: Track, times_s: NDArray[np.float64], *, height: int
    ) -> NDArray[np.uint8]:
        """Draw what is on at moments (n,), seconds: (n, height, width, 3) uint8 RGB.

        Raises:
            SampleError: It cannot be read.
        """
        return self.drawn(track.around(times_s), height=height)
