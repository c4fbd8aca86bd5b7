"""From samples to padded batches, in worker processes.

Workers are never forked from this process: a fork copies the locks of OpenCV's and torch's
threads but not the threads, and waits for them for ever. Each worker has one thread for torch,
OpenCV and FFmpeg: threads multiplied by workers are slower than either.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from cliptide.datasets.bucketing import bucketed
from cliptide.datasets.clips import ClipDataset, Sample
from cliptide.datasets.processes import end_with_parent, usable_cores, worker_context

MAX_WORKERS = 8
# Starting processes costs more than reading a handful of clips.
FEW_SAMPLES = 32
# Of 0 to 19: the priority of readers beside a network that computes on the same cores.
POLITENESS = 19


@dataclass(frozen=True)
class Batch:
    """Clips of several samples, padded to the longest.

    Attributes:
        clips: (B, T, *step), zero at the padding: pictures (B, T, 3, H, W) uint8 RGB; of encoded
            clips their features, (B, T, D) or (B, T, C, h, w) float.
        lengths: (B,) int64, real frames of each clip.
        labels: (B,) int64 class indices, -1 where unknown; of several labels (B, K) float32, 0 or
            1; of regression (B, K) float32 targets, NaN where unknown.
        indices: (B,) int64, the sample each clip belongs to; views of one video share it.
        samples: The samples without their clips: durations, rates, and errors of those that
            could not be read and so have no clip here.
        encoded: Whether an encoder has been through the clips.
    """

    clips: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor
    samples: tuple[Sample, ...]
    encoded: bool = False

    def to(self, device: torch.device, non_blocking: bool = True) -> "Batch":
        """The batch with clips and labels on a device; packing wants lengths on the CPU."""
        return replace(
            self,
            clips=self.clips.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> "Batch":
        """The batch in pinned memory (called by the loader)."""
        return replace(self, clips=self.clips.pin_memory(), labels=self.labels.pin_memory())


def collate(samples: Sequence[Sample], *, encoded: bool = False) -> Batch:
    """Pad the clips of samples into one batch; samples with an error have none."""
    clips = [clip for sample in samples for clip in sample.clips]
    owners = [sample for sample in samples for _ in sample.clips]
    padded = torch.zeros(0, 1, 3, 1, 1, dtype=torch.uint8)
    if clips:
        longest = max(len(clip) for clip in clips)
        padded = clips[0].new_zeros(len(clips), longest, *clips[0].shape[1:])
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = clip
    return Batch(
        clips=padded,
        lengths=torch.tensor([len(clip) for clip in clips], dtype=torch.int64),
        labels=_stacked_labels([sample.label for sample in owners]),
        indices=torch.tensor([sample.index for sample in owners], dtype=torch.int64),
        samples=tuple(replace(sample, clips=()) for sample in samples),
        encoded=encoded,
    )


def _stacked_labels(labels: Sequence[int | tuple[float, ...]]) -> Tensor:
    several = bool(labels) and isinstance(labels[0], tuple)
    return torch.tensor(labels, dtype=torch.float32 if several else torch.int64)


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index): in an order drawn from (seed, epoch), or in order.

    The epoch travels with the index because workers that live through several epochs would not
    otherwise know it.

    Args:
        num_samples: How many samples there are.
        shuffle: Whether the order is drawn.
        seed: Seed of the draw.
    """

    def __init__(self, num_samples: int, *, shuffle: bool, seed: int) -> None:
        self.num_samples, self.shuffle, self.seed = num_samples, shuffle, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next pass is for."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = list(range(self.num_samples))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.num_samples, generator=generator).tolist()
        for index in order:
            yield self.epoch, index

    def __len__(self) -> int:
        return self.num_samples


class BucketSampler(Sampler[list[tuple[int, int]]]):
    """Yields batches of (epoch, index) whose clips are of like length; see `bucketed`.

    Args:
        sampler: Draws the order before bucketing; its epoch decides the batches.
        lengths: Frames of each sample's clip.
        batch_size: Samples in a batch.
    """

    def __init__(self, sampler: EpochSampler, *, lengths: Sequence[int], batch_size: int) -> None:
        self.sampler, self.lengths, self.batch_size = sampler, tuple(lengths), batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys = list(self.sampler)
        yield from bucketed(
            keys,
            [self.lengths[index] for _, index in keys],
            batch_size=self.batch_size,
            rng=np.random.default_rng((self.sampler.seed, self.sampler.epoch)),
        )

    def __len__(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)


def start_worker(worker: int) -> None:
    """What a loader's process does before it reads: one thread of each kind, an end with ours."""
    import cv2

    # torch's own watch asks for the parent's id, which is the server's that started the worker.
    end_with_parent()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def start_polite_worker(worker: int) -> None:
    """The same for a process that reads beside a network on the same cores, and gives way to it.

    A layer of the network is done when the slowest of its threads is: a thread that had to share
    its core would hold up all others. So readers take the time that the network leaves.
    """
    start_worker(worker)
    if hasattr(os, "nice"):  # Windows has none
        os.nice(POLITENESS)


def worker_count(workers: int | str, *, num_samples: int) -> int:
    """Resolve `data.workers`: auto leaves one processor core to the training itself."""
    if workers != "auto":
        return int(workers)
    return min(MAX_WORKERS, max(usable_cores() - 1, 1)) if num_samples > FEW_SAMPLES else 0


def scoring_worker_count(workers: int | str, *, num_samples: int) -> int:
    """Resolve `data.workers` for polite workers: auto takes every core, for they give way."""
    if workers != "auto":
        return int(workers)
    return min(MAX_WORKERS, usable_cores()) if num_samples > FEW_SAMPLES else 0


def make_loader(
    dataset: ClipDataset,
    *,
    batch_size: int,
    workers: int = 0,
    polite: bool = False,
    shuffle: bool = False,
    pin_memory: bool = False,
    lengths: Sequence[int] | None = None,
) -> DataLoader[Sample]:
    """Build the loader of a data set; it yields `Batch`.

    Args:
        dataset: What to read.
        batch_size: Samples in a batch.
        workers: Processes that read; 0 reads in this one.
        polite: Whether they give way to a network on the same cores.
        shuffle: Whether each epoch has an order of its own, drawn from (seed, epoch).
        pin_memory: Whether batches lie in pinned memory, for CUDA.
        lengths: Frames of each clip, for batches of clips of like length; None deals the clips
            as they come.
    """
    sampler = EpochSampler(len(dataset), shuffle=shuffle, seed=dataset.seed)
    dealing: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler}
    if lengths is not None:
        buckets = BucketSampler(sampler, lengths=lengths, batch_size=batch_size)
        dealing = {"batch_sampler": buckets}
    return DataLoader(
        dataset,
        **dealing,
        # Otherwise the loader draws from torch's own generator, how often depends on the workers,
        # and so what the network draws for its dropout would too.
        generator=torch.Generator().manual_seed(dataset.seed),
        num_workers=workers,
        collate_fn=partial(collate, encoded=dataset.encoded),
        pin_memory=pin_memory,
        worker_init_fn=start_polite_worker if polite else start_worker,
        persistent_workers=workers > 0,
        multiprocessing_context=worker_context(augmenting=dataset.training) if workers else None,
    )
