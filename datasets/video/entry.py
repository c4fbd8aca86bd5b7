"""From a path to an open video: a video file, a folder of images, or one image."""

import math
import os
from pathlib import Path
from typing import get_args

from cliptide.datasets.image_names import is_image_name
from cliptide.datasets.video.image_folder import ImageFolder
from cliptide.datasets.video.opening import Device, check_is_file
from cliptide.datasets.video.video import Video


def open_video(
    path: str | os.PathLike[str],
    *,
    threads: int = 1,
    device: Device = "cpu",
    image_rate: float = 25.0,
) -> Video:
    """Open a video and measure its timeline.

    The first video stream of a file is taken that is no attached picture.

    Args:
        path: A regular file, or a folder that holds images; see `image_folder`.
        threads: FFmpeg's decoding threads; 0 lets FFmpeg choose. Keep 1 in loader workers.
        device: What decodes, "cpu" or "cuda". Where there is no such hardware, or it does not
            know the codec, the CPU does; the former is said in one warning a process. Frames
            are the CPU's up to rounding in the chroma. Images are the CPU's always.
        image_rate: Images a second, where `path` is a folder of images or an image.

    Returns:
        The open video; close it, or use it in a `with` block.

    Raises:
        VideoError: The file is not there, cannot be read, is no video, or has no frame; or
            images are missing. Damage further on may show only when frames are read.
        ValueError: `threads` is negative, `device` unknown, or `image_rate` no rate.
    """
    if threads < 0:
        raise ValueError(f"threads is {threads}. Give 0 (FFmpeg chooses) or more.")
    if device not in get_args(Device):
        raise ValueError(f"device is {device!r}. Use one of: {', '.join(get_args(Device))}.")
    if not 0 < image_rate < math.inf:
        raise ValueError(f"image_rate is {image_rate}. Give images a second, above 0.")
    # Path.is_dir raises where a folder on the way may not be entered.
    if os.path.isdir(path):  # noqa: PTH112
        return ImageFolder(Path(os.fsdecode(path)), image_rate=image_rate)
    file = check_is_file(path)
    if is_image_name(file.name):
        return ImageFolder(file, image_rate=image_rate)
    return Video(file, threads=threads, device=device)
