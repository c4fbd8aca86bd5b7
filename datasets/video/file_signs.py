"""What the bytes of a file that FFmpeg refuses tell of it: text, zeros, or an MP4 cut short."""

import struct
from pathlib import Path

_LOOK_BYTES = 4096
_TEXT = frozenset({*range(32, 256), 9, 10, 12, 13})
_MP4_BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_MP4_BOXES = (*_MP4_BEGINNINGS, b"uuid", b"udta", b"meta", b"moof", b"mfra", b"sidx", b"styp")


def what_it_is(file: Path) -> str:
    """Name what stands in a video's place; empty where that is not clear."""
    with file.open("rb") as stream:
        head = stream.read(_LOOK_BYTES)
    if not head.strip(b"\0"):
        return "it begins with zeros only: a copy or download that never finished"
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < _LOOK_BYTES else "ignore")
    except UnicodeDecodeError:
        return ""
    if not set(head) <= _TEXT:
        return ""
    if text.lstrip().casefold().startswith(("<!doctype html", "<html")):
        return "it is a web page, not a video: the download failed"
    return "it is text, not a video"


def begins_as_mp4(file: Path) -> bool:
    """Whether the file was an MP4 or MOV once, whatever has become of the rest."""
    with file.open("rb") as stream:
        return stream.read(8)[4:] in _MP4_BEGINNINGS


def where_it_ends(file: Path) -> str:
    """Tell an MP4 or MOV that ends inside one of its boxes; empty where it does not.

    The boxes of the top level follow each other, each with its length (ISO/IEC 14496-12, 4.2).
    """
    num_bytes = file.stat().st_size
    at = 0
    with file.open("rb") as stream:
        while at + 8 <= num_bytes:
            stream.seek(at)
            head = stream.read(16)
            length, name = struct.unpack(">I4s", head[:8])
            if name not in (_MP4_BOXES if at else _MP4_BEGINNINGS):
                return ""  # no MP4, or damaged before its end
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack(">Q", head[8:])
            if length < 8:  # 0: to the end of the file; others are damage
                return ""
            at += length
    if at <= num_bytes:
        return ""
    return f"cut short: it ends at byte {num_bytes:,} of at least {at:,}"
