"""A real `cliptide serve` for tests of its page, and models that know colours without training.

A network of random weights gives each colour a vector, and the head is solved for what it shall say
of each. So answers are sure and the same everywhere: `red` where the video is red.
"""

import contextlib
import functools
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import torch
from video_files import write_video

from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import Streams
from cliptide.configs.tasks import Task
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import save_model
from cliptide.models.info import ModelInfo
from cliptide.models.recognizer import Recognizer

COLOURS = {"red": (190, 40, 40), "white": (235, 235, 235), "blue": (40, 60, 200)}
SIDE = 24
FPS = 10
_START_WITHIN_S = 180.0


def picture(colour: str, *, side: int = 96) -> np.ndarray:
    """(side, side, 3) uint8 RGB: a colour with a little shade, as cameras see it."""
    shade = np.linspace(0, 12, side, dtype=np.uint8)[:, None, None]
    return np.broadcast_to(np.array(COLOURS[colour], np.uint8) + shade, (side, side, 3)).copy()


def write_colours(
    path: Path, *, stretches: list[tuple[str, float]], codec: str = "libx264"
) -> Path:
    """A video of one colour after the other, each for so many seconds."""
    frames = [picture(colour) for colour, lasts_s in stretches for _ in range(round(lasts_s * FPS))]
    return write_video(path, np.stack(frames), fps=FPS, codec=codec)


def write_y4m(path: Path, colour: str) -> Path:
    """What Chromium's fake camera shows: raw pictures, again and again."""
    frame = av.VideoFrame.from_ndarray(picture(colour), format="rgb24").reformat(format="yuv420p")
    body = frame.to_ndarray().tobytes()
    height, width = frame.height, frame.width
    head = f"YUV4MPEG2 W{width} H{height} F20:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(head + 20 * (b"FRAME\n" + body))
    return path


# Of each task, what the network puts out for red, white and blue.
_WANTED: dict[Task, list[list[float]]] = {
    "single": [[8, 0, 0], [0, 8, 0], [0, 0, 8]],
    "multi": [[6, -6, -6], [6, 6, -6], [-6, -6, 6]],  # what is white is also red
    "regression": [[100, 0], [50, 50], [0, 100]],
}


def write_model(path: Path, *, task: Task = "single") -> Path:
    """A model that knows `COLOURS`; a regression tells how red and how blue it is, 0 to 100."""
    torch.manual_seed(3)
    config = ModelConfig(width=0.25, temporal="none", summary="mean", dropout=0.0)
    wanted = torch.tensor(_WANTED[task], dtype=torch.float32)
    network = build_recognizer(config, num_classes=wanted.shape[1], task=task).eval()
    vectors = _vectors(network)
    linear = next(part for part in network.head if isinstance(part, torch.nn.Linear))
    with torch.no_grad():
        solved = torch.linalg.pinv(torch.nn.functional.pad(vectors, (0, 1), value=1.0)) @ wanted
        linear.weight.copy_(solved[:-1].T)
        linear.bias.copy_(solved[-1])
    info = ModelInfo(
        model=asdict(config),
        class_names=("redness", "blueness") if task == "regression" else tuple(COLOURS),
        size=(SIDE, SIDE),
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=5,
        rate_fps=5.0,
        context_s=0.8,
        split_fingerprint="0123456789ab",
        task=task,
        thresholds=(0.5,) * 3 if task == "multi" else (),
    )
    save_model(path, network, info)
    return path


def write_sound_model(path: Path) -> Path:
    """A model of sounds that has learnt nothing."""
    torch.manual_seed(3)
    config = ModelConfig(temporal="none", summary="mean", step_dim=8)
    streams = Streams(names=("audio",), samples="audio")
    network = build_recognizer(config, num_classes=2, size=(SIDE, SIDE), streams=streams).eval()
    info = ModelInfo(
        model=asdict(config),
        class_names=("knock", "ring"),
        size=(SIDE, SIDE),
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=16,
        rate_fps=8.0,
        context_s=2.0,
        split_fingerprint="0123456789ab",
        streams=streams,
    )
    save_model(path, network, info)
    return path


def _vectors(network: Recognizer) -> torch.Tensor:
    """(colours, D): what reaches the head."""
    seen: list[torch.Tensor] = []
    handle = network.head.register_forward_pre_hook(lambda head, given: seen.append(given[0]))
    clips = torch.stack(
        [torch.from_numpy(picture(name, side=SIDE)).permute(2, 0, 1)[None] for name in COLOURS]
    )
    with torch.no_grad():
        network(clips, torch.ones(len(COLOURS), dtype=torch.int64))
    handle.remove()
    return seen[0]


@contextlib.contextmanager
def serving(*words: str | Path, key: str | None = None) -> Iterator[str]:
    """A server in a process of its own, at a free port; gives its address."""
    with started(*words, key=key) as address:
        yield address()


@contextlib.contextmanager
def started(*words: str | Path, key: str | None = None) -> Iterator[Callable[[], str]]:
    """The same, but who wants the address waits for it: several servers start side by side."""
    command = [sys.executable, "-m", "cliptide.app", "serve", *map(str, words), "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if key is not None:
        environment["CLIPTIDE_API_KEY"] = key
    # Its own log is read to the end here, so that it never waits for room in the pipe.
    with subprocess.Popen(
        [*command, "--access_log", "false", "--device", "cpu"],
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        try:
            yield functools.cache(lambda: _address(process))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: "subprocess.Popen[bytes]") -> str:
    assert process.stderr is not None
    told, end = b"", time.monotonic() + _START_WITHIN_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while time.monotonic() < end:
            if selector.select(timeout=1.0):
                data = os.read(process.stderr.fileno(), 65536)
                told += data
                if found := re.search(rb"http://127\.0\.0\.1:\d+", told):
                    return found[0].decode()
                if not data:
                    break
    raise RuntimeError(f"The server did not start: {told.decode(errors='replace')}")
