"""A CSV with one text in each row: `text,label[,group,split]`.

Columns stand in any order; a comma, a semicolon or a tab parts them. A text may go over many
lines if it stands in double quotes. Labels are written as in a manifest.

The same text in several rows is one text: its rows are never parted between train and test.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cliptide.configs.errors import ConfigError, DataError, LeakError
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog.catalog import Catalog
from cliptide.datasets.catalog.groups import Groups
from cliptide.datasets.catalog.manifest_labels import read_labels, require_difference
from cliptide.datasets.catalog.table import Row, header_names, lines_of, read_rows, splits_of
from cliptide.datasets.catalog.wording import counted, nfc, some
from cliptide.datasets.records import SampleRecord, Split

COLUMNS = ("text", "label", "group", "split")


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
        notes.append(f"WITHOUT A TEXT, so not to be read: {lines_of(empty)} ({len(empty)} in all).")
    found = read_labels(data, rows, task=task)
    splits = splits_of(data, rows)
    names = [f"{data.name}:{row.line}" for row in rows]
    # Rows without a text have nothing in common but that.
    keys = [text_key(row.cells["text"]) or name for row, name in zip(rows, names, strict=True)]
    notes += _repeats(data, rows, keys=keys, labels=found.labels, splits=splits)
    require_difference(found, where=data)
    groups = _groups(names, keys=keys, column=[nfc(row.cells["group"]) for row in rows])
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
    for i, key in enumerate(keys):
        j = first.setdefault(key, i)
        if i == j:
            continue
        repeats += 1
        shown = key if len(key) <= 60 else key[:57] + "..."
        lines = f"lines {rows[j].line} and {rows[i].line} of {data}"
        if splits[i] != splits[j]:
            raise LeakError(
                f"The text {shown!r} stands in {splits[j]} and in {splits[i]}, {lines}. Keep it in "
                "one split."
            )
        if labels[i] != labels[j]:
            raise DataError(
                f"The text {shown!r} is labelled {labels[j]!r} and {labels[i]!r}, {lines}. Keep "
                "one label for each text."
            )
    if not repeats:
        return []
    return [f"Grouped with the row that has the same text: {counted(repeats, 'row')}."]


def with_same_texts_together(catalog: Catalog) -> Catalog:
    """Join the groups of text files that hold the same text, so that no split parts them."""
    records = catalog.records
    keys = [_key_of_file(record) for record in records]
    column = [record.group if catalog.groups_known else "" for record in records]
    groups = _groups([record.name for record in records], keys=keys, column=column)
    repeats = len(keys) - len(set(keys))
    notes = list(catalog.notes)
    if repeats:
        notes.append(f"Grouped with the file that has the same text: {counted(repeats, 'file')}.")
    return replace(
        catalog,
        records=tuple(
            replace(record, group=group)
            for record, group in zip(records, groups.names, strict=True)
        ),
        notes=(*notes, *groups.notes),
    )


def _key_of_file(record: SampleRecord) -> str:
    try:
        text = record.source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):  # training says so, and leaves it out
        return record.name
    return text_key(text) or record.name


def _groups(names: Sequence[str], *, keys: Sequence[str], column: Sequence[str]) -> Groups:
    """Group rows by the column, and join groups that have a text in common.

    Args:
        names: Of the rows.
        keys: What is the same for rows with the same text.
        column: The group of each row, "" where it has none.
    """
    joined: dict[tuple[str, str], tuple[str, str]] = {}

    def root_of(node: tuple[str, str]) -> tuple[str, str]:
        while (parent := joined.setdefault(node, node)) != node:
            joined[node] = joined[parent]
            node = parent
        return node

    texts = [("text", key) for key in keys]
    for text, group in zip(texts, column, strict=True):
        if group:
            joined[root_of(text)] = root_of(("group", group))
    roots = [root_of(text) for text in texts]
    called: dict[tuple[str, str], str] = {}
    for root, group in zip(roots, column, strict=True):
        if group:
            called.setdefault(root, group)
    known = bool(called)
    alone = Counter(root in called for root in roots)[False]
    for root, name in zip(roots, names, strict=True):
        called.setdefault(root, name)
    notes = []
    lost = sorted({group for group in column if group} - set(called.values()))
    if lost:
        notes.append(
            f"Joined to other groups, because they have a text in common: "
            f"{counted(len(lost), 'group')} ({some(lost)})."
        )
    if known and alone:
        notes.append(f"Without a group, so each text is one: {counted(alone, 'row')}.")
    return Groups(tuple(called[root] for root in roots), known, tuple(notes))
