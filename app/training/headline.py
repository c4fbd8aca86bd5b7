"""The figure that runs are compared by: its name and its value, always better when higher."""

import math
from collections.abc import Mapping
from typing import Any

from cliptide.app.training.figures import FIGURES
from cliptide.configs.tasks import Task

# What a fold's and a pooled metrics.json are summed up by: key and name, the headline first.
FOLD_FIGURES: dict[Task, dict[str, str]] = {
    "single": {"top1": "top-1", "macro_f1": "macro F1"},
    "multi": {"map": "mAP", "macro_f1": "macro F1"},
    "regression": {"mae": "MAE", "r2": "R2"},
}


def validation_name(task: Task) -> str:
    """What the figure that epochs and trials are chosen by is called."""
    return f"val {FIGURES[task].name}"


def validation_figure(row: Mapping[str, Any], *, task: Task) -> float:
    """The headline of an epoch's history row, on the validation clips.

    Minus infinity where it is undefined: R2 of a single clip, mAP of clips without labels, or
    either after a training that diverged.
    """
    value = row.get(f"val_{FIGURES[task].key}")
    return -math.inf if value is None or math.isnan(value) else float(value)
