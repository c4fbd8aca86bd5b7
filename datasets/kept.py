"""Decoded clips kept in memory that all loader processes share.

The first process to decode a clip puts it here; afterwards no one decodes it again. One
block of shared memory with a table of where each clip lies: no copies between processes, no
file handles a clip, and the pages that nothing was written to cost nothing.
"""

import contextlib
import shutil
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SHARE_OF_FREE_MEMORY = 0.4
MOST_FAIR_SHARES = 4


def free_memory_bytes() -> int:
    """Bytes of memory that could be used for clips: free memory, within the limit of /dev/shm."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable"))
        free = int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        # macOS and Windows have no such file; a gigabyte is there on any machine that trains.
        free = 2**30
    if Path("/dev/shm").is_dir():
        # Containers often get a /dev/shm of 64 MB; writing past it kills the process.
        free = min(free, shutil.disk_usage("/dev/shm").free)
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        free = min(free, max(0, int(text) - used))
    return free


class KeptClips:
    """Decoded frames and time stamps of clips, by index, filled as they are first read.

    Args:
        num_clips: How many clips there are.
        budget_bytes: Memory to use at most; a clip that does not fit any more is not kept.
        context: Start method of the processes that will share it; see `loaders.worker_context`.
    """

    def __init__(self, num_clips: int, *, budget_bytes: int, context: Any) -> None:
        # Pages of shared memory count only once written to (torch's shared tensors take all at
        # once), so the whole budget can be reserved up front.
        self._memory = SharedMemory(create=True, size=max(budget_bytes, 8))
        # Of each clip: offset of its bytes (-1: not kept), frames, height, width.
        self._table = torch.full((num_clips, 4), -1, dtype=torch.int64)
        self._used = torch.zeros(1, dtype=torch.int64)
        for shared in (self._table, self._used):
            shared.share_memory_()  # type: ignore[no-untyped-call]
        self._lock = context.Lock()

    def close(self) -> None:
        """Give the memory back; processes that still use it keep it until they end."""
        # First, for closing fails while an array of a clip is still in use in this process.
        self._memory.unlink()
        with contextlib.suppress(BufferError):
            self._memory.close()

    def _block(self) -> NDArray[np.uint8]:
        buffer = self._memory.buf
        assert buffer is not None, "the clips were closed"
        return np.frombuffer(buffer, dtype=np.uint8)

    def get(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]] | None:
        """The time stamps (N,) and frames (N, H, W, 3) of a clip, or None if it is not kept.

        Both are read-only views into the shared memory; copy what outlives it.
        """
        offset, count, height, width = self._table[index].tolist()
        if offset < 0:
            return None
        block = self._block()
        block.flags.writeable = False
        frames_at = offset + count * 8
        pts_s = block[offset:frames_at].view(np.float64)
        frames = block[frames_at : frames_at + count * height * width * 3]
        return pts_s, frames.reshape(count, height, width, 3)

    def has_room(self, num_frames: int, size: tuple[int, int]) -> bool:
        """Whether a clip of that many frames would fit.

        One far longer than the others has no room: decoding all of it for the few frames that
        are wanted would take more memory and time than it saves.
        """
        needed = num_frames * (8 + size[0] * size[1] * 3) + 8
        fair_share = self._memory.size / len(self._table)
        room = self._memory.size - int(self._used.item())
        return needed <= min(room, MOST_FAIR_SHARES * fair_share)

    def put(self, index: int, pts_s: NDArray[np.float64], frames: NDArray[np.uint8]) -> None:
        """Keep a clip if there is room."""
        count, height, width, _ = frames.shape
        needed = count * 8 + frames.nbytes
        needed += -needed % 8  # the next clip's time stamps stay aligned
        with self._lock:
            offset = int(self._used.item())
            if offset + needed > self._memory.size:
                return
            self._used += needed
        block = self._block()
        block[offset : offset + count * 8] = np.ascontiguousarray(pts_s).view(np.uint8)
        start = offset + count * 8
        block[start : start + frames.nbytes] = frames.reshape(-1)
        # The offset goes last: with it the entry becomes visible to the other processes.
        self._table[index, 1:] = torch.tensor([count, height, width])
        self._table[index, 0] = offset

    @property
    def num_kept(self) -> int:
        """How many clips are kept by now."""
        return int((self._table[:, 0] >= 0).sum())
