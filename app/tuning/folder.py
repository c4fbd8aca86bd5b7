"""The folder of a search: found again by the same command, or claimed.

A search whose study lies elsewhere leaves `storage.json` in its folder, which tells where. So a
folder belongs to one search, known by `study.db` or by that file from its first moment on.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from cliptide.app.evaluation.run_folder import TRAINING_FILES, claim_run_folder, data_name
from cliptide.app.tuning.storage import settings_in, without_password
from cliptide.app.tuning.study import difference_of
from cliptide.configs.errors import InputError

STUDY_FILE = "study.db"
STORAGE_FILE = "storage.json"
TRIALS_FILE = "trials.csv"


@dataclass(frozen=True)
class SearchKey:
    """What a search is known by.

    Attributes:
        storage: The URL that was given with --study; None for `study.db` in the folder.
        name: Of the study in its storage.
        settings: What `settings_of` gave.
    """

    storage: str | None
    name: str
    settings: Mapping[str, Any]


def url_in(folder: Path) -> str:
    """The storage URL of a folder's own study."""
    return f"sqlite:///{(folder / STUDY_FILE).resolve().as_posix()}"


def find_folder(data: Path, *, out: Path | None, key: SearchKey) -> Path | None:
    """The folder to go on in; None where the search must begin in one of its own.

    Nothing is written.

    Args:
        data: The data set.
        out: The folder that was asked for; else the newest `runs/<data>-tune-<n>` of this search.
        key: The search.

    Raises:
        InputError: `out` holds something else.
    """
    if out is not None:
        if not out.is_dir() or not any(out.iterdir()):
            return None
        _require_own(out, key)
        return out
    label = _label(data)
    earlier = {
        int(match[1]): path
        for path in Path("runs").glob(f"{label}-*")
        if (match := re.fullmatch(rf"{re.escape(label)}-(\d+)", path.name))
    }
    newest_first = (path for _, path in sorted(earlier.items(), reverse=True))
    return next((path for path in newest_first if _is_of(path, key)), None)


def claim_folder(data: Path, *, out: Path | None, key: SearchKey) -> Path:
    """Make a folder for a new search, and mark it as its own.

    Raises:
        InputError: It cannot be made.
    """
    try:
        folder = claim_run_folder("" if out else _label(data), out=out, training=False)
    except InputError:
        # Another process of this search may have claimed it a moment ago.
        if out is not None and (claimed := find_folder(data, out=out, key=key)) is not None:
            return claimed
        raise
    if key.storage is not None:
        scratch = folder / f"{STORAGE_FILE}.part"
        scratch.write_text(json.dumps(_marker(key), indent=1), encoding="utf-8")
        scratch.replace(folder / STORAGE_FILE)
    return folder


def _label(data: Path) -> str:
    return f"{data_name(data)}-tune"


def _marker(key: SearchKey) -> dict[str, Any]:
    return {
        "study": without_password(key.storage or ""),
        "study_name": key.name,
        "settings": key.settings,
    }


def _read_marker(folder: Path) -> dict[str, Any]:
    try:
        marker = json.loads((folder / STORAGE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _is_of(folder: Path, key: SearchKey) -> bool:
    """Whether a folder is that of this very search."""
    if key.storage is not None:
        marker, own = _read_marker(folder), _marker(key)
        stored = marker.pop("settings", None)
        settings = own.pop("settings")
        return marker == own and bool(stored) and not difference_of(stored, settings)
    if not (folder / STUDY_FILE).is_file():
        return False
    stored = settings_in(url_in(folder), name=key.name)
    return stored is not None and not (stored and difference_of(stored, key.settings))


def _require_own(out: Path, key: SearchKey) -> None:
    """Refuse a folder of something else; what its study says is for `open_study` to judge."""
    marker, has_study = _read_marker(out), (out / STUDY_FILE).is_file()
    if any((out / file).exists() for file in TRAINING_FILES):
        raise InputError(
            f"The folder {out} holds a training run, which a search does not replace. Give "
            "another --out."
        )
    if marker:
        wanted = _marker(key)
        if any(marker.get(part) != wanted[part] for part in ("study", "study_name")):
            raise InputError(
                f"The folder {out} holds a search whose study is {marker.get('study_name')!r} in "
                f"{marker.get('study')}. Give that with --study and --study_name to go on with "
                "it, or another --out."
            )
    elif has_study:
        if key.storage is not None and not _is_file(key.storage, out / STUDY_FILE):
            raise InputError(
                f"The folder {out} holds a search with a study of its own, {STUDY_FILE}. Leave "
                "out --study to go on with it, or give another --out."
            )
    elif not (out / TRIALS_FILE).is_file():
        raise InputError(
            f"The folder {out} is not empty and holds no search to go on with. Give another --out."
        )


def _is_file(url: str, path: Path) -> bool:
    try:
        database = make_url(url).database
    except (ArgumentError, ValueError):
        return False
    return database is not None and Path(database).resolve() == path.resolve()
