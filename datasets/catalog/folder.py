"""One folder for each class.

DATA/walk/x.mp4                 the class is walk
DATA/walk/monday/x.mp4          still walk: only the top folder counts
DATA/videos/walk/x.mp4          folders that hold nothing but one folder are passed through
DATA/x.mp4                      belongs to no class: left out, with a note

Links are followed, so a class may lie on another disk.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.catalog import Catalog, require_classes
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.samples import SAMPLES, TEXT_FILES, Samples
from cliptide.datasets.catalog.split_words import SPLIT_WORDS
from cliptide.datasets.catalog.videos import find_folders_without_images, is_ignored
from cliptide.datasets.catalog.wording import counted, nfc, relative_name, some
from cliptide.datasets.records import SampleRecord


def read_folder(
    data: Path, *, fold: int, group_regex: str | None, samples: Samples = SAMPLES["video"]
) -> Catalog:
    """Read a class-per-folder tree.

    Args:
        data: An existing folder.
        fold: Of no use here; every layout's reader takes the same arguments.
        group_regex: How to find a clip's group in its name.
        samples: What a sample is.

    Raises:
        DataError: There is no sample, no class folder, or one class only.
        ConfigError: `group_regex` is wrong.
    """
    del fold
    if not data.is_dir():
        raise DataError(
            f"{data} is a file, and kind 'folder' reads a folder with one folder for each class. "
            "Give that folder, or leave kind at 'auto'."
        )
    sources = samples.of_dataset(data)
    if not sources:
        raise DataError(_no_samples(data, samples))
    names = [relative_name(source, data) for source in sources]
    parts = [tuple(name.split("/")) for name in names]
    depth = class_depth(parts)
    classes = sorted({p[depth] for p in parts if len(p) > depth + 1})
    _require_class_folders(data, classes, parts=parts, depth=depth, samples=samples)

    kept = [i for i, p in enumerate(parts) if len(p) > depth + 1]
    groups = find_groups([names[i] for i in kept], group_regex=group_regex)
    records = tuple(
        SampleRecord(source=sources[i], name=names[i], label=parts[i][depth], group=group)
        for i, group in zip(kept, groups.names, strict=True)
    )
    notes = []
    if depth:
        notes.append(f"The classes are the folders in {'/'.join(parts[0][:depth])}.")
    loose = [names[i] for i, p in enumerate(parts) if len(p) == depth + 1]
    if loose:
        notes.append(
            f"Left out, because in no class folder: {counted(len(loose), samples.noun)} "
            f"({some(loose)})."
        )
    level = sources[0].parents[len(parts[0]) - depth - 1]
    empty = _folders_without(level, classes)
    if empty:
        notes.append(
            f"Without any {samples.noun}: {counted(len(empty), 'folder')} ({some(empty)})."
        )
    if samples.are_folders:
        notes += notes_of_no_images(data, lambda p: len(p) > depth + 1 and p[depth] in classes)
    return Catalog(
        root=data,
        kind="folder",
        records=records,
        class_names=tuple(classes),
        split_origin=None,
        fold=None,
        groups_known=groups.known,
        notes=(*notes, *groups.notes),
        samples=samples.kind,
    )


def notes_of_no_images(data: Path, is_place: Callable[[tuple[str, ...]], bool]) -> tuple[str, ...]:
    """Name the folders that stand where samples do but have no images.

    Args:
        data: The data set.
        is_place: Tells by the folders in its relative path whether a sample may stand there.
    """
    names = [relative_name(path, data) for path in find_folders_without_images(data)]
    names = [name for name in names if is_place(tuple(name.split("/")))]
    if not names:
        return ()
    return (f"Without images, so left out: {counted(len(names), 'folder')} ({some(names)}).",)


def class_depth(parts: Sequence[tuple[str, ...]]) -> int:
    """Count the folders to pass through before the class folders.

    Args:
        parts: The relative path of each sample, split at its folders.

    Returns:
        How many folders all samples share before the first choice: a level with a sample of its
        own or with more than one folder ends the way.
    """
    shared = 0
    while all(len(p) > shared + 1 for p in parts) and len({p[shared] for p in parts}) == 1:
        shared += 1
    return shared


def _require_class_folders(
    data: Path,
    classes: Sequence[str],
    *,
    parts: Sequence[tuple[str, ...]],
    depth: int,
    samples: Samples,
) -> None:
    if not classes and depth == 0:
        raise DataError(
            f"{data} holds {counted(len(parts), samples.noun)} but no folder for each class. Put "
            f"the {samples.plural} of each class into a folder of its name, or give a CSV with "
            "path,label."
        )
    if len(classes) < 2:
        # DATA/walk/x.mp4 was passed through in the hope of classes below it: walk is the class.
        require_classes(["/".join(parts[0][:depth])] if depth else classes, where=data)
    # Silently training a recogniser of "train" against "test" would be the worse answer.
    if {name.casefold() for name in classes} <= SPLIT_WORDS.keys():
        raise DataError(
            f"The folders {some(classes)} in {data} look like splits, not classes. Use kind "
            "'split-folders' or 'auto', or rename them if they are classes."
        )


def _folders_without(level: Path, classes: Sequence[str]) -> list[str]:
    return sorted(
        nfc(path.name)
        for path in level.iterdir()
        if path.is_dir() and not is_ignored(path.name) and nfc(path.name) not in classes
    )


def _no_samples(data: Path, samples: Samples) -> str:
    texts = TEXT_FILES.find(data) if samples.kind == "video" else []
    if len({path.parent for path in texts} - {data}) > 1:  # one for each class
        return (
            f"{data} holds no videos, but {counted(len(texts), 'text file')}. Give "
            "--data.kind text if they are the samples."
        )
    lists = sorted(path.name for path in data.glob("*.csv") if not is_ignored(path.name))
    if lists:
        return (
            f"{data} holds no {samples.plural}, but {some(lists)}. If that is a manifest, give its "
            "path."
        )
    return (
        f"{data} holds no {samples.plural}. Give a folder with one folder of {samples.plural} "
        f"({samples.examples}) for each class, or a CSV with path,label."
    )
