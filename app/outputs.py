"""Files a command is told to write: refused at once if that cannot be. Imports nothing heavy."""

import os
from pathlib import Path

from cliptide.configs.errors import InputError


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
