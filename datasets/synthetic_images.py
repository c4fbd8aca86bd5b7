"""Small sets of images: the demo's clips as folders of frames, and single images to read down.

The class of a single image is the ORDER of its shapes from top to bottom. Every image of every
class holds the same three, so no bag of its rows tells a class.
"""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.synthetic import draw_shape, random_look, write_dataset

SHAPES = ("disc", "square", "triangle")
IMAGE_CLASS_NAMES = tuple(sorted("-".join(order) for order in permutations(SHAPES)))


def write_frames(folder: Path, frames: NDArray[np.uint8]) -> None:
    """Write frames (N, H, W, 3) uint8 RGB as `folder/img_00001.jpg` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        write_image(folder / f"img_{number:05d}.jpg", frame)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image (H, W, 3) uint8 RGB in the format of the name's ending."""
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())


def write_frames_dataset(
    root: Path,
    *,
    groups: int = 10,
    clips_per_group: int = 4,
    num_frames: int = 24,
    side: int = 64,
    seed: int = 0,
) -> Iterator[Path]:
    """Write the clips of `synthetic.write_dataset` as `root/class/v_class_gNN_cNN/img_00001.jpg`.

    With the same lists in `root/ucfTrainTestlist`; yields each folder once it is written.
    """
    return write_dataset(
        root,
        groups=groups,
        clips_per_group=clips_per_group,
        num_frames=num_frames,
        side=side,
        seed=seed,
        write=write_frames,
        ending="",
    )


def write_image_dataset(
    root: Path,
    *,
    groups: int = 10,
    images_per_group: int = 4,
    side: int = 48,
    seed: int = 0,
) -> Iterator[Path]:
    """Write images as `root/train/class/class_gNN_cNN.png`, and `root/test`; yields each path.

    The last three tenths of the groups, at least one, are the test split. Colours and background
    belong to a group.
    """
    test_from = groups - max(1, round(groups * 0.3))
    for group in range(groups):
        split = "train" if group < test_from else "test"
        for number, label in enumerate(IMAGE_CLASS_NAMES):
            for image in range(images_per_group):
                path = root / split / label / f"{label}_g{group + 1:02d}_c{image + 1:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng((seed, group, number, image))
                look = np.random.default_rng((seed, group))
                write_image(path, shapes_image(label, side=side, look=look, rng=rng))
                yield path


def shapes_image(
    label: str, *, side: int, look: np.random.Generator, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw an image of a class.

    Args:
        label: One of `IMAGE_CLASS_NAMES`.
        side: Height and width.
        look: Draws what the images of a group share.
        rng: Draws what belongs to this one: places and sizes.

    Returns:
        (side, side, 3) uint8 RGB.
    """
    shared = random_look(look)
    top, left = rng.integers(0, 256 - side, 2)
    image = shared.texture[top : top + side, left : left + side].copy()
    for place, shape in enumerate(label.split("-")):
        radius = side * rng.uniform(0.09, 0.13)
        x = side * rng.uniform(0.25, 0.75)
        y = side * ((place + 0.5) / len(SHAPES) + rng.uniform(-0.02, 0.02))
        draw_shape(image, shape, (x, y), radius, shared.colour)
    return image
