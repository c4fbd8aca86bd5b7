"""What a model says of a video. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cliptide.configs.tasks import Task

if TYPE_CHECKING:
    from cliptide.datasets.records import SampleRecord
    from cliptide.models.info import ModelInfo


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
        missing: Why, of each of several streams that the video lacks; they were masked.
        sample: What was read, so that a notebook shows it; None where that is not known.
        info: The model, likewise.
    """

    video: str
    task: Task
    labels: tuple[str, ...]
    scores: Mapping[str, float]
    values: Mapping[str, float]
    duration_s: float
    frames_used: int
    segments: tuple[Segment, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    sample: "SampleRecord | None" = field(default=None, repr=False, compare=False)
    info: "ModelInfo | None" = field(default=None, repr=False, compare=False)

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
        # Times of texts and images are no seconds.
        has_seconds = self.info is None or self.info.streams.has_seconds
        seen: dict[str, Any] = {"duration_s": self.duration_s} if has_seconds else {}
        seen["frames_used"] = self.frames_used
        if self.missing:
            seen["missing"] = list(self.missing)
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
            "segments": [
                vars(one) if has_seconds else {"label": one.label, "score": one.score}
                for one in self.segments
            ],
        }

    def _repr_html_(self) -> str:
        """A film strip and bars, in a notebook."""
        from cliptide.app.inference.notebook import prediction_html

        return prediction_html(self)


@dataclass(frozen=True)
class FailedVideo:
    """A video that could not be read, and why."""

    video: str
    error: str

    def to_json(self) -> dict[str, Any]:
        """The failure as the command line writes it."""
        return {"video": self.video, "error": self.error}
