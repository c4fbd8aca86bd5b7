"""Which files in a folder are samples, found the same way for training and for prediction.

Left out: hidden files and folders (a leading dot; macOS's `._x` resource forks among them) and
the folders that operating systems put beside people's files. Kept: empty files and links that
lead nowhere, so that they are counted as unreadable later and not lost here.
"""

import os
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.wording import relative_name
from cliptide.datasets.image_names import IMAGE_SUFFIXES, is_image_name

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "find_files",
    "find_folders_without_images",
    "find_image_folders",
    "find_videos",
    "is_ignored",
    "is_image_name",
    "is_video_name",
    "walk",
]

VIDEO_SUFFIXES: frozenset[str] = frozenset(
    {
        ".264",
        ".265",
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".hevc",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    }
)

_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
)


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


def is_video_name(name: str) -> bool:
    """Whether a file of this name is taken for a video; the case of its ending plays no part."""
    return not is_ignored(name) and Path(name).suffix.lower() in VIDEO_SUFFIXES


def find_videos(folder: str | PathLike[str]) -> list[Path]:
    """Find every video in a folder and its sub-folders, links followed; see `find_files`."""
    return find_files(folder, is_video_name)


def find_files(folder: str | PathLike[str], is_wanted: Callable[[str], bool]) -> list[Path]:
    """Find every file of a kind in a folder and its sub-folders, links followed.

    Args:
        folder: An existing folder.
        is_wanted: Tells by its name whether a file is of the kind.

    Returns:
        Paths that begin with `folder` as given, sorted by their name relative to it, whatever
        order the file system lists them in.

    Raises:
        DataError: A folder cannot be listed.
    """
    root = Path(folder)
    found = [
        current / name for current, _, names in walk(root) for name in names if is_wanted(name)
    ]
    return _sorted(found, root)


def find_image_folders(folder: str | PathLike[str]) -> list[Path]:
    """Find every folder below this one that directly holds images, and none below such a one.

    Args:
        folder: An existing folder.

    Returns:
        As `find_files`.

    Raises:
        DataError: A folder cannot be listed.
    """
    root = Path(folder)
    found = []
    for current, folders, names in walk(root):
        if current != root and any(map(is_image_name, names)):
            found.append(current)
            folders.clear()
    return _sorted(found, root)


def find_folders_without_images(folder: str | PathLike[str]) -> list[Path]:
    """Find every folder below this one that holds neither images nor folders; as `find_files`."""
    root = Path(folder)
    found = []
    for current, folders, names in walk(root):
        if any(map(is_image_name, names)):
            folders.clear()
        elif current != root and not folders:
            found.append(current)
    return _sorted(found, root)


def walk(root: Path) -> Iterator[tuple[Path, list[Path], list[str]]]:
    """Go through a folder and all below it, links followed, without what `is_ignored`.

    Yields:
        A folder, the folders in it, and the names of its files. Folders that are taken out of the
        list are not gone into.

    Raises:
        DataError: A folder cannot be listed.
    """
    pending: list[tuple[Path, frozenset[str]]] = [(root, frozenset({os.path.realpath(root)}))]
    while pending:
        current, above = pending.pop()
        folders: list[Path] = []
        names: list[str] = []
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if is_ignored(entry.name):
                        continue
                    if _leads_to_folder(entry):
                        folders.append(current / entry.name)
                    else:
                        names.append(entry.name)
        except OSError as error:
            raise DataError(
                f"Folder {current} cannot be read: {error.strerror}. Mend its permissions or "
                "move it out of the data set."
            ) from error
        yield current, folders, names
        for path in folders:
            real = os.path.realpath(path)
            # A link to a folder above it is a loop; one to a sibling is a choice.
            if real not in above:
                pending.append((path, above | {real}))


def _sorted(paths: list[Path], root: Path) -> list[Path]:
    return sorted(paths, key=lambda path: (relative_name(path, root), str(path)))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself is neither file nor folder.
        return False
