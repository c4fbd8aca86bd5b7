"""From disk to records: one file for each layout a data set may have.

A reader never opens a video: unreadable ones are found when they are read, and counted there.
"""

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

from cliptide.configs.errors import ConfigError, DataError
from cliptide.configs.streams import DataKind, SampleKind
from cliptide.configs.tasks import TASKS, Task
from cliptide.datasets.catalog.catalog import Catalog, Kind
from cliptide.datasets.catalog.folder import class_depth, read_folder
from cliptide.datasets.catalog.hmdb51 import find_hmdb51_lists, read_hmdb51
from cliptide.datasets.catalog.kinetics import has_kinetics_header, read_kinetics
from cliptide.datasets.catalog.manifest import read_manifest
from cliptide.datasets.catalog.samples import SAMPLES, TEXT_FILES, Samples, tell_samples
from cliptide.datasets.catalog.split_folders import are_split_folders, read_split_folders
from cliptide.datasets.catalog.texts import (
    has_text_header,
    names_files,
    read_texts,
)
from cliptide.datasets.catalog.twins import with_same_names_together, with_same_texts_together
from cliptide.datasets.catalog.ucf101 import find_lists, read_ucf101
from cliptide.datasets.catalog.videos import VIDEO_SUFFIXES, find_videos
from cliptide.datasets.catalog.wording import did_you_mean
from cliptide.datasets.labels import (
    SEPARATOR,
    are_numbers,
    joined_numbers,
    numbers_in,
    target_names,
)
from cliptide.datasets.suffixes import TABLE_SUFFIXES

__all__ = [
    "KINDS",
    "SAMPLES",
    "SAMPLE_KINDS",
    "VIDEO_SUFFIXES",
    "Catalog",
    "Kind",
    "Samples",
    "find_videos",
    "read_catalog",
]

_READERS: dict[Kind, Callable[..., Catalog]] = {
    "folder": read_folder,
    "split-folders": read_split_folders,
    "ucf101": read_ucf101,
    "hmdb51": read_hmdb51,
    "kinetics": read_kinetics,
    "manifest": read_manifest,
}

# What a sample is; which layout it lies in is then told by itself.
SAMPLE_KINDS: tuple[SampleKind, ...] = ("frames", "images", "audio", "arrays", "text")

KINDS: tuple[str, ...] = ("auto", *_READERS, *SAMPLE_KINDS)


def read_catalog(
    data: str | PathLike[str],
    *,
    kind: DataKind = "auto",
    fold: int = 1,
    group_regex: str | None = None,
    task: Literal["auto", "single", "multi", "regression"] = "auto",
) -> Catalog:
    """Read what a data set holds, without opening a sample.

    Args:
        data: A class-per-folder tree, such trees in folders named for their splits, a folder in
            the style of UCF101 or HMDB51, a manifest CSV, one in the style of Kinetics, or one of
            texts, which may also lie in files as videos do (.txt, with `kind` text).
        kind: The layout, or what a sample is; the other of both, and with `auto` both, are told
            from what is there: a folder's layout by the official lists inside or beside it or by
            its folders' names, a file's by its header, and samples by their endings.
        fold: The official fold of UCF101 or HMDB51, counted from 1.
        group_regex: Finds a clip's group in its relative path (its first capturing group, else
            the whole match); wins over every other source of groups.
        task: What the labels mean; `auto` is `multi` for a manifest in which a label holds `|`,
            else `single`.

    Raises:
        DataError: `data` is not there, holds nothing to learn from, or does not fit `kind` or
            `task`.
        SplitError: The fold or the split it brings is wrong.
        ConfigError: `kind`, `group_regex` or `task` is wrong.
    """
    path = Path(data)
    if kind not in KINDS:
        raise ConfigError(
            f"Kind {kind!r} is unknown.{did_you_mean(kind, KINDS)} Use one of: {', '.join(KINDS)}."
        )
    if task not in ("auto", *TASKS):
        raise ConfigError(f"Task {task!r} is unknown. Use one of: auto, {', '.join(TASKS)}.")
    if not path.exists():
        raise DataError(_not_there(path))
    samples = next((SAMPLES[known] for known in SAMPLE_KINDS if known == kind), None)
    asked: Kind | None = next((known for known in _READERS if known == kind), None)
    layout = asked or _detect(path)
    if kind == "text" and (path.is_dir() or names_files(path)):
        samples = TEXT_FILES
    elif kind == "text" or layout == "texts":
        if kind in SAMPLE_KINDS and kind != "text":
            raise DataError(
                f"{path} is a table of texts, but data.kind is {kind}. Use --config text-cnn-lstm, "
                "or give data of that kind."
            )
        texts = read_texts(path, fold=fold, group_regex=group_regex, task=task)
        return replace(texts, samples="text")
    if layout == "manifest":
        listed = read_manifest(path, fold=fold, group_regex=group_regex, task=task, samples=samples)
        return _with_twins_together(listed)
    samples = samples or _told(path, layout)
    catalog = _with_twins_together(
        _READERS[layout](path, fold=fold, group_regex=group_regex, samples=samples)
    )
    return catalog if task == "auto" or task == "single" else _as_task(catalog, task)


def _with_twins_together(catalog: Catalog) -> Catalog:
    if catalog.samples == "text":
        return with_same_texts_together(catalog)
    return with_same_names_together(catalog)


def _as_task(catalog: Catalog, task: Task) -> Catalog:
    """Read classes as another task where their layout can say it: folders named by numbers."""
    if task == "multi":
        raise DataError(
            f"data.task is multi, but {catalog.root} is read as {catalog.kind!r}, which gives each "
            "sample one label. Write a manifest CSV with labels such as walk|wave, or leave "
            "data.task at auto."
        )
    odd = next((name for name in catalog.class_names if not are_numbers([name])), None)
    if odd is not None or any(SEPARATOR in name for name in catalog.class_names):
        raise DataError(
            f"data.task is regression, but {catalog.root} is read as {catalog.kind!r} and its "
            f"class {odd or catalog.class_names[0]!r} is no number. Write a manifest CSV with a "
            "number as each label, or set data.task to auto."
        )
    records = tuple(
        replace(record, label=joined_numbers(numbers_in(record.label)))
        for record in catalog.records
    )
    return replace(catalog, records=records, class_names=target_names(1), task="regression")


def _told(path: Path, layout: Kind) -> Samples:
    if not path.is_dir():
        return SAMPLES["video"]
    above = 1 if layout == "split-folders" else 0
    return tell_samples(path, class_level=lambda parts: class_depth(parts) + above)


def _detect(path: Path) -> Kind:
    if path.is_dir():
        if find_lists(path):
            return "ucf101"
        if find_hmdb51_lists(path):
            return "hmdb51"
        return "split-folders" if are_split_folders(path) else "folder"
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES and suffix not in VIDEO_SUFFIXES:
        raise DataError(
            f"{path} is neither a folder nor a CSV. Give a folder with one folder for each class, "
            "or a CSV with path,label."
        )
    if suffix in VIDEO_SUFFIXES:
        return "manifest"  # whose reader says what is wrong with a single video
    if has_text_header(path):
        return "texts"
    return "kinetics" if has_kinetics_header(path) else "manifest"


def _not_there(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"{path} does not exist, nor does the folder {parent}. Mend the path."
    siblings = [sibling.name for sibling in parent.iterdir()]
    return (
        f"{path} does not exist.{did_you_mean(path.name, siblings)} Mend the path: it is read from "
        f"{Path.cwd()}."
    )
