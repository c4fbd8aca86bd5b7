"""Each recipe once, by the command line, as a new user would run it: the table of docs/models.md.

    python benchmarks/recipes.py run [--only NAME ...] [--weights FILE]
    python benchmarks/recipes.py table

The data is the demo's eight actions in four time-reversed pairs: 160 clips, groups held out; for
`mingru-long` clips of up to 32 s, in which one action takes as long. Mirroring is off, as it would
turn clockwise round. `--weights` is SqueezeNet 1.0's file for `lrcn`, whose budget is cut.
Rows go to benchmarks/results/recipes.json as they are done.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import percent, write_between

from cliptide.datasets.synthetic import write_dataset

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "recipes.json"
RECIPES = ("fusionnet", "lrcn", "cnn-gru", "convlstm", "tsm-gru", "motion-gru", "mingru-long")
LRCN_EPOCHS = 6


def run(name: str, videos: Path, out: Path, *, weights: Path | None) -> dict[str, float]:
    """Train by the command line; the figures of its metrics.json."""
    command = [sys.executable, "-m", "cliptide.app", "train", str(videos), "--config", name]
    command += ["--out", str(out), "--data.flip", "false"]
    if name == "lrcn":
        command += ["--train.epochs", str(LRCN_EPOCHS)]
        if weights is not None:
            command += ["--model.encoder_weights", str(weights)]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    with (out / "history.csv").open(encoding="utf-8") as file:
        epochs = sum(1 for _ in file) - 1
    return {
        "top1": metrics["top1"],
        "epochs": epochs,
        "seconds": time.perf_counter() - began,
        "videos": metrics["num_videos"],
    }


def load() -> dict[str, dict[str, float]]:
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}


def table() -> str:
    lines = ["| recipe | epochs | minutes | test top-1 |", "|---|---:|---:|---:|"]
    for name, row in load().items():
        minutes = f"{row['seconds'] / 60:.1f}"
        lines.append(f"| `{name}` | {row['epochs']} | {minutes} | {percent(row['top1'])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--only", nargs="*", default=RECIPES, help="Recipes to run.")
    parser.add_argument("--weights", type=Path, help="Of SqueezeNet 1.0, for lrcn.")
    args = parser.parse_args()
    if args.what == "table":
        print(table())
        write_between("recipes", table())
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            is_long = name == "mingru-long"
            videos = Path(folder) / ("long" if is_long else "short")
            if not videos.is_dir():
                clips = write_dataset(
                    videos, groups=10, clips_per_group=2, num_frames=384 if is_long else 24
                )
                print(f"{len(list(clips))} videos written", flush=True)
            figures = run(name, videos, Path(folder) / name, weights=args.weights)
            rows = load() | {name: figures}
            ordered = {key: rows[key] for key in RECIPES if key in rows}
            RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
            print(name, figures, flush=True)


if __name__ == "__main__":
    main()
