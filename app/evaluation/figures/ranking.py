"""Figures over whole sets of clips that training chooses by and evaluation reports."""

import math

import numpy as np
import numpy.typing as npt

from cliptide.configs.tasks import DEFAULT_THRESHOLD

Floats = npt.NDArray[np.float64]


def average_precisions(true: npt.NDArray[np.bool_], scores: Floats) -> list[float | None]:
    """The average precision of each label by scikit-learn.

    Args:
        true: (N, K), whether a clip has a label.
        scores: (N, K), higher for likelier.

    Returns:
        One for each label; None for a label that no clip has.
    """
    from sklearn.metrics import average_precision_score

    return [
        float(average_precision_score(has, score)) if has.any() else None
        for has, score in zip(true.T, scores.T, strict=True)
    ]


def mean_average_precision(true: npt.NDArray[np.bool_], scores: Floats) -> float | None:
    """mAP: the mean over the labels that some clip has; None where there is none."""
    known = [each for each in average_precisions(true, scores) if each is not None]
    return sum(known) / len(known) if known else None


def r2(true: Floats, predicted: Floats) -> list[float | None]:
    """The share of each target's variance that is explained, by scikit-learn.

    Args:
        true: (N, K) targets.
        predicted: (N, K).

    Returns:
        One for each target, at most 1; None where the targets do not differ.
    """
    from sklearn.metrics import r2_score

    return [
        float(r2_score(wanted, said)) if len(np.unique(wanted)) > 1 else None
        for wanted, said in zip(true.T, predicted.T, strict=True)
    ]


def mean_r2(true: Floats, predicted: Floats) -> float | None:
    """The mean of R2 over the targets that differ; None where there is none."""
    known = [each for each in r2(true, predicted) if each is not None]
    return sum(known) / len(known) if known else None


def best_thresholds(true: npt.NDArray[np.bool_], scores: Floats) -> tuple[float, ...]:
    """For each label the threshold with the highest F1 (scikit-learn's precision-recall curve).

    Between the lowest score that is to be above it and the next one below, any threshold does the
    same here; half way is the safest for clips yet to come. Among equals, the nearest to 0.5.

    Args:
        true: (N, K), whether a clip has a label.
        scores: (N, K), 0..1.

    Returns:
        One for each label; 0.5 for a label that no clip has.
    """
    return tuple(
        _best_threshold(has, score) if has.any() else DEFAULT_THRESHOLD
        for has, score in zip(true.T, scores.T, strict=True)
    )


def _best_threshold(true: npt.NDArray[np.bool_], scores: Floats) -> float:
    from sklearn.metrics import precision_recall_curve

    precision, recall, cuts = precision_recall_curve(true, scores)
    # The curve's last point has no threshold: nothing is given there.
    both = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
    below = np.concatenate([[0.0], cuts[:-1]])
    candidates = [
        float((low + high) / 2)
        for low, high, figure in zip(below, cuts, f1, strict=True)
        if math.isclose(figure, f1.max())
    ]
    return min(candidates, key=lambda cut: abs(cut - DEFAULT_THRESHOLD))
