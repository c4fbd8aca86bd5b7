"""Finding what stands in a data set twice, or nearly, and in which splits. Pure."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.video.likeness import HASH_BITS, HASHED_FRAMES

# Of 64 bits, on average over the frames that both have. Re-encoding and scaling flip up to 3
# or 4, two scenes differ in 32; a static camera's clips lie between.
NEAR_BITS = 4.0
_LEAST_FRAMES = 2
_MOST_PAIRS_AT_ONCE = 2**23  # 32 MB in each of a handful of tables


def same_content(contents: Sequence[Hashable | None]) -> list[list[int]]:
    """Group positions by their content; what has none, or is alone, is left out."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, content in enumerate(contents):
        if content is not None:
            places[content].append(place)
    return [found for found in places.values() if len(found) > 1]


class NearPair(NamedTuple):
    """Two videos that look alike.

    Attributes:
        first: Position of one.
        second: Position of the other, which is greater.
        bits: Bits of 64 that differ, on average over the frames compared.
    """

    first: int
    second: int
    bits: float


def near_pairs(
    looks: Sequence[Sequence[int | None]],
    *,
    splits: Sequence[str | None],
    contents: Sequence[Hashable],
) -> list[NearPair]:
    """Find for each video the one most like it in another split, where it is like enough.

    Args:
        looks: The 64-bit hashes of each of N videos; None for a blank frame.
        splits: The split of each; videos of one split, or without one, are not compared.
        contents: What each holds; videos of the same content are not compared either.

    Returns:
        Each pair once, the most alike first.
    """
    signs, known = _as_signs(looks)
    split_ids = _numbered(splits)
    content_ids = _numbered(contents)
    has_split = np.array([split is not None for split in splits], bool)
    found: dict[tuple[int, int], float] = {}
    step = max(1, _MOST_PAIRS_AT_ONCE // max(1, len(looks)))
    for start in range(0, len(looks), step):
        block = slice(start, min(start + step, len(looks)))
        # Of +1 and -1, a product of two rows is the bits that agree less those that differ.
        compared = known[block] @ known.T
        agree = signs[block] @ signs.T
        bits = (HASH_BITS * compared - agree) / 2 / np.maximum(compared, 1)
        apart = (
            (split_ids[block, None] != split_ids[None])
            & (content_ids[block, None] != content_ids[None])
            & has_split[block, None]
            & has_split[None]
            & (compared >= _LEAST_FRAMES)
        )
        bits[~apart] = np.inf
        nearest = bits.argmin(axis=1)
        for row, other in enumerate(nearest.tolist()):
            if bits[row, other] <= NEAR_BITS:
                pair = (min(start + row, other), max(start + row, other))
                found[pair] = float(bits[row, other])
    pairs = [NearPair(*pair, bits) for pair, bits in found.items()]
    return sorted(pairs, key=lambda pair: (pair.bits, pair.first, pair.second))


def _as_signs(
    looks: Sequence[Sequence[int | None]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, frames x bits) of +1 and -1, 0 where there is none, and (N, frames) of 1 and 0."""
    words = np.zeros((len(looks), HASHED_FRAMES), ">u8")
    known = np.zeros((len(looks), HASHED_FRAMES), np.float32)
    for row, hashes in enumerate(looks):
        for column, bits in enumerate(hashes):
            if bits is not None:
                words[row, column], known[row, column] = bits, 1
    ones = np.unpackbits(words.view(np.uint8).reshape(len(looks), -1), axis=1)
    signs = ones.astype(np.float32) * 2 - 1
    return signs * np.repeat(known, HASH_BITS, axis=1), known


def _numbered(values: Sequence[Hashable]) -> NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
