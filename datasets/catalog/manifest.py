"""A CSV with one clip in each row: `path,label[,group,split,start_s,end_s]`.

Paths are absolute or relative to the CSV's own folder. Columns stand in any order; a comma, a
semicolon or a tab parts them. Clips of one video share a group unless the column says otherwise.
"""

import csv
import io
import math
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cliptide.configs.errors import DataError, SplitError
from cliptide.datasets.catalog.catalog import Catalog, require_classes
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.videos import VIDEO_SUFFIXES
from cliptide.datasets.catalog.wording import (
    counted,
    did_you_mean,
    nfc,
    read_utf8,
    relative_name,
    some,
)
from cliptide.datasets.records import SampleRecord, Split

COLUMNS = ("path", "label", "group", "split", "start_s", "end_s")

_SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class _Row:
    """One line of the CSV: the cells as text, stripped."""

    line: int
    cells: Mapping[str, str]


def read_manifest(data: Path, *, fold: int, group_regex: str | None) -> Catalog:
    """Read a manifest.

    Args:
        data: An existing CSV file.
        fold: Of no use here; every layout's reader takes the same arguments.
        group_regex: How to find a clip's group in its path, in place of the column.

    Raises:
        DataError: The file is no manifest, or one of its rows is wrong.
        SplitError: The split column is wrong, or a clip stands in two splits.
        ConfigError: `group_regex` is wrong.
    """
    del fold
    if data.is_dir():
        raise DataError(
            f"{data} is a folder, and kind 'manifest' reads a CSV with path,label. Give that "
            "file, or leave kind at 'auto'."
        )
    if data.suffix.lower() in VIDEO_SUFFIXES:
        raise DataError(
            f"{data} is a single video. Give a folder with one folder for each class, or a CSV "
            "with path,label."
        )
    rows, notes = _read_rows(data)
    labels = _labels(data, rows)
    segments = _segments(data, rows)
    splits = _splits(data, rows)
    sources = _sources(data, rows)
    videos = _video_names(sources, data.parent)
    names = [video + _segment_name(*span) for video, span in zip(videos, segments, strict=True)]
    _refuse_repeats(data, rows, names=names, labels=labels, splits=splits)
    class_names = sorted(set(labels))
    require_classes(class_names, where=data)
    column = [nfc(row.cells["group"]) or None for row in rows]
    groups = find_groups(videos, group_regex=group_regex, column=column)
    records = [
        SampleRecord(
            source=source,
            name=name,
            label=label,
            group=group,
            split=split,
            start_s=start_s,
            end_s=end_s,
        )
        for source, name, label, group, split, (start_s, end_s) in zip(
            sources, names, labels, groups.names, splits, segments, strict=True
        )
    ]
    return Catalog(
        root=data,
        kind="manifest",
        records=tuple(sorted(records, key=lambda record: record.name)),
        class_names=tuple(class_names),
        split_origin="manifest" if any(splits) else None,
        fold=None,
        groups_known=groups.known,
        notes=(*notes, *groups.notes),
    )


def _read_rows(data: Path) -> tuple[list[_Row], list[str]]:
    text = read_utf8(data)
    head = next((line for line in text.splitlines() if line.strip()), "")
    # Spreadsheets write semicolons where the comma is the decimal sign.
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[_Row] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not header:
                header = [cell.casefold() for cell in cells]
                _require_columns(data, header)
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise DataError(
                    f"{data}, line {reader.line_num} has {len(cells)} cells, the header "
                    f"{len(header)}. Put a text that holds a {delimiter!r} into double quotes."
                )
            found = dict(zip(header, cells, strict=False))
            rows.append(_Row(reader.line_num, {name: found.get(name, "") for name in COLUMNS}))
    except csv.Error as error:
        raise DataError(
            f"{data}, line {reader.line_num} is no CSV: {error}. Mend the quotes in that line."
        ) from error
    if not rows:
        raise DataError(
            f"{data} is empty: it lists no clip. Write the header path,label and a line for each "
            "clip."
        )
    notes = []
    for name in header:
        if name and name not in COLUMNS:
            free = [column for column in COLUMNS if column not in header]
            notes.append(f"Column {name!r} is ignored.{did_you_mean(name, free)}")
    return rows, notes


def _require_columns(data: Path, header: Sequence[str]) -> None:
    missing = [name for name in ("path", "label") if name not in header]
    if missing:
        raise DataError(
            f"{data} lacks the column {' and '.join(map(repr, missing))}; its first line reads: "
            f"{some(header, limit=8)}. Make the first line path,label (and, if you like, group,"
            "split,start_s,end_s)."
        )
    twice = [name for name in COLUMNS if header.count(name) > 1]
    if twice:
        raise DataError(f"{data} has the column {twice[0]!r} twice. Rename or remove one of them.")


def _lines(rows: Iterable[_Row]) -> str:
    numbers = [str(row.line) for row in rows]
    return f"line{'s' if len(numbers) > 1 else ''} {some(numbers)}"


def _labels(data: Path, rows: Sequence[_Row]) -> list[str]:
    empty = [row for row in rows if not row.cells["label"]]
    if empty:
        raise DataError(
            f"{data} has an empty label in {_lines(empty)}. Write the class there or remove the "
            f"line{'s' if len(empty) > 1 else ''}."
        )
    several = [row for row in rows if "|" in row.cells["label"]]
    if several:
        raise DataError(
            f"{data} has a label with '|' in {_lines(several)}, which stands for several labels. "
            "A clip has one label here: write one, or another sign than '|'."
        )
    return [nfc(row.cells["label"]) for row in rows]


def _segments(data: Path, rows: Sequence[_Row]) -> list[tuple[float, float | None]]:
    segments = []
    for row in rows:
        start_s = _seconds(data, row, "start_s") or 0.0
        end_s = _seconds(data, row, "end_s")
        if end_s is not None and end_s <= start_s:
            raise DataError(
                f"{data}, line {row.line}: end_s {end_s:g} is not after start_s {start_s:g}. Write "
                "both in seconds from the video's beginning, or leave end_s empty for its end."
            )
        segments.append((start_s, end_s))
    return segments


def _seconds(data: Path, row: _Row, column: str) -> float | None:
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


def _splits(data: Path, rows: Sequence[_Row]) -> list[Split | None]:
    splits: list[Split | None] = []
    for row in rows:
        word = row.cells["split"].casefold()
        if word and word not in _SPLIT_WORDS:
            raise SplitError(
                f"Split {row.cells['split']!r} in line {row.line} of {data} is unknown."
                f"{did_you_mean(word, _SPLIT_WORDS)} Use one of: train, val, test."
            )
        splits.append(_SPLIT_WORDS[word] if word else None)
    without = [row for row, split in zip(rows, splits, strict=True) if split is None]
    if without and len(without) < len(rows):
        raise SplitError(
            f"{data} gives a split in some rows, but none in {_lines(without)}. Fill the column "
            "in every row, or leave it empty in all to have a split made."
        )
    return splits


def _sources(data: Path, rows: Sequence[_Row]) -> list[Path]:
    nameless = [row for row in rows if not row.cells["path"]]
    if nameless:
        raise DataError(
            f"{data} has an empty path in {_lines(nameless)}. Write the video's path there or "
            "remove the line."
        )
    known: dict[str, Path | None] = {}
    for row in rows:
        text = row.cells["path"]
        if text not in known:
            known[text] = _find_file(data.parent, text)
    missing = [text for text, source in known.items() if source is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {counted(len(known), 'file')} named in {data} are missing "
            f"({some(missing)}). Paths are absolute or relative to the CSV's folder: mend them or "
            "remove the lines."
        )
    return [source for row in rows if (source := known[row.cells["path"]]) is not None]


# A path as written, as Windows writes it, and in the two spellings of accented letters.
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.replace("\\", "/"),
    lambda text: unicodedata.normalize("NFC", text.replace("\\", "/")),
    lambda text: unicodedata.normalize("NFD", text.replace("\\", "/")),
)


def _find_file(folder: Path, text: str) -> Path | None:
    for spell in _SPELLINGS:
        # normpath: `a.mp4` and `b/../a.mp4` are one video, and must not stand in two splits.
        path = Path(os.path.normpath((folder / spell(text)).absolute()))
        if path.is_file():
            return path
    return None


def _video_names(sources: Sequence[Path], folder: Path) -> list[str]:
    """Name videos relative to the manifest, or to their common folder if some lie elsewhere.

    Either way the names stay the same when the data set moves to another place or machine,
    however the manifest writes the paths.
    """
    full = [source.absolute() for source in sources]
    root = Path(os.path.normpath(folder.absolute()))
    if not all(path.is_relative_to(root) for path in full):
        try:
            root = Path(os.path.commonpath([path.parent for path in full]))
        except ValueError:  # Two drives on Windows have nothing in common.
            return [nfc(path.as_posix()) for path in full]
    return [relative_name(path, root) for path in full]


def _segment_name(start_s: float, end_s: float | None) -> str:
    if start_s == 0 and end_s is None:
        return ""
    return f"@{_plain(start_s)}-{'' if end_s is None else _plain(end_s)}"


def _plain(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _refuse_repeats(
    data: Path,
    rows: Sequence[_Row],
    *,
    names: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[Split | None],
) -> None:
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        j = first.setdefault(name, i)
        if i == j:
            continue
        lines = f"lines {rows[j].line} and {rows[i].line} of {data}"
        if splits[i] != splits[j]:
            raise SplitError(
                f"{name!r} stands in {splits[j]} and in {splits[i]}, {lines}. Keep it in one split."
            )
        if labels[i] != labels[j]:
            raise DataError(
                f"{name!r} is listed as {labels[j]!r} and as {labels[i]!r}, {lines}. Keep one "
                "label for each clip."
            )
        raise DataError(f"{name!r} is listed twice, {lines}. Remove one of them.")
