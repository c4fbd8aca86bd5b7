"""Processes that decode: lent to one request at a time, killed where they pass their limits."""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, TypeVar

from cliptide.app.serving.decoding import READY, Answer, End, Job, Refused, work
from cliptide.app.serving.errors import ApiError, busy
from cliptide.configs.errors import CliptideError
from cliptide.datasets.processes import how_it_ended
from cliptide.datasets.reading import Views

Result = TypeVar("Result")

# Starting takes a fraction of a second; much longer only where a machine is very busy.
START_LIMIT_S = 120.0


class Worker:
    """One process that decodes. All its methods block: call them from a thread.

    Args:
        context: How processes are started.
        memory_mb: Memory that one may take, MiB.

    Raises:
        OSError: No process can be started.

    Attributes:
        is_spent: Whether it can do no other job.
    """

    def __init__(self, context: Any, *, memory_mb: int) -> None:
        self._connection: Connection
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, memory_mb), daemon=True)
        try:
            self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            # With this end closed here, the worker's end of life ends the connection.
            theirs.close()
        self.is_spent, self._is_ready = False, False

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return not self.is_spent and bool(self._process.is_alive())

    @property
    def can_take_job(self) -> bool:
        """Whether the process is there and waits for a job; asked of one that has none."""
        # Of a death the fork server tells later, on a busy machine; the connection ends with it.
        with contextlib.suppress(OSError):
            return self.is_alive and not self._connection.poll(0)
        return False

    def answers(
        self, job: Job, *, file: int | None, time_s: float, on_death: Callable[[str], None]
    ) -> Generator[Answer, None, None]:
        """Do a job.

        Args:
            job: What to read.
            file: Descriptor of the open video, where the job has no path.
            time_s: Seconds after which it is given up.
            on_death: Told why the process was lost, where it was.

        Raises:
            ApiError: The video cannot be read, or not within the limits.
        """
        self.wait_until_ready()
        deadline = time.monotonic() + time_s
        is_done = False
        try:
            self._connection.send(job)
            if file is not None:
                send_handle(self._connection, file, self._process.pid)
            while not is_done:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._connection.poll(left_s):
                    on_death("time")
                    raise _refusal(
                        "too_slow",
                        f"{job.name}: reading it took longer than {time_s:g} s. Send {job.less}.",
                    )
                answer: Answer = self._connection.recv()
                if isinstance(answer, Refused):
                    is_done = not answer.is_last
                    if answer.is_last:
                        on_death("memory")
                    raise _refusal(answer.code, answer.message)
                is_done = isinstance(answer, Views | End)
                yield answer
        except (EOFError, OSError) as error:
            self._process.join(5.0)
            if not self.is_spent:
                on_death("crash")
            raise _refusal(
                "not_readable",
                f"{job.name}: the decoder's process died on it "
                f"({how_it_ended(self._process.exitcode)}). Re-encode it: {job.reencoding}",
            ) from error
        finally:
            # One that was left in the middle of a job still has answers to it.
            self.is_spent |= not is_done

    def wait_until_ready(self) -> None:
        """Wait until the process has started.

        Raises:
            CliptideError: It does not start.
        """
        if self._is_ready:
            return
        with contextlib.suppress(EOFError, OSError):
            self._is_ready = (
                self._connection.poll(START_LIMIT_S) and self._connection.recv() == READY
            )
        if not self._is_ready:
            self.is_spent = True
            raise CliptideError("A process to read videos in did not start. Use fewer --workers.")

    def kill(self) -> None:
        """End the process, whatever it is at; whoever waits for an answer is told at once."""
        self.is_spent = True
        self._process.kill()

    def end(self) -> None:
        """End the process and let go of what it held here."""
        self.kill()
        self._process.join(5.0)
        self._connection.close()


def _refusal(code: str, message: str) -> ApiError:
    return ApiError(422, code, message)


class DecoderPool:
    """Several workers, each lent to one request at a time and replaced when it is lost.

    Args:
        workers: Processes.
        memory_mb: Memory that each may take, MiB.
        on_death: Told why a worker was lost: `time`, `memory`, `crash` or `left`.
    """

    def __init__(self, workers: int, *, memory_mb: int, on_death: Callable[[str], None]) -> None:
        self.num_workers, self._memory_mb, self._on_death = workers, memory_mb, on_death
        self._context = _context()
        self._free = asyncio.Semaphore(workers)
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        # No more of them work at a time than workers are lent.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="reading")

    @property
    def num_alive(self) -> int:
        """Workers that are there."""
        return sum(worker.is_alive for worker in self._all)

    async def start(self) -> None:
        """Start all workers, and wait until they can work.

        Raises:
            CliptideError: They cannot be started.
        """
        loop = asyncio.get_running_loop()
        starting = [loop.run_in_executor(self._threads, self._new) for _ in range(self.num_workers)]
        self._idle = list(await asyncio.gather(*starting))

    def _new(self) -> Worker:
        try:
            worker = Worker(self._context, memory_mb=self._memory_mb)
        except OSError as error:
            mend = "Use fewer --workers."
            if "path too long" in str(error):  # of the socket that the process is asked by
                mend = "The folder for temporary files has too long a name: set a shorter TMPDIR."
            raise CliptideError(
                f"A process to read videos in cannot be started ({error.strerror or error}). {mend}"
            ) from error
        self._all.add(worker)
        worker.wait_until_ready()
        return worker

    async def read(
        self,
        job: Job,
        use: Callable[[Iterator[Answer]], Result],
        *,
        file: int | None,
        time_s: float,
    ) -> Result:
        """Let a worker do a job, and use its answers.

        Args:
            job: What to read.
            use: Called in a thread with the answers as they come.
            file: Descriptor of the open video, where the job has no path.
            time_s: Seconds after which the job is given up; and as long it may wait for a worker.

        Raises:
            ApiError: The video cannot be read, or not within the limits; or no worker is free.
        """
        async with self._lent(time_s) as worker:
            answers = worker.answers(job, file=file, time_s=time_s, on_death=self._on_death)
            loop = asyncio.get_running_loop()
            # A process that hangs in the middle of an answer would hold its thread for ever.
            last_resort = loop.call_later(START_LIMIT_S + time_s, worker.kill)
            done = loop.run_in_executor(self._threads, _used, use, answers)
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                # Nobody waits for it any more.
                worker.kill()
                self._on_death("left")
                await asyncio.wait([done])
                done.exception()
                raise
            finally:
                last_resort.cancel()

    @contextlib.asynccontextmanager
    async def _lent(self, most_wait_s: float) -> AsyncIterator[Worker]:
        try:
            await asyncio.wait_for(self._free.acquire(), most_wait_s)
        except TimeoutError as error:
            raise busy(most_wait_s) from error
        worker: Worker | None = None
        try:
            worker = await self._one()
            yield worker
        finally:
            if worker is not None and worker.is_alive:
                self._idle.append(worker)
            elif worker is not None:
                self._end(worker)
            self._free.release()

    async def _one(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.can_take_job:
                return worker
            self._end(worker)  # it was killed while it was idle
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._new)

    def _end(self, worker: Worker) -> None:
        worker.end()
        self._all.discard(worker)

    async def close(self) -> None:
        """End all workers."""
        for worker in list(self._all):
            worker.kill()
        for worker in list(self._all):
            self._end(worker)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _used(
    use: Callable[[Iterator[Answer]], Result], answers: Generator[Answer, None, None]
) -> Result:
    """Use answers and be done with them, before anybody looks whether their worker is spent.

    A failure keeps what it came from alive: a worker that still has answers to this job would be
    lent to the next request, which would be given them.
    """
    with contextlib.closing(answers):
        return use(answers)


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once; a worker then starts in milliseconds.
    context.set_forkserver_preload(["cliptide.app.serving.decoding"])
    return context
