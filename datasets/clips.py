"""From a record to clips: read, choose, augment, put together.

What a sample looks like depends on (seed, epoch, sample) alone, never on which process reads it
or in which order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cliptide.configs.errors import SampleError
from cliptide.configs.tasks import Task
from cliptide.datasets.kept import KeptRows
from cliptide.datasets.labels import encode_label
from cliptide.datasets.looks import Looks
from cliptide.datasets.reading import different_views, used_fps
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule, choose_indices
from cliptide.datasets.streams.samples import channels_first, joined, read_sample
from cliptide.datasets.streams.stream import Steps, Stream
from cliptide.datasets.streams.windows import WindowedStream


@dataclass(frozen=True)
class Sample:
    """What was read of one record.

    Attributes:
        index: The record's place in the data set.
        clips: (T, *step) of each view, of pictures (T, 3, H, W) uint8; empty when the sample could
            not be read.
        label: Class index, -1 where unknown; or a number for each label or target.
        frames_used: Different steps read, over all views.
        used_fps: Steps used per second of clip, for each view.
        duration_s: Length of the clip in its source, seconds.
        looks: What the first view looks like; None in training, where nobody asks, and of what is
            no picture.
        missing: Why, of each stream that the sample lacks, of several.
        error: Why it could not be read, or "".
    """

    index: int
    clips: tuple[Tensor, ...]
    label: int | tuple[float, ...]
    frames_used: int = 0
    used_fps: tuple[float, ...] = ()
    duration_s: float = 0.0
    looks: Looks | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


class ClipDataset(Dataset[Sample]):
    """Clips of records; addressed by (epoch, index).

    Args:
        records: What to read.
        class_names: Labels in the order of the logits; a label not among them gets index -1.
        rule: How steps are chosen.
        streams: What is read of a record.
        training: Whether steps are drawn at random, one view is taken, and it is augmented.
        num_views: Views of each sample for evaluation.
        seed: Seed of the draws.
        kept: Of each stream where what was read is kept; empty reads each time.
        task: What the records' labels mean.

    Attributes:
        encoded: Whether samples' clips are what an encoder made of them.
    """

    encoded = False

    def __init__(
        self,
        records: Sequence[SampleRecord],
        *,
        class_names: Sequence[str],
        rule: SamplingRule,
        streams: Sequence[Stream],
        training: bool = False,
        num_views: int = 1,
        seed: int = 0,
        kept: Sequence[KeptRows | None] = (),
        task: Task = "single",
    ) -> None:
        self.records = tuple(records)
        self.class_index = {name: index for index, name in enumerate(class_names)}
        self.rule, self.streams, self.training = rule, tuple(streams), training
        self.num_views, self.seed, self.kept, self.task = num_views, seed, tuple(kept), task

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Read one record in one epoch; one that cannot be read gives a sample with its error."""
        epoch, index = key
        record = self.records[index]
        label = encode_label(record.label, task=self.task, class_index=self.class_index)
        empty = Sample(index, (), label)
        try:
            return self._read(record, empty, np.random.default_rng((self.seed, epoch, index)))
        except SampleError as error:
            return replace(empty, error=str(error))

    def _read(self, record: SampleRecord, empty: Sample, rng: np.random.Generator) -> Sample:
        windowed = any(isinstance(stream, WindowedStream) for stream in self.streams)
        read = read_sample(
            record,
            self.streams,
            choose=lambda pts_s: self._choose(pts_s, rng),
            kept=self.kept,
            index=empty.index,
            shift=float(rng.random()) if windowed and self.training else 0.0,
            with_looks=not self.training,
        )
        views = read.views
        if self.training:
            views = [self._augmented(view, int(rng.integers(2**31))) for view in views]
        return replace(
            empty,
            clips=tuple(_tensor(joined(view, self.streams)) for view in views),
            frames_used=len({i for indices in read.chosen for i in indices}),
            used_fps=tuple(used_fps(read.pts_s[i], read.duration_s) for i in read.chosen),
            duration_s=read.duration_s,
            looks=read.looks,
            missing=read.missing,
        )

    def _choose(self, pts_s: NDArray[np.float64], rng: np.random.Generator) -> list[list[int]]:
        """Numbers of the steps of each view, at random in training."""
        if self.training:
            return [choose_indices(pts_s, self.rule, rng=rng)]
        return different_views(pts_s, self.rule, num_views=self.num_views)

    def _augmented(self, view: Sequence[Steps | None], seed: int) -> list[Steps | None]:
        return [
            stream.augmented(steps, seed) if steps is not None and stream.augments else steps
            for steps, stream in zip(view, self.streams, strict=True)
        ]


def _tensor(steps: Steps) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(channels_first(steps)))
