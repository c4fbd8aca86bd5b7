"""Augmentation of training clips: one draw for all frames. Only here is albumentations used."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
ClipTransform = Callable[[Clip, int], Clip]

# Frames are decoded this much larger than the network's size, so that a crop is not a blow-up.
CROP_MARGIN = 8 / 7


def decode_size(size: tuple[int, int], *, augment: str) -> tuple[int, int]:
    """(height, width) at which training frames are decoded before augmentation."""
    if augment == "none":
        return size
    return round(size[0] * CROP_MARGIN), round(size[1] * CROP_MARGIN)


def clip_transform(augment: str, *, size: tuple[int, int], flip: bool) -> ClipTransform:
    """Build the augmentation of a preset.

    Args:
        augment: `none`, `light` (crop and brightness) or `strong` (also colour, blur and holes).
        size: (height, width) of the result.
        flip: Whether clips are mirrored half of the time.

    Returns:
        A function of a clip (T, H, W, 3) uint8 and a seed, giving (T, height, width, 3) uint8. All
        frames of the clip get the same draw; the same seed gives the same result.
    """
    # Without this, importing albumentations asks the network for a newer version.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as A

    aspect = size[1] / size[0]
    presets: dict[str, Callable[[], list[Any]]] = {
        "none": list,
        "light": lambda: [
            A.RandomResizedCrop(size, scale=(0.7, 1.0), ratio=(aspect * 0.9, aspect * 1.1)),
            A.RandomBrightnessContrast(0.15, 0.15, p=0.8),
        ],
        "strong": lambda: [
            A.RandomResizedCrop(size, scale=(0.4, 1.0), ratio=(aspect * 0.8, aspect * 1.25)),
            A.ColorJitter(0.3, 0.3, 0.3, 0.05, p=0.8),
            A.GaussianBlur(p=0.2),
            A.CoarseDropout(hole_height_range=(0.1, 0.3), hole_width_range=(0.1, 0.3), p=0.4),
        ],
    }
    steps = presets[augment]()
    if flip:
        steps.append(A.HorizontalFlip(p=0.5))
    compose = A.Compose(steps, p=1.0)

    def transform(clip: Clip, seed: int) -> Clip:
        if not steps:
            return clip
        compose.set_random_seed(seed)
        augmented: Clip = compose(images=clip)["images"]
        return augmented

    return transform
