"""HMDB51: class folders, and for each class and fold a list of its clips.

DATA/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
testTrainMulti_7030_splits/             any folder in DATA, or one beside it called ...split...
    brush_hair_test_split1.txt          April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1

1 is training, 2 test, 0 unused in this fold. What stands before `_<class>_` in a file's name is
the video it was cut from: its group, also across classes.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cliptide.configs.errors import DataError, SplitError
from cliptide.datasets.catalog.catalog import Catalog, require_classes
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.listed import ListedClip, match_files
from cliptide.datasets.catalog.samples import SAMPLES, Samples
from cliptide.datasets.catalog.videos import is_ignored
from cliptide.datasets.catalog.wording import counted, nfc, read_utf8, relative_name, some
from cliptide.datasets.records import SampleRecord, Split

_LIST_NAME = re.compile(r"(.+)_test_split0*(\d+)\.txt", re.IGNORECASE)
_MARKS: dict[str, Split | None] = {"0": None, "1": "train", "2": "test"}

# Lists by fold and class.
_Lists = dict[int, dict[str, Path]]


def find_hmdb51_lists(data: Path) -> Path | None:
    """Find the folder of lists that belongs to a folder of videos.

    Looked at are DATA and the folders in it, and those beside DATA with `split` in their names;
    a folder of that kind may hold the lists one folder deeper. Lists count only if DATA has a
    folder for one of their classes: they may belong to another data set in the same place.
    """
    for folder in _candidates(data):
        classes = {name for lists in _lists_in(folder).values() for name in lists}
        if classes and _has_class_folder(data, classes):
            return folder
    return None


def read_hmdb51(
    data: Path, *, fold: int, group_regex: str | None, samples: Samples = SAMPLES["video"]
) -> Catalog:
    """Read one official fold.

    Args:
        data: An existing folder.
        fold: Counted from 1: the number behind `_test_split`.
        group_regex: How to find a clip's group in its name, in place of the source video.
        samples: What a sample is; lists name videos, and others have their names without the
            ending.

    Raises:
        DataError: There are no lists, a line is wrong, or listed files are missing.
        SplitError: The fold is not there, or a clip has two marks.
        ConfigError: `group_regex` is wrong.
    """
    folder = find_hmdb51_lists(data) if data.is_dir() else None
    if folder is None:
        raise DataError(
            f"There are no lists such as brush_hair_test_split1.txt that fit in {data} or beside "
            "it, and kind 'hmdb51' needs them. Put their folder there, or use kind 'folder'."
        )
    notes: list[str] = []
    marked: dict[ListedClip, Split | None] = {}
    for class_name, path in sorted(_lists_of_fold(folder, fold).items()):
        marked.update(_read_list(path, class_name))
    listed = {clip: split for clip, split in marked.items() if split is not None}
    unused = len(marked) - len(listed)
    if unused:
        notes.append(f"Left out, because fold {fold} does not use them: {counted(unused, 'clip')}.")
    sources = samples.of_dataset(data)
    if not sources:
        raise DataError(f"{data} holds no {samples.plural}. Put the class folders of HMDB51 there.")
    files = match_files(listed, sources, data=data, lists=folder, samples=samples)
    class_names = sorted({clip.class_name for clip in listed})
    require_classes(class_names, where=data)
    known = {(clip.class_name, Path(clip.file_name).stem) for clip in marked}
    unlisted = sum(
        (nfc(path.parent.name), nfc(samples.stem(path))) not in known for path in sources
    )
    if unlisted:
        notes.append(
            f"Left out, because in no list of fold {fold}: {counted(unlisted, samples.noun)}."
        )

    rows = sorted((relative_name(path, data), path, clip) for clip, path in files.items())
    groups = find_groups(
        [name for name, _, _ in rows],
        group_regex=group_regex,
        column=[_source_video(clip) for _, _, clip in rows],
        missing="no _<class>_ is in the name",
    )
    return Catalog(
        root=data,
        kind="hmdb51",
        records=tuple(
            SampleRecord(
                source=path, name=name, label=clip.class_name, group=group, split=listed[clip]
            )
            for (name, path, clip), group in zip(rows, groups.names, strict=True)
        ),
        class_names=tuple(class_names),
        split_origin="official",
        fold=fold,
        groups_known=groups.known,
        notes=(*notes, *groups.notes),
        official_folds=tuple(sorted(_lists_in(folder))),
        samples=samples.kind,
    )


def _candidates(data: Path) -> Iterator[Path]:
    inside = _folders_in(data)
    beside = [path for path in _folders_in(data.resolve().parent) if "split" in path.name.lower()]
    yield data
    for folder in (*inside, *beside):
        yield folder
        if "split" in folder.name.lower():
            yield from _folders_in(folder)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not is_ignored(p.name) and p.is_dir())
    except OSError:  # What cannot be listed is named when its videos are looked for.
        return []


def _lists_in(folder: Path) -> _Lists:
    found: _Lists = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # As above.
        return {}
    for path in paths:
        match = None if is_ignored(path.name) else _LIST_NAME.fullmatch(path.name)
        if match:
            found.setdefault(int(match[2]), {})[nfc(match[1])] = path
    return found


def _has_class_folder(data: Path, classes: set[str]) -> bool:
    top = _folders_in(data)
    if any(nfc(path.name) in classes for path in top):
        return True
    return any(nfc(path.name) in classes for folder in top for path in _folders_in(folder))


def _lists_of_fold(folder: Path, fold: int) -> Mapping[str, Path]:
    found = _lists_in(folder)
    if fold not in found:
        raise SplitError(
            f"Fold {fold} is not in {folder}. Use one of: {', '.join(map(str, sorted(found)))}."
        )
    every = {name for lists in found.values() for name in lists}
    lacking = sorted(every - found[fold].keys())
    if lacking:
        raise SplitError(
            f"{folder} has no list for fold {fold} of {counted(len(lacking), 'class')} "
            f"({some(lacking)}). Add {lacking[0]}_test_split{fold}.txt, or use another fold."
        )
    return found[fold]


def _read_list(path: Path, class_name: str) -> dict[ListedClip, Split | None]:
    clips: dict[ListedClip, Split | None] = {}
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        if not line.strip():
            continue
        name, *rest = line.strip().rsplit(maxsplit=1)
        mark = rest[0] if rest else ""
        if mark not in _MARKS:
            raise DataError(
                f"{path}, line {number}: {line.strip()!r} does not end in 0, 1 or 2. Write the "
                "file's name and 1 for training, 2 for test or 0 for neither."
            )
        clip = ListedClip(class_name=class_name, file_name=nfc(name))
        if clips.setdefault(clip, _MARKS[mark]) != _MARKS[mark]:
            raise SplitError(
                f"{path}, line {number}: {name!r} is marked {mark}, and otherwise in an earlier "
                "line. Keep one of the lines."
            )
    return clips


def _source_video(clip: ListedClip) -> str | None:
    """`AmericanGangster` of `AmericanGangster_drink_u_nm_np1_fr_bad_37.avi`."""
    # The last one: a source's own name may hold the class too.
    return clip.file_name.rpartition(f"_{clip.class_name}_")[0] or None
