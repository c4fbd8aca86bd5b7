"""What happens when in videos, as people annotated it.

    a CSV                path,start_s,end_s,label[,split]    paths beside the CSV
    a folder of videos   start_s,end_s,label                 monday.csv beside monday.mp4

What no row covers is nothing: of a video in which nothing happens the CSV is its header. A label
may be several (`walk|wave`), and rows may overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.samples import SAMPLES, Samples
from cliptide.datasets.catalog.table import Row, read_rows, segments_of, splits_of
from cliptide.datasets.catalog.wording import counted, nfc, some

COLUMNS = ("path", "start_s", "end_s", "label", "split")


@dataclass(frozen=True)
class Annotation:
    """One segment; `end_s` None is the video's end."""

    start_s: float
    end_s: float | None
    label: str


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video and what happens in it, in the order of the file; times in seconds."""

    path: Path
    annotations: tuple[Annotation, ...]


def read_annotations(
    data: Path, *, split: str, samples: Samples = SAMPLES["video"]
) -> tuple[list[AnnotatedVideo], list[str]]:
    """Read annotations.

    Args:
        data: A CSV, or a folder of videos with a CSV beside each.
        split: `test`, `val`, `train`, or `all`; of a CSV without a column `split` it takes all.
        samples: What is annotated.

    Returns:
        The videos, and notes on what was left out.

    Raises:
        DataError: There are none, or a row is wrong.
        SplitError: The split column is wrong.
    """
    if not data.exists():
        raise DataError(
            f"There is no {data}. Give a CSV with path,start_s,end_s,label or a folder."
        )
    if data.is_dir():
        return _read_folder(data, samples)
    if samples.is_sample(data) and data.suffix.lower() != ".csv":
        raise DataError(
            f"{data} is one {samples.noun}. Give a CSV with path,start_s,end_s,label, or the "
            f"folder that holds the {samples.noun} and its annotations."
        )
    rows, notes = read_rows(
        data,
        columns=COLUMNS,
        required=("path", "start_s", "end_s", "label"),
        header="path,start_s,end_s,label",
        optional="split",
    )
    splits = splits_of(data, rows)
    found: dict[str, list[Annotation]] = {}
    for row, annotations, of_row in zip(rows, _annotations(data, rows), splits, strict=True):
        if split in ("all", of_row) or of_row is None:
            found.setdefault(row.cells["path"], []).extend(annotations)
    if not found:
        raise DataError(f"{data} has no row of the split {split!r}. Give another --split, or all.")
    videos = [
        AnnotatedVideo(data.parent / path, tuple(annotations))
        for path, annotations in found.items()
    ]
    missing = [str(video.path) for video in videos if not video.path.exists()]
    if missing:
        raise DataError(
            f"{data} names {counted(len(missing), 'file')} that are not there: {some(missing)}. "
            "Paths are absolute or relative to the CSV's folder."
        )
    return videos, notes


def _read_folder(data: Path, samples: Samples) -> tuple[list[AnnotatedVideo], list[str]]:
    videos, without = [], []
    for path in samples.find(data):
        beside = path.with_name(f"{samples.stem(path)}.csv")
        if path == beside:  # numbers in a CSV: what happens in them stands elsewhere
            continue
        if not beside.is_file():
            without.append(path.name)
            continue
        rows, _ = read_rows(
            beside,
            columns=COLUMNS[1:4],
            required=COLUMNS[1:4],
            header="start_s,end_s,label",
            optional="nothing else",
            may_be_empty=True,
        )
        pairs = _annotations(beside, rows)
        videos.append(AnnotatedVideo(path, tuple(a for of_row in pairs for a in of_row)))
    if not videos:
        raise DataError(
            f"No {samples.noun} in {data} has a CSV of its name beside it. Write one with "
            "start_s,end_s,label for each, or one CSV with path,start_s,end_s,label for all."
        )
    notes = []
    if without:
        notes.append(
            f"{counted(len(without), samples.noun)} without a CSV left out: {some(without)}."
        )
    return videos, notes


def _annotations(data: Path, rows: Sequence[Row]) -> list[list[Annotation]]:
    """Of each row a segment for each of its labels; none where the label is empty."""
    spans = segments_of(data, rows)
    return [
        [
            Annotation(start_s, end_s, nfc(label.strip()))
            for label in row.cells["label"].split("|")
            if label.strip()
        ]
        for row, (start_s, end_s) in zip(rows, spans, strict=True)
    ]
