"""The figures of an evaluation, from the predictions alone.

Every figure is over the scored videos: those that could be read and whose true label the model
has an output for. All others are counted (`num_failed`, `num_unlabelled`, `unknown_labels`),
so that `num_videos` is always the sum of everything. A figure that is undefined is None, never
a NaN and never a 0 that nobody measured.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.figures.bootstrap import (
    Unit,
    interval_of_mean,
    num_groups,
    over_groups,
    units_of,
)
from cliptide.app.evaluation.figures.multi_metrics import multi_metrics
from cliptide.app.evaluation.figures.regression_metrics import regression_metrics
from cliptide.app.evaluation.predictions import VideoPrediction, is_labelled
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import classes_of

# What a model file keeps of a task's figures.
HEADLINES: dict[Task, tuple[str, ...]] = {
    "single": ("top1", "macro_f1", "ci95", "num_videos"),
    "multi": ("map", "macro_f1", "ci95", "num_videos"),
    "regression": ("mae", "r2", "ci95", "num_videos"),
}


def compute_metrics(
    rows: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    split: str,
    seed: int = 0,
    task: Task = "single",
    thresholds: Sequence[float] = (),
) -> dict[str, Any]:
    """Compute what `metrics.json` holds.

    Args:
        rows: One prediction a video, failed ones included.
        class_names: The model's classes, labels or targets, in the order of the scores.
        split: Which split the videos are, for the record.
        seed: Of the bootstrap.
        task: What was predicted.
        thresholds: For multi, the score from which on each label is given; 0.5 when left out.

    Returns:
        A dictionary ready for JSON. For any task:

        - `task`, `split`, `num_videos` (all), `num_failed`, `num_unlabelled` (no true label),
          `unknown_labels` ({label: videos}, labels the model has no class for), `num_scored`.
        - `ci95_over`: `groups` where there are ten or more that hold several clips, else
          `clips`: what is drawn for the 95 % percentile bootstrap interval; `num_groups`.

        For multi see `multi_metrics`, for regression `regression_metrics`; for single:

        - `top1`, `top5` (None with five classes or fewer, where it says nothing), `macro_f1`
          (over the classes that are true or predicted at least once, as scikit-learn does),
          `balanced_accuracy` (mean recall of the classes that are there), all 0..1.
        - `ci95`: interval of top-1.
        - `per_class`: {name: {precision, recall, f1, support}}; precision is None for a class
          that is never predicted, recall for one without videos, F1 when both are so.
        - `confusion`: counts, (K, K) as lists, rows = true, columns = predicted.
        - `baselines`: `majority`, the top-1 of always answering the most frequent true class.

        With no scored video at all, every figure is None and the counts are 0.

    Raises:
        ValueError: A row has not one score for each class.
    """
    for row in rows:
        if row.scores and len(row.scores) != len(class_names):
            raise ValueError(
                f"{row.video!r} has {len(row.scores)} scores for {len(class_names)} classes. "
                "Give one score for each class."
            )
    readable = [row for row in rows if not row.failed]
    labelled = [row for row in readable if is_labelled(row, task)]
    unknown: Counter[str] = Counter()
    scored = []
    for row in labelled:
        strangers = [n for n in classes_of(str(row.true), task) if n not in class_names]
        unknown.update(strangers)
        if not strangers:
            scored.append(row)
    groups = [row.group for row in scored]
    units = units_of(groups)
    if task == "multi":
        figures = multi_metrics(scored, class_names, thresholds=thresholds, units=units, seed=seed)
    elif task == "regression":
        figures = regression_metrics(scored, class_names, units=units, seed=seed)
    else:
        figures = _single_metrics(scored, class_names, units=units, seed=seed)
    return {
        "task": task,
        "split": split,
        "num_videos": len(rows),
        "num_scored": len(scored),
        "num_failed": len(rows) - len(readable),
        "num_unlabelled": len(readable) - len(labelled),
        "unknown_labels": {label: unknown[label] for label in sorted(unknown)},
        "ci95_over": "groups" if over_groups(groups) else "clips",
        "num_groups": num_groups(groups),
        **figures,
    }


def _single_metrics(
    scored: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    units: Sequence[Unit],
    seed: int,
) -> dict[str, Any]:
    index = {name: number for number, name in enumerate(class_names)}
    true = np.array([index[str(row.true)] for row in scored], dtype=np.int64)
    predicted = np.array([index[str(row.predicted)] for row in scored], dtype=np.int64)
    correct = true == predicted
    figures = _class_figures(true, predicted, class_names)
    return {
        "top1": float(correct.mean()) if scored else None,
        "top5": _top_k(scored, true, k=5) if scored and len(index) > 5 else None,
        "macro_f1": _mean(entry["f1"] for entry in figures["per_class"].values()),
        "balanced_accuracy": _mean(entry["recall"] for entry in figures["per_class"].values()),
        "ci95": interval_of_mean(correct, units, seed=seed),
        **figures,
        "baselines": {
            "majority": float(np.bincount(true).max() / len(scored)) if scored else None,
        },
    }


def _class_figures(
    true: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], class_names: Sequence[str]
) -> dict[str, Any]:
    num_classes = len(class_names)
    if not len(true):
        nothing = {"precision": None, "recall": None, "f1": None, "support": 0}
        return {
            "per_class": {name: dict(nothing) for name in class_names},
            "confusion": [[0] * num_classes for _ in class_names],
        }
    # Two seconds, which a command that never evaluates must not wait for.
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    numbers = list(range(num_classes))
    # NaN marks the undefined without a warning; it leaves as None.
    columns = precision_recall_fscore_support(true, predicted, labels=numbers, zero_division=np.nan)
    per_class = {
        name: {
            "precision": _number(precision),
            "recall": _number(recall),
            "f1": _number(f1),
            "support": int(support),
        }
        for name, precision, recall, f1, support in zip(class_names, *columns, strict=True)
    }
    confusion = confusion_matrix(true, predicted, labels=numbers)
    return {"per_class": per_class, "confusion": confusion.tolist()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: Any) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _top_k(scored: Sequence[VideoPrediction], true: npt.NDArray[np.int64], *, k: int) -> float:
    scores = np.array([row.scores for row in scored])
    # A stable sort of the negated scores gives ties to the earlier class, as argmax does.
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == true[:, None]).any(axis=1).mean())
