"""What a label's text means: one class, several labels, or numbers.

A record keeps its label as text, whatever the task, so that tables and CSV files can show it:
`walk`, `walk|wave` (sorted; nothing for none of them), `3.5|-2`.
"""

import math
from collections.abc import Collection, Mapping, Sequence

from cliptide.configs.tasks import Task

SEPARATOR = "|"


def names_in(label: str) -> tuple[str, ...]:
    """The labels in a label of task multi; none for an empty one."""
    return tuple(label.split(SEPARATOR)) if label else ()


def numbers_in(label: str) -> tuple[float, ...]:
    """The targets in a label of task regression.

    Raises:
        ValueError: A part is no finite number.
    """
    numbers = tuple(float(part) for part in label.split(SEPARATOR))
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{label!r} is not finite. Give plain numbers, such as 3.5.")
    return numbers


def are_numbers(labels: Collection[str]) -> bool:
    """Whether every label reads as one or more finite numbers."""
    try:
        for label in labels:
            numbers_in(label)
    except ValueError:
        return False
    return bool(labels)


def joined_names(names: Collection[str]) -> str:
    """Write labels as one text, always in the same order."""
    return SEPARATOR.join(sorted(names))


def joined_numbers(numbers: Sequence[float]) -> str:
    """Write targets as one text that reads back as the very same numbers."""
    return SEPARATOR.join(repr(float(number)).removesuffix(".0") for number in numbers)


def target_names(count: int) -> tuple[str, ...]:
    """How targets are called: `target`, or `target_1` and so on."""
    return ("target",) if count == 1 else tuple(f"target_{n}" for n in range(1, count + 1))


def classes_of(label: str, task: Task) -> tuple[str, ...]:
    """The classes a clip belongs to: one, several or none; a quantity belongs to none."""
    if task == "single":
        return (label,)
    return names_in(label) if task == "multi" else ()


def encode_label(
    label: str, *, task: Task, class_index: Mapping[str, int]
) -> int | tuple[float, ...]:
    """Turn a label into what the network is asked for.

    Args:
        label: The text of a record; may be empty where nothing is known.
        task: What it means.
        class_index: The place of each class, label or target among the outputs.

    Returns:
        For single the class index, -1 where unknown; for multi a 0 or 1 for each label; for
        regression the targets, NaN where unknown.
    """
    if task == "single":
        return class_index.get(label, -1)
    if task == "regression":
        return numbers_in(label) if label else (math.nan,) * len(class_index)
    names = set(names_in(label))
    return tuple(float(name in names) for name in class_index)
