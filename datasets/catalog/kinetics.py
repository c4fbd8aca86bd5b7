"""Kinetics and its kin: a CSV of parts of YouTube videos, and those videos that could be had.

DATA                                    label,youtube_id,time_start,time_end,split[,is_cc]
<anywhere below DATA's folder>/
    <youtube_id>_000010_000020.mp4      the part alone, time_start to time_end, or
    <youtube_id>.mp4                    the whole video, of which the part is taken

Videos vanish from YouTube, so missing ones are ordinary here: they are left out and counted.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.catalog import Catalog, require_classes
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.samples import SAMPLES, Samples
from cliptide.datasets.catalog.split_folders import with_test
from cliptide.datasets.catalog.table import (
    Row,
    header_names,
    labels_of,
    lines_of,
    read_rows,
    refuse_repeats,
    segment_name,
    segments_of,
    splits_of,
)
from cliptide.datasets.catalog.wording import counted, nfc, relative_name, some
from cliptide.datasets.records import SPLITS, SampleRecord, Split

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split", "is_cc")


def has_kinetics_header(path: Path) -> bool:
    """Whether a CSV's first line names Kinetics' columns, and no path as a manifest would."""
    names = header_names(path)
    return {"youtube_id", "time_start", "time_end"} <= names and "path" not in names


def read_kinetics(
    data: Path, *, fold: int, group_regex: str | None, samples: Samples = SAMPLES["video"]
) -> Catalog:
    """Read the clips of a Kinetics CSV whose videos are there.

    Args:
        data: An existing CSV file.
        fold: Of no use here; every layout's reader takes the same arguments.
        group_regex: How to find a clip's group in its file's path, in place of its YouTube video.
        samples: What a sample is.

    Raises:
        DataError: The file is no such CSV, a row is wrong, or none of its videos is there.
        SplitError: The split column is wrong, or a clip stands in two splits.
        ConfigError: `group_regex` is wrong.
    """
    del fold
    if data.is_dir():
        raise DataError(
            f"{data} is a folder, and kind 'kinetics' reads a CSV with label,youtube_id,"
            "time_start,time_end,split. Give that file, or leave kind at 'auto'."
        )
    rows, notes = read_rows(
        data,
        columns=COLUMNS,
        required=COLUMNS[:-1],
        header="label,youtube_id,time_start,time_end,split",
        optional="is_cc",
    )
    rows, unlabelled = _labelled(data, rows)
    labels = labels_of(data, rows)
    segments = segments_of(data, rows, start="time_start", end="time_end")
    splits = splits_of(data, rows)
    _require_ids(data, rows)

    by_stem: dict[str, list[Path]] = {}
    for path in samples.find(data.parent):
        by_stem.setdefault(nfc(samples.stem(path)), []).append(path)
    records: list[SampleRecord] = []
    videos: list[str] = []
    found: list[Row] = []
    missing: list[str] = []
    lost: Counter[Split | None] = Counter()
    for row, label, split, (start_s, end_s) in zip(rows, labels, splits, segments, strict=True):
        youtube_id = row.cells["youtube_id"]
        trimmed = _trimmed_stem(youtube_id, start_s, end_s)
        source = _only(by_stem, trimmed, data) if trimmed else None
        if source is not None:
            start_s, end_s = 0.0, None
        else:
            source = _only(by_stem, youtube_id, data)
        if source is None:
            missing.append(trimmed or youtube_id)
            lost[split] += 1
            continue
        videos.append(relative_name(source, data.parent))
        name = videos[-1] + segment_name(start_s, end_s)
        found.append(row)
        records.append(SampleRecord(source, name, label, youtube_id, split, start_s, end_s))
    if not records:
        raise DataError(
            f"None of {counted(len(rows), 'video')} named in {data} is in {data.parent} or below "
            f"it. Put them there, named like {missing[0]}.mp4 or "
            f"{rows[0].cells['youtube_id']}.mp4."
        )
    if missing:
        notes.append(_missing(missing, lost, Counter(splits)))
    notes.extend(unlabelled)
    refuse_repeats(
        data,
        found,
        names=[record.name for record in records],
        labels=[record.label for record in records],
        splits=[record.split for record in records],
    )
    catalog = _catalog(data, records, videos, notes, listed=set(labels), group_regex=group_regex)
    return dataclasses.replace(catalog, samples=samples.kind)


def _catalog(
    data: Path,
    records: Sequence[SampleRecord],
    videos: Sequence[str],
    notes: Sequence[str],
    *,
    listed: set[str],
    group_regex: str | None,
) -> Catalog:
    class_names = sorted({record.label for record in records})
    require_classes(class_names, where=data)
    gone = sorted(listed - set(class_names))
    if gone:
        notes = (*notes, f"Without any video: {counted(len(gone), 'class')} ({some(gone)}).")
    groups = find_groups(
        videos,
        group_regex=group_regex,
        column=[record.group for record in records],
    )
    grouped = [
        dataclasses.replace(record, group=group)
        for record, group in zip(records, groups.names, strict=True)
    ]
    final, moved = with_test(tuple(sorted(grouped, key=lambda record: record.name)))
    return Catalog(
        root=data,
        kind="kinetics",
        records=final,
        class_names=tuple(class_names),
        split_origin="official" if any(record.split for record in final) else None,
        fold=None,
        groups_known=groups.known,
        notes=(*notes, *moved, *groups.notes),
    )


def _labelled(data: Path, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Leave out test rows without a label: the public test sets keep theirs to themselves."""
    kept = [row for row in rows if row.cells["label"] or row.cells["split"].casefold() != "test"]
    hidden = len(rows) - len(kept)
    if not hidden:
        return kept, []
    if not kept:
        raise DataError(
            f"{data} has no label in any row. Give a CSV with labels, such as that of the "
            "validation split."
        )
    return kept, [f"Left out, because without a label: {counted(hidden, 'test clip')}."]


def _require_ids(data: Path, rows: Sequence[Row]) -> None:
    nameless = [row for row in rows if not row.cells["youtube_id"]]
    if nameless:
        raise DataError(
            f"{data} has an empty youtube_id in {lines_of(nameless)}. Write the video's id there "
            "or remove the line."
        )


def _trimmed_stem(youtube_id: str, start_s: float, end_s: float | None) -> str | None:
    """`<youtube_id>_000010_000020`, as the common download scripts name a part."""
    if end_s is None or start_s != int(start_s) or end_s != int(end_s):
        return None
    return f"{youtube_id}_{int(start_s):06d}_{int(end_s):06d}"


def _only(by_stem: Mapping[str, Sequence[Path]], stem: str, data: Path) -> Path | None:
    found = by_stem.get(stem, ())
    if len(found) > 1:
        names = [relative_name(path, data.parent) for path in found]
        raise DataError(f"{stem!r} in {data} may be any of {some(names)}. Keep one of them.")
    return found[0] if found else None


def _missing(
    missing: Sequence[str], lost: Mapping[Split | None, int], all_rows: Mapping[Split | None, int]
) -> str:
    counts = [f"{lost[s]} of {all_rows[s]} in {s}" for s in SPLITS if lost.get(s)]
    if lost.get(None):
        counts.append(counted(lost[None], "clip"))
    return f"MISSING VIDEOS, left out: {', '.join(counts)} ({some(missing)})."
