"""Which files in a folder are videos, found the same way for training and for prediction.

Left out: hidden files and folders (a leading dot; macOS's `._x` resource forks among them) and
the folders that operating systems put beside people's files. Kept: empty files and links that
lead nowhere, so that they are counted as unreadable later and not lost here.
"""

import os
from os import PathLike
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.wording import relative_name

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
    """Find every video in a folder and its sub-folders, links followed.

    Args:
        folder: An existing folder.

    Returns:
        Paths that begin with `folder` as given, sorted by their name relative to it, whatever
        order the file system lists them in.

    Raises:
        DataError: A folder cannot be listed.
    """
    root = Path(folder)
    videos: list[Path] = []
    pending: list[tuple[Path, frozenset[str]]] = [(root, frozenset({os.path.realpath(root)}))]
    while pending:
        current, above = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if is_ignored(entry.name):
                        continue
                    path = current / entry.name
                    if _leads_to_folder(entry):
                        real = os.path.realpath(path)
                        # A link to a folder above it is a loop; one to a sibling is a choice.
                        if real not in above:
                            pending.append((path, above | {real}))
                    elif is_video_name(entry.name):
                        videos.append(path)
        except OSError as error:
            raise DataError(
                f"Folder {current} cannot be read: {error.strerror}. Mend its permissions or "
                "move it out of the data set."
            ) from error
    return sorted(videos, key=lambda path: (relative_name(path, root), str(path)))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself is neither file nor folder.
        return False
