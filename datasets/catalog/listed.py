"""Clips as official lists name them, by class folder and file name, and their files on disk."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cliptide.configs.errors import DataError, SplitError
from cliptide.datasets.catalog.samples import Samples
from cliptide.datasets.catalog.wording import counted, nfc, relative_name, some


@dataclass(frozen=True)
class ListedClip:
    """One line of a list: `Archery/v_Archery_g08_c01.avi 1`."""

    class_name: str
    file_name: str

    def __str__(self) -> str:
        return f"{self.class_name}/{self.file_name}"


def match_files(
    listed: Collection[ListedClip],
    sources: Sequence[Path],
    *,
    data: Path,
    lists: Path,
    samples: Samples,
) -> dict[ListedClip, Path]:
    """Find the file of each listed clip.

    A re-encoded one may have another ending, and a folder of its frames has none.

    Args:
        listed: What the lists name.
        sources: Every sample of the data set.
        data: What the user gave, for the messages.
        lists: The folder of the lists, likewise.
        samples: What a sample is.

    Returns:
        One file for each listed clip, in the order listed.

    Raises:
        DataError: Files are missing, or several may be meant.
        SplitError: Two listed clips are the same file.
    """
    exact: dict[tuple[str, str], list[Path]] = {}
    by_stem: dict[tuple[str, str], list[Path]] = {}
    for path in sources:
        folder = nfc(path.parent.name)
        exact.setdefault((folder, nfc(path.name)), []).append(path)
        by_stem.setdefault((folder, nfc(samples.stem(path))), []).append(path)
    files: dict[ListedClip, Path] = {}
    missing: list[str] = []
    for clip in listed:
        stem = PurePosixPath(clip.file_name).stem
        found = exact.get((clip.class_name, clip.file_name)) or by_stem.get((clip.class_name, stem))
        if not found:
            missing.append(str(clip))
        elif len(found) > 1:
            raise DataError(
                f"{clip} of the lists may be any of "
                f"{some([relative_name(path, data) for path in found])}. Keep one of them."
            )
        else:
            files[clip] = found[0]
    if missing:
        raise DataError(
            f"{len(missing)} of {counted(len(listed), 'clip')} listed in {lists} are missing in "
            f"{data} ({some(missing)}). Add them, take them out of the lists, or use kind 'folder'."
        )
    if len(set(files.values())) < len(files):
        taken: dict[Path, ListedClip] = {}
        for clip, path in files.items():
            if path in taken:
                raise SplitError(
                    f"{taken[path]} and {clip} of the lists are the same file on disk, {path.name}."
                    " Take one of them out of the lists."
                )
            taken[path] = clip
    return files
