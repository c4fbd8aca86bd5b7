"""The figures of an evaluation, from the predictions alone.

Every figure is over the scored videos: those that could be read and whose true label is one of
the model's classes. All others are counted (`num_failed`, `num_unlabelled`, `unknown_labels`),
so that `num_videos` is always the sum of everything. A figure that is undefined is None, never
a NaN and never a 0 that nobody measured.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.predictions import VideoPrediction

RESAMPLES = 1000
# With fewer groups the bootstrap over groups has too few units to say anything.
MIN_GROUPS = 10


def compute_metrics(
    rows: Sequence[VideoPrediction], class_names: Sequence[str], *, split: str, seed: int = 0
) -> dict[str, Any]:
    """Compute what `metrics.json` holds.

    Args:
        rows: One prediction a video, failed ones included.
        class_names: The model's classes, in the order of the scores.
        split: Which split the videos are, for the record.
        seed: Of the bootstrap.

    Returns:
        A dictionary ready for JSON:

        - `split`, `num_videos` (all), `num_failed`, `num_unlabelled` (no true label),
          `unknown_labels` ({label: videos}, labels the model has no class for), `num_scored`.
        - `top1`, `top5` (None with five classes or fewer, where it says nothing), `macro_f1`
          (over the classes that are true or predicted at least once, as scikit-learn does),
          `balanced_accuracy` (mean recall of the classes that are there), all 0..1.
        - `ci95`: 95 % percentile bootstrap interval of top-1, drawn over `ci95_over`: `groups`
          where there are ten or more that hold several clips, else `clips`; `num_groups`.
        - `per_class`: {name: {precision, recall, f1, support}}; precision is None for a class
          that is never predicted, recall for one without videos, F1 when both are so.
        - `confusion`: counts, (K, K) as lists, rows = true, columns = predicted.
        - `baselines`: `majority`, the top-1 of always answering the most frequent true class.

        With no scored video at all, every figure is None and the counts are 0.

    Raises:
        ValueError: A row has not one score for each class.
    """
    index = {name: number for number, name in enumerate(class_names)}
    for row in rows:
        if row.scores and len(row.scores) != len(index):
            raise ValueError(
                f"{row.video!r} has {len(row.scores)} scores for {len(index)} classes. "
                "Give one score for each class."
            )
    readable = [row for row in rows if not row.failed]
    scored = [row for row in readable if row.true in index]
    unknown = Counter(row.true for row in readable if row.true and row.true not in index)
    num_groups = len({row.group for row in scored if row.group})
    true = np.array([index[str(row.true)] for row in scored], dtype=np.int64)
    predicted = np.array([index[str(row.predicted)] for row in scored], dtype=np.int64)
    correct = true == predicted
    figures = _class_figures(true, predicted, class_names)
    # A group for every clip says no more than the clips do.
    over_groups = MIN_GROUPS <= num_groups < len(scored)
    return {
        "split": split,
        "num_videos": len(rows),
        "num_scored": len(scored),
        "num_failed": len(rows) - len(readable),
        "num_unlabelled": sum(not row.true for row in readable),
        "unknown_labels": {str(label): unknown[label] for label in sorted(unknown, key=str)},
        "top1": float(correct.mean()) if scored else None,
        "top5": _top_k(scored, true, k=5) if scored and len(index) > 5 else None,
        "macro_f1": _mean(entry["f1"] for entry in figures["per_class"].values()),
        "balanced_accuracy": _mean(entry["recall"] for entry in figures["per_class"].values()),
        "ci95": _bootstrap(correct, _units(scored, over_groups=over_groups), seed=seed),
        "ci95_over": "groups" if over_groups else "clips",
        "num_groups": num_groups,
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


def _units(scored: Sequence[VideoPrediction], *, over_groups: bool) -> list[str | int]:
    """What is drawn as a whole: each clip's group, or the clip's own number."""
    return [row.group if over_groups and row.group else number for number, row in enumerate(scored)]


def _bootstrap(
    correct: npt.NDArray[np.bool_], units: Sequence[str | int], *, seed: int
) -> list[float] | None:
    """Percentile interval of the share of `correct`, whole units drawn with replacement."""
    if not len(correct):
        return None
    # Clips of one group resemble each other: drawing them singly would make the interval too
    # narrow (cluster bootstrap: Davison and Hinkley, "Bootstrap Methods", 1997, section 3.8).
    numbers: dict[str | int, int] = {}
    unit_of_clip = [numbers.setdefault(unit, len(numbers)) for unit in units]
    sizes = np.bincount(unit_of_clip)
    hits = np.bincount(unit_of_clip, weights=correct)
    rng = np.random.default_rng(seed)
    shares = np.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        drawn = rng.integers(len(sizes), size=len(sizes))
        shares[resample] = hits[drawn].sum() / sizes[drawn].sum()
    low, high = np.percentile(shares, [2.5, 97.5])
    return [float(low), float(high)]
