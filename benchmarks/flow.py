"""How long does it take to compute and keep the flow of a data set, and what is the time spent on?

    python benchmarks/flow.py [--clips 300] [--size 128x171] [--method dis]

Clips of 2 s, 320x240 at 25 frames a second, H.264: textures with grain that move, a disc over them
that moves otherwise. All cores compute; wanted is less than 90 s for 300 clips at 128x171. The
shares are those of CPU time on one core, over a few of the clips.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.schema import parse_size
from cliptide.datasets.processes import usable_cores
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.flow_cache import (
    FlowRule,
    codes_in_order,
    open_kept,
    precompute,
    write_flow,
)
from cliptide.datasets.streams.flow_fields import FlowMethod
from cliptide.datasets.synthetic import write_video
from cliptide.datasets.video import open_video

WANTED_S = 90.0
FPS, FRAMES, HEIGHT, WIDTH = 25, 50, 240, 320
PROFILED = 8


def main() -> None:
    args = _arguments()
    size = parse_size(args.size)
    rule = FlowRule(size, "resize", args.method)
    workers = usable_cores()
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / f"{number}.mp4" for number in range(args.clips)]
        for number, path in enumerate(paths):
            write_video(path, moving_frames(number), fps=FPS)
        records = [SampleRecord(path, path.name, "", path.name) for path in paths]
        folder = Path(scratch) / "flow"
        began = time.perf_counter()
        items = list(
            precompute(
                records, size=size, fit="resize", method=args.method, folder=folder, workers=workers
            )
        )
        took_s = time.perf_counter() - began
        assert not [item for item in items if item.error or item.unwritable]
        num_flows = len(items) * (FRAMES - 1)
        num_bytes = sum(item.num_bytes for item in items)
        parts = shares(paths[:PROFILED], rule, folder)
    all_s = sum(parts[name] for name in ("decoding", "flow", "compression"))
    per_flow = 1000 / (min(PROFILED, len(paths)) * (FRAMES - 1))
    print(
        f"{len(paths)} clips of {FRAMES} frames, {WIDTH}x{HEIGHT}, to {args.size}, {args.method}\n"
    )
    print("| what | |\n|---|---:|")
    alone_s = all_s * per_flow * num_flows / workers / 1000
    print(f"| time on {workers} cores | {took_s:.1f} s (wanted: {WANTED_S:.0f} s for 300 clips) |")
    print(f"| of that computing, were nothing else running | {alone_s:.1f} s |")
    print(f"| flows a second | {num_flows / took_s:.0f} |")
    print(f"| bytes a clip | {num_bytes / len(items) / 1000:.0f} kB |")
    print(f"| bytes a frame | {num_bytes / num_flows / 1000:.1f} kB |")
    for name in ("decoding", "flow", "compression"):
        print(f"| {name} | {parts[name] / all_s:.0%}, {parts[name] * per_flow:.2f} ms a frame |")
    print(f"| reading it again | {parts['reading'] * per_flow:.2f} ms a frame |")


def moving_frames(seed: int) -> NDArray[np.uint8]:
    """(FRAMES, HEIGHT, WIDTH, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (WIDTH + 160, HEIGHT + 160), interpolation=cv2.INTER_CUBIC)
    drift, speed, phase = rng.uniform(-1.5, 1.5, 2), rng.uniform(0.05, 0.2), rng.uniform(0, 6)
    grain = rng.integers(-6, 7, (FRAMES, HEIGHT, WIDTH, 1), dtype=np.int16)
    frames = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    for at in range(FRAMES):
        move = np.array([[1, 0, drift[0] * at - 80], [0, 1, drift[1] * at - 80]])
        picture = cv2.warpAffine(texture, move, (WIDTH, HEIGHT))
        turn = phase + speed * at
        centre = (round(WIDTH / 2 + 70 * np.cos(turn)), round(HEIGHT / 2 + 70 * np.sin(turn)))
        cv2.circle(picture, centre, 30, (230, 210, 60), -1, cv2.LINE_AA)
        frames[at] = (picture.astype(np.int16) + grain[at]).clip(0, 255)
    return frames


def shares(paths: list[Path], rule: FlowRule, folder: Path) -> dict[str, float]:
    """CPU seconds of each part of the work, and of reading the result."""
    cv2.setNumThreads(1)
    seconds = dict.fromkeys(("decoding", "flow", "compression", "reading"), 0.0)
    for path in paths:
        began = time.process_time()
        with open_video(path) as video:
            for _ in video.frames(size=rule.size):
                pass
        decoded = time.process_time()
        with open_video(path) as video:
            codes = list(codes_in_order(video, rule))
        computed = time.process_time()
        write_flow(io.BytesIO(), iter(codes), (0, 0), rule.size)
        compressed = time.process_time()
        kept = open_kept(folder, path, rule)
        assert kept is not None
        kept.codes(range(kept.num_flows))
        kept.close()
        seconds["decoding"] += decoded - began
        seconds["flow"] += (computed - decoded) - (decoded - began)
        seconds["compression"] += compressed - computed
        seconds["reading"] += time.process_time() - compressed
    return seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--size", default="128x171")
    parser.add_argument("--method", choices=get_args(FlowMethod), default="dis")
    return parser.parse_args()


if __name__ == "__main__":
    main()
