"""A loaded model that recognises actions: in files, over long videos, and on live streams."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.engine import DIVERGED, Engine, Floats, scores_of
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.prediction import FailedVideo, Prediction, Segment
from cliptide.app.inference.rules import sampling_rule, streams_of
from cliptide.app.inference.segments import segment_rule
from cliptide.app.inference.temperature import scaled
from cliptide.app.inference.timeline import Timeline, make_timeline
from cliptide.app.inference.watching import Update, Watcher, arrivals_of
from cliptide.configs.errors import CliptideError, InputError, SampleError, VideoError
from cliptide.configs.schema import DataConfig, EvalConfig
from cliptide.configs.tasks import DEFAULT_THRESHOLD, Task
from cliptide.datasets.in_order import in_order
from cliptide.datasets.reading import Views
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.playing import Playing, playing
from cliptide.datasets.streams.samples import read_views
from cliptide.datasets.streams.stream import Stream

# Clips that go through the network together; more are no faster on a CPU.
CLIPS_AT_ONCE = 8


class ActionRecognizer:
    """A model at work.

    Args:
        engine: What runs its network.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.info = engine, engine.info

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """What reads samples."""
        return streams_of(self.info)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Labels, or names of the targets, in the order of the scores."""
        return self.info.class_names

    @property
    def task(self) -> Task:
        """What the model answers: `single`, `multi` or `regression`."""
        return self.info.task

    @property
    def clips_of_video(self) -> int:
        """Clips that are taken of each video where nobody says how many: as in training."""
        return int(self.info.run.get("eval", {}).get("clips", EvalConfig().clips))

    def labels_for(
        self, scores: Sequence[float], *, thresholds: Sequence[float] = ()
    ) -> tuple[str, ...]:
        """The labels that scores stand for, the likeliest first; none for a regression.

        Args:
            scores: In the model's order.
            thresholds: For several labels, other ones than the model's own.
        """
        ranked = sorted(zip(scores, self.class_names, strict=True), key=lambda pair: -pair[0])
        if self.task == "single":
            return (ranked[0][1],)
        cuts = dict(zip(self.class_names, thresholds or self._thresholds(), strict=True))
        return tuple(name for score, name in ranked if self.task == "multi" and score >= cuts[name])

    def _thresholds(self) -> tuple[float, ...]:
        return self.info.thresholds or (DEFAULT_THRESHOLD,) * len(self.class_names)

    def predict_many(
        self,
        sources: Sequence[str | os.PathLike[str] | SampleRecord],
        *,
        clips: int | None = None,
        workers: int = 1,
    ) -> Iterator[Prediction | FailedVideo]:
        """Recognise the actions in many files, in order; an unreadable one costs only itself.

        Args:
            sources: Files of the model's own kind, or records of samples.
            clips: Clips taken from each video; their scores are averaged. As in training when
                left out.
            workers: Threads that decode; FFmpeg works without Python's lock.

        Raises:
            ConfigError: `clips` or `workers` is too small.
        """
        clips = self.clips_of_video if clips is None else clips
        EvalConfig(clips=clips)
        DataConfig(workers=workers)
        records = [_record(source) for source in sources]
        read = partial(_read, streams=self.streams, rule=sampling_rule(self.info), num_views=clips)
        waiting: list[tuple[SampleRecord, Views | str]] = []
        for record, views in zip(records, in_order(read, records, threads=workers), strict=True):
            waiting.append((record, views))
            num_clips = sum(_num_clips(views) for _, views in waiting)
            if max(num_clips, len(waiting)) >= CLIPS_AT_ONCE:
                yield from self._answers(waiting)
                waiting = []
        yield from self._answers(waiting)

    def _answers(
        self, videos: Sequence[tuple[SampleRecord, Views | str]]
    ) -> Iterator[Prediction | FailedVideo]:
        clips = [clip for _, views in videos if isinstance(views, Views) for clip in views.clips]
        rows = iter(self.engine.score_clips(clips) if clips else ())
        for record, views in videos:
            if isinstance(views, str):
                yield FailedVideo(record.name, views)
            else:
                outputs: Floats = np.stack(list(islice(rows, len(views.clips))))
                answer = self.answer_clips(record.name, outputs, views)
                yield replace(answer, sample=record, info=self.info)

    def answer_clips(self, name: str, outputs: Floats, views: Views) -> Prediction:
        """What the engine's outputs (V, K) for the clips of one video say.

        Raises:
            CliptideError: They are no numbers: the network is broken, not a video.
        """
        mean = scaled(self._raw_scores(outputs).mean(axis=0), self.info.temperature or 1.0)
        answer = self.answer(name, mean, duration_s=views.duration_s, frames_used=views.frames_used)
        return replace(answer, missing=views.missing)

    def _raw_scores(self, outputs: Floats) -> NDArray[np.float64]:
        """Scores (B, K) before calibration.

        Raises:
            CliptideError: They are no numbers: the network is broken, not a video.
        """
        if not np.isfinite(outputs).all():
            raise CliptideError(DIVERGED)
        return scores_of(outputs, task=self.task)

    def predict(
        self, source: str | os.PathLike[str] | SampleRecord, *, clips: int | None = None
    ) -> Prediction:
        """Recognise the action in one file of the model's own kind.

        Raises:
            SampleError: The file cannot be read; of videos and images a VideoError.
        """
        result = next(self.predict_many([source], clips=clips))
        if isinstance(result, FailedVideo):
            pictures = self.info.streams.has_pictures
            raise (VideoError if pictures else SampleError)(result.error)
        return result

    def play(self, source: str | os.PathLike[str]) -> AbstractContextManager[Playing]:
        """Open a sample to go through it at the model's rate; see `playing`."""
        return playing(source, self.streams, rate_fps=self.info.rate_fps)

    def timeline(
        self,
        source: str | os.PathLike[str] | Playing,
        *,
        nothing_below: float | None = None,
        smooth_s: float | None = None,
        least_s: float | None = None,
        on_progress: Callable[[float], None] = lambda time_s: None,
    ) -> Timeline:
        """Find out what happens when in a sample of any length; videos in constant memory.

        Args:
            source: A video or another file of the model's kind, or what `play` opened.
            nothing_below: Score under which nothing of the classes happens, 0..1; as fitted on
                validation when None.
            smooth_s: Seconds that scores are averaged over; see `segments.segment_rule`.
            least_s: Seconds that a segment lasts at least; likewise.
            on_progress: Told the time of each step that was looked at, seconds.

        Raises:
            InputError: The model's samples have no seconds.
            SampleError: The file cannot be read.
            ConfigError: A value is out of range.
        """
        self._require_seconds("timeline")
        if not isinstance(source, Playing):
            with self.play(source) as opened:
                return self.timeline(
                    opened,
                    nothing_below=nothing_below,
                    smooth_s=smooth_s,
                    least_s=least_s,
                    on_progress=on_progress,
                )
        rule = segment_rule(
            self.info, nothing_below=nothing_below, smooth_s=smooth_s, least_s=least_s
        )
        return make_timeline(
            self.engine,
            source.steps,
            video=source.path,
            duration_s=source.duration_s,
            rule=rule,
            missing=source.missing,
            on_progress=on_progress,
        )

    def watch(
        self,
        source: str | int | os.PathLike[str],
        *,
        realtime: bool = False,
        nothing_below: float | None = None,
        reconnect_s: float = 60.0,
        on_status: Callable[[str], None] = lambda text: None,
    ) -> Iterator[Update]:
        """Watch a webcam, a network stream or a file, one step a frame at the model's own rate.

        Args:
            source: A webcam's number, a URL such as `rtsp://...`, or a file.
            realtime: Whether a file is played at its own speed, as a camera would give it; else
                as fast as it can be read, no frame left out.
            nothing_below: Score under which nothing of the classes is seen; as fitted on
                validation when None.
            reconnect_s: How long a lost source is tried to be had again, seconds.
            on_status: Told in words when a source is lost, tried again and back, and which of
                several streams is masked.

        Yields:
            An update for each frame taken. Of a live source the newest frame always wins.

        Raises:
            InputError: There is no such camera, or the model's samples have no seconds.
            VideoError: The source cannot be read, or was lost.
        """
        self._require_seconds("watch")
        watcher = Watcher(self.engine, nothing_below=nothing_below)
        arrivals = arrivals_of(
            os.fspath(source) if not isinstance(source, int) else str(source),
            self.engine,
            self.streams,
            realtime=realtime,
            reconnect_s=reconnect_s,
            on_status=on_status,
        )
        yield from map(watcher.push, arrivals)

    def _require_seconds(self, method: str) -> None:
        if not self.info.streams.has_seconds:
            what = Nouns.of_streams(self.info.streams).samples
            raise InputError(
                f"The model reads {what}, which have no seconds, so there is no {method}(). Use "
                "predict()."
            )

    def answer(
        self, name: str, scores: NDArray[np.float64], *, duration_s: float, frames_used: int
    ) -> Prediction:
        """What scores (K,) of a whole video say.

        Args:
            name: What to call the video.
            scores: Calibrated, in the model's order.
            duration_s: Its length, seconds.
            frames_used: Different frames that were looked at.
        """
        numbers = scores.tolist()
        named = dict(zip(self.class_names, numbers, strict=True))
        labels = self.labels_for(numbers)
        regression = self.task == "regression"
        return Prediction(
            video=name,
            task=self.task,
            labels=labels,
            scores={} if regression else named,
            values=named if regression else {},
            duration_s=duration_s,
            frames_used=frames_used,
            segments=tuple(Segment(0.0, duration_s, label, named[label]) for label in labels),
        )


def _record(source: str | os.PathLike[str] | SampleRecord) -> SampleRecord:
    if isinstance(source, SampleRecord):
        return source
    return SampleRecord(Path(source), os.fspath(source), label="", group="")


def _read(
    record: SampleRecord, *, streams: Sequence[Stream], rule: SamplingRule, num_views: int
) -> Views | str:
    """The clips of a sample, or why it cannot be read."""
    try:
        return read_views(record, streams, rule=rule, num_views=num_views)
    except SampleError as error:
        return str(error)


def _num_clips(views: Views | str) -> int:
    return len(views.clips) if isinstance(views, Views) else 0
