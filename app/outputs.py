"""Files a command is told to write: refused at once if that cannot be. Imports nothing heavy."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cliptide.configs.errors import InputError

STDOUT = "-"


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Refuse now what would fail when all is computed.

    Args:
        path: The file to be written.
        overwrite: Whether one that exists may be replaced.

    Raises:
        InputError: It is a folder, exists, or cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder. Give the name of a file in it.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists. Give another name, or --overwrite to replace it.")
    if not path.parent.is_dir():
        raise InputError(
            f"There is no folder {path.parent} to write {path.name} into. Make it, or write "
            "elsewhere."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} may not be written. Mend its permissions, or write elsewhere.")


def require_different(paths: Sequence[Path]) -> None:
    """Refuse to write two things into one file.

    Raises:
        InputError: A file is named twice.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"{path} is to be written twice. Give each output its own file.")
        seen.add(path.resolve())


def write_json(to: str, value: Any) -> None:
    """Write JSON to a file, or to stdout for `-`."""
    # A lone surrogate (a file name that is no UTF-8) becomes its escape, which JSON has too.
    to_screen = to == STDOUT
    readable = not to_screen or (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=not readable).encode(
        "utf-8", errors="backslashreplace"
    )
    if to_screen:
        print(text.decode("utf-8"))
    else:
        Path(to).write_bytes(text + b"\n")
