"""Many short clips in one `cliptide predict` call: videos a second, and memory over time.

    python benchmarks/predict_many.py [--videos 1000]

Memory is that of the command and its loader processes together (on Linux; elsewhere only the
speed is told). It is flat when the second half of the run needs no more than the first.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cliptide.configs.schema import ModelConfig
from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import save_model
from cliptide.models.info import ModelInfo

CLIPS_PER_GROUP = 5
MIB = 2**20


def write_model(path: Path) -> None:
    """An untrained network: what it answers plays no part here."""
    config = ModelConfig()
    network = build_recognizer(config, num_classes=len(CLASS_NAMES))
    info = ModelInfo(
        model=vars(config),
        class_names=CLASS_NAMES,
        size=(112, 112),
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=16,
        rate_fps=8.0,
        context_s=2.0,
        split_fingerprint="",
    )
    save_model(path, network, info)


def memory_bytes(pid: int) -> int:
    """Memory of a process and all below it, what they share counted once."""
    try:
        task = Path(f"/proc/{pid}")
        lines = (task / "smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        children = " ".join(file.read_text() for file in task.glob("task/*/children")).split()
    except (OSError, StopIteration):  # ended meanwhile, or no Linux
        return 0
    return own + sum(memory_bytes(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=1000, help="How many clips to make.")
    parser.add_argument("--workers", default="auto", help="As --data.workers.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(folder / "model.safetensors")
        groups = -(-args.videos // (CLIPS_PER_GROUP * len(CLASS_NAMES)))
        made = write_dataset(folder / "videos", groups=groups, clips_per_group=CLIPS_PER_GROUP)
        for number, path in enumerate(made):
            if number >= args.videos:
                path.unlink()
        words = ["predict", folder / "model.safetensors", folder / "videos"]
        options = ["--json", folder / "out.json", "--data.workers", args.workers]
        began = time.perf_counter()
        command = subprocess.Popen(
            [sys.executable, "-m", "cliptide.app", *words, *options], stdout=subprocess.DEVNULL
        )
        samples = []
        while command.poll() is None:
            samples.append((time.perf_counter() - began, memory_bytes(command.pid)))
            time.sleep(1.0)  # reading it stops the process for a while
        took_s = time.perf_counter() - began
        videos = json.loads((folder / "out.json").read_text("utf-8"))
    failed = sum("error" in video for video in videos)
    print(f"{len(videos)} videos, {failed} failed, exit code {command.returncode}")
    print(f"{took_s:.1f} s from start to end, {len(videos) / took_s:.1f} videos/s")
    if any(held for _, held in samples):
        peaks = [
            max(held for at, held in samples if from_s <= at <= to_s) / MIB
            for from_s, to_s in ((0, took_s / 2), (took_s / 2, took_s))
        ]
        print(f"peak memory {peaks[0]:.0f} MiB in the first half, {peaks[1]:.0f} in the second")


if __name__ == "__main__":
    main()
