"""From scores along a video to who does what when. Pure: points in, segments out.

    smoothing     the mean of the points around each
    hysteresis    a label begins where its score reaches `begin_at`, and ends where it falls below
                  `end_below` or another label is ahead by `lead`
    least length  what is shorter is dropped, and what is left on both sides joined where it is
                  one label

Several labels are looked at each for itself and may overlap.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.prediction import Segment
from cliptide.app.inference.windows import Point
from cliptide.configs.errors import ConfigError
from cliptide.configs.tasks import DEFAULT_THRESHOLD, Task
from cliptide.models.info import ModelInfo

# At most so high, and where a model file does not say: what straddles two actions is less sure than a
# clip of one.
BEGIN_AT = 0.5
KEPT_SHARE = 0.6  # of the score to begin at, at which a label goes on
LEAD = 0.1


@dataclass(frozen=True)
class SegmentRule:
    """How segments are made of scores.

    Attributes:
        begin_at: Of each class, the score at which a segment begins, 0..1.
        end_below: Of each class, the score below which it ends.
        lead: For single labels, by how much another label must be ahead to take over.
        smooth_s: Seconds that the mean around each point is taken over.
        least_s: Seconds that a segment lasts at least.
    """

    begin_at: tuple[float, ...]
    end_below: tuple[float, ...]
    lead: float
    smooth_s: float
    least_s: float


def segment_rule(
    info: ModelInfo,
    *,
    nothing_below: float | None = None,
    smooth_s: float | None = None,
    least_s: float | None = None,
) -> SegmentRule:
    """The rule for a model; what is not given follows from its file.

    Args:
        info: What the model file says.
        nothing_below: Score under which nothing of these happens, 0..1. As fitted on validation
            when None; for several labels, each label's own threshold.
        smooth_s: See `SegmentRule`; half a context when None.
        least_s: See `SegmentRule`; half a context when None.

    Raises:
        ConfigError: A value is out of range.
    """
    if nothing_below is not None and not 0 <= nothing_below <= 1:
        raise ConfigError(f"nothing_below is {nothing_below}. Give a score from 0 to 1.")
    for name, value in (("smooth_s", smooth_s), ("least_s", least_s)):
        if value is not None and not 0 <= value < float("inf"):
            raise ConfigError(f"{name} is {value}. Give seconds, 0 or more.")
    count = len(info.class_names)
    begin: Sequence[float] = (min(BEGIN_AT, info.nothing_below or BEGIN_AT),)
    if info.task == "multi":
        begin = info.thresholds or (DEFAULT_THRESHOLD,) * count
    if nothing_below is not None:
        begin = (nothing_below,)
    if len(begin) == 1:
        begin = tuple(begin) * count
    return SegmentRule(
        begin_at=tuple(begin),
        end_below=tuple(KEPT_SHARE * score for score in begin),
        lead=LEAD,
        smooth_s=info.context_s / 2 if smooth_s is None else smooth_s,
        least_s=info.context_s / 2 if least_s is None else least_s,
    )


def smoothed(points: Iterable[Point], *, smooth_s: float) -> Iterator[Point]:
    """The mean of the points within half of `smooth_s` of each, in order and constant memory."""
    near: deque[Point] = deque()
    waiting: deque[Point] = deque()
    half_s = smooth_s / 2 + 1e-9

    def mean_around(point: Point) -> Point:
        while near[0].time_s < point.time_s - half_s:
            near.popleft()
        around = [other.scores for other in near if other.time_s <= point.time_s + half_s]
        return Point(point.time_s, np.mean(around, axis=0))

    for point in points:
        near.append(point)
        waiting.append(point)
        while waiting and waiting[0].time_s + half_s < point.time_s:
            yield mean_around(waiting.popleft())
    while waiting:
        yield mean_around(waiting.popleft())


class LabelHolder:
    """Says which labels hold, with hysteresis: a score around a threshold does not flicker.

    Args:
        rule: Where labels begin and end.
        task: `single` or `multi`.
    """

    def __init__(self, rule: SegmentRule, *, task: Task) -> None:
        self._rule, self._task = rule, task
        self._held: list[int] = []

    def hold(self, scores: NDArray[np.float64]) -> list[int]:
        """Take in the next scores (K,); give the labels that hold now, as indices."""
        rule = self._rule
        goes_on = [label for label in self._held if scores[label] >= rule.end_below[label]]
        best = int(scores.argmax())
        if self._task == "multi":
            begins = [i for i, score in enumerate(scores) if score >= rule.begin_at[i]]
            self._held = sorted({*goes_on, *begins})
        elif goes_on and scores[best] <= scores[goes_on[0]] + rule.lead:
            self._held = goes_on
        else:
            self._held = [best] if scores[best] >= rule.begin_at[best] else goes_on
        return self._held


class SegmentMaker:
    """Makes segments of smoothed points as they come.

    Args:
        rule: How.
        class_names: Labels in the order of the scores.
        task: `single` or `multi`.
    """

    def __init__(self, rule: SegmentRule, class_names: Sequence[str], *, task: Task) -> None:
        self._rule, self._names, self._task = rule, class_names, task
        self._holder = LabelHolder(rule, task=task)
        self._open: dict[int, _Run] = {}
        self._done: list[_Run] = []
        self._last_s: float | None = None

    def add(self, point: Point) -> None:
        """Take in the next point."""
        # Between two points one holds up to the middle.
        since_s = 0.0 if self._last_s is None else (self._last_s + point.time_s) / 2
        active = self._holder.hold(point.scores)
        for label in [label for label in self._open if label not in active]:
            self._close(label, since_s)
        for label in active:
            run = self._open.setdefault(label, _Run(label, since_s))
            run.total += float(point.scores[label])
            run.count += 1
        self._last_s = point.time_s

    def _close(self, label: int, end_s: float) -> None:
        run = self._open.pop(label)
        run.end_s = end_s
        self._done.append(run)

    def finish(self, duration_s: float) -> tuple[Segment, ...]:
        """The segments of the whole video, by their beginning."""
        for label in list(self._open):
            self._close(label, duration_s)
        least_s = min(self._rule.least_s, duration_s) - 1e-9
        runs = sorted(self._done, key=lambda run: (run.start_s, run.label))
        # Labels that may overlap are looked at each for itself.
        groups = [runs]
        if self._task == "multi":
            groups = [[run for run in runs if run.label == i] for i in {run.label for run in runs}]
        kept: list[_Run] = []
        for group in groups:
            joined = _joined(group, gap_s=self._rule.least_s)
            long = [run for run in joined if run.end_s - run.start_s >= least_s]
            kept += _joined(long, gap_s=self._rule.least_s)
        kept.sort(key=lambda run: (run.start_s, run.label))
        return tuple(
            Segment(run.start_s, run.end_s, self._names[run.label], run.total / run.count)
            for run in kept
        )


def _joined(runs: Sequence["_Run"], *, gap_s: float) -> list["_Run"]:
    """Runs with those made one that follow each other under one label in less than a gap."""
    joined: list[_Run] = []
    for run in runs:
        before = joined[-1] if joined else None
        if before and before.label == run.label and run.start_s - before.end_s < gap_s:
            joined[-1] = _Run(
                run.label,
                before.start_s,
                run.end_s,
                before.total + run.total,
                before.count + run.count,
            )
        else:
            joined.append(run)
    return joined


@dataclass
class _Run:
    label: int
    start_s: float
    end_s: float = 0.0
    total: float = 0.0
    count: int = 0
