"""Clips that an encoder has been through already: features are chosen where frames would be.

    frames of a clip   0 1 2 3 4 5 6 7 8 ...    read once, in blocks, plain and mirrored
    features           . . . . . . . . .        kept
    a training clip        2   4     7          chosen anew in each epoch, as frames are

What is drawn depends on (seed, epoch, sample) as for `ClipDataset`, and is the same.
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
from cliptide.datasets.clips import ClipDataset, Sample
from cliptide.datasets.fitting import Fit
from cliptide.datasets.lengths import ClipTimes
from cliptide.datasets.reading import read_fitted, used_fps
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.pictures import PictureStream
from cliptide.datasets.video import open_video

# Frames that are read, and encoded, at once: enough for a GPU, 19 MB at 224x224.
BLOCK_FRAMES = 128


@dataclass(frozen=True)
class FrameBlock:
    """Some frames of a clip, one after another.

    Attributes:
        index: The clip's place among the records.
        frames: (N, 3, H, W) uint8 RGB; empty where they cannot be read.
        error: Why, or "".
    """

    index: int
    frames: Tensor
    error: str = ""


class FrameBlocks(Dataset[FrameBlock]):
    """Every frame of every clip, in order, in blocks of at most `BLOCK_FRAMES`.

    Args:
        records: What to read.
        times: Where each clip lies in its video; those with an error are passed over.
        size: (height, width) of the frames.
        fit: How a video's picture is fitted into a frame.
    """

    def __init__(
        self,
        records: Sequence[SampleRecord],
        times: Sequence[ClipTimes],
        *,
        size: tuple[int, int],
        fit: Fit = "resize",
    ) -> None:
        self.records, self.size, self.fit = tuple(records), size, fit
        self.blocks = [
            (index, clip.first + start, clip.first + min(start + BLOCK_FRAMES, len(clip.pts_s)))
            for index, clip in enumerate(times)
            for start in range(0, len(clip.pts_s), BLOCK_FRAMES)
        ]

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def num_frames(self) -> int:
        """Frames of all blocks."""
        return sum(end - start for _, start, end in self.blocks)

    def __getitem__(self, number: int) -> FrameBlock:
        index, start, end = self.blocks[number]
        try:
            with open_video(self.records[index].source) as video:
                frames = read_fitted(video, range(start, end), size=self.size, fit=self.fit)
        except VideoError as error:
            return FrameBlock(index, torch.zeros(0, 3, *self.size, dtype=torch.uint8), str(error))
        return FrameBlock(
            index, torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
        )


@dataclass(frozen=True)
class EncodedClip:
    """A clip's features.

    Attributes:
        pts_s: (N,) when each frame is shown, seconds.
        duration_s: Length of the clip, seconds.
        plain: (N, D) or (N, C, h, w) float, of each frame.
        mirrored: Likewise, of each frame mirrored; None where no clip is mirrored.
        error: Why the clip could not be read, or "".
    """

    pts_s: NDArray[np.float64]
    duration_s: float
    plain: Tensor
    mirrored: Tensor | None = None
    error: str = ""


class EncodedDataset(ClipDataset):
    """Features of clips in place of their frames; addressed by (epoch, index).

    Its samples' clips are (T, D) or (T, C, h, w) float.

    Args:
        records: As for `ClipDataset`, and so are the other options; of the augmentations only
            mirroring can be had.
        clips: What the encoder made of each record.
        options: See `ClipDataset`; its one stream is of pictures.
    """

    encoded = True

    def __init__(
        self, records: Sequence[SampleRecord], clips: Sequence[EncodedClip], **options: Any
    ) -> None:
        super().__init__(records, **options)
        (pictures,) = self.streams
        assert isinstance(pictures, PictureStream)
        self.pictures = pictures
        if pictures.augment not in (None, "none"):
            raise ValueError(f"augment is {pictures.augment}. Encoded clips can only be mirrored.")
        one_sided = any(clip.mirrored is None and not clip.error for clip in clips)
        if self.training and pictures.flip and one_sided:
            raise ValueError("flip is True, but a clip was encoded without its mirror images.")
        self.clips = tuple(clips)

    def _read(self, record: SampleRecord, empty: Sample, rng: np.random.Generator) -> Sample:
        clip = self.clips[empty.index]
        if clip.error:
            return replace(empty, error=clip.error)
        chosen = self._choose(clip.pts_s, rng)
        is_mirrored = self.training and self.pictures.mirrors(int(rng.integers(2**31)))
        features = clip.mirrored if is_mirrored and clip.mirrored is not None else clip.plain
        return replace(
            empty,
            clips=tuple(features[indices] for indices in chosen),
            frames_used=len({i for indices in chosen for i in indices}),
            used_fps=tuple(used_fps(clip.pts_s[indices], clip.duration_s) for indices in chosen),
            duration_s=clip.duration_s,
        )
