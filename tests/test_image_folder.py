"""A folder of images is a video: the same interface, the same checks, and faults named by file."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from test_video import (  # noqa: F401 - what every video passes; `clip` is a folder here
    test_a_closed_video_says_so,
    test_a_crop_may_be_resized_to_the_size_of_the_video,
    test_a_crop_of_the_whole_picture_changes_nothing,
    test_a_crop_outside_the_picture_is_refused,
    test_a_size_below_one_is_refused,
    test_a_size_that_is_no_pair_is_refused,
    test_an_index_out_of_range_is_refused,
    test_frames_are_resized_to_the_asked_size,
    test_negative_threads_are_refused,
    test_numpy_integers_and_no_indices_at_all_are_fine,
    test_reading_piece_by_piece_gives_the_same_frames,
    test_the_timeline_cannot_be_overwritten,
)
from video_files import numbered_frames, read_numbers

from cliptide.configs.errors import VideoError
from cliptide.datasets.video import ImageFolder, open_video
from cliptide.datasets.video.image_file import exif_orientation

COUNT = 30
ORIENTATION = 0x0112


def write_images(folder: Path, pictures: Any, *, name: str = "img_{}.png", first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, start=first):
        Image.fromarray(picture).save(folder / name.format(number))
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of 30 numbered frames, whose names sort otherwise as text."""
    return write_images(tmp_path / "clip", numbered_frames(COUNT))


# --- Behind the interface of a video -------------------------------------------------------------


def test_images_are_the_frames_in_natural_order(clip: Path) -> None:
    with open_video(clip) as video:
        assert isinstance(video, ImageFolder)
        assert (video.num_frames, video.height, video.width) == (COUNT, 48, 64)
        assert (video.rotation, video.has_audio) == (0, False)
        np.testing.assert_array_equal(video.frames_at(range(COUNT)), numbered_frames(COUNT))
        np.testing.assert_array_equal(
            video.frames_at([7, 29, 7], crop=(3, 5, 20, 30)),
            numbered_frames(COUNT)[[7, 29, 7], 3:23, 5:35],
        )


@pytest.mark.parametrize("rate", [25.0, 10.0, 29.97])
def test_image_i_is_shown_at_i_by_the_rate(clip: Path, rate: float) -> None:
    with open_video(clip, image_rate=rate) as video:
        np.testing.assert_allclose(video.pts_s, np.arange(COUNT) / rate)
        assert video.fps == pytest.approx(rate)
        assert video.duration_s == pytest.approx(COUNT / rate)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(clip: Path, rate: float) -> None:
    with pytest.raises(ValueError, match=r"image_rate is .*Give images a second, above 0"):
        open_video(clip, image_rate=rate)


def test_reading_through_gives_the_images_on_show(clip: Path) -> None:
    with open_video(clip, image_rate=10) as video:
        frames = list(video.frames(every_s=0.5, size=(24, 32)))
        assert [frame.index for frame in frames] == [0, 5, 10, 15, 20, 25]
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
        pictures = np.stack([frame.picture for frame in frames])
        np.testing.assert_array_equal(pictures, video.frames_at(range(0, 30, 5), size=(24, 32)))
        frames_of_all = video.frames()
    assert [frame.index for frame in frames_of_all] == list(range(COUNT))


def test_a_single_image_is_a_video_of_one_frame(clip: Path) -> None:
    with open_video(clip / "img_4.png") as video:
        assert (video.num_frames, video.duration_s) == (1, 0.04)
        assert read_numbers(video.frames_at([0])) == [3]


def test_an_animation_stays_a_video_with_its_own_times(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in numbered_frames(3)]
    path = tmp_path / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=200)
    with open_video(path) as video:
        assert not isinstance(video, ImageFolder)
        assert video.pts_s.tolist() == pytest.approx([0, 0.2, 0.4])


def test_other_files_and_folders_beside_the_images_are_left_alone(clip: Path) -> None:
    (clip / "notes.txt").write_text("not a picture")
    (clip / "._img_1.png").write_bytes(b"a resource fork")
    (clip / "flow.png").mkdir()
    with open_video(clip) as video:
        assert video.num_frames == COUNT


# --- What images are made of ---------------------------------------------------------------------


def some_picture() -> Image.Image:
    y, x = np.mgrid[0:45, 0:70]
    waves = np.stack([x * 3, y * 5, x + y], axis=-1).clip(0, 255).astype(np.uint8)
    return Image.fromarray(waves)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}),
        ("a.png", "L", {}),
        ("a.png", "P", {}),
        ("a.png", "1", {}),
        ("a.png", "LA", {}),
        ("a.png", "RGBA", {}),
        ("a.jpg", "RGB", {"quality": 95, "subsampling": 0}),
        ("a.JPEG", "L", {"quality": 95}),
        ("a.jpg", "RGB", {"quality": 95, "subsampling": 0, "progressive": True}),
        ("a.bmp", "RGB", {}),
        ("a.bmp", "P", {}),
        ("a.webp", "RGB", {"lossless": True}),
        ("a.webp", "RGBA", {"lossless": True}),
        ("a.tif", "RGB", {}),
        ("a.tiff", "L", {"compression": "tiff_lzw"}),
        ("a.ppm", "RGB", {}),
        ("a.pgm", "L", {}),
    ],
)
def test_every_kind_of_image_becomes_rgb(
    name: str, mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / name
    some_picture().convert(mode).save(path, **options)
    with open_video(path) as video:
        (picture,) = video.frames_at([0])
        assert video.frames_at([0], size=(20, 30)).shape == (1, 20, 30, 3)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(picture - expected).mean() < (
        1 if name.lower().endswith(("jpg", "jpeg")) else 0.1
    )


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_are_scaled_to_eight(name: str, tmp_path: Path) -> None:
    grey = (np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / name)
    with open_video(tmp_path / name) as video:
        (picture,) = video.frames_at([0])
    assert np.abs(picture - (grey / 257)[..., None]).max() <= 2


def test_an_ending_that_is_wrong_is_not_believed(tmp_path: Path) -> None:
    some_picture().save(tmp_path / "a.webp", format="PNG")
    with open_video(tmp_path / "a.webp") as video:
        np.testing.assert_array_equal(video.frames_at([0])[0], np.asarray(some_picture()))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_an_image_stands_upright_as_the_camera_was_held(
    name: str, orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    some_picture().save(tmp_path / name, exif=exif, quality=95)
    with open_video(tmp_path / name) as video:
        (picture,) = video.frames_at([0])
        assert (video.height, video.width) == picture.shape[:2]
        assert video.rotation == {3: 180, 6: 90, 7: 90, 8: 270, 5: 270}.get(orientation, 0)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / name))).astype(int)
    assert picture.shape == upright.shape
    assert np.abs(picture - upright).mean() < 4


def test_each_image_of_a_folder_is_turned_by_itself(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    frames = numbered_frames(2)
    Image.fromarray(frames[0]).save(tmp_path / "1.png")
    Image.fromarray(frames[1, ::-1, ::-1]).save(tmp_path / "2.png", exif=exif)
    with open_video(tmp_path) as video:
        np.testing.assert_array_equal(video.frames_at([0, 1]), frames)


def test_exif_that_is_damaged_costs_nothing() -> None:
    whole = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 26, b"eXIf") + b"II*\0\x08\0\0\0"
    entry = struct.pack("<HHHIHH", 1, ORIENTATION, 3, 1, 6, 0)
    assert exif_orientation(whole + entry) == 6
    assert exif_orientation(whole + entry[:9]) == 1
    assert exif_orientation(whole[:-4] + b"\xff\xff\xff\xff" + entry) == 1
    assert exif_orientation(b"\xff\xd8\xff\xe1\xff\xffExif\0\0") == 1


# --- Faults --------------------------------------------------------------------------------------


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(VideoError) as caught:
        open_video(path)
    for part in parts:
        assert part in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    refused(tmp_path, str(tmp_path), "is a folder without images", "Name a file in it")


@pytest.mark.parametrize(
    ("present", "missing", "before"),
    [
        (["img_00001.jpg", "img_00003.jpg", "img_00004.jpg"], "img_00002.jpg", "img_00001.jpg"),
        (["0.png", "5.png", "10.png", "20.png", "25.png"], "15.png", "10.png"),
        (["f9.png", "f10.png", "f12.png"], "f11.png", "f10.png"),
        (["f009.png", "f010.png", "f012.png"], "f011.png", "f010.png"),
    ],
)
def test_a_gap_in_the_numbers_names_the_missing_image(
    present: list[str], missing: str, before: str, tmp_path: Path
) -> None:
    for name in present:
        (tmp_path / name).touch()
    refused(tmp_path, f"{missing} is missing behind {before}. Put it there")


@pytest.mark.parametrize("names", [["1.png", "2.png"], ["0004.png", "0006.png", "0008.png"]])
def test_any_first_number_and_any_even_step_will_do(names: list[str], tmp_path: Path) -> None:
    for name, frame in zip(names, numbered_frames(len(names)), strict=True):
        Image.fromarray(frame).save(tmp_path / name)
    with open_video(tmp_path) as video:
        assert read_numbers(video.frames_at(range(len(names)))) == list(range(len(names)))


def test_names_without_numbers_come_by_their_letters(tmp_path: Path) -> None:
    for name, frame in zip("abc", numbered_frames(3), strict=True):
        Image.fromarray(frame).save(tmp_path / f"{name}.png")
    with open_video(tmp_path) as video:
        assert read_numbers(video.frames_at([0, 1, 2])) == [0, 1, 2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("img_1.jpg", "img_1.png"),
        ("img_01.png", "img_1.png"),
        ("flow_x_1.png", "flow_y_1.png"),
    ],
)
def test_a_number_that_stands_twice_is_refused(one: str, other: str, tmp_path: Path) -> None:
    (tmp_path / one).touch()
    (tmp_path / other).touch()
    refused(tmp_path, one, other, "carry the same number", "Keep one of them")


def test_images_of_other_sizes_are_refused_where_they_are_read(tmp_path: Path) -> None:
    folder = write_images(tmp_path, numbered_frames(3))
    write_images(folder, numbered_frames(1, 50, 64), first=4)
    with open_video(folder) as video:
        assert read_numbers(video.frames_at([0, 1, 2])) == [0, 1, 2]
        with pytest.raises(
            VideoError, match=r"img_4\.png: is 50x64 pixels, but img_1\.png is 48x64.*one size"
        ):
            video.frames_at([2, 3])
        with pytest.raises(VideoError, match=r"img_4\.png: is 50x64"):
            list(video.frames(size=(8, 8)))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "a.tif", "a.ppm"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_an_image_cut_short_is_refused(name: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / name
    some_picture().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with (
        open_video(path) as video,
        pytest.raises(VideoError, match=rf"{name}: is damaged or cut short .*Replace it"),
    ):
        video.frames_at([0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"img_2\.png: is empty \(0 bytes\)"),
        (b"<html>no such image</html>", r"img_2\.png: is no image that can be read.*Replace it"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 90, r"img_2\.png: is damaged or cut short .*Replace it"),
    ],
)
def test_a_broken_image_costs_only_the_frames_that_need_it(
    content: bytes, message: str, clip: Path
) -> None:
    (clip / "img_2.png").write_bytes(content)
    with open_video(clip) as video:
        assert read_numbers(video.frames_at([0, 2, 29])) == [0, 2, 29]
        with pytest.raises(VideoError, match=message):
            video.frames_at([0, 1, 2])
        assert read_numbers(video.frames_at([3])) == [3]
        frames = video.frames()
        assert next(frames).index == 0
        with pytest.raises(VideoError, match=message):
            next(frames)


def test_an_image_of_more_pixels_than_any_has_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">II5B", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I4s", 13, b"IHDR") + header + b"\0\0\0\0"
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0" * 50)
    with open_video(tmp_path / "bomb.png") as video, pytest.raises(VideoError, match="bomb"):
        video.frames_at([0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_among_images_does_not_stop_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.png")
    with open_video(tmp_path) as video, pytest.raises(VideoError, match="is a pipe or device"):
        video.frames_at([0])
