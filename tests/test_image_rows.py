"""An image read from top to bottom, a row a step, and cut into patches in reading order."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cliptide.configs.errors import ConfigError, SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.image_rows import RowStream
from cliptide.datasets.streams.patches import cut_patches, join_patches
from cliptide.datasets.streams.pictures import PatchStream


def record_of(path: Path, **options: float) -> SampleRecord:
    return SampleRecord(path, path.name, "a", "a", **options)  # type: ignore[arg-type]


def some_image(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def image(tmp_path: Path) -> tuple[SampleRecord, NDArray[np.uint8]]:
    pixels = some_image(20, 24)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[:, :, ::-1])
    return record_of(tmp_path / "a.png"), pixels


Image = tuple[SampleRecord, NDArray[np.uint8]]


def test_steps_are_the_rows_from_top_to_bottom(image: Image) -> None:
    record, pixels = image
    stream = RowStream(window=1, hop=1, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        assert track.pts_s.tolist() == list(range(20))
        assert track.duration_s == 20
        steps = track.steps([0, 7, 19])
    assert steps.dtype == np.float32
    assert steps.shape == (3, 1, 72)
    assert steps.min() >= 0 and steps.max() <= 1
    np.testing.assert_allclose(steps[:, 0], pixels[[0, 7, 19]].reshape(3, 72) / 255, atol=1e-6)


def test_a_window_shows_several_rows(image: Image) -> None:
    record, pixels = image
    stream = RowStream(window=4, hop=2, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        assert len(track.pts_s) == 9
        steps = track.steps([3])
    np.testing.assert_allclose(steps[0], pixels[6:10].reshape(4, 72) / 255, atol=1e-6)


def test_images_are_fitted_into_the_size_as_videos_are(image: Image) -> None:
    record, _ = image
    stream = RowStream(window=1, hop=1, size=(24, 24), fit="letterbox")
    rows = stream.read(record).rows
    assert rows.shape == (24, 72)
    assert not rows[:2].any() and not rows[-2:].any() and rows[2:-2].any()
    assert stream.row_shape == (72,) and rows.dtype == stream.row_type


def test_what_is_kept_gives_the_same_steps(image: Image) -> None:
    record, _ = image
    stream = RowStream(window=3, hop=1, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        again = stream.from_content(*stream.content(track), track.duration_s)
        np.testing.assert_array_equal(again.steps([0, 5]), track.steps([0, 5]))


def test_training_images_are_moved_by_two_pixels_at_most(image: Image) -> None:
    record, pixels = image
    stream = RowStream(window=1, hop=1, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        steps = track.steps(range(20))
    moves = set()
    for seed in range(200):
        moved = stream.augmented(steps, seed)
        np.testing.assert_array_equal(moved, stream.augmented(steps, seed))
        picture = moved.reshape(20, 24, 3)
        whole = pixels.astype(np.float32) / 255
        (match,) = [
            (down, across)
            for down in range(-2, 3)
            for across in range(-2, 3)
            if np.allclose(
                picture[2:-2, 2:-2], np.roll(whole, (down, across), (0, 1))[2:-2, 2:-2], atol=1e-6
            )
        ]
        moves.add(match)
    assert len(moves) == 25


def test_rows_that_are_far_apart_are_not_moved_down(image: Image) -> None:
    record, _ = image
    stream = RowStream(window=5, hop=5, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        steps = track.steps(range(4))
    rows = [stream.augmented(steps, seed).reshape(20, 24, 3)[:, 2:-2] for seed in range(20)]
    whole = steps.reshape(20, 24, 3)
    shifts = [[np.roll(whole, across, 1)[:, 2:-2] for across in range(-2, 3)] for _ in rows]
    for row, possible in zip(rows, shifts, strict=True):
        assert any(np.array_equal(row, one) for one in possible)


def test_a_step_is_drawn_as_wide_as_its_image(image: Image) -> None:
    record, pixels = image
    stream = RowStream(window=2, hop=2, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        drawn = stream.drawn(track.steps([0, 1, 2]), height=40)
    assert drawn.shape == (3, 40, 48, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[1, ::20, ::2], pixels[2:4])


def test_a_step_is_shown_as_the_bright_rows_of_a_dark_image(image: Image) -> None:
    record, pixels = image
    stream = RowStream(window=3, hop=1, size=(20, 24), fit="resize")
    with stream.open(record) as track:
        shown = stream.shown(track, track.pts_s[[0, 7]], height=20)
    assert shown.shape == (2, 20, 24, 3)
    for tile, first in zip(shown, (0, 7), strict=True):
        np.testing.assert_array_equal(tile[first : first + 3], pixels[first : first + 3])
        rest = np.delete(tile, range(first, first + 3), axis=0)
        assert rest.mean() < 0.6 * pixels.mean()


def test_a_patch_is_shown_as_the_bright_part_of_a_dark_image(image: Image) -> None:
    record, pixels = image
    stream = PatchStream(patch=(10, 8), size=(20, 24), fit="resize", image_rate=25.0)
    with stream.open(record) as track:
        shown = stream.shown(track, track.pts_s[[0, 4]], height=20)
    assert shown.shape == (2, 20, 24, 3)
    np.testing.assert_array_equal(shown[1, 10:, 8:16], pixels[10:, 8:16])
    assert shown[1, :10].mean() < 0.6 * pixels[:10].mean()


@pytest.mark.parametrize("part", [{"start_s": 1.0}, {"end_s": 2.0}])
def test_of_an_image_in_patches_no_part_can_be_asked_for(
    image: Image, part: dict[str, float]
) -> None:
    stream = PatchStream(patch=(10, 8), size=(20, 24), fit="resize", image_rate=25.0)
    with (
        pytest.raises(SampleError, match=r"a\.png: start_s and end_s .*Leave them empty"),
        stream.open(record_of(image[0].source, **part)),
    ):
        pass


def test_only_whole_single_images_are_read(image: Image, tmp_path: Path) -> None:
    record, pixels = image
    stream = RowStream(window=1, hop=1, size=(20, 24), fit="resize")
    cv2.imwrite(str(tmp_path / "b.png"), pixels)
    with pytest.raises(SampleError, match=r"has 2 pictures.*set steps\.image to whole"):
        stream.read(record_of(tmp_path))
    with pytest.raises(SampleError, match=r"a\.png: start_s and end_s .*Leave them empty"):
        stream.read(record_of(record.source, start_s=1.0))
    with pytest.raises(SampleError, match=r"none\.png: there is no such file"):
        stream.read(record_of(tmp_path / "none.png"))


@pytest.mark.parametrize("size", [(4, 8), (20, 24), (1, 1), (10, 3)])
def test_patches_come_in_reading_order(size: tuple[int, int]) -> None:
    pixels = some_image(20, 24)
    patches = cut_patches(pixels, size)
    height, width = size
    expected = [
        pixels[top : top + height, left : left + width]
        for top in range(0, 20, height)
        for left in range(0, 24, width)
    ]
    assert patches.dtype == np.uint8
    np.testing.assert_array_equal(patches, np.stack(expected))
    np.testing.assert_array_equal(join_patches(patches, columns=24 // width), pixels)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((6, 8), r"height of 6, which does not divide 20 pixels\. Use 1, 2, 4, 5, 10 or 20"),
        ((4, 9), r"width of 9, which does not divide 24 pixels\. Use 2, 3, 4, 6, 8 or 12, or an"),
        ((0, 8), r"height of 0"),
        ((40, 8), r"height of 40"),
    ],
)
def test_sizes_that_do_not_divide_name_those_that_do(size: tuple[int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cut_patches(some_image(20, 24), size)
