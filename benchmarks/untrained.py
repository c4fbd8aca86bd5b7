"""Untrained models and long videos for benchmarks of speed, where no answer plays a part."""

import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from cliptide.configs.schema import ModelConfig
from cliptide.datasets.synthetic import CLASS_NAMES
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import save_model
from cliptide.models.info import ModelInfo

MIB = 2**20


def write_model(path: Path, *, size: int = 112, rate_fps: float = 8.0, **keys: Any) -> Path:
    """An untrained network of 16 frames."""
    config = ModelConfig(**keys)
    network = build_recognizer(config, num_classes=len(CLASS_NAMES), load_weights=False)
    info = ModelInfo(
        model=vars(config),
        class_names=CLASS_NAMES,
        size=(size, size),
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=16,
        rate_fps=rate_fps,
        context_s=16 / rate_fps,
        split_fingerprint="",
    )
    save_model(path, network, info)
    return path


def write_long_video(path: Path, *, minutes: float, size: tuple[int, int], fps: int = 25) -> Path:
    """H.264 of moving texture with sound-free, camera-like noise; a minute, repeated.

    The packets of a minute are written again and again with later stamps: an hour takes seconds.
    """
    height, width = size
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (12, 16, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (2 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(0, 8, (8, height, width, 1), dtype=np.uint8)
    packets = []
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
    encoder.gop_size = 2 * fps
    encoder.options = {"preset": "veryfast", "crf": "26"}
    count = 60 * fps
    for number in range(count):
        angle = 2 * np.pi * number / count
        top, left = (
            round((1 + np.sin(turns * angle)) * span / 2)
            for turns, span in ((7, height), (5, width))
        )
        picture = texture[top : top + height, left : left + width] + grain[number % len(grain)]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    kept = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.extradata = encoder.extradata
        stream.time_base = Fraction(1, fps)
        for minute in range(round(minutes)):
            for data, pts, dts, is_key in kept:
                packet = av.Packet(data)
                packet.pts, packet.dts = pts + minute * count, dts + minute * count
                packet.time_base, packet.stream, packet.is_keyframe = (
                    Fraction(1, fps),
                    stream,
                    is_key,
                )
                out.mux(packet)
    return path


def memory_bytes(pid: int) -> int:
    """Memory of a process and all below it, what they share counted once; 0 without Linux."""
    try:
        task = Path(f"/proc/{pid}")
        lines = (task / "smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        children = " ".join(file.read_text() for file in task.glob("task/*/children")).split()
    except (OSError, StopIteration):  # ended meanwhile, or no Linux
        return 0
    return own + sum(memory_bytes(int(child)) for child in children)


def run_watched(words: list[str]) -> tuple[float, list[tuple[float, int]]]:
    """Run a program of Python; its seconds, and its memory (seconds, bytes) as it went."""
    began = time.perf_counter()
    command = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    samples = []
    while command.poll() is None:
        samples.append((time.perf_counter() - began, memory_bytes(command.pid)))
        time.sleep(0.5)  # reading it stops the process for a while
    took_s = time.perf_counter() - began
    if command.returncode:
        raise SystemExit(f"{words} ended with exit code {command.returncode}")
    return took_s, samples
