"""A CSV with one text in each row: `text,label[,group,split]`.

Columns stand in any order; a comma, a semicolon or a tab parts them. A text may go over many
lines if it stands in double quotes. Labels are written as in a manifest.

The same text in several rows is one text: its rows are never parted between train and test.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cliptide.configs.errors import ConfigError, DataError, LeakError
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog.catalog import Catalog
from cliptide.datasets.catalog.groups import join_groups
from cliptide.datasets.catalog.manifest_labels import read_labels, require_difference
from cliptide.datasets.catalog.table import Row, header_names, lines_of, read_rows, splits_of
from cliptide.datasets.catalog.wording import counted, nfc, some
from cliptide.datasets.records import SampleRecord, Split

COLUMNS = ("text", "label", "group", "split")

# More pairs of rows than these make a message that nobody reads.
_MOST_PAIRS = 10


def has_text_header(path: Path) -> bool:
    """Whether a CSV's first line names a text, and no path as a manifest would."""
    names = header_names(path)
    return "text" in names and "path" not in names


def names_files(path: Path) -> bool:
    """Whether a CSV's first line names files, as that of a manifest."""
    names = header_names(path)
    return "path" in names and "text" not in names


def read_texts(
    data: Path,
    *,
    fold: int,
    group_regex: str | None,
    task: Task | Literal["auto"] = "auto",
) -> Catalog:
    """Read a CSV of texts.

    A row without a text is kept, and fails alone when it is read.

    Args:
        data: An existing CSV file.
        fold: Of no use here; every layout's reader takes the same arguments.
        group_regex: None: a text has no file name that a group could be found in.
        task: What the labels mean, or `auto`.

    Raises:
        DataError: The file is no such CSV, one of its rows is wrong, or a text has two labels.
        SplitError: The split column is wrong, or a text stands in two splits.
        ConfigError: `group_regex` is given.
    """
    del fold
    if data.is_dir():
        raise DataError(
            f"{data} is a folder, and kind 'texts' reads a CSV with text,label. Give that file, or "
            "leave kind at 'auto'."
        )
    if group_regex is not None:
        raise ConfigError(
            f"group_regex {group_regex!r} is searched in the names of files, and the texts in "
            f"{data} have none. Leave it out and write each text's group into a column 'group'."
        )
    rows, notes = read_rows(
        data,
        columns=COLUMNS,
        required=("text", "label"),
        header="text,label",
        optional="group,split",
    )
    empty = [row for row in rows if not row.cells["text"]]
    if len(empty) == len(rows):
        raise DataError(f"{data} has no text in any row. Write texts into the column 'text'.")
    if empty:
        notes.append(
            f"Without a text, so left out: {counted(len(empty), 'row')} ({lines_of(empty)})."
        )
    found = read_labels(data, rows, task=task)
    splits = splits_of(data, rows)
    names = [f"{data.name}:{row.line}" for row in rows]
    # Rows without a text have nothing in common but that.
    keys = [text_key(row.cells["text"]) or name for row, name in zip(rows, names, strict=True)]
    notes += _repeats(data, rows, keys=keys, labels=found.labels, splits=splits)
    require_difference(found, where=data)
    groups = join_groups(
        names, keys=keys, column=[nfc(row.cells["group"]) for row in rows], shared="a text"
    )
    records = [
        SampleRecord(
            source=data, name=name, label=label, group=group, split=split, text=row.cells["text"]
        )
        for row, name, label, group, split in zip(
            rows, names, found.labels, groups.names, splits, strict=True
        )
    ]
    return Catalog(
        root=data,
        kind="texts",
        records=tuple(sorted(records, key=lambda record: record.name)),
        class_names=found.class_names,
        split_origin="manifest" if any(splits) else None,
        fold=None,
        groups_known=groups.known,
        notes=(*notes, *found.notes, *groups.notes),
        task=found.task,
    )


def unlabelled_texts(data: Path) -> list[SampleRecord]:
    """Read the texts of a CSV for prediction, whatever else stands in it.

    Raises:
        DataError: The file is no CSV with a column text.
    """
    rows, _ = read_rows(
        data, columns=("text",), required=("text",), header="text", optional="other columns"
    )
    return [
        SampleRecord(data, f"{data}:{row.line}", label="", group="", text=row.cells["text"])
        for row in rows
    ]


def text_key(text: str) -> str:
    """Make what is the same of texts that differ in their spaces and line ends alone."""
    return " ".join(nfc(text).split())


def text_digest(text: str) -> str:
    """Put what `text_key` makes of a text into 32 letters, so that many long ones fit in memory."""
    key = text_key(text).encode("utf-8", errors="surrogatepass")
    return hashlib.blake2b(key, digest_size=16).hexdigest()


def _repeats(
    data: Path,
    rows: Sequence[Row],
    *,
    keys: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[Split | None],
) -> list[str]:
    first: dict[str, int] = {}
    repeats = 0
    conflicts: list[tuple[int, int]] = []
    for i, key in enumerate(keys):
        j = first.setdefault(key, i)
        if i == j:
            continue
        repeats += 1
        if splits[i] != splits[j]:
            raise LeakError(
                f"The text {_short(key)!r} stands in {splits[j]} and in {splits[i]}, lines "
                f"{rows[j].line} and {rows[i].line} of {data}. Keep it in one split."
            )
        if labels[i] != labels[j]:
            conflicts.append((j, i))
    if conflicts:
        pairs = [
            f"{rows[j].line} and {rows[i].line} as {labels[j]!r} and {labels[i]!r}"
            for j, i in conflicts
        ]
        texts = len({j for j, _ in conflicts})
        raise DataError(
            f"{data} labels {counted(texts, 'text')} differently in different rows, first "
            f"{_short(keys[conflicts[0][0]])!r} (lines {some(pairs, limit=_MOST_PAIRS)}). Keep one "
            "label for each text."
        )
    if not repeats:
        return []
    return [f"Grouped with the row that has the same text: {counted(repeats, 'row')}."]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
