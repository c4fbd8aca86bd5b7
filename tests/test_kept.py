"""Decoded clips in memory that processes share."""

from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from picture_data import kept_frames, num_kept

from cliptide.datasets.kept import KeptRows, free_memory_bytes
from cliptide.datasets.processes import worker_context

SIZE = (6, 10)
BYTES_A_FRAME = 8 + 6 * 10 * 3


def make_clip(
    seed: int, num_frames: int = 4
) -> tuple[NDArray[np.float64], NDArray[np.uint8], float]:
    rng = np.random.default_rng(seed)
    pts_s = np.cumsum(rng.random(num_frames))
    frames = rng.integers(0, 256, (num_frames, *SIZE, 3), dtype=np.uint8)
    return pts_s, frames, float(pts_s[-1] + 0.1)


def assert_kept(kept: KeptRows, index: int, clip: tuple[Any, Any, float]) -> None:
    found = kept.get(index)
    assert found is not None
    assert np.array_equal(found[0], clip[0])
    assert np.array_equal(found[1], clip[1])
    assert found[2] == clip[2]


@pytest.fixture
def kept() -> Iterator[KeptRows]:
    store = kept_frames(4, SIZE, budget_bytes=10 * (BYTES_A_FRAME + 8))
    yield store
    store.close()


def test_what_is_put_is_got_back_bit_for_bit(kept: KeptRows) -> None:
    clips = {2: make_clip(0, 3), 0: make_clip(1, 1), 3: make_clip(2, 5)}
    for index, clip in clips.items():
        kept.put(index, *clip)
    for index, clip in clips.items():
        assert_kept(kept, index, clip)
    assert kept.get(1) is None
    assert num_kept(kept, 4) == 3


def test_a_clip_without_room_is_not_kept_and_the_others_stay(kept: KeptRows) -> None:
    first, large, small = make_clip(0, 6), make_clip(1, 6), make_clip(2, 2)
    kept.put(0, *first)
    assert not kept.has_room(6)
    kept.put(1, *large)
    assert kept.get(1) is None
    assert_kept(kept, 0, first)
    assert kept.has_room(2)
    kept.put(2, *small)
    assert_kept(kept, 0, first)
    assert_kept(kept, 2, small)
    assert num_kept(kept, 4) == 2


def test_without_a_budget_nothing_is_kept() -> None:
    store = kept_frames(2, SIZE, budget_bytes=0)
    assert not store.has_room(1)
    store.put(0, *make_clip(0))
    assert store.get(0) is None
    store.close()


def test_kept_frames_cannot_be_changed_by_mistake(kept: KeptRows) -> None:
    clip = make_clip(0)
    kept.put(0, *clip)
    found = kept.get(0)
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found[1][0] = 0
    del found
    assert_kept(kept, 0, clip)


def test_closing_gives_the_memory_back_even_while_a_clip_is_in_use() -> None:
    store = kept_frames(1, SIZE, budget_bytes=10_000)
    store.put(0, *make_clip(0))
    in_use = store.get(0)
    name = store._memory.name
    store.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)
    del in_use


def test_clips_are_shared_between_processes_started_as_the_loaders_are(kept: KeptRows) -> None:
    """Whatever a worker keeps, this process and the next worker find."""
    context = worker_context()
    # The worker runs a method of the store itself: this file cannot be imported there.
    workers = [
        context.Process(target=kept.put, args=(index, *make_clip(index, 2))) for index in (1, 3, 0)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert num_kept(kept, 4) == 3
    for index in (0, 1, 3):
        assert_kept(kept, index, make_clip(index, 2))
    assert not kept.has_room(6), "room taken by a worker is taken for all"


def test_free_memory_is_a_number_of_bytes_of_this_machine() -> None:
    assert 2**20 < free_memory_bytes() < 2**50
