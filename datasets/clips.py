"""From a record to clips of frames: read, choose, augment.

What a sample looks like depends on (seed, epoch, sample) alone, never on which process reads it
or in which order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cliptide.configs.errors import VideoError
from cliptide.configs.tasks import Task
from cliptide.datasets.fitting import Fit, place
from cliptide.datasets.kept import KeptClips
from cliptide.datasets.labels import encode_label
from cliptide.datasets.looks import Looks, looks_of
from cliptide.datasets.reading import different_views, read_fitted, times_in, used_fps
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule, choose_indices
from cliptide.datasets.transforms import ClipTransform, clip_transform, decode_size
from cliptide.datasets.video import open_video
from cliptide.datasets.video.video import Video


@dataclass(frozen=True)
class Sample:
    """What was read of one record.

    Attributes:
        index: The record's place in the data set.
        clips: (T, 3, H, W) uint8 of each view; empty when the video could not be read.
        label: Class index, -1 where unknown; or a number for each label or target.
        frames_used: Different frames read, over all views.
        used_fps: Frames used per second of clip, for each view.
        duration_s: Length of the clip in the video, seconds.
        looks: What the first view looks like; None in training, where nobody asks.
        error: Why it could not be read, or "".
    """

    index: int
    clips: tuple[Tensor, ...]
    label: int | tuple[float, ...]
    frames_used: int = 0
    used_fps: tuple[float, ...] = ()
    duration_s: float = 0.0
    looks: Looks | None = None
    error: str = ""


class ClipDataset(Dataset[Sample]):
    """Clips of records; addressed by (epoch, index).

    Args:
        records: What to read.
        class_names: Labels in the order of the logits; a label not among them gets index -1.
        rule: How frames are chosen.
        size: (height, width) of the frames.
        fit: How a video's picture is fitted into a frame; see `fitting.place`.
        augment: Preset of `transforms.clip_transform`; anything but None means training: frames
            are drawn at random and one view is taken.
        flip: Whether training clips may be mirrored.
        num_views: Views of each video for evaluation.
        seed: Seed of the draws.
        kept: Where decoded clips are kept, or None to decode each time.
        task: What the records' labels mean.
    """

    def __init__(
        self,
        records: Sequence[SampleRecord],
        *,
        class_names: Sequence[str],
        rule: SamplingRule,
        size: tuple[int, int],
        fit: Fit = "resize",
        augment: str | None = None,
        flip: bool = False,
        num_views: int = 1,
        seed: int = 0,
        kept: KeptClips | None = None,
        task: Task = "single",
    ) -> None:
        self.records = tuple(records)
        self.class_index = {name: index for index, name in enumerate(class_names)}
        self.rule, self.size, self.fit, self.num_views = rule, size, fit, num_views
        self.augment, self.flip = augment, flip
        self.seed, self.kept, self.task = seed, kept, task
        self.read_size = decode_size(size, augment=augment) if augment else size
        self._transform: ClipTransform | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, Any]:
        # The transform is a function of this process: a worker builds its own.
        return {**self.__dict__, "_transform": None}

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Read one record in one epoch; an unreadable video gives a sample with its error."""
        epoch, index = key
        record = self.records[index]
        label = encode_label(record.label, task=self.task, class_index=self.class_index)
        empty = Sample(index, (), label)
        try:
            return self._read(record, empty, np.random.default_rng((self.seed, epoch, index)))
        except VideoError as error:
            return replace(empty, error=str(error))

    def _read(self, record: SampleRecord, empty: Sample, rng: np.random.Generator) -> Sample:
        training = self.augment is not None
        kept = self.kept.get(empty.index) if self.kept else None
        if kept is not None:
            pts_s, frames = kept
            chosen = self._choose(pts_s, rng)
            clips = [frames[indices] for indices in chosen]
            frame_s = (pts_s[-1] - pts_s[0]) / max(1, len(pts_s) - 1)
            duration_s = float(pts_s[-1] - pts_s[0] + frame_s)
            looks = None
        else:
            pts_s, duration_s, chosen, clips, looks = self._decode(record, empty.index, rng)
        if training:
            clips = [self._augmented(clip, int(rng.integers(2**31))) for clip in clips]
        return replace(
            empty,
            clips=tuple(
                torch.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2))) for clip in clips
            ),
            frames_used=len({i for indices in chosen for i in indices}),
            used_fps=tuple(used_fps(pts_s[indices], duration_s) for indices in chosen),
            duration_s=duration_s,
            looks=looks,
        )

    def _choose(self, pts_s: NDArray[np.float64], rng: np.random.Generator) -> list[list[int]]:
        """Frame indices of each view, at random in training."""
        if self.augment is not None:
            return [choose_indices(pts_s, self.rule, rng=rng)]
        return different_views(pts_s, self.rule, num_views=self.num_views)

    def _decode(
        self, record: SampleRecord, index: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], float, list[list[int]], list[NDArray[np.uint8]], Looks | None]:
        """Time stamps and length of the clip, indices of each view, their frames and looks."""
        with open_video(record.source) as video:
            first, pts_s, duration_s = times_in(video, record)
            chosen = self._choose(pts_s, rng)
            if self.kept is not None and self.kept.has_room(len(pts_s), self.read_size):
                frames = self._fitted(video, range(first, first + len(pts_s)))
                self.kept.put(index, pts_s, frames)
                return pts_s, duration_s, chosen, [frames[indices] for indices in chosen], None
            wanted = sorted({i for indices in chosen for i in indices})
            place = {i: row for row, i in enumerate(wanted)}
            frames = self._fitted(video, [first + i for i in wanted])
            clips = [frames[[place[i] for i in indices]] for indices in chosen]
            looks = None
            if self.augment is None:
                looks = looks_of(
                    self._picture(clips[0], video), width=video.width, height=video.height
                )
            return pts_s, duration_s, chosen, clips, looks

    def _picture(self, frames: NDArray[np.uint8], video: Video) -> NDArray[np.uint8]:
        """The part of frames that is the video's, without bars."""
        size = (video.height, video.width)
        placement = place(self.fit, video_size=size, size=self.read_size)
        rows = slice(placement.top, placement.top + placement.size[0])
        columns = slice(placement.left, placement.left + placement.size[1])
        return frames[:, rows, columns]

    def _fitted(self, video: Video, indices: Sequence[int]) -> NDArray[np.uint8]:
        return read_fitted(video, indices, size=self.read_size, fit=self.fit)

    def _augmented(self, clip: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        if self._transform is None:
            # Built where it is used: albumentations takes seconds to import.
            self._transform = clip_transform(self.augment or "none", size=self.size, flip=self.flip)
        return self._transform(clip, seed)
