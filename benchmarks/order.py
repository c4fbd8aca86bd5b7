"""Which temporal parts follow the order of frames: each trained on the demo's videos.

    python benchmarks/order.py [--epochs 16] [--seeds 1] [--groups 14] [NAME ...]

Four pairs of actions, each the other played backwards: a network blind to order ends near 0.5.
Encoder, budget and seed are those of `cliptide demo`; `tcn` has three blocks, because one sees
five frames alone. Told are the top-1 on the test split and the seconds of the whole run.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cliptide.app import train
from cliptide.app.demo import CLIPS_PER_GROUP, GROUPS, demo_config
from cliptide.datasets.synthetic import write_dataset

NETWORKS: dict[str, dict[str, Any]] = {
    "none, mean": {"temporal": "none", "summary": "mean"},
    "rnn": {"temporal": "rnn"},
    "lstm": {"temporal": "lstm"},
    "gru": {"temporal": "gru"},
    "gru residual": {"temporal": "gru", "layers": 2, "residual": True},
    "gru variational": {"temporal": "gru", "layers": 2, "variational": True},
    "mingru": {"temporal": "mingru"},
    "minlstm": {"temporal": "minlstm"},
    "mingru residual": {"temporal": "mingru", "layers": 2, "residual": True},
    "convlstm": {"temporal": "convlstm"},
    "convgru": {"temporal": "convgru"},
    "tcn": {"temporal": "tcn", "layers": 3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Of {', '.join(NETWORKS)}.")
    parser.add_argument("--epochs", type=int, default=None, help="As the demo by default.")
    parser.add_argument("--seeds", type=int, default=1, help="Seeds 0 to so many less one.")
    parser.add_argument("--groups", type=int, default=GROUPS, help="Groups of videos to make.")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in NETWORKS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}. Use: {', '.join(NETWORKS)}.")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        videos = Path(scratch) / "videos"
        for _ in write_dataset(videos, groups=args.groups, clips_per_group=CLIPS_PER_GROUP):
            pass
        for name in args.names or NETWORKS:
            for seed in range(args.seeds):
                config = demo_config(seed=seed)
                model = replace(config.model, **NETWORKS[name])
                budget = replace(config.train, epochs=args.epochs or config.train.epochs)
                config = replace(config, model=model, train=budget)
                began = time.perf_counter()
                result = train(videos, config=config, out=Path(scratch) / f"{name} {seed}")
                took_s = time.perf_counter() - began
                rows.append(f"| {name} | {seed} | {result.metrics['top1']:.3f} | {took_s:.0f} |")
    print("| temporal | seed | top-1 | seconds |\n| --- | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
