"""The figures of a model that gives a video one class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.figures.bootstrap import Unit, interval_of_mean
from cliptide.app.evaluation.figures.calibration import single_calibration
from cliptide.app.evaluation.figures.order import difference
from cliptide.app.evaluation.figures.ranking import average_precisions
from cliptide.app.evaluation.figures.swaps import find_swaps
from cliptide.app.evaluation.predictions import VideoPrediction


def single_metrics(
    scored: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    units: Sequence[Unit],
    seed: int,
    temperature: float | None,
    nothing_below: float | None,
) -> dict[str, Any]:
    """Compute what metrics.json holds of task single, by scikit-learn.

    Args:
        scored: Predictions with a true class, of videos that could be read.
        class_names: In the order of the scores.
        units: What the bootstrap draws as a whole, one for each of `scored`.
        seed: Of the bootstrap.
        temperature: With which the scores were calibrated; None for none.
        nothing_below: The score below which validation says to answer nothing; None for none.

    Returns:
        - `top1`, `top5` (None with five classes or fewer, where it says nothing), `macro_f1`
          (over the classes that are true or predicted at least once, as scikit-learn does),
          `balanced_accuracy` (mean recall of the classes that are there), all 0..1.
        - `ci95`: interval of top-1.
        - `per_class`: {name: {ap, precision, recall, f1, support}}; `ap` is the average precision
          of one class against the rest; precision is None for a class that is never predicted,
          recall and `ap` for one without videos, F1 when both are so.
        - `confusion`: counts, (K, K) as lists, rows = true, columns = predicted.
        - `swaps`: see `find_swaps`; `calibration`: see `single_calibration`.
        - `baselines`: `majority`, the top-1 of always answering the most frequent true class;
          `above`: {majority: {by, ci95}}, what the model's top-1 is above it.

        With no scored video at all, every figure is None and the counts are 0.
    """
    index = {name: number for number, name in enumerate(class_names)}
    shape = (len(scored), len(class_names))
    true = np.array([index[str(row.true)] for row in scored], dtype=np.int64)
    predicted = np.array([index[str(row.predicted)] for row in scored], dtype=np.int64)
    scores = np.array([row.scores for row in scored], dtype=np.float64).reshape(shape)
    correct = true == predicted
    figures = _class_figures(true, predicted, scores, class_names)
    majority: float | None = None
    above: dict[str, Any] = {}
    if scored:
        most_frequent = true == np.bincount(true).argmax()
        majority = float(most_frequent.mean())
        gains = correct.astype(np.float64) - most_frequent
        above["majority"] = difference(gains, units, seed=seed)
    return {
        "top1": float(correct.mean()) if scored else None,
        "top5": _top_k(scores, true, k=5) if scored and len(index) > 5 else None,
        "macro_f1": _mean(entry["f1"] for entry in figures["per_class"].values()),
        "balanced_accuracy": _mean(entry["recall"] for entry in figures["per_class"].values()),
        "ci95": interval_of_mean(correct, units, seed=seed),
        **figures,
        "swaps": find_swaps(figures["confusion"], class_names),
        "calibration": single_calibration(
            scores,
            true,
            correct,
            units=units,
            seed=seed,
            temperature=temperature,
            nothing_below=nothing_below,
        ),
        "baselines": {"majority": majority},
        "above": above,
    }


def _class_figures(
    true: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    class_names: Sequence[str],
) -> dict[str, Any]:
    num_classes = len(class_names)
    if not len(true):
        nothing = {"ap": None, "precision": None, "recall": None, "f1": None, "support": 0}
        return {
            "per_class": {name: dict(nothing) for name in class_names},
            "confusion": [[0] * num_classes for _ in class_names],
        }
    # Two seconds, which a command that never evaluates must not wait for.
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    numbers = list(range(num_classes))
    # NaN marks the undefined without a warning; it leaves as None.
    columns = precision_recall_fscore_support(true, predicted, labels=numbers, zero_division=np.nan)
    precisions = average_precisions(true[:, None] == np.arange(num_classes), scores)
    per_class = {
        name: {
            "ap": ap,
            "precision": _number(precision),
            "recall": _number(recall),
            "f1": _number(f1),
            "support": int(support),
        }
        for name, ap, precision, recall, f1, support in zip(
            class_names, precisions, *columns, strict=True
        )
    }
    confusion = confusion_matrix(true, predicted, labels=numbers)
    return {"per_class": per_class, "confusion": confusion.tolist()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: Any) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _top_k(scores: npt.NDArray[np.float64], true: npt.NDArray[np.int64], *, k: int) -> float:
    # A stable sort of the negated scores gives ties to the earlier class, as argmax does.
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == true[:, None]).any(axis=1).mean())
