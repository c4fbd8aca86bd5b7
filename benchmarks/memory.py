"""Peak memory and time of a training step: plain, with checkpointing, and in chunks.

python benchmarks/memory.py [--frames 64] [--side 112] [--batch 1]

Each case runs in a process of its own, on one core: what the process holds at most, above what it
held before its first step. On a GPU (--device cuda) the allocator's own count is taken.
"""

import argparse
import resource
import subprocess
import sys
import time

CASES = {
    "plain": {},
    "checkpointing": {"checkpointing": True},
    "chunk 16": {"chunk": 16},
    "chunk 16, checkpointing": {"chunk": 16, "checkpointing": True},
}
ENCODERS = ("tiny", "resnet18")


def resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def measure(encoder: str, case: str, options: argparse.Namespace) -> str:
    import torch

    from cliptide.app.training.chunks import score_in_chunks
    from cliptide.configs.schema import ModelConfig
    from cliptide.models.build import build_recognizer

    torch.set_num_threads(1)
    device, keys = torch.device(options.device), CASES[case]
    network = build_recognizer(ModelConfig(encoder=encoder), num_classes=10).to(device).train()
    network.encoder.checkpointing = keys.get("checkpointing", False)
    shape = (options.batch, options.frames, 3, options.side, options.side)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8).to(device)
    lengths = torch.full((options.batch,), options.frames)
    targets = torch.zeros(options.batch, dtype=torch.int64, device=device)

    def step(clips: torch.Tensor, lengths: torch.Tensor) -> None:
        for scored in score_in_chunks(network, clips, lengths, chunk=keys.get("chunk", 0)):
            loss = torch.nn.functional.cross_entropy(scored.logits, targets) * scored.share
            loss.backward()
        network.zero_grad(set_to_none=False)

    step(clips[:, :2], lengths.clamp(max=2))  # libraries and gradients are there from here on
    before = resident_mb()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    times = []
    for _ in range(3):
        began = time.perf_counter()
        step(clips, lengths)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    return f"| {encoder} | {case} | {peak - before:.0f} | {min(times):.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(*options.one, options))
        return
    print("| encoder | training | peak MiB | s a step |\n|---|---|---|---|")
    for encoder in ENCODERS:
        for case in CASES:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", encoder, case]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
