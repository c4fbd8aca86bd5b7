"""A folder for each split, and in each one folder for each class.

DATA/train/walk/x.mp4           the split is train, the class walk
DATA/Valid/walk/monday/x.mp4    val and still walk; the case of a split's name plays no part
DATA/frames/...                 no split: left out, with a note
"""

import dataclasses
import os
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.catalog import Catalog, require_classes
from cliptide.datasets.catalog.folder import class_depth, notes_of_no_images
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.samples import SAMPLES, Samples
from cliptide.datasets.catalog.split_words import SPLIT_WORDS
from cliptide.datasets.catalog.videos import is_ignored, is_video_name
from cliptide.datasets.catalog.wording import counted, relative_name, some
from cliptide.datasets.records import SampleRecord

NO_TEST = (
    "There is no test split: the validation split became the test split, and validation is taken "
    "out of training, as nothing may be chosen on the test split."
)


def are_split_folders(data: Path) -> bool:
    """Whether a folder holds one for training and another split, or only one folder that does."""
    folder, seen = data, set[str]()
    while os.path.realpath(folder) not in seen:
        seen.add(os.path.realpath(folder))
        try:
            entries = [path for path in folder.iterdir() if not is_ignored(path.name)]
            folders = [path for path in entries if path.is_dir()]
        except OSError as error:
            raise DataError(
                f"Folder {folder} cannot be read: {error.strerror}. Mend its permissions."
            ) from error
        splits = {SPLIT_WORDS.get(path.name.casefold()) for path in folders} - {None}
        if "train" in splits and len(splits) > 1:
            return True
        if len(folders) != 1 or any(is_video_name(path.name) for path in entries):
            return False
        folder = folders[0]
    return False


def read_split_folders(
    data: Path, *, fold: int, group_regex: str | None, samples: Samples = SAMPLES["video"]
) -> Catalog:
    """Read a tree of split folders with class folders in them.

    Args:
        data: An existing folder.
        fold: Of no use here; every layout's reader takes the same arguments.
        group_regex: How to find a clip's group in its name.
        samples: What a sample is.

    Returns:
        With every clip's split. Where there is no test split, validation becomes it.

    Raises:
        DataError: There is no sample, no split folder, no class folder or one class only.
        ConfigError: `group_regex` is wrong.
    """
    del fold
    if not data.is_dir():
        raise DataError(
            f"{data} is a file, and kind 'split-folders' reads a folder with train and test in it. "
            "Give that folder, or leave kind at 'auto'."
        )
    sources = samples.of_dataset(data)
    names = [relative_name(source, data) for source in sources]
    parts = [tuple(name.split("/")) for name in names]
    if not sources:
        raise DataError(
            f"{data} holds no {samples.plural}. Give a folder with train/<class> and test/<class> "
            "in it."
        )
    depth = _split_depth(data, parts)
    splits = [SPLIT_WORDS.get(p[depth].casefold()) if len(p) > depth + 1 else None for p in parts]
    kept = [i for i, p in enumerate(parts) if splits[i] and len(p) > depth + 2]
    loose = [names[i] for i, p in enumerate(parts) if splits[i] and len(p) == depth + 2]
    if not kept:
        raise DataError(
            f"{data} holds {counted(len(loose), samples.noun)} in split folders ({some(loose)}) "
            f"but no folder for each class in them. Put the {samples.plural} of each class into a "
            "folder of its name in each split, or rename the folders if they are classes."
        )
    class_names = sorted({parts[i][depth + 1] for i in kept})
    require_classes(class_names, where=data)
    groups = find_groups([names[i] for i in kept], group_regex=group_regex)
    records = tuple(
        SampleRecord(
            source=sources[i],
            name=names[i],
            label=parts[i][depth + 1],
            group=group,
            split=splits[i],
        )
        for i, group in zip(kept, groups.names, strict=True)
    )
    notes = []
    if depth:
        notes.append(f"The splits are the folders in {'/'.join(parts[0][:depth])}.")
    others = [name for name, split in zip(names, splits, strict=True) if split is None]
    if others:
        notes.append(
            f"Left out, because in no split folder: {counted(len(others), samples.noun)} "
            f"({some(others)})."
        )
    if loose:
        notes.append(
            f"Left out, because in no class folder: {counted(len(loose), samples.noun)} "
            f"({some(loose)})."
        )
    if samples.are_folders:
        notes += notes_of_no_images(
            data, lambda p: len(p) > depth + 2 and p[depth].casefold() in SPLIT_WORDS
        )
    records, moved = with_test(records)
    return Catalog(
        root=data,
        kind="split-folders",
        records=records,
        class_names=tuple(class_names),
        split_origin="folders",
        fold=None,
        groups_known=groups.known,
        notes=(*notes, *moved, *groups.notes),
        samples=samples.kind,
    )


def with_test(
    records: tuple[SampleRecord, ...],
) -> tuple[tuple[SampleRecord, ...], tuple[str, ...]]:
    """Let validation be the test split where there is training and validation but no test.

    Returns:
        The records, and what to tell the user about them.
    """
    if {record.split for record in records} != {"train", "val"}:
        return records, ()
    moved = tuple(
        dataclasses.replace(record, split="test") if record.split == "val" else record
        for record in records
    )
    return moved, (NO_TEST,)


def _split_depth(data: Path, parts: list[tuple[str, ...]]) -> int:
    """Count the folders to pass through before the split folders."""
    for depth in range(class_depth(parts) + 1):
        if any(len(p) > depth + 1 and p[depth].casefold() in SPLIT_WORDS for p in parts):
            return depth
    raise DataError(
        f"{data} has no folder named train, val or test, which kind 'split-folders' needs. Name "
        "the folders so, or use kind 'folder' to have a split made."
    )
