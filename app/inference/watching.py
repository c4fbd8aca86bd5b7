"""Watching: answers on a live source or a file, one step a frame."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cliptide.app.inference.engine import Engine
from cliptide.app.inference.rules import picture_fit
from cliptide.app.inference.segments import LabelHolder, segment_rule
from cliptide.app.inference.stream import StreamScorer
from cliptide.configs.errors import InputError
from cliptide.configs.tasks import Task
from cliptide.datasets.live import Arrival, LiveSource, is_live
from cliptide.datasets.streams.playing import Playing, playing
from cliptide.datasets.streams.samples import joined
from cliptide.datasets.streams.stream import Stream
from cliptide.datasets.video import TimedFrame


@dataclass(frozen=True)
class Update:
    """What the model sees now.

    Attributes:
        time_s: The time of the newest frame, seconds from the first.
        task: What the model answers: `single`, `multi` or `regression`.
        labels: What holds now, with hysteresis, so that it does not flicker; none where nothing of
            what the model knows is seen.
        scores: Probability of each class or label, in the model's order; of a regression none.
        values: The number of each target, of a regression.
        changed: Whether `labels` are others than in the update before.
        begins: Whether the stream begins here, or goes on after a break.
        dropped: Frames so far that the machine was too slow for.
        lag_s: From the frame's arrival to this answer, seconds; 0 for files.
    """

    time_s: float
    task: Task
    labels: tuple[str, ...]
    scores: Mapping[str, float]
    values: Mapping[str, float]
    changed: bool
    begins: bool
    dropped: int
    lag_s: float

    @property
    def label(self) -> str:
        """The class with the highest score right now, however low it is.

        Raises:
            AttributeError: The model gives several labels or numbers.
        """
        if self.task != "single":
            mend = ".labels" if self.task == "multi" else ".values"
            raise AttributeError(f"The model's task is {self.task!r}: read {mend}, not .label.")
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def score(self) -> float:
        """The probability of `label`, 0..1; raises as that does."""
        return self.scores[self.label]

    def to_json(self) -> dict[str, Any]:
        """The update as the command line writes it."""
        answer: dict[str, Any]
        if self.task == "regression":
            answer = {"values": {name: round(value, 6) for name, value in self.values.items()}}
        else:
            best = {"label": self.label, "score": round(self.score, 4)}
            answer = {
                **(best if self.task == "single" else {}),
                "labels": list(self.labels),
                "scores": {name: round(score, 4) for name, score in self.scores.items()},
                "changed": self.changed,
            }
        return {
            "time_s": round(self.time_s, 3),
            **answer,
            "dropped": self.dropped,
            "lag_s": round(self.lag_s, 4),
        }


class Watcher:
    """Makes updates of the frames of one stream.

    Args:
        engine: Runs the network.
        nothing_below: Score under which nothing of the classes is seen; as fitted on validation
            when None.

    Attributes:
        delay_s: How old an answer may be; see `StreamScorer`.
    """

    def __init__(self, engine: Engine, *, nothing_below: float | None = None) -> None:
        self._info = engine.info
        self._scorer = StreamScorer(engine)
        self._rule = segment_rule(engine.info, nothing_below=nothing_below)
        self._holder = self._new_holder()
        self._labels: tuple[str, ...] = ()
        self._is_first = True
        self.delay_s = self._scorer.delay_s

    def _new_holder(self) -> LabelHolder:
        return LabelHolder(self._rule, task=self._info.task)

    def push(self, arrival: Arrival) -> Update:
        """Take in the next frame, fitted to the model's size."""
        if arrival.begins and not self._is_first:
            self._scorer.restart()
            self._holder = self._new_holder()
        self._is_first = False
        scores = self._scorer.push(arrival.picture)
        named = dict(zip(self._info.class_names, scores.tolist(), strict=True))
        before = self._labels
        if self._info.task != "regression":
            held = self._holder.hold(scores)
            self._labels = tuple(
                self._info.class_names[i] for i in sorted(held, key=lambda i: -scores[i])
            )
        regression = self._info.task == "regression"
        return Update(
            time_s=arrival.time_s,
            task=self._info.task,
            labels=self._labels,
            scores={} if regression else named,
            values=named if regression else {},
            changed=set(self._labels) != set(before),
            begins=arrival.begins,
            dropped=arrival.dropped,
            lag_s=max(0.0, time.monotonic() - arrival.arrived_s) if arrival.arrived_s else 0.0,
        )


def arrivals_of(
    source: str,
    engine: Engine,
    streams: Sequence[Stream],
    *,
    realtime: bool,
    reconnect_s: float,
    on_status: Any,
) -> Iterator[Arrival]:
    """Steps of a webcam, a URL or a file, fitted to a model and at its rate.

    Of a webcam or a URL only pictures are had: a model of several streams takes the others for
    missing.

    Raises:
        InputError: There is no such camera, or the model needs more than its pictures.
        VideoError: The source cannot be read, or was lost.
    """
    info = engine.info
    if is_live(source):
        if "rgb" not in info.streams.names or info.streams.steps.image != "whole":
            raise InputError(
                f"{source} gives pictures, and the model wants {', '.join(info.streams.names)}. "
                "Give a file."
            )
        others = [name for name in info.streams.names if name != "rgb"]
        if others:
            on_status(f"{source} gives pictures alone: {', '.join(others)} taken for missing.")
        live = LiveSource(
            source,
            rate_fps=info.rate_fps,
            size=info.size,
            fit=picture_fit(info),
            reconnect_s=reconnect_s,
            on_status=on_status,
        )
        for arrival in live.arrivals():
            views = [
                arrival.picture[None] if name == "rgb" else None for name in info.streams.names
            ]
            yield replace(arrival, picture=joined(views, streams)[0])
        return
    with playing(source, streams, rate_fps=info.rate_fps) as opened:
        steps = _told(opened, on_status)
        yield from _paced(steps) if realtime else _all(steps)


def _told(opened: Playing, on_status: Any) -> Iterator[TimedFrame]:
    """The steps of a file; says of each stream once that it is masked, as soon as it is known."""
    told: set[str] = set()

    def tell() -> None:
        for name in [name for name in opened.missing if name not in told]:
            told.add(name)
            on_status(f"{name} is taken for missing: {opened.missing[name]}")

    tell()
    for step in opened.steps:
        tell()
        yield step
    tell()


def _all(frames: Iterator[TimedFrame]) -> Iterator[Arrival]:
    for number, frame in enumerate(frames):
        yield Arrival(frame.time_s, 0.0, frame.picture, begins=not number, dropped=0)


def _paced(frames: Iterator[TimedFrame]) -> Iterator[Arrival]:
    """Frames of a file when they are due, the newest winning, as those of a camera."""
    began_s, dropped = time.monotonic(), 0
    number, waiting = 0, next(frames, None)
    while waiting is not None:
        following = next(frames, None)
        now_s = time.monotonic() - began_s
        if following is not None and following.time_s <= now_s:
            dropped += 1
        else:
            if waiting.time_s > now_s:
                threading.Event().wait(waiting.time_s - now_s)
            due_s = began_s + waiting.time_s
            yield Arrival(waiting.time_s, due_s, waiting.picture, not number, dropped)
            number += 1
        waiting = following
