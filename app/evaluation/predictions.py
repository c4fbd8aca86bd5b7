"""One line for each evaluated video, and the CSV file that holds them.

    video,true,predicted,score,<one column a class>,frames_used,group,error

Columns are found by position (four before the classes, three behind them), so that a class may
be called `score` or `error`. Failed videos have a line too, with their reason and no scores.
Several labels are written `a|b`, and nothing for none of them; of a regression the columns of the
classes are the targets, and there is no score.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import classes_of, numbers_in

_HEAD = ("video", "true", "predicted", "score")
_TAIL = ("frames_used", "group", "error")


@dataclass(frozen=True)
class VideoPrediction:
    """What the model said about one video.

    Attributes:
        video: The name of the clip, as in `SampleRecord.name`.
        true: The label it should get; None when unknown, empty for none of several labels.
        predicted: The class with the highest score, all labels whose score reaches their
            threshold (`a|b`, or empty), or the numbers; None when the video failed.
        scores: One probability a class, in the order of the model's classes, summing to 1 for a
            single label; the numbers of a regression; empty when the video failed.
        frames_used: Frames that went through the network, over all clips of the video.
        group: What must not be torn between train and test; empty when unknown.
        error: Why the video failed; empty when it did not.
    """

    video: str
    true: str | None
    predicted: str | None
    scores: tuple[float, ...]
    frames_used: int
    group: str = ""
    error: str = ""

    def __post_init__(self) -> None:
        if (self.predicted is None) != (not self.scores):
            raise ValueError(
                f"{self.video!r} has {len(self.scores)} scores and predicts {self.predicted!r}. "
                "Give both, or neither for a video that failed."
            )

    @property
    def failed(self) -> bool:
        """Whether the video could not be read."""
        return self.predicted is None

    @property
    def score(self) -> float | None:
        """The score of the likeliest class, 0..1; None when the video failed."""
        return max(self.scores) if self.scores else None

    @property
    def correct(self) -> bool:
        """Whether the predicted class is the true one; False for a video that failed."""
        return not self.failed and self.predicted == self.true


def is_labelled(row: VideoPrediction, task: Task) -> bool:
    """Whether a prediction has a true label: of several labels an empty one says none of them."""
    return row.true is not None and (bool(row.true) or task == "multi")


def most_confident_mistakes(
    rows: Sequence[VideoPrediction], *, limit: int
) -> list[VideoPrediction]:
    """Choose the wrong predictions worth looking at first.

    Args:
        rows: Any predictions; failed ones and those without a true label are passed over.
        limit: How many to give at most.

    Returns:
        Wrong predictions, the most confident first; ties in the order of `rows`.
    """
    wrong = [row for row in rows if row.true and not row.failed and not row.correct]
    return sorted(wrong, key=lambda row: -(row.score or 0.0))[:limit]


def write_predictions(
    path: str | Path,
    rows: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    task: Task = "single",
) -> None:
    """Write one CSV line a video.

    Args:
        path: The file to write; replaced if it exists.
        rows: The predictions, in the order wanted.
        class_names: The model's classes, in the order of the scores.
        task: What was predicted.

    Raises:
        ValueError: A row has not one score for each class.
    """
    # File names need not be UTF-8: surrogateescape writes the bytes they had back again.
    with Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_HEAD, *class_names, *_TAIL])
        for row in rows:
            if row.scores and len(row.scores) != len(class_names):
                raise ValueError(
                    f"{row.video!r} has {len(row.scores)} scores for {len(class_names)} classes. "
                    "Give one score for each class."
                )
            scores = _score_texts(row.scores) if row.scores else [""] * len(class_names)
            # By value, but as text: the same digits stand in the class's own column.
            best = max(scores, key=float) if row.scores and task != "regression" else ""
            before = [row.video, row.true or "", row.predicted or "", best]
            writer.writerow([*before, *scores, row.frames_used, row.group, row.error])


def read_predictions(
    path: str | Path, *, task: Task = "single"
) -> tuple[list[VideoPrediction], list[str]]:
    """Read what `write_predictions` wrote.

    Args:
        path: The CSV file; a byte-order mark, as spreadsheets leave it, is allowed.
        task: What was predicted; of several labels, an empty true label is read as none of them.

    Returns:
        The predictions in the order of the file, and the class names in the order of the scores.

    Raises:
        DataError: The file cannot be read, has other columns, holds a value that fits none, or a
            line that contradicts itself or another one.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} cannot be read: {why}. Give the folder of a finished run, or evaluate its "
            "model again."
        ) from error
    header = lines[0] if lines else []
    width = len(header)
    if tuple(header[:4]) != _HEAD or width < 7 or tuple(header[-3:]) != _TAIL:
        raise DataError(
            f"{path} starts with the columns {','.join(header)!r}. A predictions.csv has "
            f"{','.join(_HEAD)},<one column a class>,{','.join(_TAIL)}."
        )
    class_names = header[4:-3]
    rows: list[VideoPrediction] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != width:
            raise DataError(
                f"{path}: record {number} has {len(line)} columns, the header has {width}. "
                "Evaluate again to write the file anew."
            )
        where = f"{path}: record {number}"
        rows.append(_row(line, class_names=class_names, task=task, where=where))
        first = seen.setdefault(line[0], number)
        if first != number:
            raise DataError(
                f"{where} is of {line[0]!r} once more, which record {first} holds already. Each "
                "video has one line: take one of them out."
            )
    return rows, class_names


def written_scores(scores: Sequence[float]) -> tuple[float, ...]:
    """Scores as they are read back from predictions.csv."""
    return tuple(float(text) for text in _score_texts(tuple(scores)))


def _score_texts(scores: tuple[float, ...]) -> list[str]:
    # Nine significant digits hold every float32 exactly and keep the file short. Only scores
    # that differ beyond them (float64 averages) could make a tie where there was none.
    texts = [f"{score:.9g}" for score in scores]
    if _argmax([float(text) for text in texts]) == _argmax(scores):
        return texts
    return [repr(float(score)) for score in scores]


def _argmax(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def _row(line: list[str], *, class_names: list[str], task: Task, where: str) -> VideoPrediction:
    video, true, predicted, _ = line[:4]
    frames_used, group, error = line[-3:]
    if any(name not in class_names for name in classes_of(predicted, task) if name):
        raise DataError(
            f"{where} predicts {predicted!r}, which is no column. "
            "Evaluate again to write the file anew."
        )
    # Of several labels none may be predicted: only a failed video has no scores.
    scored = any(line[4:-3]) if task == "multi" else bool(predicted)
    try:
        row = VideoPrediction(
            video=video,
            true=true if true or task == "multi" else None,
            predicted=predicted if scored else None,
            scores=_numbers(line[4:-3], class_names) if scored else (),
            frames_used=_whole(frames_used),
            group=group,
            error=error,
        )
        contradiction = _contradiction(line, row, class_names=class_names, task=task)
    except ValueError as cause:
        raise DataError(
            f"{where} ({video}) is damaged: {cause}. Evaluate again to write the file anew."
        ) from cause
    if contradiction:
        raise DataError(
            f"{where} ({video}) {contradiction}. Mend the line, or evaluate again to write the "
            "file anew."
        )
    return row


def _numbers(texts: list[str], names: list[str]) -> tuple[float, ...]:
    found = []
    for name, text in zip(names, texts, strict=True):
        try:
            found.append(float(text))
        except ValueError:
            raise ValueError(f"{name!r} is {text!r}, which is no number") from None
    return tuple(found)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"frames_used is {text!r}, which is no whole number") from None


def _contradiction(
    line: list[str], row: VideoPrediction, *, class_names: list[str], task: Task
) -> str:
    """What in a line cannot be true together, as the rest of a sentence; empty if all can."""
    texts = line[4:-3]
    if row.failed:
        return "has scores but predicts nothing" if any(texts) else ""
    # A mean of float32 softmaxes may lie a little beside 0 and 1.
    low, high = (-math.inf, math.inf) if task == "regression" else (-1e-6, 1 + 1e-6)
    for name, text, score in zip(class_names, texts, row.scores, strict=True):
        if not math.isfinite(score) or not low <= score <= high:
            kind = "finite number" if task == "regression" else "probability from 0 to 1"
            return f"has {text!r} for {name!r}, which is no {kind}"
    if task == "regression":
        said = numbers_in(str(row.predicted))
        if len(said) != len(row.scores) or not all(map(_same, said, row.scores)):
            return f"predicts {row.predicted!r}, but its targets are {', '.join(texts)}"
        true = numbers_in(row.true) if row.true else said
        if len(true) != len(said):
            return f"has {row.true!r} for {len(said)} targets"
        return ""
    highest = _argmax(row.scores)
    if not _same(float(line[3] or "nan"), row.scores[highest]):
        return (
            f"has the score {line[3]!r}, but its highest is {texts[highest]} "
            f"({class_names[highest]!r})"
        )
    if task == "single":
        own = row.scores[class_names.index(str(row.predicted))]
        if not _same(own, row.scores[highest]):
            return f"predicts {row.predicted!r}, but {class_names[highest]!r} has the highest score"
    return ""


def _same(first: float, second: float) -> bool:
    # Spreadsheets write fewer digits.
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-9)
