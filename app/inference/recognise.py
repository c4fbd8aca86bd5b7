"""A loaded model that recognises actions in video files."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import torch

from cliptide.app.inference.device import resolve_device
from cliptide.app.inference.probing import Probe
from cliptide.app.inference.scoring import VideoScores, score_videos
from cliptide.configs.errors import ModelFileError, VideoError
from cliptide.configs.schema import DataConfig, EvalConfig
from cliptide.configs.tasks import DEFAULT_THRESHOLD, Task
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.fitting import Fit
from cliptide.datasets.loaders import make_loader
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingKind, SamplingRule
from cliptide.models.bundle import ModelInfo, load_model
from cliptide.models.recognizer import Recognizer

CLIPS_AT_ONCE = 16
# On a CPU more at once is no faster, and takes memory for the features of every frame.
CLIPS_AT_ONCE_ON_CPU = 8


@dataclass(frozen=True)
class Segment:
    """A stretch of a video and what happens in it; times in seconds."""

    start_s: float
    end_s: float
    label: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """What the model sees in one video.

    Attributes:
        video: The file.
        task: What the model answers: `single`, `multi` or `regression`.
        labels: The class with the highest score; of task multi every label whose score reaches
            its threshold, the likeliest first; of a regression none.
        scores: Probability of each class or label, in the model's order; of a regression none.
        values: The number of each target, of a regression.
        duration_s: Length of the video, seconds.
        frames_used: Different frames that were looked at.
        segments: Stretches of the video and their labels.
    """

    video: str
    task: Task
    labels: tuple[str, ...]
    scores: Mapping[str, float]
    values: Mapping[str, float]
    duration_s: float
    frames_used: int
    segments: tuple[Segment, ...]

    @property
    def label(self) -> str:
        """The class with the highest score.

        Raises:
            AttributeError: The model gives several labels or numbers.
        """
        if self.task != "single":
            mend = ".labels" if self.task == "multi" else ".values"
            raise AttributeError(f"The model's task is {self.task!r}: read {mend}, not .label.")
        return self.labels[0]

    @property
    def score(self) -> float:
        """The probability of `label`, 0..1.

        Raises:
            AttributeError: The model gives several labels or numbers.
        """
        return self.scores[self.label]

    @property
    def value(self) -> float:
        """The number that a regression of one target predicts.

        Raises:
            AttributeError: The model gives labels, or several numbers.
        """
        if len(self.values) != 1:
            mend = ".values" if self.values else ".labels"
            raise AttributeError(f"The model predicts no single number: read {mend}, not .value.")
        return next(iter(self.values.values()))

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The `count` classes with the highest scores, best first."""
        ranked = sorted(self.scores.items(), key=lambda item: -item[1])
        return ranked[:count]

    def to_json(self) -> dict[str, Any]:
        """The prediction as the command line writes it."""
        seen = {"duration_s": self.duration_s, "frames_used": self.frames_used}
        if self.task == "regression":
            value = self.value if len(self.values) == 1 else dict(self.values)
            return {"video": self.video, "value": value, **seen}
        answer: dict[str, Any] = {"labels": list(self.labels)}
        if self.task == "single":
            answer = {"label": self.label, "score": self.score}
        return {
            "video": self.video,
            **answer,
            "scores": dict(self.scores),
            "top": [{"label": label, "score": score} for label, score in self.top()],
            **seen,
            "segments": [vars(segment) for segment in self.segments],
        }


@dataclass(frozen=True)
class FailedVideo:
    """A video that could not be read, and why."""

    video: str
    error: str

    def to_json(self) -> dict[str, Any]:
        """The failure as the command line writes it."""
        return {"video": self.video, "error": self.error}


class ActionRecognizer:
    """A network, what its file says of it, and where it runs.

    Args:
        network: The network; it is moved to `device` and set to evaluation.
        info: What the model file says.
        device: Where to compute.
    """

    def __init__(self, network: Recognizer, info: ModelInfo, *, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.info, self.device = info, device

    @property
    def class_names(self) -> tuple[str, ...]:
        """Labels, or names of the targets, in the order of the scores."""
        return self.info.class_names

    @property
    def task(self) -> Task:
        """What the model answers: `single`, `multi` or `regression`."""
        return self.info.task

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

    def score_records(
        self,
        records: Sequence[SampleRecord],
        *,
        clips: int | None = None,
        workers: int = 0,
        probe: Probe | None = None,
    ) -> Iterator[VideoScores]:
        """Score each record once, in order, unreadable ones included.

        Args:
            records: What to score.
            clips: Clips taken from each video; their scores are averaged. As in training when
                left out.
            workers: Processes that decode; 0 decodes in this one.
            probe: What to try beside the clips as they are.

        Raises:
            ConfigError: `clips` or `workers` is too small.
        """
        if clips is None:
            clips = int(self.info.run.get("eval", {}).get("clips", EvalConfig().clips))
        EvalConfig(clips=clips)
        DataConfig(workers=workers)
        dataset = ClipDataset(
            records,
            class_names=self.info.class_names,
            rule=sampling_rule(self.info),
            size=self.info.size,
            fit=picture_fit(self.info),
            num_views=clips,
            task=self.info.task,
        )
        at_once = CLIPS_AT_ONCE_ON_CPU if self.device.type == "cpu" else CLIPS_AT_ONCE
        loader = make_loader(
            dataset,
            batch_size=math.ceil(at_once / clips),
            workers=workers,
            polite=self.device.type == "cpu",
            pin_memory=self.device.type == "cuda",
        )
        return score_videos(
            self.network,
            loader,
            device=self.device,
            task=self.info.task,
            temperature=self.info.temperature or 1.0,
            probe=probe,
        )

    def predict_many(
        self,
        sources: Sequence[str | os.PathLike[str]],
        *,
        clips: int | None = None,
        workers: int = 0,
    ) -> Iterator[Prediction | FailedVideo]:
        """Recognise the actions in many files, in order; an unreadable one costs only itself.

        Args:
            sources: Video files.
            clips: Clips taken from each video; their scores are averaged. As in training when
                left out.
            workers: Processes that decode; 0 decodes in this one.
        """
        records = [
            SampleRecord(Path(source), os.fspath(source), label="", group="") for source in sources
        ]
        for result in self.score_records(records, clips=clips, workers=workers):
            name = records[result.index].name
            if result.scores is None:
                yield FailedVideo(name, result.error)
            else:
                yield self._prediction(name, result)

    def predict(self, source: str | os.PathLike[str], *, clips: int | None = None) -> Prediction:
        """Recognise the action in one video file.

        Raises:
            VideoError: The file cannot be read.
        """
        result = next(self.predict_many([source], clips=clips))
        if isinstance(result, FailedVideo):
            raise VideoError(result.error)
        return result

    def _prediction(self, name: str, result: VideoScores) -> Prediction:
        assert result.scores is not None
        numbers = result.scores.tolist()
        named = dict(zip(self.class_names, numbers, strict=True))
        labels = self.labels_for(numbers)
        regression = self.task == "regression"
        return Prediction(
            video=name,
            task=self.task,
            labels=labels,
            scores={} if regression else named,
            values=named if regression else {},
            duration_s=result.duration_s,
            frames_used=result.frames_used,
            segments=tuple(
                Segment(0.0, result.duration_s, label, named[label]) for label in labels
            ),
        )


def sampling_rule(info: ModelInfo) -> SamplingRule:
    """How a model wants frames chosen.

    Raises:
        ModelFileError: The model was trained with a rule that this release does not have.
    """
    kind = next((known for known in get_args(SamplingKind) if known == info.sampling), None)
    if kind is None:
        raise ModelFileError(
            f"The model's sampling is {info.sampling!r}, which this cliptide does not have. "
            "Upgrade with: pip install --upgrade cliptide"
        )
    return SamplingRule(kind, info.frames, info.rate_fps, info.stride)


def picture_fit(info: ModelInfo) -> Fit:
    """How a model wants pictures fitted into its frame size.

    Raises:
        ModelFileError: The model was trained with a fit that this release does not have.
    """
    fit = next((known for known in get_args(Fit) if known == info.fit), None)
    if fit is None:
        raise ModelFileError(
            f"The model fits pictures by {info.fit!r}, which this cliptide does not have. "
            "Upgrade with: pip install --upgrade cliptide"
        )
    return cast(Fit, fit)


def load(path: str | os.PathLike[str], *, device: str = "auto") -> ActionRecognizer:
    """Load a model file.

    Args:
        path: A `model.safetensors` written by training.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        ModelFileError: The file is no model, is truncated or is of a newer format.
        DeviceError: This machine lacks the device.
    """
    network, info = load_model(Path(path))
    return ActionRecognizer(network, info, device=resolve_device(device))
