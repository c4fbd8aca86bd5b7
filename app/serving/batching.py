"""Clips of several requests go through a network together; one thread a model runs it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from cliptide.app.inference.engine import Bools, Engine, Floats, Frames, Ints, State

Result = TypeVar("Result")

# Clips in a batch: on a CPU more at once are no faster.
MOST_CLIPS = 8
# What a lone request waits for others to come; less than its decoding varies.
WAIT_S = 0.003


@dataclass
class _Waiting:
    clips: Sequence[Frames]
    scored: asyncio.Future[Floats] = field(default_factory=asyncio.Future)


class Batcher:
    """Runs a model for all who want it.

    Args:
        engine: Runs the network.
        on_batch: Told how many clips were in each batch.
    """

    def __init__(self, engine: Engine, *, on_batch: Callable[[int], None]) -> None:
        self._engine, self._on_batch = engine, on_batch
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._work())

    async def score(self, clips: Sequence[Frames]) -> Floats:
        """Score the clips (V, each (T, height, width, 3) uint8) of one video: (V, K) float32."""
        waiting = _Waiting(clips)
        self._queue.put_nowait(waiting)
        return await waiting.scored

    async def run(self, function: Callable[..., Result], *values: Any) -> Result:
        """Run something else in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *values)

    def in_turns(self) -> Engine:
        """The engine for another thread: every call waits for its turn in the model's."""
        return _InTurns(self._engine, self._thread)

    async def _work(self) -> None:
        while True:
            together = await self._gather()
            clips = [clip for waiting in together for clip in waiting.clips]
            try:
                outputs = np.concatenate(
                    [
                        await self._scored(clips[first : first + MOST_CLIPS])
                        for first in range(0, len(clips), MOST_CLIPS)
                    ]
                )
            except Exception as error:
                for waiting in together:
                    if not waiting.scored.done():
                        waiting.scored.set_exception(error)
                continue
            for waiting in together:
                rows, outputs = outputs[: len(waiting.clips)], outputs[len(waiting.clips) :]
                if not waiting.scored.done():  # its client may have gone
                    waiting.scored.set_result(rows)

    async def _scored(self, clips: Sequence[Frames]) -> Floats:
        self._on_batch(len(clips))
        return await self.run(self._engine.score_clips, clips)

    async def _gather(self) -> list[_Waiting]:
        together = [await self._queue.get()]
        count = len(together[0].clips)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while count < MOST_CLIPS:
                    together.append(await self._queue.get())
                    count += len(together[-1].clips)
        return [waiting for waiting in together if not waiting.scored.done()] or together

    async def close(self) -> None:
        """Stop; what waits is left."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)


class _InTurns:
    """See `engine.Engine`."""

    def __init__(self, engine: Engine, thread: ThreadPoolExecutor) -> None:
        self._engine, self._thread = engine, thread
        self.info = engine.info
        self.can_step, self.can_encode = engine.can_step, engine.can_encode

    def score_clips(self, clips: Sequence[Frames]) -> Floats:
        return self._thread.submit(self._engine.score_clips, clips).result()

    def encode(self, frames: Frames, state: State | None) -> tuple[Floats, State]:
        return self._thread.submit(self._engine.encode, frames, state).result()

    def score_features(self, features: Floats, lengths: Ints) -> Floats:
        return self._thread.submit(self._engine.score_features, features, lengths).result()

    def step(self, features: Floats, begin: Bools, state: State | None) -> tuple[Floats, State]:
        return self._thread.submit(self._engine.step, features, begin, state).result()
