"""Decoded samples kept in memory that all loader processes share.

The first process to decode a sample puts it here; afterwards no one decodes it again. One
block of shared memory with a table of where each sample lies: no copies between processes, no
file handles a sample, and the pages that nothing was written to cost nothing.
"""

import contextlib
import math
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


class KeptRows:
    """Rows and their times, of samples, by index, filled as they are first read.

    Args:
        num_samples: How many samples there are.
        row_shape: Of a row: (H, W, 3) of frames.
        row_type: numpy's type of a row.
        budget_bytes: Memory to use at most; a sample that does not fit any more is not kept.
        context: Start method of the processes that will share it; see `loaders.worker_context`.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        row_shape: tuple[int, ...],
        row_type: type[Any],
        budget_bytes: int,
        context: Any,
    ) -> None:
        self.row_shape, self.row_type = row_shape, np.dtype(row_type)
        self._row_bytes = math.prod(row_shape) * self.row_type.itemsize
        # Pages of shared memory count only once written to (torch's shared tensors take all at
        # once), so the whole budget can be reserved up front.
        self._memory = SharedMemory(create=True, size=max(budget_bytes, 8))
        # Of each sample: offset of its bytes (-1: not kept), and its rows.
        self._table = torch.full((num_samples, 2), -1, dtype=torch.int64)
        self._used = torch.zeros(1, dtype=torch.int64)
        for shared in (self._table, self._used):
            shared.share_memory_()  # type: ignore[no-untyped-call]
        self._lock = context.Lock()

    def close(self) -> None:
        """Give the memory back; processes that still use it keep it until they end."""
        # First, for closing fails while an array of a sample is still in use in this process.
        self._memory.unlink()
        with contextlib.suppress(BufferError):
            self._memory.close()

    def _block(self) -> NDArray[np.uint8]:
        buffer = self._memory.buf
        assert buffer is not None, "the rows were closed"
        return np.frombuffer(buffer, dtype=np.uint8)

    def get(self, index: int) -> tuple[NDArray[np.float64], NDArray[Any], float] | None:
        """The times (n,), rows (n, *row_shape) and length in seconds of a sample, if it is kept.

        The arrays are read-only views into the shared memory; copy what outlives it.
        """
        offset, count = self._table[index].tolist()
        if offset < 0:
            return None
        block = self._block()
        block.flags.writeable = False
        rows_at = offset + (1 + count) * 8
        times = block[offset:rows_at].view(np.float64)
        rows = block[rows_at : rows_at + count * self._row_bytes].view(self.row_type)
        return times[1:], rows.reshape(count, *self.row_shape), float(times[0])

    def has_room(self, num_rows: int) -> bool:
        """Whether a sample of that many rows would fit.

        One far longer than the others has no room: decoding all of it for the few frames that
        are wanted would take more memory and time than it saves.
        """
        needed = num_rows * (8 + self._row_bytes) + 16
        fair_share = self._memory.size / len(self._table)
        room = self._memory.size - int(self._used.item())
        return needed <= min(room, MOST_FAIR_SHARES * fair_share)

    def put(
        self, index: int, times_s: NDArray[np.float64], rows: NDArray[Any], duration_s: float
    ) -> None:
        """Keep a sample if there is room.

        Raises:
            ValueError: The rows have another shape than is kept here.
        """
        if rows.shape[1:] != self.row_shape:
            raise ValueError(f"A row is {rows.shape[1:]}. Keep rows of {self.row_shape} here.")
        count = len(rows)
        needed = (1 + count) * 8 + count * self._row_bytes
        needed += -needed % 8  # the next sample's times stay aligned
        with self._lock:
            offset = int(self._used.item())
            if offset + needed > self._memory.size:
                return
            self._used += needed
        rows_at = offset + (1 + count) * 8
        block = self._block()
        block[offset:rows_at] = np.array([duration_s, *times_s], dtype=np.float64).view(np.uint8)
        flat = np.ascontiguousarray(rows, dtype=self.row_type).reshape(-1).view(np.uint8)
        block[rows_at : rows_at + flat.nbytes] = flat
        # The offset goes last: with it the entry becomes visible to the other processes.
        self._table[index, 1] = count
        self._table[index, 0] = offset
