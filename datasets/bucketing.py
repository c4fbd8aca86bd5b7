"""Batches of clips of like length, so that little padding is computed on. Pure."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Key = TypeVar("Key")

# Batches that are cut from one pool: the more, the more alike the clips of a batch, and the fewer
# ways there are to meet.
POOL_BATCHES = 50


def bucketed(
    keys: Sequence[Key],
    lengths: Sequence[int],
    *,
    batch_size: int,
    rng: np.random.Generator,
    pool_batches: int = POOL_BATCHES,
) -> list[list[Key]]:
    """Cut keys into batches of like length, in random order.

    Pools are taken in the order of the keys, each is sorted by length and cut into batches, and
    all batches are shuffled: torchtext's bucket iterator. Clips of one length keep the order of
    the keys, so where all are of one length the batches are as random as without.

    Args:
        keys: What to put into batches, already shuffled.
        lengths: Length of each.
        batch_size: Keys in a batch; one batch has fewer where they do not divide.
        rng: Draws the order of the batches, and which one has fewer.
        pool_batches: Batches in a pool.

    Returns:
        Batches that hold each key once.
    """
    batches = []
    pool_size = batch_size * pool_batches
    for start in range(0, len(keys), pool_size):
        pool = range(start, min(start + pool_size, len(keys)))
        by_length = [keys[place] for place in sorted(pool, key=lengths.__getitem__)]
        # Cut last it would always be made of the longest, the last of them all alone in it.
        num_whole, num_left = divmod(len(pool), batch_size)
        cut = batch_size * int(rng.integers(num_whole + 1))
        batches += _cut(by_length[:cut], batch_size)
        batches += _cut(by_length[cut : cut + num_left], batch_size)
        batches += _cut(by_length[cut + num_left :], batch_size)
    return [batches[place] for place in rng.permutation(len(batches))]


def _cut(keys: Sequence[Key], size: int) -> list[list[Key]]:
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]
