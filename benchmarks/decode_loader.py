"""How many clips a second do two loader workers give, reading with cliptide and with others?"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decode_readers import Reader, as_pictures, one_thread
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.loaders import EpochSampler, make_loader
from cliptide.datasets.processes import worker_context
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.pictures import PictureStream

BATCH_SIZE = 8
NUM_WORKERS = 2


class PeerClips(Dataset[Tensor]):
    """Clips as another reader gives them, (T, 3, H, W) uint8; addressed by index."""

    def __init__(
        self, asked: Sequence[tuple[Path, list[int]]], reader: Reader, size: tuple[int, int]
    ) -> None:
        self.asked, self.reader, self.size = asked, reader, size

    def __len__(self) -> int:
        return len(self.asked)

    def __getitem__(self, index: int) -> Tensor:
        path, indices = self.asked[index]
        pictures = as_pictures(self.reader(path, indices, self.size))
        return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def clips_a_second(
    asked: Sequence[tuple[Path, list[int]]],
    readers: dict[str, Reader],
    size: tuple[int, int],
    *,
    epochs: int = 3,
    progress: Callable[[str], None],
) -> dict[str, float]:
    """Measure the loaders in turn.

    Args:
        asked: Each clip's file and frame indices.
        readers: The others, by name; cliptide comes through its own loader.
        size: (height, width) of the frames.
        epochs: Measured epochs, after one that starts the workers and warms the caches.
        progress: Takes a line on what is being done.

    Returns:
        Clips a second of each, the median over the epochs.
    """
    loaders = {"cliptide": _own_loader(asked, size)}
    for name, reader in readers.items():
        loaders[name] = DataLoader(
            PeerClips(asked, reader, size),
            batch_size=BATCH_SIZE,
            num_workers=NUM_WORKERS,
            worker_init_fn=_start_worker,
            persistent_workers=True,
            multiprocessing_context=worker_context(),  # decord hangs in forked processes
        )
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for epoch in range(epochs + 1):
        for name, loader in loaders.items():
            progress(f"loader, epoch {epoch} of {epochs}: {name}")
            if isinstance(loader.sampler, EpochSampler):
                loader.sampler.set_epoch(epoch)
            began = time.perf_counter()
            for _ in loader:
                pass
            if epoch:
                speeds[name].append(len(asked) / (time.perf_counter() - began))
    return {name: statistics.median(speed) for name, speed in speeds.items()}


def _own_loader(asked: Sequence[tuple[Path, list[int]]], size: tuple[int, int]) -> DataLoader[Any]:
    records = [
        SampleRecord(path, f"{number}", "x", f"{number}") for number, (path, _) in enumerate(asked)
    ]
    rule = SamplingRule("uniform", frames=max(len(indices) for _, indices in asked))
    dataset = ClipDataset(records, class_names=["x"], rule=rule, streams=[PictureStream(size=size)])
    return make_loader(dataset, batch_size=BATCH_SIZE, workers=NUM_WORKERS)


def _start_worker(_: int) -> None:
    one_thread()
