"""What it is worth on a CPU that the channels of a pixel lie together (`channels_last`), one core.

    python benchmarks/layout.py

Encoders on frames in either layout, in turn: a step of training, and a forward pass alone. Told
are medians of CPU time, and of the ratio within a turn.
"""

import statistics
import time

import torch
from torch import Tensor

from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_encoder
from cliptide.models.encoders.base import Encoder

TURNS = 7
CASES = (("tiny", 256, (48, 64)), ("tiny", 64, (112, 112)), ("resnet18", 16, (112, 112)))
FORWARD = (*CASES, ("squeezenet1_0", 16, (160, 160)), ("mobilenet_v3_small", 16, (224, 224)))


def seconds(encoder: Encoder, images: Tensor, *, training: bool) -> float:
    began = time.process_time()
    with torch.set_grad_enabled(training):
        pooled = encoder.encode(images).pooled
        if training:
            pooled.square().sum().backward()
    return time.process_time() - began


def main() -> None:
    torch.set_num_threads(1)
    print("| encoder | frames | what | rows of one channel, ms | channels together, ms | ratio |")
    print("|---|---|---|---:|---:|---:|")
    for training, cases in ((True, CASES), (False, FORWARD)):
        for name, count, size in cases:
            torch.manual_seed(0)
            encoder = build_encoder(ModelConfig(encoder=name), load_weights=False).train(training)
            images = torch.randn(count, 3, *size)
            layouts = (images, images.contiguous(memory_format=torch.channels_last))
            for layout in layouts:
                seconds(encoder, layout, training=training)  # the first run makes room
            turns = [
                [seconds(encoder, layout, training=training) for layout in layouts]
                for _ in range(TURNS)
            ]
            rows, together = (1000 * statistics.median(each) for each in zip(*turns, strict=True))
            ratio = statistics.median(one / other for one, other in turns)
            what = "training step" if training else "forward"
            shape = f"{count} of {size[0]}x{size[1]}"
            print(f"| {name} | {shape} | {what} | {rows:.0f} | {together:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
