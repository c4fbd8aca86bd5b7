"""Tune on the demo's videos, kill it, resume it, then train start and best with the same budget.

    python benchmarks/tune_demo.py [--out DIR] [--trials 20] [--epochs 8]

Prints the leaderboard, then validation and test top-1 of the config that the search started
from and of the best. The test split plays no part in the search.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from cliptide.app import train, tune
from cliptide.app.demo import CLIPS_PER_GROUP, GROUPS, demo_config
from cliptide.app.results import show_tuning
from cliptide.app.training.config_file import read_config_file, write_config_file
from cliptide.datasets.synthetic import write_dataset


def finished(out: Path) -> int:
    path = out / "trials.csv"
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", newline="") as file:
        return sum(row["state"] in ("complete", "pruned") for row in csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--kill-after", type=int, default=6)
    args = parser.parse_args()
    root = args.out or Path(tempfile.mkdtemp(prefix="tune-demo-"))
    videos, out = root / "videos", root / "study"
    for _ in write_dataset(videos, groups=GROUPS, clips_per_group=CLIPS_PER_GROUP, seed=0):
        pass
    config = demo_config(seed=0)
    config = replace(config, train=replace(config.train, epochs=args.epochs))
    start = root / "start.yaml"
    write_config_file(start, data=videos, config=config)

    began = time.perf_counter()
    command = [sys.executable, "-m", "cliptide.app", "tune", "--config", str(start)]
    command += ["--trials", str(args.trials), "--out", str(out)]
    with subprocess.Popen(command) as process:
        while process.poll() is None and finished(out) < args.kill_after:
            time.sleep(0.2)
        time.sleep(3)
        process.kill()
    print(f"Killed after {finished(out)} of {args.trials} trials.", flush=True)
    subprocess.run(command, check=True)
    print(f"{args.trials} trials in {time.perf_counter() - began:.0f} s", flush=True)

    result = tune(videos, config=config, trials=args.trials, out=out)
    show_tuning(result)
    _, best = read_config_file(result.best_config_file)
    found = {trial.number: trial for trial in result.trials}
    base = next(trial for trial in found.values() if trial.base and trial.state == "complete")
    for name, one, trial in (("start", config, base), ("best", best, result.best)):
        run = train(videos, config=one, out=root / name)
        print(
            f"{name:<6} trial {trial.number}: val top-1 {trial.figure:.3f} in the search, "
            f"{run.best['val_top1']:.3f} trained anew, test top-1 {run.metrics['top1']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
