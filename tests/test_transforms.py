"""Augmentation: one draw for a whole clip, and the same one for the same seed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cliptide.datasets.transforms import clip_transform, decode_size

PRESETS = ("none", "light", "strong")

every_preset = pytest.mark.parametrize("preset", PRESETS)


def one_picture(frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """(T, H, W, 3): the same random picture in each frame."""
    picture = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    return np.repeat(picture, frames, axis=0)


@every_preset
@pytest.mark.parametrize("flip", [False, True])
def test_all_frames_of_a_clip_get_the_same_draw(preset: str, flip: bool) -> None:
    transform = clip_transform(preset, size=(24, 32), flip=flip)
    clip = one_picture(5, *decode_size((24, 32), augment=preset))
    for seed in range(30):
        augmented = transform(clip, seed)
        assert (augmented == augmented[:1]).all(), seed


@every_preset
@pytest.mark.parametrize("size", [(24, 32), (32, 24), (20, 20), (7, 31), (2, 2)])
def test_the_result_has_the_networks_size_in_bytes(preset: str, size: tuple[int, int]) -> None:
    transform = clip_transform(preset, size=size, flip=True)
    for seed in range(10):
        augmented = transform(one_picture(3, *decode_size(size, augment=preset)), seed)
        assert augmented.shape == (3, *size, 3)
        assert augmented.dtype == np.uint8


@every_preset
def test_a_clip_of_one_frame_is_augmented_too(preset: str) -> None:
    transform = clip_transform(preset, size=(8, 12), flip=True)
    clip = one_picture(1, *decode_size((8, 12), augment=preset))
    assert transform(clip, 3).shape == (1, 8, 12, 3)


@every_preset
def test_the_same_seed_gives_the_same_clip_whatever_came_before(preset: str) -> None:
    clip = one_picture(2, *decode_size((24, 32), augment=preset))
    transform = clip_transform(preset, size=(24, 32), flip=True)
    first = [transform(clip, seed) for seed in range(20)]
    np.random.seed(7)
    again = clip_transform(preset, size=(24, 32), flip=True)
    for seed in reversed(range(20)):
        assert np.array_equal(again(clip, seed), first[seed]), seed


@pytest.mark.parametrize("preset", ["light", "strong"])
def test_different_seeds_give_different_clips(preset: str) -> None:
    clip = one_picture(2, *decode_size((24, 32), augment=preset))
    transform = clip_transform(preset, size=(24, 32), flip=False)
    assert len({transform(clip, seed).tobytes() for seed in range(20)}) > 15


def test_none_without_flip_leaves_the_clip_as_it_is() -> None:
    clip = one_picture(4, 24, 32)
    transform = clip_transform("none", size=(24, 32), flip=False)
    for seed in range(5):
        assert np.array_equal(transform(clip, seed), clip)
    assert decode_size((24, 32), augment="none") == (24, 32)


def test_none_with_flip_mirrors_about_half_of_the_clips_and_does_nothing_else() -> None:
    clip = one_picture(2, 24, 32)
    transform = clip_transform("none", size=(24, 32), flip=True)
    mirrored = 0
    for seed in range(200):
        augmented = transform(clip, seed)
        is_mirrored = np.array_equal(augmented, clip[:, :, ::-1])
        assert is_mirrored or np.array_equal(augmented, clip)
        mirrored += is_mirrored
    assert 70 <= mirrored <= 130


def left_is_bright(clip: NDArray[np.uint8]) -> bool:
    middle = clip.shape[2] // 2
    return bool(clip[:, :, :middle].mean() > clip[:, :, middle:].mean())


@every_preset
def test_without_flip_left_stays_left(preset: str) -> None:
    """Some labels have a left and a right: pushing left, turning clockwise."""
    height, width = decode_size((24, 32), augment=preset)
    clip = np.full((2, height, width, 3), 60, np.uint8)
    clip[:, :, : width // 2] = 190
    transform = clip_transform(preset, size=(24, 32), flip=False)
    assert all(left_is_bright(transform(clip, seed)) for seed in range(100))
    with_flip = clip_transform(preset, size=(24, 32), flip=True)
    turned = sum(not left_is_bright(with_flip(clip, seed)) for seed in range(100))
    assert 25 <= turned <= 75


def test_a_crop_keeps_the_aspect_of_the_frame_within_bounds() -> None:
    """A ramp across and down shows how much of either side a crop took."""
    size = (32, 64)
    height, width = decode_size(size, augment="light")
    ramp = np.zeros((1, height, width, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, width).round()
    ramp[..., 1] = np.linspace(0, 255, height).round()[:, None]
    transform = clip_transform("light", size=size, flip=False)
    for seed in range(50):
        augmented = transform(ramp, seed).astype(float)
        across, down = np.ptp(augmented[..., 0]), np.ptp(augmented[..., 1])
        if min(across, down) > 40:  # brightness may have clipped either
            assert 0.75 < across / down < 1.35


@pytest.mark.parametrize("preset", ["light", "strong"])
def test_frames_are_decoded_a_little_larger_than_the_network_takes(preset: str) -> None:
    assert decode_size((112, 112), augment=preset) == (128, 128)
    assert decode_size((112, 168), augment=preset) == (128, 192)


def test_strong_is_stronger_than_light() -> None:
    def change(preset: str) -> float:
        clip = one_picture(1, *decode_size((24, 32), augment=preset))
        clip[:] = np.linspace(0, 255, clip.shape[2])[:, None]
        transform = clip_transform(preset, size=(24, 32), flip=False)
        clips = np.stack([transform(clip, seed) for seed in range(60)]).astype(float)
        return float(clips.std(axis=0).mean())

    assert change("strong") > change("light") > 0
