"""Is ONNX Runtime at least as fast as PyTorch, and what do 8 bits do to the speed?

    python benchmarks/export.py [--rounds 15] [--threads 1]

Both run the same network on the CPU with the same number of threads, turn by turn, so that a busy
machine slows both; times are medians, milliseconds. Clips have 16 frames of 112x112. `int8` is
cliptide export --quantize int8, `int8, convolutions too` what quantize_dynamic makes of those
(ConvInteger). Result: benchmarks/results/export.json.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

RESULTS = Path(__file__).parent / "results" / "export.json"
SIZE, FRAMES, HIDDEN = (112, 112), 16, 128
ENCODERS = ("tiny", "resnet18")


def exported(encoder: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """A network with random weights in PyTorch, and the same in ONNX files of three kinds."""
    import torch
    from onnxruntime.quantization import quantize_dynamic

    from cliptide.app.export.export import export
    from cliptide.app.inference.network import load_network
    from cliptide.app.inference.onnx_engine import open_onnx
    from cliptide.configs.schema import ModelConfig
    from cliptide.models.build import build_recognizer
    from cliptide.models.bundle import save_model
    from cliptide.models.info import ModelInfo

    torch.manual_seed(0)
    config = ModelConfig(encoder=encoder, temporal="gru", hidden=HIDDEN)
    network = build_recognizer(config, num_classes=10, load_weights=False)
    info = ModelInfo(
        model=asdict(config),
        class_names=tuple("abcdefghij"),
        size=SIZE,
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=FRAMES,
        rate_fps=8.0,
        context_s=2.0,
        split_fingerprint="",
    )
    model = folder / "model.safetensors"
    save_model(model, network, info)
    plain = export(model).folder
    small = export(model, quantize="int8").folder
    smallest = folder / "all"
    smallest.mkdir()
    for path in plain.glob("*.onnx"):
        quantize_dynamic(path, smallest / path.name, extra_options={"EnableSubgraph": True})
    return load_network(model, device="cpu").engine, {
        "onnx": open_onnx(plain, device="cpu"),
        "int8": open_onnx(small, device="cpu"),
        "int8, convolutions too": open_onnx(smallest, device="cpu"),
    }


def work(engine: Any) -> dict[str, Callable[[], object]]:
    """What is timed."""
    import numpy as np

    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 256, (FRAMES, *SIZE, 3), dtype=np.uint8) for _ in range(8)]
    features = np.stack([engine.encode(clip, None)[0] for clip in clips])
    lengths = np.full(8, FRAMES, dtype=np.int64)
    begin = np.zeros(1, dtype=np.bool_)
    state = engine.step(features[:1, 0], ~begin, None)[1]
    return {
        "clip, batch 1": lambda: engine.score_clips(clips[:1]),
        "clips, batch 8": lambda: engine.score_clips(clips),
        "encoder, 1 frame": lambda: engine.encode(clips[0][:1], None),
        "encoder, 16 frames": lambda: engine.encode(clips[0], None),
        "window of features, batch 1": lambda: engine.score_features(features[:1], lengths[:1]),
        "windows of features, batch 8": lambda: engine.score_features(features, lengths),
        "step, 1 stream": lambda: engine.step(features[:1, 0], begin, state),
    }


def timed(call: Callable[[], object], *, least_s: float) -> float:
    """Milliseconds of a call, the mean over as many as take `least_s`."""
    began, count = time.perf_counter(), 0
    while True:
        call()
        count += 1
        if (spent := time.perf_counter() - began) >= least_s:
            return 1e3 * spent / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)  # heeded by both

    import onnxruntime
    import torch

    torch.set_num_threads(args.threads)
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {args.threads} of {os.cpu_count()} cores",
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "rounds": args.rounds,
    }
    for encoder in ENCODERS:
        with TemporaryDirectory() as folder:
            ours, others = exported(encoder, Path(folder))
            engines = {"torch": ours, **others}
            calls = {name: work(engine) for name, engine in engines.items()}
            times: dict[str, dict[str, list[float]]] = {}
            for number in range(args.rounds + 1):
                for what in calls["torch"]:
                    for name in engines:
                        spent = timed(calls[name][what], least_s=0.02)
                        if number:  # the first warms up
                            times.setdefault(what, {}).setdefault(name, []).append(spent)
            found[encoder] = {}
            for what, of_each in times.items():
                medians = {n: round(statistics.median(values), 4) for n, values in of_each.items()}
                found[encoder][what] = medians
                told = ", ".join(f"{name} {value:.3g}" for name, value in medians.items())
                ratio = medians["torch"] / medians["onnx"]
                print(f"{encoder}: {what}: {told} ms; onnx {ratio:.2f} times as fast", flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
