"""A folder of images, or one image, as a video.

Images carry no times: image i is shown at i / image_rate seconds. They come in natural order
(img_2 before img_10), all of one size. Where their names end in numbers, these rise by a constant
step: a picture that is missing would make everything behind it happen too early.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from cliptide.configs.errors import VideoError
from cliptide.datasets.image_names import is_image_name, natural_key, numbered
from cliptide.datasets.video.image_file import read_image
from cliptide.datasets.video.video import Video


class ImageFolder(Video):
    """Images behind the interface of a video; made by `open_video`.

    Only images that are asked for are opened, each by itself: a broken one costs no other.

    Args:
        path: A folder that holds images, or an image file.
        image_rate: Images a second.

    Raises:
        VideoError: There is no image, one is missing by its number, or a number stands twice.
    """

    def __init__(self, path: Path, *, image_rate: float) -> None:
        self._image_rate = image_rate
        self._first: tuple[Path, int, int] | None = None  # file, height, width
        self._rotation = 0
        super().__init__(path, threads=1, device="cpu")

    def _measure(self, *, by_index: bool) -> None:
        """List the images and set the timeline."""
        del by_index
        self._files = image_files(self.path) if self.path.is_dir() else [self.path]
        self._table = None
        self.num_frames = len(self._files)
        self.pts_s = np.arange(self.num_frames) / self._image_rate
        self.pts_s.flags.writeable = False
        self.fps = self._image_rate
        self.duration_s = self.num_frames / self._image_rate
        self.has_audio = False

    @property
    def rotation(self) -> int:
        """Degrees clockwise that the first image read is turned to stand upright."""
        self._seen()
        return self._rotation

    def pictures(self) -> Iterator[VideoFrame]:
        """Decode every image in order, upright.

        Raises:
            VideoError: One cannot be read, or is of another size than the first.
        """
        yield from (frame for _, frame in self._decoded_in_order(set(range(self.num_frames))))

    def _decoded_in_order(self, wanted: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        for index in sorted(wanted):
            yield index, self._image(self._files[index])

    def _image(self, file: Path) -> VideoFrame:
        # Upright each by itself: a camera may have been turned between two of them.
        frame, orientation = read_image(file)
        if self._first is None:
            self._first = (file, frame.height, frame.width)
            self._rotation = orientation.rotation
        first, height, width = self._first
        if (frame.height, frame.width) != (height, width):
            raise VideoError(
                f"{file}: is {frame.height}x{frame.width} pixels, but {first.name} is "
                f"{height}x{width} (height first). Bring the images of a folder to one size, or "
                "keep those of one size in each folder."
            )
        return frame


def image_files(folder: Path) -> list[Path]:
    """List the images that lie in a folder itself, in natural order.

    Raises:
        VideoError: There is none, one is missing by its number, or a number stands twice.
    """
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                if is_image_name(entry.name) and (entry.is_symlink() or not entry.is_dir())
            ]
    except OSError as error:
        raise VideoError(
            f"{folder}: cannot be read ({error.strerror}). Mend the folder's permissions."
        ) from error
    if not names:
        raise VideoError(
            f"{folder}: is a folder without images (png, jpg, bmp, webp, tif, ppm). Name a file in "
            "it, or a folder of images."
        )
    names.sort(key=natural_key)
    _check_numbers(folder, names)
    return [folder / name for name in names]


def _check_numbers(folder: Path, names: Sequence[str]) -> None:
    series: dict[str, list[tuple[int, str]]] = {}
    taken: dict[int, str] = {}
    for name in names:
        parts = numbered(name)
        if parts is None:
            continue
        number = int(parts[1])
        if number in taken:
            raise VideoError(
                f"{folder}: {taken[number]} and {name} carry the same number, so it is not clear "
                "which comes when. Keep one of them, or one series of images in each folder."
            )
        taken[number] = name
        series.setdefault(parts[0].casefold(), []).append((number, name))
    for images in series.values():
        images.sort()
        step = min((b - a for (a, _), (b, _) in pairwise(images)), default=1)
        for (number, name), (following, _) in pairwise(images):
            if following != number + step:
                raise VideoError(
                    f"{folder}: {_name_of(number + step, like=name)} is missing behind {name}. "
                    "Put it there, or number the images that follow anew."
                )


def _name_of(number: int, *, like: str) -> str:
    prefix, digits = numbered(like) or ("", "")
    return f"{prefix}{number:0{len(digits)}d}{Path(like).suffix}"
