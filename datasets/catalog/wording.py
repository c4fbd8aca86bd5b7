"""The small words of this package's errors and notes, and its one way to read a text file."""

import difflib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from cliptide.configs.errors import DataError


def nfc(text: str) -> str:
    """Bring a name to one spelling: macOS stores `é` as two code points, others as one."""
    return unicodedata.normalize("NFC", text)


def relative_name(path: Path, root: Path) -> str:
    """Name a file relative to the data set, with `/` on every system and in one spelling."""
    return nfc(Path(os.path.relpath(path, root)).as_posix())


def some(names: Sequence[str], *, limit: int = 3) -> str:
    """List the first few names and show that there are more."""
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 file`, `2 files`, `2 classes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}es" if noun.endswith("s") else f"{number} {noun}s"


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` with the nearest known name, or nothing."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(value.casefold(), list(by_folded), n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""


def read_utf8(path: Path) -> str:
    """Read a text file as UTF-8, with or without a byte order mark.

    Raises:
        DataError: The file cannot be read or is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} is not UTF-8 (line {line} holds the byte 0x{error.object[error.start]:02x}). "
            "Save it as UTF-8; spreadsheets call this 'CSV UTF-8'."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Mend its permissions."
        ) from error
