"""Work spread over threads, its results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from cliptide.datasets.processes import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # of each thread


def thread_count(workers: int | str) -> int:
    """Resolve `data.workers` for threads that read: auto takes every core."""
    return usable_cores() if workers == "auto" else int(workers)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> Iterator[Result]:
    """Do the work on each item, a few ahead of the consumer, and give the results in order.

    Args:
        work: Called in the threads; what it raises is raised here.
        items: What to work on.
        threads: How many; 0 works in this one.
    """
    if threads < 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="cliptide-read")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
