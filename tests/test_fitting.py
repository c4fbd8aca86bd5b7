"""Fitting pictures of any size into the network's frame: the geometry, and the pixels of videos."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from picture_data import kept_frames, num_kept, picture_options
from video_files import write_video

from cliptide.configs.errors import ModelFileError
from cliptide.configs.schema import DataConfig
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.fitting import Fit, place, set_in_frame
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule

FITS = get_args(Fit)
BARRED = ("letterbox", "pad")

sides = st.one_of(st.integers(1, 12), st.integers(1, 8192))
video_sizes = st.tuples(sides, sides)
frame_sizes = st.tuples(st.integers(2, 600), st.integers(2, 600))
THREAD = (1, 4000)  # 1 pixel high

every_shape = given(video_sizes, frame_sizes)


def inside(placement: Any, size: tuple[int, int]) -> bool:
    down = placement.top + placement.size[0]
    across = placement.left + placement.size[1]
    return min(placement.top, placement.left) >= 0 and down <= size[0] and across <= size[1]


def assert_scaled(own: tuple[int, int], scaled: tuple[int, int], *, scale: float) -> None:
    """Both sides by one factor, to half a pixel; but none vanishes."""
    for side, result in zip(own, scaled, strict=True):
        assert result == 1 or abs(side * scale - result) <= 0.5 + 1e-9


class TestGeometry:
    @pytest.mark.parametrize("fit", FITS)
    @every_shape
    @example(THREAD, (2, 2))
    @example(THREAD[::-1], (112, 112))
    @example((2, 2), (2, 2))
    def test_what_is_shown_has_a_pixel_at_least_and_lies_inside(
        self, fit: Fit, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place(fit, video_size=video_size, size=size)
        assert min(placement.size) >= 1
        assert inside(placement, size)
        if placement.crop is not None:
            top, left, height, width = placement.crop
            assert top >= 0 and left >= 0 and height >= 1 and width >= 1
            assert top + height <= video_size[0] and left + width <= video_size[1]

    @every_shape
    def test_resize_takes_the_whole_picture_and_fills_the_frame(
        self, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place("resize", video_size=video_size, size=size)
        assert (placement.crop, placement.size) == (None, size)

    @every_shape
    @example(THREAD, (2, 2))
    def test_crop_fills_the_frame_from_the_middle_in_its_own_proportions(
        self, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place("crop", video_size=video_size, size=size)
        assert placement.size == size
        top, left, height, width = placement.crop or (0, 0, *video_size)
        # One side is taken whole: there is no larger part of these proportions.
        assert height == video_size[0] or width == video_size[1]
        assert abs(video_size[0] - height - 2 * top) <= 1
        assert abs(video_size[1] - width - 2 * left) <= 1
        scale = min(video_size[0] / size[0], video_size[1] / size[1])
        assert_scaled(size, (height, width), scale=scale)

    @pytest.mark.parametrize("fit", BARRED)
    @every_shape
    @example(THREAD, (2, 2))
    def test_bars_leave_the_whole_picture_in_the_middle_in_its_own_proportions(
        self, fit: Fit, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place(fit, video_size=video_size, size=size)
        assert placement.crop is None
        height, width = placement.size
        assert abs(size[0] - height - 2 * placement.top) <= 1
        assert abs(size[1] - width - 2 * placement.left) <= 1
        scale = min(size[0] / video_size[0], size[1] / video_size[1])
        if fit == "pad":
            scale = min(scale, 1.0)
        assert_scaled(video_size, (height, width), scale=scale)

    @every_shape
    def test_letterbox_touches_two_sides(
        self, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place("letterbox", video_size=video_size, size=size)
        assert placement.size[0] == size[0] or placement.size[1] == size[1]

    @every_shape
    def test_pad_never_enlarges_and_shrinks_only_what_is_too_large(
        self, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place("pad", video_size=video_size, size=size)
        assert placement.size[0] <= video_size[0] and placement.size[1] <= video_size[1]
        if video_size[0] <= size[0] and video_size[1] <= size[1]:
            assert placement.size == video_size
        else:
            assert placement == place("letterbox", video_size=video_size, size=size)

    @pytest.mark.parametrize(
        ("fit", "video_size", "expected"),
        [
            ("crop", (240, 320), ((0, 40, 240, 240), (112, 112), 0, 0)),
            ("crop", (320, 240), ((40, 0, 240, 240), (112, 112), 0, 0)),
            ("letterbox", (240, 320), (None, (84, 112), 14, 0)),
            ("letterbox", (30, 40), (None, (84, 112), 14, 0)),
            ("pad", (240, 320), (None, (84, 112), 14, 0)),
            ("pad", (30, 40), (None, (30, 40), 41, 36)),
        ],
    )
    def test_the_usual_cases(self, fit: Fit, video_size: Any, expected: Any) -> None:
        placement = place(fit, video_size=video_size, size=(112, 112))
        assert (placement.crop, placement.size, placement.top, placement.left) == expected

    @every_shape
    def test_black_surrounds_the_picture_and_nothing_of_it_is_lost(
        self, video_size: tuple[int, int], size: tuple[int, int]
    ) -> None:
        placement = place("letterbox", video_size=video_size, size=size)
        white = np.full((1, *placement.size, 3), 255, np.uint8)
        framed = set_in_frame(white, placement, size=size)
        assert framed.shape == (1, *size, 3)
        assert framed.sum(dtype=np.int64) == white.sum(dtype=np.int64)
        bottom, right = placement.top + placement.size[0], placement.left + placement.size[1]
        assert (framed[:, placement.top : bottom, placement.left : right] == 255).all()


# Corners of a wide picture, and white in its middle.
RED, GREEN, BLUE, YELLOW = (230, 20, 20), (20, 200, 20), (20, 20, 230), (220, 220, 20)
WHITE, BLACK = (235, 235, 235), (0, 0, 0)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """A white picture with a coloured quarter of its height and width in each corner."""
    image = np.full((height, width, 3), 235, np.uint8)
    h, w = max(1, height // 4), max(1, width // 4)
    image[:h, :w], image[:h, -w:], image[-h:, :w], image[-h:, -w:] = RED, GREEN, BLUE, YELLOW
    return image


def make_video(folder: Path, height: int, width: int, *, count: int = 3, **options: Any) -> Path:
    frames = np.repeat(picture(height, width)[None], count, axis=0)
    return write_video(
        folder / f"{height}x{width}.mp4",
        frames,
        pix_fmt="yuv444p",
        codec_options={"crf": "1"},
        **options,
    )


def read(path: Path, fit: Fit, size: tuple[int, int], **options: Any) -> NDArray[np.uint8]:
    """The frames (T, *size, 3) a data set makes of a video."""
    record = SampleRecord(path, path.name, label="a", group="")
    rule = SamplingRule("uniform", frames=2)
    options = picture_options(size=size, fit=fit, **options)
    dataset = ClipDataset([record], class_names=["a"], rule=rule, **options)
    sample = dataset[0, 0]
    assert not sample.error
    frames: NDArray[np.uint8] = sample.clips[0].permute(0, 2, 3, 1).numpy()
    return frames


def assert_colour(pixel: NDArray[np.uint8], colour: tuple[int, int, int]) -> None:
    assert np.abs(pixel.astype(int) - colour).max() <= 12, (pixel, colour)


def corners(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [image[1, 1], image[1, -2], image[-2, 1], image[-2, -2]]


def assert_corners(image: NDArray[np.uint8], colours: Any) -> None:
    for pixel, colour in zip(corners(image), colours, strict=True):
        assert_colour(pixel, colour)


ALL_CORNERS = (RED, GREEN, BLUE, YELLOW)


class TestPixels:
    def test_resize_stretches_all_four_corners_into_the_frame(self, tmp_path: Path) -> None:
        for frame in read(make_video(tmp_path, 48, 96), "resize", (24, 24)):
            assert_corners(frame, ALL_CORNERS)
            assert_colour(frame[12, 4], WHITE)

    def test_crop_loses_the_sides_of_a_wide_video_and_keeps_its_middle(
        self, tmp_path: Path
    ) -> None:
        for frame in read(make_video(tmp_path, 48, 96), "crop", (24, 24)):
            # The coloured corners lie in the outer quarters, which the crop leaves out.
            assert_corners(frame[:, 2:-2], [WHITE] * 4)

    def test_letterbox_keeps_every_corner_between_bars(self, tmp_path: Path) -> None:
        for frame in read(make_video(tmp_path, 48, 96), "letterbox", (24, 24)):
            assert (frame[:6] == 0).all() and (frame[-6:] == 0).all()
            assert_corners(frame[6:-6], ALL_CORNERS)

    def test_letterbox_enlarges_a_small_video_and_pad_does_not(self, tmp_path: Path) -> None:
        path = make_video(tmp_path, 8, 16)
        (large, _), (own, _) = read(path, "letterbox", (64, 64)), read(path, "pad", (64, 64))
        assert_corners(large[16:48], ALL_CORNERS)
        assert (large[:16] == 0).all() and (large[48:] == 0).all()
        part = own[28:36, 24:40]
        assert own.sum(dtype=np.int64) == part.sum(dtype=np.int64)
        assert np.abs(part.astype(int) - picture(8, 16)).max() <= 12

    def test_pad_shrinks_a_large_video_to_fit(self, tmp_path: Path) -> None:
        path = make_video(tmp_path, 96, 48)
        padded, boxed = read(path, "pad", (24, 24)), read(path, "letterbox", (24, 24))
        assert np.array_equal(padded, boxed)
        assert_corners(padded[0][:, 6:-6], ALL_CORNERS)

    def test_a_turned_video_is_fitted_as_it_is_seen(self, tmp_path: Path) -> None:
        path = make_video(tmp_path, 48, 96, rotation=90)
        (frame, _) = read(path, "letterbox", (24, 24))
        assert (frame[:, :6] == 0).all() and (frame[:, -6:] == 0).all()
        # Turned clockwise, what was at the bottom left is at the top left.
        assert_corners(frame[:, 6:-6], (BLUE, RED, YELLOW, GREEN))

    @pytest.mark.parametrize("fit", FITS)
    @pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 5), (16, 16), (2, 300), (300, 2)])
    @pytest.mark.parametrize("size", [(2, 2), (20, 12)])
    def test_any_video_fits_into_any_frame(
        self, fit: Fit, height: int, width: int, size: tuple[int, int], tmp_path: Path
    ) -> None:
        frames = read(make_video(tmp_path, height, width, count=1), fit, size)
        assert frames.shape == (1, *size, 3)
        assert frames.max() > 100, "something of the picture is seen"


class TestTraining:
    @pytest.mark.parametrize("fit", FITS)
    def test_pictures_are_fitted_before_they_are_augmented(self, fit: Fit, tmp_path: Path) -> None:
        """Without augmentation, training sees what evaluation does; with it, bars are seen too."""
        path = make_video(tmp_path, 48, 96)
        plain = read(path, fit, (28, 28))
        assert np.array_equal(read(path, fit, (28, 28), augment="none"), plain)
        light = read(path, fit, (28, 28), augment="light")
        assert light.shape == plain.shape
        black_middle_top = light[:, 0, 10:18].max() < 60
        assert black_middle_top == (fit in BARRED)

    @pytest.mark.parametrize("fit", FITS)
    def test_kept_clips_hold_fitted_frames(self, fit: Fit, tmp_path: Path) -> None:
        path = make_video(tmp_path, 48, 96)
        decoded = read(path, fit, (28, 28), augment="light")
        kept = kept_frames(1, (32, 32), budget_bytes=10**6)
        try:
            for _ in range(2):
                again = read(path, fit, (28, 28), augment="light", kept=kept)
                assert np.array_equal(again, decoded)
            assert num_kept(kept, 1) == 1
            found = kept.get(0)
            assert found is not None and found[1].shape[1:3] == (32, 32)
            del found
        finally:
            kept.close()


class TestModelFile:
    def test_the_config_and_the_reader_know_the_same_fits(self) -> None:
        assert [DataConfig(fit=fit).fit for fit in FITS] == list(FITS)

    def test_a_fit_of_a_later_release_is_refused(self, small_model: Path) -> None:
        from cliptide.app.inference.network import load_network as load

        recognizer = load(small_model, device="cpu")
        assert recognizer.info.fit == "resize", "a file without it"
        recognizer.info = replace(recognizer.info, fit="fisheye")
        with pytest.raises(ModelFileError, match=r"'fisheye'.*Upgrade"):
            recognizer.score_records([])
