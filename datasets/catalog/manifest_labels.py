"""The column `label` of a manifest: one class, several labels (`a|b`) or numbers (`1.0|-2.5`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cliptide.configs.errors import DataError
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog.catalog import require_classes
from cliptide.datasets.catalog.table import Row, labels_of, lines_of
from cliptide.datasets.catalog.wording import counted, nfc, some
from cliptide.datasets.labels import (
    SEPARATOR,
    are_numbers,
    joined_names,
    joined_numbers,
    names_in,
    numbers_in,
    target_names,
)

# More different numbers than this are hardly the names of classes.
_MANY_NUMBERS = 10
# What people write in place of '|'.
_WRONG_SEPARATORS = (";", ",", "/", "&", "+")


@dataclass(frozen=True)
class FoundLabels:
    """The labels of a manifest.

    Attributes:
        task: What they mean.
        labels: One text for each row, as `datasets.labels` reads it.
        class_names: The classes or single labels, sorted, or the names of the targets.
        notes: What was taken for granted.
    """

    task: Task
    labels: list[str]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_labels(data: Path, rows: Sequence[Row], *, task: Task | Literal["auto"]) -> FoundLabels:
    """Read the column `label`.

    Args:
        data: The file, for the messages.
        rows: What `read_rows` gave.
        task: What the labels mean; `auto` is `multi` where one holds `|`, else `single`.

    Raises:
        DataError: A label does not fit the task.
    """
    if task == "auto":
        several = any(SEPARATOR in row.cells["label"] for row in rows)
        task = "multi" if several else "single"
    if task == "multi":
        return _several(data, rows)
    return _targets(data, rows) if task == "regression" else _classes(data, rows)


def require_difference(found: FoundLabels, *, where: Path) -> None:
    """Refuse clips that are all labelled alike: there is nothing to learn.

    Raises:
        DataError: They are.
    """
    if found.task == "single":
        require_classes(found.class_names, where=where)
    elif len(set(found.labels)) < 2:
        label = found.labels[0]
        held = f"the label {label!r}" if label else "no label"
        raise DataError(
            f"{where} gives every row {held}: there is nothing to learn. Add rows with others."
        )


def _classes(data: Path, rows: Sequence[Row]) -> FoundLabels:
    labels = labels_of(data, rows)
    names = sorted(set(labels))
    return FoundLabels("single", labels, tuple(names), _quantities_note(names))


def _quantities_note(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) <= _MANY_NUMBERS or not are_numbers(names):
        return ()
    return (
        f"All labels are numbers ({len(names)} different ones) and are taken for names of classes. "
        "If they are quantities to predict, set data.task to regression.",
    )


def _several(data: Path, rows: Sequence[Row]) -> FoundLabels:
    labels = [_names(data, row) for row in rows]
    names = tuple(sorted({name for label in labels for name in names_in(label)}))
    _require_separators(data, rows, labels, names)
    notes = _quantities_note(names)
    without = labels.count("")
    if without:
        verb = "has" if without == 1 else "have"
        notes += (f"{counted(without, 'row')} {verb} none of the labels.",)
    return FoundLabels("multi", labels, names, notes)


def _require_separators(
    data: Path, rows: Sequence[Row], labels: Sequence[str], names: Sequence[str]
) -> None:
    """Refuse `a;b` where `a` and `b` are labels: it would become a label of its own."""
    for row, label in zip(rows, labels, strict=True):
        for name in names_in(label):
            for wrong in _WRONG_SEPARATORS:
                parts = [part.strip() for part in name.split(wrong)]
                if len(parts) > 1 and all(part in names for part in parts):
                    raise DataError(
                        f"{data}, line {row.line}: the label {name!r} is made of the labels "
                        f"{some(parts)} with {wrong!r} between them. Write "
                        f"{SEPARATOR.join(parts)!r}, or another name if it is a label of its own."
                    )


def _names(data: Path, row: Row) -> str:
    text = nfc(row.cells["label"])
    if not text:
        return ""
    names = [name.strip() for name in text.split(SEPARATOR)]
    where = f"{data}, line {row.line}: the label {text!r}"
    if "" in names:
        raise DataError(
            f"{where} has nothing on one side of a '|'. Write names with one '|' between them, "
            "such as walk|wave, or nothing at all for none of the labels."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where} names {twice!r} twice. Write each label once.")
    return joined_names(names)


def _targets(data: Path, rows: Sequence[Row]) -> FoundLabels:
    empty = [row for row in rows if not row.cells["label"]]
    if empty:
        raise DataError(
            f"{data} has an empty label in {lines_of(empty)}. Write the number to predict there, "
            f"or remove the line{'s' if len(empty) > 1 else ''}."
        )
    found = [_numbers(data, row) for row in rows]
    for row, numbers in zip(rows, found, strict=True):
        if len(numbers) != len(found[0]):
            raise DataError(
                f"{data}: line {rows[0].line} has {counted(len(found[0]), 'target')}, line "
                f"{row.line} has {len(numbers)} ({row.cells['label']!r}). Give each line the same "
                "number of targets, with '|' between them."
            )
    labels = [joined_numbers(numbers) for numbers in found]
    return FoundLabels("regression", labels, target_names(len(found[0])))


def _numbers(data: Path, row: Row) -> tuple[float, ...]:
    text = row.cells["label"]
    for part in text.split(SEPARATOR):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            what = f"the target {part.strip()!r}" + (f" of {text!r}" if part != text else "")
            raise DataError(
                f"{data}, line {row.line}: {what} is no finite number. Write it like 3.5, several "
                "like 1.0|-2.5, with a point; remove the line if it is not known. For classes, set "
                "data.task to auto."
            )
    return numbers_in(text)
