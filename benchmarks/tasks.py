"""Regression and several labels on generated videos: R2 and mAP. Wanted: 0.9 and 0.95.

    python benchmarks/tasks.py [--seeds 3]

Speed: how fast a shape moves. Events: which one to three of five things happen.
Groups (shape, colour, background) are held out; about 20 s for each training on two CPU cores.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from cliptide.app.training.run import TrainingResult
from cliptide.app.training.train import train
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic_tasks import write_event_dataset, write_speed_dataset


def task_config(*, size: int, epochs: int, task: Any = "auto", seed: int = 0) -> RunConfig:
    """A small CNN and a GRU."""
    return RunConfig(
        # A crop would make a shape faster, and a flash is brightness; a mirror changes neither.
        data=DataConfig(frames=10, size=size, augment="none", flip=True, workers=0, task=task),
        model=ModelConfig(width=0.5, hidden=64, dropout=0.1),
        train=TrainConfig(epochs=epochs, batch_size=16, lr=3e-3),
        eval=EvalConfig(clips=1),
        seed=seed,
    )


def speed_run(folder: Path, *, seed: int = 0) -> TrainingResult:
    for _ in write_speed_dataset(folder, seed=seed):
        pass
    config = task_config(size=48, epochs=15, task="regression", seed=seed)
    return train(folder / "speeds.csv", config=config, out=folder / "run")


def events_run(folder: Path, *, seed: int = 0) -> TrainingResult:
    for _ in write_event_dataset(folder, seed=seed):
        pass
    config = task_config(size=32, epochs=14, seed=seed)
    return train(folder / "events.csv", config=config, out=folder / "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="How many seeds, from 0 on.")
    args = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.seeds):
            for name, run, key in (("speed", speed_run, "r2"), ("events", events_run, "map")):
                began = time.perf_counter()
                metrics = run(Path(scratch) / f"{name}-{seed}", seed=seed).metrics
                took_s = time.perf_counter() - began
                low, high = metrics["ci95"]
                what = "R2" if key == "r2" else "mAP"
                of = "MAE" if key == "r2" else "mAP"
                lines.append(
                    f"{name}, seed {seed}: {what} {metrics[key]:.3f} on "
                    f"{metrics['num_scored']} test videos ({of} {low:.3f} to {high:.3f}), "
                    f"{took_s:.0f} s"
                )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
