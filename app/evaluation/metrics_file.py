"""metrics.json as it is read back: the figures that others rely on are all there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cliptide.configs.errors import DataError
from cliptide.configs.tasks import TASKS, Task

_MEND = "Give the folder of a finished run, or evaluate its model again."
# Of every task, then of each: what must stand there, and what kind of value it is.
_NUMBERS = (int, float, type(None))
_KEYS: dict[str, Any] = {
    "num_videos": int,
    "num_scored": int,
    "num_failed": int,
    "num_unlabelled": int,
    "unknown_labels": dict,
    "num_groups": int,
    "ci95": (list, type(None)),
    "ci95_over": str,
    "baselines": dict,
}
_KEYS_OF_TASK: dict[Task, dict[str, Any]] = {
    "single": {
        "top1": _NUMBERS,
        "top5": _NUMBERS,
        "macro_f1": _NUMBERS,
        "balanced_accuracy": _NUMBERS,
        "per_class": dict,
        "confusion": list,
    },
    "multi": {
        "map": _NUMBERS,
        "micro_f1": _NUMBERS,
        "macro_f1": _NUMBERS,
        "subset_accuracy": _NUMBERS,
        "per_class": dict,
    },
    "regression": {"mae": _NUMBERS, "rmse": _NUMBERS, "r2": _NUMBERS, "per_target": dict},
}


def read_metrics(path: Path) -> dict[str, Any]:
    """Read metrics.json; of its figures the task alone is looked at.

    Raises:
        DataError: It cannot be read, is damaged, or does not name its task.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. {_MEND}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}). {_MEND}") from error
    if not isinstance(metrics, dict) or metrics.get("task") not in TASKS:
        raise DataError(f"{path} is damaged: its task is none of {', '.join(TASKS)}. {_MEND}")
    return metrics


def check_metrics(metrics: Mapping[str, Any], *, path: Path) -> None:
    """Refuse figures that a page could not be made of.

    Args:
        metrics: What metrics.json holds, or what was computed anew of it.
        path: The file.

    Raises:
        DataError: A key is missing, or its value is of another kind.
    """
    for key, kind in (_KEYS | _KEYS_OF_TASK[metrics["task"]]).items():
        if key not in metrics:
            raise DataError(f"{path} is damaged: it has no {key!r}. {_MEND}")
        if not isinstance(metrics[key], kind):
            raise damaged_value(path, f"its {key!r} is {metrics[key]!r:.40}")


def damaged_value(path: Path, why: str) -> DataError:
    """An error that says what is wrong in the file, and the mend."""
    return DataError(f"{path} is damaged: {why}. {_MEND}")
