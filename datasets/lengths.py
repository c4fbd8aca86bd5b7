"""When each clip's frames are shown, found by opening its video: nothing is decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from cliptide.configs.errors import SampleError, VideoError
from cliptide.datasets.loaders import start_worker
from cliptide.datasets.processes import worker_context
from cliptide.datasets.reading import times_in
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule, choose_indices
from cliptide.datasets.streams.stream import Stream
from cliptide.datasets.video import open_video


@dataclass(frozen=True)
class ClipTimes:
    """Where a clip lies in its video.

    Attributes:
        first: Its first frame, as an index into the video.
        pts_s: (N,) when each of its frames is shown, seconds; empty where it cannot be read.
        duration_s: Its length in seconds.
        error: Why it cannot be read, or "".
    """

    first: int
    pts_s: NDArray[np.float64]
    duration_s: float
    error: str = ""


class _Times(Dataset[ClipTimes]):
    def __init__(self, records: Sequence[SampleRecord], image_rate: float) -> None:
        self.records, self.image_rate = tuple(records), image_rate

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> ClipTimes:
        record = self.records[index]
        try:
            with open_video(record.source, image_rate=self.image_rate) as video:
                return ClipTimes(*times_in(video, record))
        except VideoError as error:
            return ClipTimes(0, np.zeros(0), 0.0, str(error))


def clip_times(
    records: Sequence[SampleRecord], *, workers: int = 0, image_rate: float = 25.0
) -> Iterator[ClipTimes]:
    """Give the times of each record's clip, in order.

    Args:
        records: Whose videos to open.
        image_rate: Frames a second of folders of images.
        workers: Processes that open videos; 0 opens them in this one.
    """
    return iter(_loader(_Times(records, image_rate), workers=workers))


def _loader(dataset: Dataset[Any], *, workers: int) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # or it would draw from torch's own, which training uses
        worker_init_fn=start_worker,
        multiprocessing_context=worker_context() if workers else None,
    )


def _as_it_is(item: Any) -> Any:
    return item


class _Lengths(Dataset[int]):
    def __init__(
        self, records: Sequence[SampleRecord], streams: Sequence[Stream], rule: SamplingRule
    ) -> None:
        self.records, self.streams, self.rule = tuple(records), tuple(streams), rule

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> int:
        for stream in self.streams:
            try:
                with stream.open(self.records[index]) as track:
                    return len(choose_indices(track.pts_s, self.rule))
            except SampleError:
                continue
        return self.rule.frames + 1


def clip_lengths(
    records: Sequence[SampleRecord],
    streams: Sequence[Stream],
    *,
    rule: SamplingRule,
    workers: int = 0,
) -> Iterator[int]:
    """Give the steps of each record's clip, in order.

    Where steps are drawn by `rate`, a clip drawn in training may differ by one.

    Args:
        records: What to open.
        streams: What is read of it.
        rule: How steps are chosen.
        workers: Processes that open samples; 0 opens them in this one.

    Yields:
        1 to `rule.frames`; one more for a clip that cannot be read, which sorts it to the end:
        reading it for training says why, and it is quarantined then.
    """
    return iter(_loader(_Lengths(records, streams, rule), workers=workers))
