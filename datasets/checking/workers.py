"""Doing dangerous work in processes that may hang, crash or eat the memory.

Each worker does many items, one at a time. One that passes its time is killed, one that dies
is replaced, and either costs only the item it was at.

A worker never is a fork of this process: a fork copies locks but not the threads that hold them.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from cliptide.configs.errors import CliptideError
from cliptide.datasets.processes import end_with_parent, how_it_ended, limit_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

# Starting takes a second; much longer only where a machine is very busy.
_START_LIMIT_S = 120.0
_READY = "ready"


@dataclass(frozen=True)
class Failure:
    """What stands in the place of a result that could not be had.

    Attributes:
        cause: Why, in words.
    """

    cause: str


@dataclass(frozen=True)
class Limits:
    """What one item may cost.

    Attributes:
        time_s: Wall-clock seconds.
        memory_mb: Memory, MiB, on top of what an idle worker has. Enforced by Linux alone.
    """

    time_s: float
    memory_mb: int


def in_workers(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    limits: Limits,
    preload: str,
) -> Generator[tuple[Item, Result | Failure], None, None]:
    """Apply a function to items in several processes.

    Args:
        function: A module's function; its results travel by pickle.
        items: What to apply it to; each travels by pickle.
        workers: Processes at most.
        limits: For each item.
        preload: The module to import once for all workers, where the system can.

    Yields:
        Each item with its result, or with why there is none, in the order they are done.

    Raises:
        CliptideError: The processes cannot be started at all.
    """
    pending = deque(items)
    context = _context(preload)
    busy: list[_Worker[Item, Result]] = []
    try:
        while pending or busy:
            # A worker that has ended is replaced only where work is left.
            while pending and len(busy) < workers:
                busy.append(_Worker(context, function, limits))
                busy[-1].item = [pending.popleft()]
            earliest = min(worker.deadline for worker in busy)
            multiprocessing.connection.wait(
                [worker.connection for worker in busy],
                timeout=max(0.0, earliest - time.monotonic()),
            )
            for worker in list(busy):
                done = worker.advance()
                if done is None:
                    continue
                (item,) = worker.item
                if not worker.is_alive or not pending:
                    worker.end()
                    busy.remove(worker)
                else:
                    worker.give(pending.popleft())
                yield item, done
    finally:
        for worker in busy:
            worker.end()


class _Worker(Generic[Item, Result]):
    """One process and the item it is at."""

    def __init__(self, context: Any, function: Callable[[Item], Result], limits: Limits) -> None:
        self._limits = limits
        self.item: list[Item] = []
        self._is_ready = False
        self.is_alive = True
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, function, limits.memory_mb), daemon=True
        )
        self.deadline = time.monotonic() + _START_LIMIT_S
        try:
            self._process.start()
        except OSError as error:
            raise CliptideError(
                f"A process to read files in cannot be started ({error.strerror or error}). "
                "Use fewer --workers."
            ) from error
        # With this end closed here, the worker's end of life ends the connection.
        theirs.close()

    def give(self, item: Item) -> None:
        """Send an item; the time for it begins."""
        self.item = [item]
        self.deadline = time.monotonic() + self._limits.time_s
        # One that died between two items is found dead at the next look.
        with contextlib.suppress(OSError):
            self.connection.send(item)

    def advance(self) -> "Result | Failure | None":
        """What has become of the item by now; None while it is not done."""
        if self.connection.poll():
            try:
                answer = self.connection.recv()
            except (EOFError, OSError):
                return self._death()
            if answer == _READY and not self._is_ready:
                self._is_ready = True
                self.give(self.item[0])
                return None
            if isinstance(answer, _LastAnswer):
                self.is_alive = False
                return answer.failure
            return answer  # type: ignore[no-any-return]
        if time.monotonic() < self.deadline:
            return None
        if not self._is_ready:
            raise CliptideError(
                f"A process to read files in did not start within {_START_LIMIT_S:.0f} s. "
                "Use fewer --workers."
            )
        self.is_alive = False
        return Failure(f"reading it took longer than {self._limits.time_s:g} s")

    def _death(self) -> Failure:
        self.is_alive = False
        self._process.join(5.0)
        code = self._process.exitcode
        if not self._is_ready:
            raise CliptideError(
                f"A process to read files in ended as it started ({how_it_ended(code)}). "
                "Run cliptide check from a file or shell, not from an unguarded script."
            )
        return Failure(f"the decoder's process died on it ({how_it_ended(code)})")

    def end(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join(5.0)
        self.connection.close()


def _context(preload: str) -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


@dataclass(frozen=True)
class _LastAnswer:
    """A worker's answer before it ends of its own accord."""

    failure: Failure


def _work(connection: Connection, function: Callable[[Any], Any], memory_mb: int) -> None:
    """What a worker does all its life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who ends the workers
    end_with_parent()
    limit_memory(memory_mb)
    connection.send(_READY)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            answer = function(item)
        except MemoryError:
            # What is left in memory after this is anybody's guess: begin anew.
            cause = f"reading it needs more than {memory_mb} MB of memory"
            connection.send(_LastAnswer(Failure(cause)))
            return
        except Exception as error:
            answer = Failure(f"reading it failed: {type(error).__name__}: {error}")
        connection.send(answer)
