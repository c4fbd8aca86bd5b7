"""What happens when in a video of any length, in constant memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.engine import Engine
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.prediction import Prediction, Segment
from cliptide.app.inference.segments import SegmentMaker, SegmentRule, smoothed
from cliptide.app.inference.temperature import scaled
from cliptide.app.inference.windows import Point, scored_windows
from cliptide.configs.tasks import Task
from cliptide.datasets.video import TimedFrame

# Of the curve of scores: enough for a page or a plot, whatever the length.
MOST_POINTS = 4096


@dataclass(frozen=True, eq=False)
class Timeline:
    """What happens when in one video.

    Attributes:
        video: The file.
        task: What the model answers: `single`, `multi` or `regression`.
        class_names: Labels, or names of the targets.
        duration_s: Length of the video, seconds.
        frames_used: Frames that were looked at.
        segments: Stretches and their labels, by their beginning; none of a regression.
        times_s: (N,) float64, seconds, rising; N at most `MOST_POINTS`.
        scores: (N, K) float32, the smoothed scores at those times, or the numbers of a regression.
        missing: Why, of each of several streams that was masked to the end.
    """

    video: str
    task: Task
    class_names: tuple[str, ...]
    duration_s: float
    frames_used: int
    segments: tuple[Segment, ...]
    times_s: NDArray[np.float64]
    scores: NDArray[np.float32]
    missing: Mapping[str, str] = field(default_factory=dict)

    def seconds_of(self) -> dict[str, float]:
        """Seconds that each label lasts, the longest first."""
        total: dict[str, float] = {}
        for segment in self.segments:
            total[segment.label] = total.get(segment.label, 0.0) + segment.end_s - segment.start_s
        return dict(sorted(total.items(), key=lambda item: -item[1]))

    def to_json(self) -> dict[str, Any]:
        """The timeline as the command line writes it; the curve has four digits."""
        key = "values" if self.task == "regression" else "scores"
        curve: Mapping[str, Any] = {
            name: [round(float(value), 4) for value in column]
            for name, column in zip(self.class_names, self.scores.T, strict=True)
        }
        return {
            "video": self.video,
            "duration_s": self.duration_s,
            "frames_used": self.frames_used,
            **({"missing": list(self.missing)} if self.missing else {}),
            "segments": [vars(segment) for segment in self.segments],
            "curve": {"times_s": [round(float(time), 3) for time in self.times_s], key: curve},
        }

    def _repr_html_(self) -> str:
        """Lanes with the segments, in a notebook."""
        from cliptide.app.inference.notebook import timeline_html

        return timeline_html(self)


def make_timeline(
    engine: Engine,
    frames: Iterable[TimedFrame],
    *,
    video: str,
    duration_s: float,
    rule: SegmentRule,
    missing: Mapping[str, str] | None = None,
    on_progress: Callable[[float], None] = lambda time_s: None,
) -> Timeline:
    """Look along a video.

    Args:
        engine: Runs the network.
        frames: At the model's rate and size, rising.
        video: What to call it.
        duration_s: Its length, seconds.
        rule: How segments are made of scores.
        missing: See `Playing.missing`; read when all frames have been.
        on_progress: Told the time of each frame that was looked at, seconds.

    Raises:
        VideoError: A frame cannot be read.
        CliptideError: The network gives no numbers.
    """
    info, count = engine.info, 0

    def counted() -> Iterator[TimedFrame]:
        nonlocal count
        for frame in frames:
            count += 1
            on_progress(frame.time_s)
            yield frame

    temperature = info.temperature or 1.0
    maker = SegmentMaker(rule, info.class_names, task=info.task)
    curve = _Curve(len(info.class_names))
    for point in smoothed(scored_windows(engine, counted()), smooth_s=rule.smooth_s):
        calibrated = Point(point.time_s, scaled(point.scores, temperature))
        curve.add(calibrated)
        if info.task != "regression":
            maker.add(calibrated)
    times_s, scores = curve.finish()
    return Timeline(
        video=video,
        task=info.task,
        class_names=info.class_names,
        duration_s=duration_s,
        frames_used=count,
        segments=maker.finish(duration_s),
        times_s=times_s,
        scores=scores,
        missing=dict(missing or {}),
    )


def missing_notes(read: Sequence[Prediction] | Sequence[Timeline], nouns: Nouns) -> list[str]:
    """Sentences on how many samples lack which stream, and why the first one does."""
    notes = []
    for name in sorted({name for one in read for name in one.missing}):
        reasons = [one.missing[name] for one in read if name in one.missing]
        lacking = f"{len(reasons)} of {nouns.counted(len(read))}"
        notes.append(
            f"Note: {lacking} {'lacks' if len(reasons) == 1 else 'lack'} {name}, which was "
            f"masked there; the first: {reasons[0]}"
        )
    return notes


class _Curve:
    """Points of a curve, bounded in number: when there are too many, each two become one."""

    def __init__(self, num_classes: int) -> None:
        self._rows = np.empty((MOST_POINTS, 1 + num_classes), np.float64)
        self._filled, self._together = 0, 1
        self._pending: list[NDArray[np.float64]] = []

    def add(self, point: Point) -> None:
        self._pending.append(np.concatenate([[point.time_s], point.scores]))
        if len(self._pending) == self._together:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._filled == MOST_POINTS:
            pairs = self._rows.reshape(MOST_POINTS // 2, 2, -1).mean(axis=1)
            self._rows[: MOST_POINTS // 2] = pairs
            self._filled, self._together = MOST_POINTS // 2, 2 * self._together
            if len(self._pending) < self._together:
                return
        self._rows[self._filled] = np.mean(self._pending, axis=0)
        self._filled += 1
        self._pending = []

    def finish(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        # Where all rows are full, the last few points go into the last of them.
        if self._pending and self._filled == MOST_POINTS:
            self._pending.append(self._rows[-1])
            self._filled -= 1
        if self._pending:
            self._rows[self._filled] = np.mean(self._pending, axis=0)
            self._filled += 1
        rows = self._rows[: self._filled]
        return rows[:, 0].copy(), rows[:, 1:].astype(np.float32)
