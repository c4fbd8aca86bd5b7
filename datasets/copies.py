"""Test files that are the same to the byte as files that training or its choices saw."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cliptide.datasets.records import SampleRecord

_BLOCK = 1 << 20


def find_copies(records: Sequence[SampleRecord]) -> list[tuple[str, str]]:
    """Find test files whose bytes are those of a training or validation file of another name.

    Only files of one size are read. Groups tell of clips that resemble each other, and of clips
    of one file; this tells of files that were copied from one group into another.

    Returns:
        (training or validation clip, test clip) for each such test file, sorted.
    """
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
    return sorted(found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # scoring says so
        return -1


def _digest(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:  # scoring says so
        return b""
    return digest.digest()
