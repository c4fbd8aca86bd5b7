"""Pictures as a stream: the frames of a video, of a folder of images, or patches of one image."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError
from cliptide.datasets.fitting import Fit, place
from cliptide.datasets.looks import Looks, looks_of
from cliptide.datasets.reading import read_fitted, times_in
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.patches import (
    check_patch,
    cut_patches,
    darkened,
    join_patches,
    refuse_part,
)
from cliptide.datasets.streams.stream import Steps, Stream, Track
from cliptide.datasets.transforms import ClipTransform, clip_transform, decode_size
from cliptide.datasets.video import Video, open_video

_RAMP = 32  # pixels


class VideoTrack(Track):
    """A part of an open video.

    Args:
        video: Open.
        record: Says which part.
        size: (height, width) that frames are read at.
        fit: How a picture is fitted into it.
    """

    def __init__(
        self, video: Video, record: SampleRecord, *, size: tuple[int, int], fit: Fit
    ) -> None:
        self.video, self.record, self._size, self._fit = video, record, size, fit
        self.first, self.pts_s, self.duration_s = times_in(video, record)

    def steps(self, indices: Sequence[int]) -> Steps:
        """Frames (n, height, width, 3) uint8 RGB."""
        wanted = [self.first + index for index in indices]
        return read_fitted(self.video, wanted, size=self._size, fit=self._fit)


class KeptTrack(Track):
    """Steps that lie in memory.

    Args:
        pts_s: (N,) when each is, seconds.
        steps: (N, *step).
        duration_s: Length of the part, seconds.
    """

    def __init__(self, pts_s: NDArray[np.float64], steps: Steps, duration_s: float) -> None:
        self.pts_s, self._steps, self.duration_s = pts_s, steps, duration_s

    def steps(self, indices: Sequence[int]) -> Steps:
        """See `Track.steps`."""
        return self._steps[np.asarray(indices, dtype=np.int64)]


class PictureStream(Stream):
    """Frames, augmented for training.

    Args:
        size: (height, width) that the network is given.
        fit: How a video's picture is fitted into it.
        augment: Preset of `transforms.clip_transform`; None reads for evaluation.
        flip: Whether training clips may be mirrored.
        image_rate: Frames a second of folders of images.
    """

    name = "rgb"
    row_type = np.uint8

    def __init__(
        self,
        *,
        size: tuple[int, int],
        fit: Fit = "resize",
        augment: str | None = None,
        flip: bool = False,
        image_rate: float = 25.0,
    ) -> None:
        self.size, self.fit, self.augment, self.flip = size, fit, augment, flip
        self.image_rate = image_rate
        self.read_size = decode_size(size, augment=augment) if augment else size
        self.row_shape = (*self.read_size, 3)
        self._transform: ClipTransform | None = None

    @property
    def step_size(self) -> int:
        """Of what `augmented` gives, which may be smaller than what is read."""
        return 3 * math.prod(self.size)

    def __getstate__(self) -> dict[str, Any]:
        # The transform is a function of this process: a worker builds its own.
        return {**self.__dict__, "_transform": None}

    @contextmanager
    def open(self, record: SampleRecord) -> Iterator[Track]:
        """See `Stream.open`."""
        with open_video(record.source, image_rate=self.image_rate) as video:
            yield VideoTrack(video, record, size=self.read_size, fit=self.fit)

    def content(self, track: Track) -> tuple[NDArray[np.float64], Steps]:
        """Every frame; see `Stream.content`."""
        return track.pts_s, track.steps(range(len(track.pts_s)))

    def from_content(self, times_s: NDArray[np.float64], rows: Steps, duration_s: float) -> Track:
        """See `Stream.from_content`."""
        return KeptTrack(times_s, rows, duration_s)

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """The same draw for all frames; see `Stream.augmented`."""
        if self._transform is None:
            # Built where it is used: albumentations takes seconds to import.
            self._transform = clip_transform(self.augment or "none", size=self.size, flip=self.flip)
        return self._transform(steps, seed)

    def mirrors(self, seed: int) -> bool:
        """Whether `augmented` mirrors with this seed: tried on a ramp that rises to the right."""
        ramp = np.linspace(64, 192, _RAMP).astype(np.uint8)
        picture = np.broadcast_to(ramp[None, None, :, None], (1, _RAMP, _RAMP, 3))
        columns = self.augmented(np.ascontiguousarray(picture), seed)[0].mean(axis=(0, 2))
        half = len(columns) // 2
        return bool(columns[:half].mean() > columns[-half:].mean())

    def looks(self, track: Track, steps: Steps) -> Looks | None:
        """What frames of an open video look like; see `Stream.looks`."""
        if not isinstance(track, VideoTrack):
            return None
        video = track.video
        size = (video.height, video.width)
        placement = place(self.fit, video_size=size, size=self.read_size)
        rows = slice(placement.top, placement.top + placement.size[0])
        columns = slice(placement.left, placement.left + placement.size[1])
        return looks_of(steps[:, rows, columns], width=video.width, height=video.height)

    def shown(
        self, track: Track, times_s: NDArray[np.float64], *, height: int
    ) -> NDArray[np.uint8]:
        """Frames of an open video, sharper than the network has them; see `Stream.shown`."""
        if not isinstance(track, VideoTrack):
            return super().shown(track, times_s, height=height)
        video = track.video
        # `resize` alone shows the whole picture: it is shown in its own shape.
        shape = (video.height, video.width) if self.fit == "resize" else self.size
        width = min(2 * height, max(2, round(height * shape[1] / shape[0])))
        larger = VideoTrack(video, track.record, size=(height, width), fit=self.fit)
        return larger.around(times_s)

    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """See `Stream.drawn`."""
        width = max(2, round(height * steps.shape[2] / steps.shape[1]))
        tiles = [cv2.resize(step, (width, height), interpolation=cv2.INTER_AREA) for step in steps]
        return np.stack(tiles).astype(np.uint8)


class PatchStream(PictureStream):
    """The patches of an image, in reading order, each a small picture.

    Args:
        patch: (height, width) of a patch.
        options: See `PictureStream`; `size` is that of the whole image.
    """

    def __init__(self, *, patch: tuple[int, int], **options: Any) -> None:
        super().__init__(**options)
        check_patch(patch, self.size)
        self.patch = patch
        self.read_size = self.size
        self.row_shape = (*patch, 3)

    @property
    def step_size(self) -> int:
        """See `Stream.step_size`."""
        return 3 * math.prod(self.patch)

    @contextmanager
    def open(self, record: SampleRecord) -> Iterator[Track]:
        """Patches as steps, a second apart; see `Stream.open`.

        Raises:
            SampleError: It cannot be read, is of several pictures, or a part of it is asked for.
        """
        refuse_part(record)
        with open_video(record.source, image_rate=self.image_rate) as video:
            if video.num_frames > 1:
                raise SampleError(
                    f"{record.source}: has {video.num_frames} pictures, and patches are cut of one "
                    "image. Give an image, or set steps.image to whole."
                )
            patches = cut_patches(
                read_fitted(video, [0], size=self.size, fit=self.fit)[0], size=self.patch
            )
        yield KeptTrack(np.arange(len(patches), dtype=np.float64), patches, float(len(patches)))

    def shown(
        self, track: Track, times_s: NDArray[np.float64], *, height: int
    ) -> NDArray[np.uint8]:
        """The whole image at each moment, dark but for the patch; see `Stream.shown`."""
        columns = self.size[1] // self.patch[1]
        image = join_patches(track.steps(range(len(track.pts_s))), columns=columns)
        tiles = []
        for time_s in times_s:
            row, column = divmod(round(float(time_s)), columns)
            down, across = row * self.patch[0], column * self.patch[1]
            part = (slice(down, down + self.patch[0]), slice(across, across + self.patch[1]))
            tile = darkened(image)
            tile[part] = image[part]
            tiles.append(tile)
        return self.drawn(np.stack(tiles), height=height)

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Patches stay as they are: a crop of each would tear the picture."""
        del seed
        return steps
