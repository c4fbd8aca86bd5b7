"""What the report says of several labels and of numbers: remarks, figures and words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import numbers_in

# What a number of outputs is called in the report's head.
OUTPUT_WORDS: dict[Task, str] = {"single": "classes", "multi": "labels", "regression": "targets"}
_BINS = 20


def no_skill_remark(metrics: Mapping[str, Any], *, num_classes: int) -> str:
    """Say where the interval reaches what needs no model; empty where it does not."""
    task, nouns = metrics["task"], Nouns.of_metrics(metrics)
    if metrics["ci95"] is None:
        return ""
    low, high = metrics["ci95"]
    if task == "regression":
        constant = metrics["baselines"]["mean"]
        said = "always saying the mean"
        reached = high >= constant
    elif task == "multi":
        said = f"giving every {nouns.sample} the same scores"
        reached = low <= metrics["baselines"]["constant"]
    else:
        said = f"guessing or always answering the most frequent class of these {nouns.samples}"
        reached = low <= max(metrics["baselines"]["majority"], 1 / num_classes)
    if not reached:
        return ""
    return f"The interval reaches to what {said} gives: this model is not clearly better than that."


def target_figures(
    predictions: Sequence[VideoPrediction], target_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Predicted against true and the errors of each target, as numbers to be drawn."""
    rows = [row for row in predictions if not row.failed and row.true]
    if not rows:
        return []
    true = np.array([numbers_in(str(row.true)) for row in rows], dtype=np.float64)
    said = np.array([row.scores for row in rows], dtype=np.float64)
    figures = []
    for place, name in enumerate(target_names):
        errors = said[:, place] - true[:, place]
        counts, edges = np.histogram(errors, bins=min(_BINS, max(5, len(rows) // 3)))
        both = np.concatenate([true[:, place], said[:, place]])
        figures.append(
            {
                "name": name,
                "true": true[:, place].tolist(),
                "predicted": said[:, place].tolist(),
                "range": [float(both.min()), float(both.max())],
                "errors": {
                    "middles": ((edges[:-1] + edges[1:]) / 2).tolist(),
                    "width": float(edges[1] - edges[0]),
                    "counts": counts.tolist(),
                },
            }
        )
    return figures
