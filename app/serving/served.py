"""The models that a server has, by name."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptide.app.inference.loading import load
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.rules import blank_clip, picture_fit, sampling_rule
from cliptide.app.inference.segments import segment_rule
from cliptide.app.inference.stream import StreamScorer
from cliptide.app.serving.batching import MOST_CLIPS, Batcher
from cliptide.app.serving.decoding import ClipsJob, FramesJob
from cliptide.app.serving.errors import busy
from cliptide.app.serving.limits import Limits
from cliptide.configs.errors import InputError
from cliptide.datasets.catalog import SAMPLES

READ_MEANWHILE = 2

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass
class ServedModel:
    """A model at work for many.

    Attributes:
        name: What requests call it.
        recognizer: The model.
        batcher: Runs it.
    """

    name: str
    recognizer: ActionRecognizer
    batcher: Batcher

    def __post_init__(self) -> None:
        # What its file asks for and this release does not have is told now, not to a client.
        info = self.recognizer.info
        self._rule, self._fit = sampling_rule(info), picture_fit(info)
        self.segment_rule = segment_rule(info)
        # Pictures are read faster than they are scored, and are larger than files: no more of them
        # lie in memory than keep the model busy, one batch in it and one before it.
        videos_in_batch = max(1, MOST_CLIPS // self.recognizer.clips_of_video)
        self._room = asyncio.Semaphore(2 * videos_in_batch + READ_MEANWHILE)

    @property
    def takes_frames(self) -> bool:
        """Whether it follows a stream of pictures that a client sends."""
        streams = self.recognizer.info.streams
        return streams.names == ("rgb",) and streams.has_seconds

    @property
    def samples(self) -> str:
        """What several of its samples are called, for messages."""
        return SAMPLES[self.recognizer.info.streams.samples].plural

    @asynccontextmanager
    async def room(self, most_wait_s: float) -> AsyncIterator[None]:
        """Room for the clips of one video, from before they are read until they are scored.

        Raises:
            ApiError: There is none in time.
        """
        try:
            await asyncio.wait_for(self._room.acquire(), most_wait_s)
        except TimeoutError as error:
            raise busy(most_wait_s) from error
        try:
            yield
        finally:
            self._room.release()

    async def warm_up(self) -> None:
        """Run it on as many black frames as it will ever be given, and on one of a stream."""
        info = self.recognizer.info
        clip = blank_clip(info, info.frames)
        await self.batcher.score([clip] * MOST_CLIPS)
        await self.batcher.run(StreamScorer(self.recognizer.engine).push, clip[0])

    def clips_job(self, video: str, path: str | None, limits: Limits) -> ClipsJob:
        """How to read the clips of a video for it."""
        return ClipsJob(
            name=video,
            path=path,
            size=self.recognizer.info.size,
            fit=self._fit,
            streams=self.recognizer.info.streams,
            most_pixels=limits.pixels,
            most_s=limits.duration_s,
            rule=self._rule,
            num_views=self.recognizer.clips_of_video,
        )

    def frames_job(self, video: str, path: str | None, limits: Limits) -> FramesJob:
        """How to go through a whole video for it."""
        info = self.recognizer.info
        return FramesJob(
            name=video,
            path=path,
            size=info.size,
            fit=self._fit,
            streams=self.recognizer.info.streams,
            most_pixels=limits.pixels,
            most_s=limits.duration_s,
            rate_fps=info.rate_fps,
        )

    def to_json(self, *, default: bool) -> dict[str, Any]:
        """What clients are told of it."""
        info = self.recognizer.info
        facts: dict[str, Any] = {
            "name": self.name,
            "task": info.task,
            "labels": list(info.class_names),
            "size": list(info.size),
            "rate_fps": info.rate_fps,
            "context_s": info.context_s,
            "can_stream": self.takes_frames,
            "takes": Nouns.of_streams(info.streams).sample,
            "default": default,
        }
        network = getattr(self.recognizer, "network", None)  # exported models have none
        if network is not None:
            facts["parameters"] = sum(values.numel() for values in network.parameters())
        return facts


def named_paths(words: Sequence[str]) -> dict[str, str]:
    """Names and files of `PATH` or `NAME=PATH`; `runs/x/model.safetensors` is called `x`.

    Raises:
        InputError: A name is twice there, or cannot be one.
    """
    found: dict[str, str] = {}
    for word in words:
        name, given, path = word.partition("=")
        if not given or not _NAME.fullmatch(name):
            path = word
            file = Path(word).resolve()
            name = file.stem if file.stem != "model" else file.parent.name
            name = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "model"
        if name in found:
            raise InputError(f"Two models are called {name!r}. Give one another name: other={path}")
        found[name] = path
    return found


def load_models(
    words: Sequence[str], *, device: str, on_batch: Callable[[str, int], None]
) -> dict[str, ServedModel]:
    """Load what a command line names, in its order.

    Raises:
        InputError: A file is no model, or two have one name.
    """
    models = {}
    for name, path in named_paths(words).items():
        recognizer = load(path, device=device)
        names = recognizer.info.streams.names
        if not {"rgb", "flow", "audio"} & {*names}:
            raise InputError(
                f"{path} is a model of {names[0]}, and the server takes videos and sound. Use "
                "cliptide predict."
            )

        def told(count: int, name: str = name) -> None:
            on_batch(name, count)

        batcher = Batcher(recognizer.engine, on_batch=told)
        models[name] = ServedModel(name, recognizer, batcher)
    return models
