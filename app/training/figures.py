"""The figure by which a task's best epoch is chosen, over all validation clips at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cliptide.app.evaluation.figures.ranking import best_thresholds, mean_average_precision, mean_r2
from cliptide.configs.tasks import Task


@dataclass(frozen=True)
class Figure:
    """A figure of the history.

    Attributes:
        key: Its column is `val_<key>`, and `train_<key>` where it is a mean over batches.
        name: What a person reads.
    """

    key: str
    name: str


FIGURES: dict[Task, Figure] = {
    "single": Figure("top1", "top-1"),
    "multi": Figure("map", "mAP"),
    "regression": Figure("r2", "R2"),
}


class WholeSplit:
    """Outputs and labels of a split, gathered batch by batch: mAP and R2 are no means of batches.

    Args:
        task: `multi` or `regression`; of `single` nothing is gathered.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._outputs: list[Tensor] = []
        self._labels: list[Tensor] = []

    def clear(self) -> None:
        """Begin a new epoch."""
        self._outputs, self._labels = [], []

    def add(self, outputs: Tensor, labels: Tensor) -> None:
        """Take in logits or numbers (B, K) and labels (B, K)."""
        if self.task != "single":
            self._outputs.append(outputs.detach().double().cpu())
            self._labels.append(labels.double().cpu())

    def figure(self) -> float | None:
        """The figure of all clips so far; None where it is undefined."""
        if not self._outputs:
            return None
        outputs, labels = self._arrays()
        # A training that diverged has no figure; its loss says so.
        if not np.isfinite(outputs).all():
            return None
        if self.task == "multi":
            return mean_average_precision(labels > 0.5, outputs)
        return mean_r2(labels, outputs)

    def thresholds(self) -> tuple[float, ...]:
        """The threshold of each label with the highest F1; none for other tasks."""
        if self.task != "multi" or not self._outputs:
            return ()
        outputs, labels = self._arrays()
        if not np.isfinite(outputs).all():
            return ()
        return best_thresholds(labels > 0.5, outputs)

    def _arrays(self) -> tuple[Any, Any]:
        outputs = torch.cat(self._outputs)
        if self.task == "multi":
            outputs = torch.sigmoid(outputs)
        return outputs.numpy(), torch.cat(self._labels).numpy()
