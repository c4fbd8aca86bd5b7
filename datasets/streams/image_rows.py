"""The pixel rows of an image as steps, read from top to bottom.

A row's time is its number: images have no seconds.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError
from cliptide.datasets.fitting import Fit, place, set_in_frame
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.patches import darkened, refuse_part
from cliptide.datasets.streams.stream import Steps, Track
from cliptide.datasets.streams.windows import Rows, WindowedStream
from cliptide.datasets.video import open_video

# A training image is moved by this many pixels at most, and by one pixel where it is small.
_MOST_SHIFT = 2
_SMALL = 16


class RowStream(WindowedStream):
    """Rows (width * 3,) float32, 0 to 1, red, green and blue of each pixel in turn.

    Args:
        window: Rows in a step.
        hop: Rows from one step to the next.
        size: (height, width) that images are brought to.
        fit: How an image is fitted into that.
    """

    name = "rows"
    row_type = np.float32

    def __init__(self, *, window: int, hop: int, size: tuple[int, int], fit: Fit) -> None:
        super().__init__(window=window, hop=hop)
        self.size, self.fit = size, fit
        self.row_shape = (size[1] * 3,)

    def read(self, record: SampleRecord) -> Rows:
        """See `WindowedStream.read`; an image has no parts, so all rows are read.

        Raises:
            SampleError: It cannot be read, is of several pictures, or a part of it is asked for.
        """
        refuse_part(record)
        with open_video(record.source) as video:
            if video.num_frames > 1:
                raise SampleError(
                    f"{record.source}: has {video.num_frames} pictures, and rows are read of one "
                    "image. Give an image, or set steps.image to whole."
                )
            placement = place(self.fit, video_size=(video.height, video.width), size=self.size)
            frames = video.frames_at([0], size=placement.size, crop=placement.crop)
        image = set_in_frame(frames, placement, size=self.size)[0]
        height = self.size[0]
        rows = image.reshape(height, -1).astype(np.float32) / np.float32(255)
        return Rows(np.arange(height, dtype=np.float64), rows, float(height))

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Move the image by a pixel or two; what comes in is like the edge that it comes in at.

        Up and down it is moved by whole steps, so not where these are further apart than that.
        """
        rng = np.random.default_rng(seed)
        height, width = self.size
        across = int(rng.integers(-_most_shift(width), _most_shift(width), endpoint=True))
        most_down = _most_shift(height) // self.hop
        down = int(rng.integers(-most_down, most_down, endpoint=True))
        number = np.clip(np.arange(len(steps)) - down, 0, len(steps) - 1)
        column = np.clip(np.arange(width) - across, 0, width - 1)
        pixels = steps.reshape(*steps.shape[:2], width, 3)
        return pixels[number][:, :, column].reshape(steps.shape)

    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """Rows of a step below each other, as wide as the image would be at this height."""
        width = self._width(height)
        pixels = steps.reshape(*steps.shape[:2], self.size[1], 3)
        pictures = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        drawn = [
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST)
            for picture in pictures
        ]
        return np.stack(drawn).astype(np.uint8) if drawn else np.empty((0, height, width, 3), "u1")

    def shown(
        self, track: Track, times_s: NDArray[np.float64], *, height: int
    ) -> NDArray[np.uint8]:
        """The whole image at each moment, dark but for the rows of its step; see `Stream.shown`."""
        whole = self.content(track)[1].reshape(-1, self.size[1], 3)
        image = np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8)
        tiles = []
        for time_s in times_s:
            first = round(float(time_s)) - (self.window - 1) // 2
            rows = slice(max(0, first), first + self.window)
            tile = darkened(image)
            tile[rows] = image[rows]
            size = (self._width(height), height)
            tiles.append(cv2.resize(tile, size, interpolation=cv2.INTER_NEAREST))
        return np.stack(tiles).astype(np.uint8)

    def _width(self, height: int) -> int:
        return max(1, round(height * self.size[1] / self.size[0]))


def _most_shift(length: int) -> int:
    return _MOST_SHIFT if length >= _SMALL else 1
