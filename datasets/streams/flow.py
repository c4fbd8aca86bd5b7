"""Optical flow as a stream: the motion from each frame of a video to the next.

Frame i's step is the motion from it to frame i + 1 of the video; where that is a repeat of it, the
next motion, a few frames on at most (see `flow_fields`). The video's last frame has the motion
before it once more: things move on, and a step without motion would say that they stop at the end
of every video. The last frame of a part has a next one in the video and needs no such rule.
Repeats of the last frame stand still, as nothing tells them from a scene that stopped; a video of
a single frame does not move.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import ConfigError
from cliptide.datasets.fitting import Fit
from cliptide.datasets.reading import read_fitted, times_in
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.flow_cache import (
    FlowIsDamaged,
    FlowRule,
    KeptFlow,
    forget,
    open_kept,
)
from cliptide.datasets.streams.flow_fields import (
    AHEAD,
    LEAST_SIDE,
    Codes,
    FlowMethod,
    drawn,
    mirrored,
    pictures_of,
    still_codes,
)
from cliptide.datasets.streams.stream import Steps, Stream, Track
from cliptide.datasets.video import Video, open_video


class FlowTrack(Track):
    """The flow of a record's part of an open video.

    Args:
        video: Open.
        record: Which part of it.
        rule: How flow is computed.
        folder: Where flow is kept.
        kept: The video's kept flow, open; None computes what is asked for.
    """

    def __init__(
        self,
        video: Video,
        record: SampleRecord,
        *,
        rule: FlowRule,
        folder: Path | None = None,
        kept: KeptFlow | None = None,
    ) -> None:
        self._first, self.pts_s, self.duration_s = times_in(video, record)
        self._video, self._rule, self._folder = video, rule, folder
        self._kept = kept if kept and kept.num_flows == video.num_frames - 1 else None

    def steps(self, indices: Sequence[int]) -> Steps:
        """See `Track.steps`: (n, height, width, 3) uint8."""
        last = self._video.num_frames - 2
        if last < 0:
            return pictures_of(still_codes(len(indices), self._rule.size))
        starts = [min(self._first + index, last) for index in indices]
        return pictures_of(self._codes(starts))

    def _codes(self, starts: Sequence[int]) -> Codes:
        if self._kept is not None:
            try:
                return self._kept.codes(starts)
            except FlowIsDamaged:
                self._kept = None
                if self._folder is not None:
                    forget(self._folder, self._video.path, self._rule)
        wanted = sorted(set(starts))
        end = self._video.num_frames
        spans = [range(start, min(start + 2 + AHEAD, end)) for start in wanted]
        numbers = sorted(set().union(*spans))
        frames = read_fitted(self._video, numbers, size=self._rule.size, fit=self._rule.fit)
        rows = np.searchsorted(numbers, wanted).tolist()
        codes = self._rule.codes(frames, self._rule.placement(self._video), rows)
        return codes[np.searchsorted(wanted, starts)]


class FlowInMemory(Track):
    """Flow of all frames of a part.

    Args:
        pts_s: (N,) when each frame is shown, seconds.
        rows: (N, height, width, 3) uint8.
        duration_s: Length of the part, seconds.
    """

    def __init__(self, pts_s: NDArray[np.float64], rows: Steps, duration_s: float) -> None:
        self.pts_s, self.duration_s, self._rows = pts_s, duration_s, rows

    def steps(self, indices: Sequence[int]) -> Steps:
        """See `Track.steps`."""
        taken: Steps = self._rows[np.asarray(indices, dtype=np.int64)]
        return taken


class FlowStream(Stream):
    """Reads flow, kept or computed.

    Args:
        size: (height, width) of the frames.
        fit: How a video's picture is fitted into a frame; see `fitting.place`.
        method: See `flow_fields.flow_codes`.
        folder: Where flow is kept (see `flow_cache.precompute`); None computes all of it.
        image_rate: Images a second in folders of images.
        mirrors: Whether the pictures of the sample with a seed are mirrored, so that flow is
            mirrored with them; None mirrors nothing.

    Raises:
        ConfigError: The frames are too small for flow.
    """

    name: ClassVar[str] = "flow"

    def __init__(
        self,
        *,
        size: tuple[int, int],
        fit: Fit,
        method: FlowMethod,
        folder: Path | None,
        image_rate: float,
        mirrors: Callable[[int], bool] | None,
    ) -> None:
        if min(size) < LEAST_SIDE:
            raise ConfigError(
                f"data.size is {size[0]}x{size[1]}, which is too small for optical flow. "
                f"Use {LEAST_SIDE}x{LEAST_SIDE} or more."
            )
        self.rule = FlowRule(size, fit, method)
        self.folder, self.image_rate, self.mirrors = folder, image_rate, mirrors
        self.row_shape = (*size, 3)
        self.row_type = np.uint8

    @contextmanager
    def open(self, record: SampleRecord) -> Iterator[Track]:
        """See `Stream.open`; the error of a video is a `VideoError`."""
        with open_video(record.source, image_rate=self.image_rate) as video:
            kept = open_kept(self.folder, record.source, self.rule) if self.folder else None
            with closing(kept) if kept is not None else nullcontext():
                yield FlowTrack(video, record, rule=self.rule, folder=self.folder, kept=kept)

    def content(self, track: Track) -> tuple[NDArray[np.float64], Steps]:
        """See `Stream.content`."""
        return track.pts_s, track.steps(range(len(track.pts_s)))

    def from_content(self, times_s: NDArray[np.float64], rows: Steps, duration_s: float) -> Track:
        """See `Stream.from_content`."""
        return FlowInMemory(times_s, rows, duration_s)

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Mirror steps where the pictures of the same seed are."""
        return mirrored(steps) if self.mirrors is not None and self.mirrors(seed) else steps

    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """See `flow_fields.drawn`."""
        return drawn(steps, height=height)
