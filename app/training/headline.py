"""The figure that runs are compared by: its name and its value, always better when higher."""

from collections.abc import Mapping
from typing import Any

# What a fold's and a pooled metrics.json are summed up by: key and name, the headline first.
FOLD_FIGURES = {"top1": "top-1", "macro_f1": "macro F1"}

VALIDATION_FIGURE = "val top-1"


def validation_figure(row: Mapping[str, Any]) -> float:
    """The headline of an epoch's history row, on the validation clips."""
    return float(row["val_top1"])


def validation_rank(row: Mapping[str, Any]) -> tuple[float, float]:
    """The headline, and among equals the loss, as a key by which more is better."""
    loss = row["val_loss"]
    return validation_figure(row), -loss if loss is not None and loss == loss else -1e30
