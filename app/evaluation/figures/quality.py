"""How well one video was answered: the unit of comparisons, slices and groups."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cliptide.configs.tasks import Task
from cliptide.datasets.labels import names_in, numbers_in

Floats = npt.NDArray[np.float64]

# What the mean quality of some videos is called.
QUALITIES: dict[Task, str] = {"single": "top1", "multi": "f1", "regression": "mae"}


def qualities(true: Sequence[str], predicted: Sequence[str], task: Task) -> Floats:
    """How well each video was answered.

    Args:
        true: (N) labels as predictions.csv writes them.
        predicted: (N) answers, likewise.
        task: What they mean.

    Returns:
        (N,). For single 1 where the class is right, else 0; for multi the F1 of the video's
        labels, 1 where none are true and none given; for regression the absolute error, mean
        over the targets, of which less is better.
    """
    pairs = zip(true, predicted, strict=True)
    if task == "single":
        found = [float(wanted == said) for wanted, said in pairs]
    elif task == "multi":
        found = [_f1(set(names_in(wanted)), set(names_in(said))) for wanted, said in pairs]
    else:
        found = [_absolute_error(numbers_in(wanted), numbers_in(said)) for wanted, said in pairs]
    return np.array(found, dtype=np.float64)


def advantage(quality: Floats, other: Floats, task: Task) -> Floats:
    """How much better each video was answered than in another way: positive is always better."""
    return other - quality if task == "regression" else quality - other


def _f1(true: set[str], said: set[str]) -> float:
    num_labels = len(true) + len(said)
    return 2 * len(true & said) / num_labels if num_labels else 1.0


def _absolute_error(true: Sequence[float], said: Sequence[float]) -> float:
    errors = [abs(wanted - number) for wanted, number in zip(true, said, strict=True)]
    return sum(errors) / len(errors)
