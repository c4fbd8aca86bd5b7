"""CSV files with one clip in each row: reading them, and the columns that layouts share.

A comma, a semicolon or a tab parts the cells; columns stand in any order.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cliptide.configs.errors import DataError, LeakError, SplitError
from cliptide.datasets.catalog.split_words import SPLIT_WORDS
from cliptide.datasets.catalog.wording import did_you_mean, nfc, read_utf8, some
from cliptide.datasets.records import Split


@dataclass(frozen=True)
class Row:
    """One row of the CSV: the line that it begins in, and the cells as text, stripped."""

    line: int
    cells: Mapping[str, str]


def read_rows(
    data: Path,
    *,
    columns: Sequence[str],
    required: Sequence[str],
    header: str,
    optional: str,
    may_be_empty: bool = False,
) -> tuple[list[Row], list[str]]:
    """Read a CSV into its rows.

    Args:
        data: An existing file.
        columns: Every column that is read; others are ignored with a note.
        required: Those of them that must be there.
        header: What to advise as the first line.
        optional: What else may stand in it.
        may_be_empty: Whether a header alone says something too.

    Returns:
        The rows, each with a cell for each of `columns` ("" where it is empty or missing), and
        notes on what is ignored.

    Raises:
        DataError: The file is no CSV, is empty or lacks a column.
    """
    text = read_utf8(data)
    delimiter = _delimiter_of(
        next((line for line in io.StringIO(text, newline=None) if line.strip()), "")
    )
    # The limit is there for those who read on and on; here the whole file is in memory already.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    rows: list[Row] = []
    begun = end = 0  # a quoted cell may go over many lines
    try:
        for cells in reader:
            begun, end = end + 1, reader.line_num
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not names:
                names = [cell.casefold() for cell in cells]
                _require_columns(
                    data,
                    names,
                    columns=columns,
                    required=required,
                    header=header,
                    optional=optional,
                )
                continue
            if len(cells) > len(names) and any(cells[len(names) :]):
                raise DataError(
                    f"{data}, line {begun} has {len(cells)} cells, the header "
                    f"{len(names)}. Put a text that holds a {delimiter!r} into double quotes."
                )
            found = dict(zip(names, cells, strict=False))
            rows.append(Row(begun, {name: found.get(name, "") for name in columns}))
    except csv.Error as error:
        lines = f"line {end + 1}"
        if reader.line_num > end + 1:
            lines = f"the row from line {end + 1} to line {reader.line_num}"
        raise DataError(
            f"{data}, {lines} is no CSV: {error}. Mend the quotes there: a cell that begins with "
            'one ends with one, and one inside it is written twice ("").'
        ) from error
    if not rows and not (names and may_be_empty):
        raise DataError(
            f"{data} is empty: it lists nothing. Write the header {header} and a line for each "
            "sample."
        )
    notes = []
    for name in names:
        if name and name not in columns:
            free = [column for column in columns if column not in names]
            notes.append(f"Column {name!r} is ignored.{did_you_mean(name, free)}")
    return rows, notes


def header_names(path: Path) -> set[str]:
    """Read the names in a CSV's first line, in small letters; none of a file that is no text."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line = next((text for text in file if text.strip()), "")
        cells = next(csv.reader([line], delimiter=_delimiter_of(line)), [])
    # The reader of the layout names what is wrong with the file; csv refuses endless cells.
    except (OSError, csv.Error):
        return set()
    return {cell.strip().casefold() for cell in cells}


def _delimiter_of(header: str) -> str:
    # Spreadsheets write semicolons where the comma is the decimal sign.
    return max(",;\t", key=header.count)


def _require_columns(
    data: Path,
    names: Sequence[str],
    *,
    columns: Sequence[str],
    required: Sequence[str],
    header: str,
    optional: str,
) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        raise DataError(
            f"{data} lacks the column {' and '.join(map(repr, missing))}; its first line reads: "
            f"{some(names, limit=8)}. Make the first line {header} (and, if you like, {optional})."
        )
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise DataError(f"{data} has the column {twice[0]!r} twice. Rename or remove one of them.")


def lines_of(rows: Iterable[Row]) -> str:
    """Name the lines of rows: `line 3`, `lines 3, 4`."""
    numbers = [str(row.line) for row in rows]
    return f"line{'s' if len(numbers) > 1 else ''} {some(numbers)}"


def _seconds(data: Path, row: Row, column: str) -> float | None:
    text = row.cells[column]
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataError(
            f"{data}, line {row.line}: {column} {text!r} is no number of seconds from 0 up. "
            "Write it like 12.5."
        )
    return value


def labels_of(data: Path, rows: Sequence[Row]) -> list[str]:
    """Read the column `label` of a list in which each clip has one.

    Raises:
        DataError: A label is empty or holds several.
    """
    empty = [row for row in rows if not row.cells["label"]]
    if empty:
        raise DataError(
            f"{data} has an empty label in {lines_of(empty)}. Write the class there or remove the "
            f"line{'s' if len(empty) > 1 else ''}; in a manifest with data.task multi, empty means "
            "none of the labels."
        )
    several = [row for row in rows if "|" in row.cells["label"]]
    if several:
        raise DataError(
            f"{data} has a label with '|' in {lines_of(several)}, which stands for several labels. "
            "A line has one label here: write one, or another sign than '|', or give a manifest "
            "and data.task multi."
        )
    return [nfc(row.cells["label"]) for row in rows]


def segments_of(
    data: Path, rows: Sequence[Row], *, start: str = "start_s", end: str = "end_s"
) -> list[tuple[float, float | None]]:
    """Read where each clip begins and ends in its video, seconds; no end means the video's.

    Args:
        data: The file, for the messages.
        rows: What `read_rows` gave.
        start: The column with the beginnings.
        end: The column with the ends.

    Raises:
        DataError: A cell is no time, or an end is not after its beginning.
    """
    segments = []
    for row in rows:
        start_s = _seconds(data, row, start) or 0.0
        end_s = _seconds(data, row, end)
        if end_s is not None and end_s <= start_s:
            raise DataError(
                f"{data}, line {row.line}: {end} {end_s:g} is not after {start} {start_s:g}. Write "
                f"both in seconds from the video's beginning, or leave {end} empty for its end."
            )
        segments.append((start_s, end_s))
    return segments


def splits_of(data: Path, rows: Sequence[Row]) -> list[Split | None]:
    """Read the column `split`, all of it or none.

    Raises:
        SplitError: A split is unknown, or some rows have none.
    """
    splits: list[Split | None] = []
    for row in rows:
        word = row.cells["split"].casefold()
        if word and word not in SPLIT_WORDS:
            raise SplitError(
                f"Split {row.cells['split']!r} in line {row.line} of {data} is unknown."
                f"{did_you_mean(word, SPLIT_WORDS)} Use one of: train, val, test."
            )
        splits.append(SPLIT_WORDS[word] if word else None)
    without = [row for row, split in zip(rows, splits, strict=True) if split is None]
    if without and len(without) < len(rows):
        raise SplitError(
            f"{data} gives a split in some rows, but none in {lines_of(without)}. Fill the column "
            "in every row, or leave it empty in all to have a split made."
        )
    return splits


def segment_name(start_s: float, end_s: float | None) -> str:
    """Write what follows a video's name for a clip inside it: `@1.5-3`, or nothing."""
    if start_s == 0 and end_s is None:
        return ""
    return f"@{_plain(start_s)}-{'' if end_s is None else _plain(end_s)}"


def _plain(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def refuse_repeats(
    data: Path,
    rows: Sequence[Row],
    *,
    names: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[Split | None],
) -> None:
    """Refuse clips that stand in more than one row.

    Raises:
        LeakError: They differ in their split.
        DataError: They differ in their label, or in nothing.
    """
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        j = first.setdefault(name, i)
        if i == j:
            continue
        lines = f"lines {rows[j].line} and {rows[i].line} of {data}"
        if splits[i] != splits[j]:
            raise LeakError(
                f"{name!r} stands in {splits[j]} and in {splits[i]}, {lines}. Keep it in one split."
            )
        if labels[i] != labels[j]:
            raise DataError(
                f"{name!r} is listed as {labels[j]!r} and as {labels[i]!r}, {lines}. Keep one "
                "label for each."
            )
        raise DataError(f"{name!r} is listed twice, {lines}. Remove one of them.")
