"""Each kind of sequence once, by the command line, as a new user would: docs/sequences.md.

    python benchmarks/sequences.py run [--only NAME ...] [--data FOLDER] [--weights FILE]
    python benchmarks/sequences.py table

`generated` has a known answer: classes are the order of events, and what can be told without
order, or by one stream alone, is known too. `real` is what lies at hand without a download:
scikit-learn's digits, docstrings of installed libraries, and (with --data, a folder that holds
`fight` with its videos.csv, and --weights, SqueezeNet's of ImageNet) the CCTV clips' sound and
pictures, as videos and as folders of frames. A row goes to
benchmarks/results/sequences.json when it is done; the time is that of the whole command.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from digits_at_hand import write_digits
from tables import percent, write_between

from cliptide.datasets.synthetic import write_dataset
from cliptide.datasets.synthetic_arrays import write_sensor_dataset, write_skeleton_dataset
from cliptide.datasets.synthetic_images import write_frames_dataset, write_image_dataset
from cliptide.datasets.synthetic_sound import write_sound_and_picture_dataset, write_sound_dataset
from cliptide.datasets.synthetic_texts import write_text_dataset
from cliptide.datasets.video import open_video

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sequences.json"
LIGHT_GRID = (4, 4)
LIGHT_RATE = 10.0
FRAME_RATE = 10.0
WEIGHTS = "--model.encoder_weights FILE"


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        kind: `generated` or `real`.
        data: Writes DATA into a folder and says where it is; None where it cannot be had.
        flags: Behind `cliptide train DATA`; FILE stands for the weights.
    """

    kind: str
    data: str
    flags: str


# Trained on what `DATA` below writes under this name.
TASKS: dict[str, Task] = {
    "frames": Task(
        # As the demo trains on the same actions as videos.
        "generated",
        "frames",
        "--data.kind frames --data.frames 12 --data.size 48 --data.flip false --model.width 0.5 "
        "--model.hidden 64 --train.epochs 16 --train.lr 0.002",
    ),
    "image rows": Task(
        "generated", "images", "--config image-rows --data.size 48 --train.epochs 10"
    ),
    "image patches": Task(
        "generated",
        "images",
        "--config image-rows --data.size 48 --steps.image patches --steps.patch 8x48",
    ),
    "sound": Task(
        # Its sounds are pure tones, which masked bands would hide whole.
        "generated",
        "sound",
        "--config audio-gru --data.augment none --train.epochs 17",
    ),
    "skeletons": Task(
        "generated",
        "skeletons",
        "--config skeleton-gru --steps.joints coco17 --data.flip false --train.epochs 30",
    ),
    "sensors": Task("generated", "sensors", "--config skeleton-gru --train.epochs 30"),
    "texts": Task("generated", "texts", "--config text-cnn-lstm --train.epochs 10"),
    "video and sound, early": Task(
        "generated", "both", "--config video-audio --data.size 64 --train.epochs 20"
    ),
    **{
        f"video and sound, {fusion}": Task(
            "generated",
            "both",
            f"--config video-audio --data.size 64 --train.epochs 20 --model.fusion {fusion}",
        )
        for fusion in ("gated", "late")
    },
    "of these pictures alone": Task(
        "generated", "both", "--config cnn-gru --data.size 64 --train.epochs 20"
    ),
    "of these sound alone": Task(
        "generated", "both", "--config audio-gru --data.kind audio --train.epochs 20"
    ),
    "flow": Task(
        "generated",
        "videos",
        "--config lrcn-twostream --data.streams flow --data.flip false "
        "--data.size 64 --train.epochs 12",
    ),
    "two streams": Task(
        "generated",
        "videos",
        "--config lrcn-twostream --data.flip false --data.size 64 --train.epochs 12",
    ),
    "digits, rows": Task("real", "digits", "--config image-rows --data.size 8 --train.epochs 10"),
    "docstrings": Task("real", "docstrings", "--config text-cnn-lstm"),
    "fights, sound": Task("real", "fight", "--config audio-gru --train.epochs 12"),
    "fights, videos": Task("real", "fight", f"--config fight {WEIGHTS}"),
    "fights, frames": Task(
        "real",
        "fight frames",
        f"--config fight --data.kind frames --steps.image_rate {FRAME_RATE:g} {WEIGHTS}",
    ),
    "fights, pictures and sound": Task(
        "real",
        "fight",
        f"--config video-audio --model.encoder squeezenet1_0 --model.freeze true {WEIGHTS} "
        "--train.epochs 12",
    ),
    "fights, light alone": Task("real", "light", "--config skeleton-gru --train.epochs 15"),
}


def rewritten(manifest: Path, folder: Path, write: Callable[[Path, Path], Path]) -> Path:
    """Write each video of a manifest in another way; the manifest of what was written.

    Args:
        write: Given a video and where it would lie in the folder, says what it wrote for it.
    """
    rows = list(csv.DictReader(manifest.open(encoding="utf-8")))
    for row in rows:
        target = folder / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        written = write(manifest.parent / row["path"], target)
        row["path"] = written.relative_to(folder).as_posix()
    out = folder / "samples.csv"
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return out


def write_light(path: Path, target: Path) -> Path:
    """What 16 light sensors in a grid would say of a video: time_s and 16 numbers a row."""
    with open_video(path) as video:
        frames = list(video.frames(every_s=1 / LIGHT_RATE, size=LIGHT_GRID))
    light = np.stack([frame.picture.mean(axis=2).reshape(-1) for frame in frames])
    times = np.array([frame.time_s for frame in frames])
    names = ",".join(["time_s", *(f"light_{n}" for n in range(light.shape[1]))])
    table = np.column_stack([times, light])
    out = target.with_suffix(".csv")
    np.savetxt(out, table, delimiter=",", header=names, comments="", fmt="%.5g")
    return out


def write_frames(path: Path, target: Path) -> Path:
    """A video as a folder of JPEGs, FRAME_RATE of them a second."""
    out = target.with_suffix("")
    out.mkdir()
    with open_video(path) as video:
        for number, frame in enumerate(video.frames(every_s=1 / FRAME_RATE), start=1):
            bgr = cv2.cvtColor(frame.picture, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(out / f"img_{number:05d}.jpg"), bgr)
    return out


def _all(written: Any, folder: Path) -> Path:
    list(written)
    return folder


def _texts(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_dataset(path, groups=20, texts_per_group=12)
    return path


def _digits(folder: Path) -> Path:
    write_digits(folder)
    return folder


def _docstrings(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    script = ROOT / "benchmarks" / "texts_at_hand.py"
    subprocess.run([sys.executable, str(script), str(path)], check=True)
    return path


def writers(data: Path | None) -> dict[str, Callable[[Path], Path | None]]:
    """What writes the data of each name into a folder; gives DATA, or None."""
    fight = None if data is None else data / "fight" / "videos.csv"
    return {
        "frames": lambda f: _all(write_frames_dataset(f, groups=14, clips_per_group=2), f),
        "images": lambda f: _all(write_image_dataset(f, groups=30, images_per_group=5), f),
        "sound": lambda f: _all(write_sound_dataset(f, groups=20), f),
        "skeletons": lambda f: _all(write_skeleton_dataset(f, groups=20), f),
        "sensors": lambda f: _all(write_sensor_dataset(f, groups=20), f),
        "texts": lambda f: _texts(f / "texts.csv"),
        "both": lambda f: _all(write_sound_and_picture_dataset(f, groups=24), f),
        "videos": lambda f: _all(write_dataset(f, groups=14, clips_per_group=4), f),
        "digits": _digits,
        "docstrings": lambda f: _docstrings(f / "docstrings.csv"),
        "fight": lambda f: fight,
        "fight frames": lambda f: None if fight is None else rewritten(fight, f, write_frames),
        "light": lambda f: None if fight is None else rewritten(fight, f, write_light),
    }


def run(task: Task, data: Path, out: Path, weights: Path | None) -> dict[str, Any]:
    """Train by the command line; the figures of its metrics.json."""
    flags = [str(weights) if flag == "FILE" else flag for flag in task.flags.split()]
    command = [sys.executable, "-m", "cliptide.app", "train", str(data), *flags]
    began = time.perf_counter()
    subprocess.run([*command, "--out", str(out)], check=True)
    seconds = time.perf_counter() - began
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    streams = metrics.get("streams") or {}
    return {
        "kind": task.kind,
        "flags": task.flags,
        "top1": metrics["top1"],
        "ci95": metrics["ci95"],
        "chance": metrics["baselines"].get("majority"),
        "mean_pool": metrics["baselines"].get("mean_pool"),
        "alone": {name: entry["alone"] for name, entry in streams.items()},
        "seconds": seconds,
        "tested": metrics["num_videos"],
    }


def load() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}


def table(kind: str) -> str:
    lines = [
        "| data | `cliptide train DATA` ... | test top-1 (95 % interval) | no order "
        "| largest class | each stream alone | tested | seconds |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for name, row in load().items():
        if row["kind"] != kind:
            continue
        low, high = row["ci95"]
        alone = ", ".join(f"{n} {percent(v)}" for n, v in row["alone"].items())
        lines.append(
            f"| {name} | `{row['flags']}` | {percent(row['top1'])} "
            f"({percent(low)} to {percent(high)}) | {percent(row['mean_pool'])} "
            f"| {percent(row['chance'])} | {alone} | {row['tested']} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--only", nargs="*", default=list(TASKS), help="Names to run.")
    parser.add_argument("--data", type=Path, help="Folder that holds fight/videos.csv.")
    parser.add_argument("--weights", type=Path, help="SqueezeNet 1.0's of ImageNet (torchvision).")
    args = parser.parse_args()
    if args.what == "table":
        for kind in ("generated", "real"):
            print(table(kind))
            write_between(kind, table(kind), page="sequences.md")
        return
    write = writers(args.data)
    with tempfile.TemporaryDirectory() as scratch:
        written: dict[str, Path | None] = {}
        for name in args.only:
            task = TASKS[name]
            if task.data not in written:
                folder = Path(scratch) / "data" / task.data
                folder.mkdir(parents=True)
                written[task.data] = write[task.data](folder)
            data = written[task.data]
            if data is None or ("FILE" in task.flags.split() and args.weights is None):
                print(f"{name}: no data or no weights (see --data, --weights)", flush=True)
                continue
            out = Path(scratch) / "runs" / name.replace(" ", "-")
            figures = run(task, data, out, args.weights)
            rows = load() | {name: figures}
            ordered = {key: rows[key] for key in TASKS if key in rows}
            RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
            print(name, figures, flush=True)


if __name__ == "__main__":
    main()
