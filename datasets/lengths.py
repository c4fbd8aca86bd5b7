"""How many frames each clip will have, found by opening its video: nothing is decoded."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from cliptide.configs.errors import VideoError
from cliptide.datasets.loaders import start_worker, worker_context
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule, choose_indices, segment_bounds
from cliptide.datasets.video import open_video


class _Lengths(Dataset[int]):
    def __init__(self, records: Sequence[SampleRecord], rule: SamplingRule) -> None:
        self.records, self.rule = tuple(records), rule

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> int:
        record = self.records[index]
        try:
            with open_video(record.source) as video:
                first, last = segment_bounds(
                    video.pts_s, start_s=record.start_s, end_s=record.end_s, name=record.name
                )
                return len(choose_indices(video.pts_s[first:last], self.rule))
        except VideoError:
            # Not lost: reading it for training says so, and it is quarantined then.
            return self.rule.frames + 1


def clip_lengths(
    records: Sequence[SampleRecord], *, rule: SamplingRule, workers: int = 0
) -> Iterator[int]:
    """Give the frames of each record's clip, in order.

    Where frames are drawn by `rate`, a clip drawn in training may differ by one.

    Args:
        records: Whose videos to open.
        rule: How frames are chosen.
        workers: Processes that open videos; 0 opens them in this one.

    Yields:
        1 to `rule.frames`; one more for a clip that cannot be read, which sorts it to the end.
    """
    loader: DataLoader[Any] = DataLoader(
        _Lengths(records, rule),
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator(),  # or it would draw from torch's own, which training uses
        worker_init_fn=start_worker,
        multiprocessing_context=worker_context() if workers else None,
    )
    return map(int, loader)
