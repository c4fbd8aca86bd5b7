"""A CSV with one sample in each row: `path,label[,group,split,start_s,end_s]`.

A path is that of a file, or of a folder of images.

A label is a class, several of them (`walk|wave`), or one or more numbers (`3.5`, `1.0|-2.5`).

Paths are absolute or relative to the CSV's own folder. Columns stand in any order; a comma, a
semicolon or a tab parts them. Clips of one video share a group unless the column says otherwise.
"""

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from cliptide.configs.errors import DataError
from cliptide.configs.streams import SampleKind
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog.catalog import Catalog
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.manifest_labels import read_labels, require_difference
from cliptide.datasets.catalog.samples import SAMPLES, Samples, holds_images, kind_of_file
from cliptide.datasets.catalog.table import (
    Row,
    lines_of,
    read_rows,
    refuse_repeats,
    segment_name,
    segments_of,
    splits_of,
)
from cliptide.datasets.catalog.videos import VIDEO_SUFFIXES
from cliptide.datasets.catalog.wording import counted, nfc, relative_name, some
from cliptide.datasets.records import SampleRecord

COLUMNS = ("path", "label", "group", "split", "start_s", "end_s")


def read_manifest(
    data: Path,
    *,
    fold: int,
    group_regex: str | None,
    task: Task | Literal["auto"] = "auto",
    samples: Samples | None = None,
) -> Catalog:
    """Read a manifest.

    Args:
        data: An existing CSV file.
        fold: Of no use here; every layout's reader takes the same arguments.
        group_regex: How to find a clip's group in its path, in place of the column.
        task: What the labels mean, or `auto`.
        samples: What a sample is; None tells it by the paths.

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
    rows, notes = read_rows(
        data,
        columns=COLUMNS,
        required=("path", "label"),
        header="path,label",
        optional="group,split,start_s,end_s",
    )
    found = read_labels(data, rows, task=task)
    segments = segments_of(data, rows)
    splits = splits_of(data, rows)
    sources = _sources(data, rows, samples=samples)
    samples = samples or _told_by(data, sources)
    videos = _video_names(sources, data.parent)
    names = [video + segment_name(*span) for video, span in zip(videos, segments, strict=True)]
    refuse_repeats(data, rows, names=names, labels=found.labels, splits=splits)
    require_difference(found, where=data)
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
            sources, names, found.labels, groups.names, splits, segments, strict=True
        )
    ]
    return Catalog(
        root=data,
        kind="manifest",
        records=tuple(sorted(records, key=lambda record: record.name)),
        class_names=found.class_names,
        split_origin="manifest" if any(splits) else None,
        fold=None,
        groups_known=groups.known,
        notes=(*notes, *found.notes, *groups.notes),
        task=found.task,
        samples=samples.kind,
    )


def _sources(data: Path, rows: Sequence[Row], *, samples: Samples | None) -> list[Path]:
    nameless = [row for row in rows if not row.cells["path"]]
    if nameless:
        raise DataError(
            f"{data} has an empty path in {lines_of(nameless)}. Write the "
            f"{samples.noun if samples else 'video'}'s path there or remove the line."
        )
    known: dict[str, Path | None] = {}
    for row in rows:
        text = row.cells["path"]
        if text not in known:
            known[text] = _find(data.parent, text)
    missing = [text for text, source in known.items() if source is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {counted(len(known), 'file')} named in {data} are missing "
            f"({some(missing)}). Paths are absolute or relative to the CSV's folder: mend them or "
            "remove the lines."
        )
    sources = [source for row in rows if (source := known[row.cells["path"]]) is not None]
    for row, source in zip(rows, sources, strict=True):
        _require_kind(data, row, source, samples)
    return sources


def _require_kind(data: Path, row: Row, source: Path, samples: Samples | None) -> None:
    where = f"{data}, line {row.line}: {row.cells['path']!r}"
    if not source.is_dir():
        if samples is not None and samples.are_folders:
            raise DataError(
                f"{where} is a file, and kind 'frames' reads folders of images. Name a folder, or "
                "use kind 'images' if each image is a sample."
            )
    elif not holds_images(source):
        raise DataError(
            f"{where} is a folder without images in it. Name a file, or a folder of images."
        )
    elif samples is not None and not samples.are_folders:
        raise DataError(
            f"{where} is a folder, and kind {samples.kind!r} reads files. Name a file, or use kind "
            "'frames' if each folder of images is a sample."
        )


def _told_by(data: Path, sources: Sequence[Path]) -> Samples:
    """What all sources are; what has an unknown ending is left to be tried as a video."""
    kinds: set[SampleKind] = {
        "frames" if source.is_dir() else kind_of_file(source) or "video" for source in sources
    }
    if len(kinds) > 1:
        held = " and ".join(SAMPLES[kind].plural for kind in sorted(kinds))
        # Sound files stand beside videos where the sound track is meant of these.
        mend = "set data.kind to audio if sound is meant" if kinds == {"audio", "video"} else ""
        raise DataError(
            f"{data} names {held}. Name samples of one kind in a CSV{mend and ', or '}{mend}."
        )
    return SAMPLES[kinds.pop()]


# A path as written, as Windows writes it, and in the two spellings of accented letters.
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.replace("\\", "/"),
    lambda text: unicodedata.normalize("NFC", text.replace("\\", "/")),
    lambda text: unicodedata.normalize("NFD", text.replace("\\", "/")),
)


def _find(folder: Path, text: str) -> Path | None:
    for spell in _SPELLINGS:
        # normpath: `a.mp4` and `b/../a.mp4` are one video, and must not stand in two splits.
        path = Path(os.path.normpath((folder / spell(text)).absolute()))
        if path.is_file() or path.is_dir():
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
