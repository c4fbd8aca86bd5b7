"""How fast each temporal part runs through long sequences, forward and backward, on one core.

    python benchmarks/recurrent.py [--quick]

The temporal part alone, input and state of size 128. The parts take turns, so that what else the
machine does falls on all of them; told are medians, and of the ratio to `gru` in the same turn.
Wanted at T = 2,048: mingru at least 3 times as fast as gru at batch 1, 1.5 times at batch 8.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor

from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_temporal
from cliptide.models.temporal.base import Temporal

SIZE = 128
NAMES = ("rnn", "lstm", "gru", "mingru", "minlstm", "tcn")


def seconds(temporal: Temporal, features: Tensor, lengths: Tensor) -> float:
    """One pass forward and backward."""
    began = time.perf_counter()
    temporal(features, lengths).sum().backward()
    return time.perf_counter() - began


def measure(*, batch: int, steps: int, turns: int, padded: bool = False) -> None:
    """Print a table for a batch size; clips of one length, or from a quarter of it on."""
    torch.manual_seed(0)
    features = torch.randn(batch, steps, SIZE, requires_grad=True)
    lengths = torch.linspace(steps / 4 if padded else steps, steps, batch).long()
    parts = {
        name: build_temporal(ModelConfig(temporal=name, hidden=SIZE, dropout=0.0), input_dim=SIZE)
        for name in NAMES
    }
    for part in parts.values():
        seconds(part, features, lengths)  # the first run makes room
    runs = [
        {name: seconds(part, features, lengths) for name, part in parts.items()}
        for _ in range(turns)
    ]
    shown = f"{int(lengths.min())} to {steps}" if padded else str(steps)
    print(f"\nT = {shown}, batch {batch}, size {SIZE}, {turns} turns\n")
    print("| temporal | ms | times as fast as gru |\n| --- | ---: | ---: |")
    for name in NAMES:
        took_ms = 1000 * statistics.median(run[name] for run in runs)
        ratio = statistics.median(run["gru"] / run[name] for run in runs)
        print(f"| {name} | {took_ms:.1f} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Three turns in place of eleven.")
    parser.add_argument("--steps", type=int, default=2048, help="T, the steps of a sequence.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    turns = 3 if args.quick else 11
    for batch, padded in ((1, False), (8, False), (8, True)):
        measure(batch=batch, steps=args.steps, turns=turns, padded=padded)


if __name__ == "__main__":
    main()
