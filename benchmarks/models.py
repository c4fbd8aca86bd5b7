"""What each way of fusing costs and what it is worth: the table of docs/models.md.

    python benchmarks/models.py costs
    python benchmarks/models.py scores --data demo
    python benchmarks/models.py scores --data ../shared/data/phrases --size 48x64 --frames 24 \
        --epochs 15 --augment strong
    python benchmarks/models.py table

Each way is the same network but for one thing, trained with the same budget and seed on one
core; scores are the test split's top-1 of the epoch that was best on validation. Rows that are
measured already are kept (benchmarks/results/models.json), so a run can be broken off and gone
on with; `--again` measures anew. `table` writes the table into docs/models.md.

Parameters and FLOPs are torch's own count (a multiplication and an addition are two), per frame
of a clip of 16 frames of 112x112; milliseconds are median times of one core: of a whole clip,
divided by its frames, and of one frame of a stream, batch 1.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tables import percent, write_between
from torch.utils.flop_counter import FlopCounterMode

from cliptide.app.demo import CLIPS_PER_GROUP, GROUPS, demo_config
from cliptide.app.training.train import train
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic import write_dataset
from cliptide.models.build import build_recognizer

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "models.json"

# The one thing that is different.
WAYS: dict[str, dict[str, Any]] = {
    "none, mean (baseline)": {"temporal": "none"},
    "none, max": {"temporal": "none", "summary": "max"},
    "none, attention": {"temporal": "none", "summary": "attention"},
    "tcn": {"temporal": "tcn", "layers": 3},
    "rnn": {"temporal": "rnn"},
    "lstm": {"temporal": "lstm"},
    "gru": {"temporal": "gru"},
    "gru, 2 layers, both directions": {"temporal": "gru", "layers": 2, "bidirectional": True},
    "gru, residual, 2 layers": {"temporal": "gru", "layers": 2, "residual": True},
    "mingru": {"temporal": "mingru"},
    "minlstm": {"temporal": "minlstm"},
    "mingru, residual, 2 layers": {"temporal": "mingru", "layers": 2, "residual": True},
    "convlstm": {"temporal": "convlstm"},
    "convgru": {"temporal": "convgru"},
    "gru, temporal shift": {"temporal": "gru", "shift": "causal"},
    "gru, frame differences": {"temporal": "gru", "motion": "frames"},
    "gru, feature differences": {"temporal": "gru", "motion": "features"},
    "gru, both differences": {"temporal": "gru", "motion": "both"},
    "gru, shift and both differences": {"temporal": "gru", "motion": "both", "shift": "causal"},
}
FRAMES, SIDE, STEPS = 16, 112, 40


def way_config(way: str) -> ModelConfig:
    """The default network with what the way changes; the mean over the steps for all."""
    return ModelConfig(**{"summary": "mean", **WAYS[way]})


def costs(way: str) -> dict[str, float | None]:
    """Parameters, floating-point operations and milliseconds a frame."""
    torch.manual_seed(0)
    network = build_recognizer(way_config(way), num_classes=10).eval()
    clips = torch.randint(0, 256, (1, FRAMES, 3, SIDE, SIDE), dtype=torch.uint8)
    lengths = torch.tensor([FRAMES])
    # oneDNN's fused recurrent layers are not counted; torch's own are made of products that are.
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), counter:
        network(clips, lengths)
    state: Any = None

    def step() -> None:
        nonlocal state
        _, state = network.step(clips[:, 0], state)

    with torch.inference_mode():
        return {
            "parameters": sum(p.numel() for p in network.parameters()),
            "mflops": counter.get_total_flops() / FRAMES / 1e6,
            "clip_ms": median_ms(lambda: network(clips, lengths)) / FRAMES,
            "stream_ms": median_ms(step) if network.can_step else None,
        }


def median_ms(run: Callable[[], object]) -> float:
    """Of many runs, without the first ones."""
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[STEPS // 4 :]) * 1000


def score(way: str, data: Path, config: RunConfig) -> dict[str, float]:
    """Test top-1 and how long the training took."""
    model = way_config(way)
    if data.name == "videos":  # the demo's small network
        base = config.model
        model = replace(model, width=base.width, hidden=base.hidden)
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        result = train(data, config=replace(config, model=model), out=Path(folder) / "run")
        return {"top1": result.metrics["top1"], "seconds": time.perf_counter() - began}


def phrases_config(args: argparse.Namespace) -> RunConfig:
    """The same budget for all, on data of the user's."""
    return RunConfig(
        data=DataConfig(frames=args.frames, size=args.size, augment=args.augment),
        train=TrainConfig(epochs=args.epochs, weight_decay=0.05, label_smoothing=0.1),
        eval=EvalConfig(clips=1, probes=False),
        seed=args.seed,
    )


def load() -> dict[str, dict[str, Any]]:
    return json.loads(RESULTS.read_text("utf-8")) if RESULTS.is_file() else {}


def keep(way: str, figures: dict[str, Any]) -> None:
    """Write at once: a run may be broken off, and others may write other figures meanwhile."""
    known = load()
    known[way] = known.get(way, {}) | figures
    ordered = {name: known[name] for name in WAYS if name in known}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def table() -> str:
    """The table in Markdown; a column of scores stands there once a row has one."""
    rows = load()
    scored = [key for key in ("demo", "phrases") if any(key in row for row in rows.values())]
    heads = ["fusion", "parameters", "MFLOPs a frame", "ms a frame, clip", "stream", *scored]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for way, row in rows.items():
        cells = [
            way,
            f"{row['parameters'] / 1e3:,.0f} k",
            f"{row['mflops']:.0f}",
            f"{row['clip_ms']:.1f}",
            f"{row['stream_ms']:.1f}" if row["stream_ms"] else "cannot",
            *(percent(row.get(key)) for key in scored),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["costs", "scores", "table"])
    parser.add_argument("--data", default="demo", help="demo, or a data set's folder.")
    parser.add_argument("--only", nargs="*", default=list(WAYS), help="Ways to measure.")
    parser.add_argument("--again", action="store_true", help="Measure what is known already too.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", default="48x64")
    parser.add_argument("--augment", default="strong")
    args = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    if args.what == "costs":
        for way in args.only:
            keep(way, costs(way))
            print(way, load()[way], flush=True)
    elif args.what == "scores":
        with TemporaryDirectory() as folder:
            data, column = Path(args.data), Path(args.data).name
            config = phrases_config(args)
            if args.data == "demo":
                data, config = Path(folder) / "videos", demo_config(seed=args.seed)
                made = write_dataset(
                    data, groups=GROUPS, clips_per_group=CLIPS_PER_GROUP, seed=args.seed
                )
                print(f"{len(list(made))} videos written", flush=True)
            for way in args.only:
                if column in load().get(way, {}) and not args.again:
                    continue
                figures = score(way, data, config)
                keep(way, {column: figures["top1"], f"{column}_seconds": figures["seconds"]})
                print(way, figures, flush=True)
    else:
        print(table())
        write_between("models", table())


if __name__ == "__main__":
    main()
