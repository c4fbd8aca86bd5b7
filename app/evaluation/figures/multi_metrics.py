"""The figures of a model that gives a video several labels, or none."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cliptide.app.evaluation.figures.bootstrap import Unit, interval_of_map
from cliptide.app.evaluation.figures.calibration import multi_calibration
from cliptide.app.evaluation.figures.ranking import average_precisions, mean_average_precision
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.configs.tasks import DEFAULT_THRESHOLD
from cliptide.datasets.labels import names_in


def multi_metrics(
    scored: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    thresholds: Sequence[float],
    units: Sequence[Unit],
    seed: int,
) -> dict[str, Any]:
    """Compute what metrics.json holds of task multi, by scikit-learn.

    Args:
        scored: Predictions with a true label, of videos that could be read.
        class_names: The single labels, in the order of the scores.
        thresholds: The score from which on each label is given; 0.5 when empty.
        units: What the bootstrap draws as a whole, one for each of `scored`.
        seed: Of the bootstrap.

    Returns:
        - `map`: mean of the average precision over the labels that some video has.
        - `micro_f1` (over all yes-or-no answers), `macro_f1` (mean over the labels that are true
          or predicted at least once), `subset_accuracy` (every label of a video right).
        - `ci95`: interval of mAP.
        - `per_class`: {label: {ap, precision, recall, f1, support, threshold}}.
        - `calibration`: see `multi_calibration`.
        - `baselines`: `constant`, the mAP of giving every video the same scores: the mean share
          of videos that have a label.

        What is undefined is None.
    """
    cuts = [float(cut) for cut in thresholds] or [DEFAULT_THRESHOLD] * len(class_names)
    labels = [set(names_in(str(row.true))) for row in scored]
    given = [set(names_in(str(row.predicted))) for row in scored]
    shape = (len(scored), len(class_names))
    true = np.array([[n in has for n in class_names] for has in labels], dtype=bool).reshape(shape)
    said = np.array([[n in has for n in class_names] for has in given], dtype=bool).reshape(shape)
    scores = np.array([row.scores for row in scored], dtype=np.float64).reshape(shape)
    prevalence = [share for share in true.mean(axis=0) if share > 0] if scored else []
    per_class = _per_class(true, said, average_precisions(true, scores), class_names, cuts)
    defined = [entry["f1"] for entry in per_class.values() if entry["f1"] is not None]
    return {
        "map": mean_average_precision(true, scores),
        "micro_f1": _micro_f1(true, said),
        "macro_f1": float(np.mean(defined)) if defined else None,
        "subset_accuracy": float((true == said).all(axis=1).mean()) if scored else None,
        "ci95": interval_of_map(true, scores, units, seed=seed),
        "per_class": per_class,
        "calibration": multi_calibration(scores, true, units=units, seed=seed),
        "baselines": {"constant": float(np.mean(prevalence)) if prevalence else None},
    }


def _micro_f1(true: Any, said: Any) -> float | None:
    if not (true.any() or said.any()):
        return None
    from sklearn.metrics import f1_score

    return float(f1_score(true.ravel(), said.ravel()))


def _per_class(
    true: Any,
    said: Any,
    precisions: Sequence[float | None],
    class_names: Sequence[str],
    thresholds: Sequence[float],
) -> dict[str, dict[str, Any]]:
    figures: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(class_names):
        precision, recall, f1 = _binary_figures(true[:, place], said[:, place])
        figures[name] = {
            "ap": precisions[place],
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": int(true[:, place].sum()),
            "threshold": thresholds[place],
        }
    return figures


def _binary_figures(true: Any, said: Any) -> list[float | None]:
    if not len(true):
        return [None, None, None]
    from sklearn.metrics import precision_recall_fscore_support

    # NaN marks the undefined without a warning; it leaves as None.
    found = precision_recall_fscore_support(true, said, average="binary", zero_division=np.nan)
    return [None if np.isnan(figure) else float(figure) for figure in found[:3]]
