"""Test samples that are the same to the byte as samples that training or its choices saw."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cliptide.datasets.records import SampleRecord

_BLOCK = 1 << 20


def find_copies(records: Sequence[SampleRecord]) -> list[tuple[str, str]]:
    """Find test samples whose bytes are those of a training or validation sample of another name.

    A folder is its files, with their names and bytes; a text is itself. Only what is of one size
    is read. Groups tell of clips that resemble each other, and of clips of one file; this tells
    of files that were copied from one group into another.

    Returns:
        (training or validation clip, test clip) for each such test sample, sorted.
    """
    texts = [record for record in records if record.text is not None]
    files = [record for record in records if record.text is None]
    return sorted(_copied_texts(texts) + _copied_files(files))


def _copied_texts(records: Sequence[SampleRecord]) -> list[tuple[str, str]]:
    seen: dict[str | None, str] = {}
    for record in records:
        if record.split != "test" and record.text:
            seen.setdefault(record.text, record.name)
    return [
        (seen[record.text], record.name)
        for record in records
        if record.split == "test" and record.text in seen
    ]


def _copied_files(records: Sequence[SampleRecord]) -> list[tuple[str, str]]:
    seen: dict[Path, str] = {}
    test: dict[Path, str] = {}
    for record in records:
        (test if record.split == "test" else seen).setdefault(record.source, record.name)
    by_size: dict[int, list[Path]] = {}
    for source in seen.keys() - test.keys():
        by_size.setdefault(_size(source), []).append(source)
    digests: dict[Path, bytes] = {}
    found = []
    for source in test.keys() - seen.keys():
        size = _size(source)
        for other in sorted(by_size.get(size, ())) if size > 0 else ():
            for path in (source, other):
                if path not in digests:
                    digests[path] = _digest(path)
            if digests[source] == digests[other] != b"":
                found.append((seen[other], test[source]))
                break
    return found


def _files(source: Path) -> list[tuple[str, Path]]:
    """The files of a sample with their names in it, in an order of their own."""
    if not source.is_dir():
        return [("", source)]
    files = (path for path in source.rglob("*") if not path.is_dir())
    return sorted((path.relative_to(source).as_posix(), path) for path in files)


def _size(source: Path) -> int:
    try:
        return sum(path.stat().st_size for _, path in _files(source))
    except OSError:  # scoring says so
        return -1


def _digest(source: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        for name, path in _files(source):
            # Lengths part what would run together: names from bytes, and file from file.
            digest.update(f"{len(name)}:{name}{path.stat().st_size}:".encode())
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    except OSError:  # scoring says so
        return b""
    return digest.digest()
