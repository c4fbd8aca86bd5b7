"""Which file names are those of images, and the order that images of a folder come in."""

import re
from pathlib import Path

# Not .gif: that is a video, with times of its own.
IMAGE_SUFFIXES: frozenset[str] = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

_DIGITS = re.compile(r"([0-9]+)")
_NUMBERED = re.compile(r"(.*?)([0-9]+)")


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden files are not."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key by which img_2.png comes before img_10.png; the case of letters plays no part."""
    # Text and numbers take turns, so only like is compared with like.
    parts = [int(p) if i % 2 else p.casefold() for i, p in enumerate(_DIGITS.split(name))]
    return parts, name


def numbered(name: str) -> tuple[str, str] | None:
    """Part a name without its ending into what precedes its last digits, and these; or None."""
    match = _NUMBERED.fullmatch(Path(name).stem)
    return (match[1], match[2]) if match else None
