"""A task in which WHERE decides: two flashes, one after the other, in the same place or not.

    python benchmarks/where.py [--quick]

Each clip has four frames: noise, a disc, noise, a disc, with a background of noise of its own. The
place of the first disc is drawn from a grid; that of the second is the same (class 0) or another,
drawn likewise (class 1). Either frame alone, and any bag of them, looks the same in both classes.
The `tiny` CNN with `model.pool mean` hands on averages over the frame, which do not know where;
ConvLSTM and ConvGRU carry the maps themselves. The same steps of training for each, on one core.
"""

import argparse
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer

SIDE, PLACES = 48, 3  # pixels; discs stand in a grid of PLACES x PLACES
FRAMES = 4
NETWORKS: dict[str, dict[str, Any]] = {
    "mean of the maps, gru": {"temporal": "gru", "pool": "mean"},
    "mean of the maps, lstm": {"temporal": "lstm", "pool": "mean"},
    "convlstm": {"temporal": "convlstm"},
    "convgru": {"temporal": "convgru"},
}
QUICK = ("mean of the maps, gru", "convlstm")


class Trained(NamedTuple):
    """What came of a network: its share of right answers on new clips, and the time."""

    top1: float
    seconds: float


def flashes(count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clips (count, 4, 3, SIDE, SIDE) uint8 and their classes: 0 the same place, 1 another."""
    places = PLACES**2
    classes = torch.randint(0, 2, (count,), generator=generator)
    first = torch.randint(0, places, (count,), generator=generator)
    further = torch.randint(1, places, (count,), generator=generator)
    second = torch.where(classes == 1, (first + further) % places, first)
    # Noise of its own for each frame: with one for all, two discs in the same place would make
    # equal frames, and their averages would tell.
    shape = (count, FRAMES, 3, SIDE, SIDE)
    clips = torch.randint(40, 140, shape, generator=generator, dtype=torch.uint8)
    cell = SIDE // PLACES
    rows = torch.arange(SIDE)
    for clip, one, other in zip(clips, first.tolist(), second.tolist(), strict=True):
        for number, place in ((1, one), (3, other)):
            y, x = (cell * (at + 0.5) for at in divmod(place, PLACES))
            disc = (rows[:, None] - y) ** 2 + (rows - x) ** 2 < (0.3 * cell) ** 2
            clip[number][:, disc] = 255
    return clips, classes


def train(
    model: dict[str, Any], *, steps: int, batch_size: int = 32, tests: int = 400, seed: int = 0
) -> Trained:
    """Train a network on clips drawn anew for each step; test it on others."""
    torch.manual_seed(seed)
    began, generator = time.perf_counter(), torch.Generator().manual_seed(seed)
    config = ModelConfig(**{"width": 0.25, "hidden": 32, "dropout": 0.0, **model})
    network = build_recognizer(config, num_classes=2).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        clips, classes = flashes(batch_size, generator=generator)
        loss = cross_entropy(network(clips, torch.full((batch_size,), FRAMES)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    clips, classes = flashes(tests, generator=torch.Generator().manual_seed(seed + 10_000))
    with torch.no_grad():
        answers = network.eval()(clips, torch.full((tests,), FRAMES)).argmax(dim=1)
    right = (answers == classes).float().mean().item()
    return Trained(right, time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Two networks, one seed.")
    parser.add_argument("--steps", type=int, default=200, help="Steps of training.")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | seed | top-1 | seconds |\n| --- | ---: | ---: | ---: |")
    for name in QUICK if args.quick else NETWORKS:
        for seed in (0,) if args.quick else (0, 1, 2):
            trained = train(NETWORKS[name], steps=args.steps, seed=seed)
            print(f"| {name} | {seed} | {trained.top1:.3f} | {trained.seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
