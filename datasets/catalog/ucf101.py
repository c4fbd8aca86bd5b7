"""UCF101 and whatever copies its layout: class folders and the lists of official folds.

DATA/Archery/v_Archery_g08_c01.avi
ucfTrainTestlist/               inside DATA or beside it
    classInd.txt                1 Archery
    trainlist01.txt             Archery/v_Archery_g08_c01.avi 1      (classes count from 1)
    testlist01.txt              Archery/v_Archery_g01_c01.avi

The class of a clip is its folder's name; the number in the train list must agree with it.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from cliptide.configs.errors import DataError, LeakError, SplitError
from cliptide.datasets.catalog.catalog import Catalog, require_classes
from cliptide.datasets.catalog.groups import find_groups
from cliptide.datasets.catalog.listed import ListedClip, match_files
from cliptide.datasets.catalog.samples import SAMPLES, Samples
from cliptide.datasets.catalog.wording import (
    counted,
    did_you_mean,
    nfc,
    read_utf8,
    relative_name,
    some,
)
from cliptide.datasets.records import SampleRecord, Split

LISTS_FOLDER = "ucfTrainTestlist"

_LIST_NAME = re.compile(r"(train|test)list0*(\d+)\.txt", re.IGNORECASE)


def find_lists(data: Path) -> Path | None:
    """Find the folder of lists that belongs to a folder of videos.

    Lists beside DATA count only if DATA has a folder for one of their classes: they may belong
    to another data set in the same place.
    """
    inside = data / LISTS_FOLDER
    if inside.is_dir():
        return inside
    beside = data.resolve().parent / LISTS_FOLDER
    index = beside / "classInd.txt"
    if not index.is_file():
        return None
    folders = [data, *(path for path in data.iterdir() if path.is_dir())]
    names = _read_class_names(index).values()
    return beside if any((folder / n).is_dir() for folder in folders for n in names) else None


def read_ucf101(
    data: Path, *, fold: int, group_regex: str | None, samples: Samples = SAMPLES["video"]
) -> Catalog:
    """Read one official fold.

    Args:
        data: An existing folder.
        fold: Counted from 1; whatever `trainlistNN.txt` and `testlistNN.txt` exist.
        group_regex: How to find a clip's group in its name, in place of `_gNN_`.
        samples: What a sample is; lists name videos, and others have their names without the
            ending.

    Raises:
        DataError: There are no lists, a line does not fit `classInd.txt`, or listed files are
            missing.
        SplitError: The fold is not there, or a clip stands in train and test.
        ConfigError: `group_regex` is wrong.
    """
    lists = find_lists(data) if data.is_dir() else None
    if lists is None:
        raise DataError(
            f"There is no {LISTS_FOLDER} that fits in {data} or beside it, and kind 'ucf101' "
            "needs its lists. Put it there, or use kind 'folder'."
        )
    index = lists / "classInd.txt"
    if not index.is_file():
        raise DataError(
            f"{index} is missing. Write one line for each class there: '1 Archery', '2 Bowling'."
        )
    names_by_number = _read_class_names(index)
    notes: list[str] = []
    listed: dict[ListedClip, Split] = {}
    train_list, test_list = _lists_of_fold(lists, fold)
    splits: tuple[tuple[Split, Path], ...] = (("train", train_list), ("test", test_list))
    for split, path in splits:
        clips = _read_list(path, names_by_number)
        both = [str(clip) for clip in clips if clip in listed]
        if both:
            raise LeakError(
                f"In both {train_list.name} and {test_list.name} of {lists}: "
                f"{counted(len(both), 'clip')} ({some(both)}). Take each out of one of the lists."
            )
        if len(set(clips)) < len(clips):
            repeated = counted(len(clips) - len(set(clips)), "line")
            notes.append(f"Left out, because {path.name} says it before: {repeated}.")
        listed.update(dict.fromkeys(clips, split))

    sources = samples.of_dataset(data)
    if not sources:
        raise DataError(f"{data} holds no {samples.plural}. Put the class folders of UCF101 there.")
    files = match_files(listed, sources, data=data, lists=lists, samples=samples)
    with_clips = {clip.class_name for clip in listed}
    class_names = [name for name in names_by_number.values() if name in with_clips]
    require_classes(class_names, where=data)
    if len(class_names) < len(names_by_number):
        unused = [name for name in names_by_number.values() if name not in with_clips]
        notes.append(
            f"Left out, because without a clip in fold {fold}: {counted(len(unused), 'class')} of "
            f"classInd.txt ({some(unused)})."
        )
    unlisted = len(sources) - len(set(files.values()))
    if unlisted:
        notes.append(
            f"Left out, because in no list of fold {fold}: {counted(unlisted, samples.noun)}."
        )

    rows = sorted((relative_name(path, data), path, clip) for clip, path in files.items())
    groups = find_groups([name for name, _, _ in rows], group_regex=group_regex)
    return Catalog(
        root=data,
        kind="ucf101",
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
        official_folds=tuple(_lists_by_fold(lists)),
        samples=samples.kind,
    )


def _read_class_names(index: Path) -> dict[int, str]:
    """Read `classInd.txt` into its numbers and names, in the order of the numbers."""
    names: dict[int, str] = {}
    for number, line in enumerate(read_utf8(index).splitlines(), start=1):
        if not line.strip():
            continue
        head, *rest = line.split(maxsplit=1)
        name = nfc("".join(rest).strip())
        if not head.isdecimal() or not name:
            raise DataError(
                f"{index}, line {number}: {line.strip()!r} is no class. Write its number and its "
                "name, such as '1 Archery'."
            )
        if int(head) in names or name in names.values():
            raise DataError(
                f"{index}, line {number}: {line.strip()!r} repeats an earlier number or name. "
                "Give each class one line."
            )
        names[int(head)] = name
    return dict(sorted(names.items()))


def _lists_by_fold(lists: Path) -> dict[int, tuple[Path, Path]]:
    """The training and the test list of each fold that has both, in order."""
    found: dict[int, dict[str, Path]] = {}
    for path in lists.iterdir():
        match = _LIST_NAME.fullmatch(path.name)
        if match:
            found.setdefault(int(match[2]), {})[match[1].lower()] = path
    return {
        number: (pair["train"], pair["test"])
        for number, pair in sorted(found.items())
        if len(pair) == 2
    }


def _lists_of_fold(lists: Path, fold: int) -> tuple[Path, Path]:
    folds = _lists_by_fold(lists)
    if fold not in folds:
        if not folds:
            raise SplitError(
                f"{lists} holds no fold. Put trainlist01.txt and testlist01.txt there, or use "
                "kind 'folder' to have a split made."
            )
        raise SplitError(
            f"Fold {fold} is not in {lists}. Use one of: {', '.join(map(str, folds))}."
        )
    return folds[fold]


def _read_list(path: Path, names_by_number: Mapping[int, str]) -> list[ListedClip]:
    known = set(names_by_number.values())
    clips = []
    for number, line in enumerate(read_utf8(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        # File names may hold spaces, but end in .avi: a number at the end is the class.
        text, label = line.strip(), None
        words = text.rsplit(maxsplit=1)
        if len(words) == 2 and words[1].isdecimal():
            text, label = words[0], int(words[1])
        parts = PurePosixPath(nfc(text.replace("\\", "/"))).parts
        if len(parts) < 2:
            raise DataError(
                f"{where}: {text!r} names no class folder. Write it as 'Archery/{text}'."
            )
        clip = ListedClip(class_name=parts[-2], file_name=parts[-1])
        if clip.class_name not in known:
            raise DataError(
                f"{where}: class {clip.class_name!r} is not in classInd.txt."
                f"{did_you_mean(clip.class_name, known)} Add it there or mend the line."
            )
        if label is not None and names_by_number.get(label) != clip.class_name:
            meant = names_by_number.get(label)
            says = f"which classInd.txt calls {meant!r}" if meant else "which classInd.txt lacks"
            right = next(n for n, name in names_by_number.items() if name == clip.class_name)
            raise DataError(
                f"{where}: {clip} carries class number {label}, {says}. The folder's number is "
                f"{right}: mend the line (UCF101 counts classes from 1)."
            )
        clips.append(clip)
    return clips
