"""Which videos a command was given."""

import glob
from collections.abc import Sequence
from pathlib import Path

from cliptide.configs.errors import InputError
from cliptide.datasets.catalog import VIDEO_SUFFIXES, find_videos


def expand_sources(sources: Sequence[str]) -> list[str]:
    """Turn files, folders (with all below them) and globs into files, each once, in order.

    A file that is named is taken whatever its name; in folders and globs, what has the name
    of a video.

    Raises:
        InputError: A folder holds no video, or a glob matches none.
    """
    found: list[str] = []
    for source in sources:
        if Path(source).is_dir():
            videos = [str(path) for path in find_videos(source)]
            if not videos:
                raise InputError(
                    f"The folder {source} holds no videos. Give one that does, or a file."
                )
            found += videos
        elif glob.has_magic(source) and not Path(source).exists():
            found += _matching(source)
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def _matching(pattern: str) -> list[str]:
    # Not Path.glob, which takes no absolute pattern.
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207
    videos = []
    for match in map(Path, matches):
        if match.is_dir():
            videos += [str(path) for path in find_videos(match)]
        elif match.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(str(match))
    if not videos:
        what = f"{len(matches)} files, but no video" if matches else "nothing"
        raise InputError(f"The pattern {pattern} matches {what}. Mend it; ** goes into folders.")
    return videos
