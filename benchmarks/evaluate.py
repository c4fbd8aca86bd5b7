"""How well `evaluate` overlaps decoding and the network: its videos a second against both alone.

    python benchmarks/evaluate.py [--videos 400] [--rounds 3]

The yardstick is 1 / (1/d + 1/n), where d is decoding alone on all cores and n the network alone
on all cores: what one gets by doing one after the other without a pause between. Overlapped well
it can be beaten, for neither of the two keeps every core busy all of its time. Told is the share
of it which `cliptide evaluate` reaches by its own metrics.json, the start of loader processes
included, for networks light and heavy.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.probing import Probe
from cliptide.app.inference.rules import sampling_rule
from cliptide.app.inference.scoring import score_videos
from cliptide.configs.schema import ModelConfig
from cliptide.datasets.catalog import read_catalog
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.loaders import Batch, make_loader
from cliptide.datasets.processes import usable_cores
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import save_model
from cliptide.models.info import ModelInfo

RESULTS = Path(__file__).parent / "results" / "evaluate.json"
CLIPS_PER_GROUP = 5
# Encoder, frames, size of the frames.
CASES = (
    ("tiny", 16, (112, 112)),
    ("mobilenet_v3_small", 16, (112, 112)),
    ("resnet18", 8, (112, 112)),
)
# Batches that the network alone is given again and again.
KEPT_BATCHES = 4


def recognizer_of(encoder: str, frames: int, size: tuple[int, int]) -> NetworkRecognizer:
    """An untrained network: what it answers plays no part here."""
    config = ModelConfig(encoder=encoder)
    network = build_recognizer(config, num_classes=len(CLASS_NAMES), load_weights=False)
    info = ModelInfo(
        model=vars(config),
        class_names=CLASS_NAMES,
        size=size,
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=frames,
        rate_fps=8.0,
        context_s=2.0,
        split_fingerprint="",
    )
    return NetworkRecognizer(network, info, device=torch.device("cpu"))


def dataset_of(recognizer: NetworkRecognizer, records: list[SampleRecord]) -> ClipDataset:
    return ClipDataset(
        records,
        class_names=CLASS_NAMES,
        rule=sampling_rule(recognizer.info),
        streams=recognizer.streams,
        num_views=1,
    )


def decoding_alone(recognizer: NetworkRecognizer, records: list[SampleRecord]) -> float:
    """Videos a second, all cores decoding; from the first batch on."""
    loader = make_loader(dataset_of(recognizer, records), batch_size=8, workers=usable_cores())
    batches = iter(loader)
    next(batches)
    began = time.perf_counter()
    count = sum(len(batch.samples) for batch in batches)
    return count / (time.perf_counter() - began)


def network_alone(
    recognizer: NetworkRecognizer, batches: list[Batch], probe: Probe | None, *, videos: int
) -> float:
    """Videos a second, all cores on the network."""
    again = [batches[turn % len(batches)] for turn in range(max(2, videos // 8))]
    score = lambda some: list(  # noqa: E731
        score_videos(recognizer.network, some, device=recognizer.device, probe=probe)
    )
    score(again[:2])
    began = time.perf_counter()
    count = len(score(again))
    return count / (time.perf_counter() - began)


def evaluating(model: Path, data: Path, *, probes: bool) -> float:
    """Videos a second of the command, from the start of its loader to the last score."""
    out = model.with_name("evaluated")
    words = ["--split", "all", "--eval.clips", "1", "--eval.probes", str(probes).lower()]
    command = [sys.executable, "-m", "cliptide.app", "evaluate", str(model), str(data)]
    subprocess.run(
        [*command, *words, "--out", str(out), "--overwrite"], check=True, capture_output=True
    )
    return float(json.loads((out / "metrics.json").read_text())["timings"]["videos_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=400, help="How many videos are scored.")
    parser.add_argument("--rounds", type=int, default=3, help="How often all is measured.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "videos"
        groups = -(-args.videos // (len(CLASS_NAMES) * CLIPS_PER_GROUP))
        for _ in write_dataset(
            data, groups=groups, clips_per_group=CLIPS_PER_GROUP, num_frames=60, side=240
        ):
            pass
        rows = [
            measure(encoder, frames, size, probes, data, rounds=args.rounds)
            for encoder, frames, size in CASES
            for probes in (False, True)
        ]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"\n{args.videos} videos, {usable_cores()} cores; medians of {args.rounds} rounds\n")
    print("Videos a second\n")
    print("| network | probes | decoding | network | one after the other | evaluating | ratio |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for row in rows:
        figures = " | ".join(
            f"{row[key]:.1f}" for key in ("decoding", "network", "in_turn", "evaluating")
        )
        probes = "yes" if row["probes"] else "no"
        print(f"| {row['encoder']} | {probes} | {figures} | {row['ratio']:.2f} |")


def measure(
    encoder: str,
    frames: int,
    size: tuple[int, int],
    probes: bool,
    data: Path,
    *,
    rounds: int,
) -> dict[str, float | str | bool]:
    recognizer = recognizer_of(encoder, frames, size)
    records = list(read_catalog(data).records)
    model = data.with_name("model.safetensors")
    save_model(model, recognizer.network, recognizer.info)
    probe = Probe(0) if probes else None
    loader = make_loader(dataset_of(recognizer, records[: KEPT_BATCHES * 8]), batch_size=8)
    batches: list[Batch] = list(loader)  # type: ignore[arg-type]
    turns: list[tuple[float, ...]] = []
    for _ in range(rounds):
        d = decoding_alone(recognizer, records)
        n = network_alone(recognizer, batches, probe, videos=min(len(records), 200))
        e = evaluating(model, data, probes=probes)
        in_turn = 1 / (1 / d + 1 / n)
        turns.append((d, n, in_turn, e, e / in_turn))
        print(f"{encoder} probes={probes}: d {d:.1f} n {n:.1f} e {e:.1f} ratio {e / in_turn:.2f}")
    middle: list[float] = [statistics.median(column) for column in zip(*turns, strict=True)]
    keys = ("decoding", "network", "in_turn", "evaluating", "ratio")
    return {"encoder": encoder, "probes": probes} | dict(zip(keys, middle, strict=True))


if __name__ == "__main__":
    main()
