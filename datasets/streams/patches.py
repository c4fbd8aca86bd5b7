"""An image as a sequence of patches, in reading order."""

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import ConfigError, SampleError
from cliptide.datasets.records import SampleRecord

_MOST_NAMED = 6
_DARK = 0.45


def cut_patches(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cut an image into patches, from left to right and then down.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: (height, width) of a patch.

    Returns:
        (H / height * W / width, height, width, 3) uint8.

    Raises:
        ConfigError: The size does not divide the image's.
    """
    check_patch(size, (image.shape[0], image.shape[1]))
    (height, width), (rows, columns) = size, (image.shape[0] // size[0], image.shape[1] // size[1])
    grid = image.reshape(rows, height, columns, width, 3)
    return np.ascontiguousarray(grid.swapaxes(1, 2)).reshape(-1, height, width, 3)


def check_patch(patch: tuple[int, int], size: tuple[int, int]) -> None:
    """Refuse a patch (height, width) that does not divide an image of `size`.

    Raises:
        ConfigError: Names the side and sizes that would.
    """
    for side, length, part in zip(("height", "width"), size, patch, strict=True):
        if part < 1 or length % part:
            raise ConfigError(
                f"steps.patch has a {side} of {part}, which does not divide {length} pixels. Use "
                f"{_divisors(length, near=part)}, or another data.size."
            )


def join_patches(patches: NDArray[np.uint8], *, columns: int) -> NDArray[np.uint8]:
    """Put patches (N, height, width, 3) together to the image that they were cut of."""
    count, height, width, channels = patches.shape
    grid = patches.reshape(count // columns, columns, height, width, channels).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(count // columns * height, columns * width, channels)


def darkened(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A dark and greyish copy of an image (H, W, 3) uint8, on which a part of it stands out."""
    grey = image.mean(axis=2, keepdims=True)
    dark: NDArray[np.uint8] = ((0.5 * image + 0.5 * grey) * _DARK).astype(np.uint8)
    return dark


def refuse_part(record: SampleRecord) -> None:
    """Refuse a record that asks for a part of an image whose rows or patches are the steps.

    Raises:
        SampleError: start_s or end_s is given.
    """
    if record.start_s > 0 or record.end_s is not None:
        raise SampleError(
            f"{record.source}: start_s and end_s are given, but an image has no seconds. Leave "
            "them empty."
        )


def _divisors(length: int, *, near: int) -> str:
    """Name the divisors of a length that lie nearest to what was asked for."""
    all_of_them = [part for part in range(1, length + 1) if length % part == 0]
    nearest = sorted(sorted(all_of_them, key=lambda part: abs(part - near))[:_MOST_NAMED])
    return " or ".join([", ".join(map(str, nearest[:-1])), str(nearest[-1])][len(nearest) == 1 :])
