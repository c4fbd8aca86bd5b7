"""Every frame asked for is the one reading in order gives, and every bad file is a VideoError."""

import contextlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_files import (
    jpeg_bytes,
    numbered_frames,
    read_number,
    read_numbers,
    write_mjpeg,
    write_video,
)

from cliptide.configs.errors import VideoError
from cliptide.datasets.video import Video, open_video
from cliptide.datasets.video.timeline import presentation_times_s

COUNT = 30


def in_order(path: Path) -> list[np.ndarray]:
    """The reference: each frame as PyAV's decoder gives it, from the first to the last."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def all_frames(video: Video) -> np.ndarray:
    return video.frames_at(range(video.num_frames))


@dataclass(frozen=True)
class Kind:
    name: str
    codec: str
    options: dict[str, Any] = field(default_factory=dict)
    height: int = 48
    width: int = 64


# Each container and codec people bring, with B-frames where the codec has them.
KINDS = [
    Kind("h264.mp4", "libx264"),
    Kind("h264.mov", "libx264"),
    Kind("h264.mkv", "libx264"),
    Kind("h264.ts", "libx264"),
    Kind("h264.avi", "libx264"),
    Kind("raw.h264", "libx264"),
    Kind("open_gop.mp4", "libx264", {"codec_options": {"x264-params": "open-gop=1"}}),
    Kind("audio.mp4", "libx264", {"audio": True}),
    Kind("rgb.mkv", "libx264rgb", {"pix_fmt": "rgb24"}),
    Kind("hevc.mp4", "libx265"),
    Kind("raw.hevc", "libx265"),
    Kind("hevc_10bit.mp4", "libx265", {"pix_fmt": "yuv420p10le"}),
    Kind("hevc_12bit.mp4", "libx265", {"pix_fmt": "yuv444p12le"}),
    Kind("mpeg4.avi", "mpeg4"),
    Kind("mpeg4.mp4", "mpeg4"),
    Kind("mpeg2.mpg", "mpeg2video"),
    Kind("mpeg2.ts", "mpeg2video"),
    Kind("vp9.webm", "libvpx-vp9"),
    Kind("vp9_altref.webm", "libvpx-vp9", {"codec_options": {"auto-alt-ref": "1"}}),
    Kind("vp9_odd.mp4", "libvpx-vp9", height=49, width=67),
    Kind("odd_444.mp4", "libx264", {"pix_fmt": "yuv444p"}, height=49, width=67),
    Kind("av1.mp4", "libsvtav1", height=64),
    Kind("mjpeg.avi", "mjpeg", {"pix_fmt": "yuvj420p"}),
    Kind("ffv1.mkv", "ffv1"),
    Kind("flash.flv", "flv"),
    Kind("windows.wmv", "wmv2"),
    Kind("animation.gif", "gif", {"pix_fmt": "rgb8"}),
]


@pytest.fixture(scope="session")
def write_kind(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    folder = tmp_path_factory.mktemp("kinds")

    def write(kind: Kind) -> Path:
        path = folder / kind.name
        if not path.exists():
            frames = numbered_frames(COUNT, kind.height, kind.width)
            options = {"codec_options": {"bf": "2"}, **kind.options}
            if kind.codec not in ("libx264", "libx265", "mpeg4", "mpeg2video"):
                options = kind.options
            write_video(path, frames, codec=kind.codec, **options)
        return path

    return write


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """An H.264 mp4 of 30 numbered frames, 25 a second."""
    return write_video(tmp_path / "clip.mp4", numbered_frames(COUNT))


# --- Exact frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_frame_is_the_one_reading_in_order_gives(
    kind: Kind, write_kind: Callable[[Kind], Path]
) -> None:
    path = write_kind(kind)
    with open_video(path) as video:
        assert video.num_frames == COUNT
        assert (video.height, video.width) == (kind.height, kind.width)
        frames = all_frames(video)
        assert frames.dtype == np.uint8
        assert read_numbers(frames) == list(range(COUNT))
        np.testing.assert_array_equal(frames, in_order(path))
        np.testing.assert_allclose(video.pts_s, np.arange(COUNT) / 25, atol=1e-9)
        assert video.fps == pytest.approx(25)
        assert video.duration_s == pytest.approx(COUNT / 25)
        assert video.rotation == 0
        assert video.has_audio == (kind.name == "audio.mp4")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(
        [kind for kind in KINDS if kind.name in ("h264.mp4", "mpeg4.avi", "vp9.webm", "h264.ts")]
    ),
    calls=st.lists(st.lists(st.integers(0, COUNT - 1), max_size=6), min_size=1, max_size=3),
)
def test_any_indices_in_any_order_give_the_frames_of_reading_in_order(
    kind: Kind, calls: list[list[int]], write_kind: Callable[[Kind], Path]
) -> None:
    path = write_kind(kind)
    reference = in_order(path)
    with open_video(path) as video:
        for indices in calls:
            frames = video.frames_at(indices)
            assert frames.shape == (len(indices), 48, 64, 3)
            for frame, index in zip(frames, indices, strict=True):
                np.testing.assert_array_equal(frame, reference[index])


SHORT_GROUPS = [
    Kind("closed.mp4", "libx264", {"gop_size": 8}),
    Kind("open.mp4", "libx264", {"gop_size": 8, "codec_options": {"x264-params": "open-gop=1"}}),
    Kind("open.mkv", "libx264", {"gop_size": 6, "codec_options": {"x264-params": "open-gop=1"}}),
    Kind("hevc.mp4", "libx265", {"gop_size": 8}),
    Kind("groups.webm", "libvpx-vp9", {"gop_size": 8}),
    Kind("pyramid.mkv", "libx264", {"gop_size": 8, "max_b_frames": 4}),
    Kind("hevc.mkv", "libx265", {"gop_size": 8}),
    Kind("open.ts", "libx264", {"gop_size": 8, "codec_options": {"x264-params": "open-gop=1"}}),
    Kind("hevc.ts", "libx265", {"gop_size": 8}),
    Kind("groups.avi", "mpeg4", {"gop_size": 8}),
    Kind("mpeg4.mkv", "mpeg4", {"gop_size": 8}),
    Kind("refresh.mp4", "libx264", {"codec_options": {"x264-params": "intra-refresh=1:keyint=8"}}),
]


@pytest.mark.parametrize("kind", SHORT_GROUPS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("held", [True, False], ids=["held", "read again"])
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(indices=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5))
def test_groups_that_are_skipped_change_no_pixel(
    kind: Kind,
    held: bool,
    indices: list[int],
    write_kind: Callable[[Kind], Path],
) -> None:
    """Whether the packets are held in memory or, of a large file, sought and read again."""
    path = write_kind(kind)
    with pytest.MonkeyPatch.context() as patch:
        if not held:
            patch.setattr("cliptide.datasets.video.listing.MOST_BYTES_HELD", 0)
        if kind.name != "refresh.mp4":  # without key frames nothing can be passed over
            patch.setattr("cliptide.datasets.video.video.InOrderReader", None)
        with open_video(path) as video:
            frames = video.frames_at(indices)
            again = video.frames_at(indices[::-1])
    np.testing.assert_array_equal(frames, np.stack(in_order(path))[indices])
    np.testing.assert_array_equal(again, frames[::-1])


@pytest.mark.parametrize("threads", [0, 2])
def test_decoder_threads_change_no_pixel(threads: int, clip: Path) -> None:
    with open_video(clip, threads=threads) as video:
        np.testing.assert_array_equal(all_frames(video), in_order(clip))


def test_reading_piece_by_piece_gives_the_same_frames(clip: Path) -> None:
    with open_video(clip) as video:
        pieces = [video.frames_at(range(start, start + 10)) for start in (0, 10, 20)]
    assert read_numbers(np.concatenate(pieces)) == list(range(COUNT))


def test_numpy_integers_and_no_indices_at_all_are_fine(clip: Path) -> None:
    with open_video(os.fspath(clip)) as video:
        assert read_numbers(video.frames_at(np.array([7, 3]))) == [7, 3]
        assert video.frames_at([]).shape == (0, 48, 64, 3)
        assert video.frames_at([], size=(8, 9)).shape == (0, 8, 9, 3)


def test_frames_of_another_size_midway_are_resized_to_the_first(tmp_path: Path) -> None:
    small, large = numbered_frames(6), numbered_frames(12, 96, 160)
    pictures = [*small, *large[6:]]
    path = write_mjpeg(tmp_path / "sizes.mkv", pictures, pts=[40 * i for i in range(12)])
    with open_video(path) as video:
        frames = all_frames(video)
        assert frames.shape == (12, 48, 64, 3)
        assert read_numbers(frames) == list(range(12))
        assert video.frames_at([11, 0], size=(24, 30)).shape == (2, 24, 30, 3)


# --- Timelines -----------------------------------------------------------------------------------


def test_uneven_frame_times_are_kept(tmp_path: Path) -> None:
    stamps = [0, 40, 50, 200, 210, 900, 1000, 1010, 5000, 5001]
    for name in ("vfr.mkv", "vfr.mp4"):
        path = write_video(tmp_path / name, numbered_frames(10), pts=stamps)
        with open_video(path) as video:
            np.testing.assert_allclose(video.pts_s, np.array(stamps) / 1000, atol=1e-9)
            assert video.fps == pytest.approx(9 / 5.001)
            assert read_numbers(video.frames_at([8, 2])) == [8, 2]


def test_a_late_start_begins_at_zero(tmp_path: Path) -> None:
    stamps = [5000 + 40 * i for i in range(10)]
    path = write_video(tmp_path / "late.mkv", numbered_frames(10), pts=stamps)
    with open_video(path) as video:
        np.testing.assert_allclose(video.pts_s, np.arange(10) / 25)


def test_repeated_stamps_lose_no_frame(tmp_path: Path) -> None:
    stamps = [0, 40, 40, 40, 160, 200, 200, 280]
    path = write_mjpeg(tmp_path / "repeated.mkv", numbered_frames(8), pts=stamps)
    with open_video(path) as video:
        assert video.num_frames == 8
        np.testing.assert_allclose(video.pts_s, np.array(stamps) / 1000)
        assert read_numbers(all_frames(video)) == list(range(8))


def test_one_instant_for_all_frames_takes_the_nominal_rate(tmp_path: Path) -> None:
    path = write_mjpeg(tmp_path / "instant.mkv", numbered_frames(4), pts=[0, 0, 0, 0])
    with open_video(path) as video:
        assert video.pts_s.tolist() == [0, 0, 0, 0]
        assert video.fps == pytest.approx(25)
        assert read_numbers(all_frames(video)) == [0, 1, 2, 3]


def test_a_single_frame_is_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", numbered_frames(1), fps=10)
    with open_video(path) as video:
        assert (video.num_frames, video.fps) == (1, 10)
        assert video.duration_s == pytest.approx(0.1)
        assert video.pts_s.tolist() == [0]


def test_frame_counts_and_rates_of_headers_are_not_believed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "lies.avi", numbered_frames(COUNT), codec="mpeg4")
    data = bytearray(path.read_bytes())
    main, stream = data.index(b"avih"), data.index(b"strh")
    struct.pack_into("<I", data, main + 8 + 16, 999_999)  # frames in the file
    struct.pack_into("<I", data, stream + 8 + 32, 7)  # frames in the stream
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.num_frames == COUNT
        assert read_numbers(all_frames(video)) == list(range(COUNT))

    path = write_video(tmp_path / "lies.mp4", numbered_frames(COUNT), fps=25)
    data = bytearray(path.read_bytes())
    header = data.index(b"mvhd")
    struct.pack_into(">I", data, header + 20, 1)  # the film's duration
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.num_frames == COUNT
        assert video.duration_s == pytest.approx(COUNT / 25)


def test_frames_an_edit_list_discards_are_not_counted(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "cut.mp4",
        numbered_frames(COUNT),
        pts=[40 * (i - 10) for i in range(COUNT)],
        container_options={"avoid_negative_ts": "disabled"},
    )
    with open_video(path) as video:
        assert read_numbers(all_frames(video)) == list(range(10, COUNT))
        assert video.pts_s[0] == 0
        assert read_numbers(video.frames_at([5, 0])) == [15, 10]


def test_a_recording_that_begins_in_mid_stream_has_only_its_decodable_frames(
    tmp_path: Path,
) -> None:
    whole = write_video(tmp_path / "whole.ts", numbered_frames(60), gop_size=20)
    cut = tmp_path / "cut.ts"
    data = whole.read_bytes()
    tables = data[: 3 * 188]
    cut.write_bytes(tables + data[len(data) // 188 // 5 * 188 :])
    reference = in_order(cut)
    with open_video(cut) as video:
        assert 0 < video.num_frames == len(reference) < 60
        np.testing.assert_array_equal(all_frames(video), reference)
        np.testing.assert_array_equal(video.frames_at([3, 1]), [reference[3], reference[1]])
        assert video.pts_s[0] == 0


def test_recordings_joined_end_to_end_follow_each_other(tmp_path: Path) -> None:
    single = write_video(tmp_path / "single.ts", numbered_frames(60))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(single.read_bytes() * 2)
    with open_video(joined) as video:
        assert read_numbers(all_frames(video)) == [*range(60), *range(60)]
        assert np.all(np.diff(video.pts_s) > 0.03)
        assert video.duration_s == pytest.approx(120 / 25, abs=0.05)


def times(*stamps: int | None) -> list[float]:
    return presentation_times_s(stamps, time_base=Fraction(1, 10), rate_fps=5).tolist()


def test_missing_stamps_are_set_between_their_neighbours() -> None:
    assert times(None, None, None) == pytest.approx([0, 0.2, 0.4])
    assert times(7, None, None, 13) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert times(None, 4, 5, 6, None) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert times(None, 4) == pytest.approx([0, 0.2])


def test_stamps_out_of_order_are_sorted_and_far_falls_begin_another_recording() -> None:
    assert times(1, 2, 4, 3, 5) == pytest.approx([0, 0.1, 0.3 - 0.1, 0.3, 0.4])
    assert times(100, 101, 102, 1, 2) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@given(
    st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), min_size=1, max_size=30),
    st.sampled_from([Fraction(1, 25), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1)]),
)
def test_every_timeline_begins_at_zero_and_never_decreases(
    stamps: list[int | None], time_base: Fraction
) -> None:
    seconds = presentation_times_s(stamps, time_base=time_base, rate_fps=25)
    assert seconds.shape == (len(stamps),) and seconds.dtype == np.float64
    assert seconds[0] == 0
    assert np.all(np.diff(seconds) >= 0) and np.all(np.isfinite(seconds))


# --- Upright pictures, colours, sizes ------------------------------------------------------------


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotated_and_mirrored_video_is_read_upright(
    rotation: int, mirrored: bool, tmp_path: Path
) -> None:
    upright = numbered_frames(5, 64, 96)
    # A player rotates first and mirrors then.
    stored = upright[:, :, ::-1] if mirrored else upright
    stored = np.rot90(stored, rotation // 90, axes=(1, 2))
    path = write_video(tmp_path / "turned.mp4", stored, rotation=rotation, hflip=mirrored)
    with open_video(path) as video:
        assert (video.height, video.width) == (64, 96)
        if not mirrored:
            assert video.rotation == rotation
        frames = all_frames(video)
        assert frames.shape == (5, 64, 96, 3)
        assert read_numbers(frames) == list(range(5))
        assert np.abs(frames.astype(int) - upright).mean() < 8
        assert read_number(video.frames_at([3], size=(32, 48))[0]) == 3


BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)


def rgb_of_yuv(yuv: np.ndarray, *, weights: tuple[float, float], full: bool) -> np.ndarray:
    """Convert (3, H, W) 8-bit YUV to RGB by the definition (ITU-R BT.601, BT.709, BT.2020)."""
    red_weight, blue_weight = weights
    y, u, v = yuv.astype(np.float64)
    if full:
        luma, u, v = y, u - 128, v - 128
    else:
        luma, u, v = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    red = luma + 2 * (1 - red_weight) * v
    blue = luma + 2 * (1 - blue_weight) * u
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize(
    ("tag", "weights"),
    [(1, BT709), (5, BT601), (6, BT601), (9, BT2020), (2, BT601)],
    ids=["bt709", "bt601_pal", "bt601_ntsc", "bt2020", "untagged_is_bt601"],
)
def test_colours_follow_the_tags(
    tag: int, weights: tuple[float, float], full: bool, tmp_path: Path
) -> None:
    # Flat patches, stored without loss, in YUV that is chosen here: no encoder's opinion.
    patches = np.random.default_rng(0).integers(30, 220, (3, 6, 8), dtype=np.uint8)
    yuv = patches.repeat(8, axis=1).repeat(8, axis=2)
    path = write_video(
        tmp_path / "colours.mp4",
        yuv[np.newaxis],
        pix_fmt="yuvj444p" if full else "yuv444p",
        codec_options={"qp": "0"},
        colorspace=tag,
        color_range=2 if full else 1,
    )
    with open_video(path) as video:
        frame = video.frames_at([0])[0]
    expected = rgb_of_yuv(yuv, weights=weights, full=full)
    np.testing.assert_allclose(frame, expected, atol=1)
    assert np.abs(frame - rgb_of_yuv(yuv, weights=weights, full=not full)).max() > 10


def test_ten_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    frames = numbered_frames(3)
    path = write_video(tmp_path / "deep.mp4", frames, codec="libx265", pix_fmt="yuv444p10le")
    with open_video(path) as video:
        assert np.abs(all_frames(video).astype(int) - frames).mean() < 8


def test_alpha_is_dropped_and_the_colour_behind_it_kept(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 4), dtype=np.uint8)
    colours[:, :, :32, 3] = 0
    path = write_video(tmp_path / "alpha.mkv", colours, codec="ffv1", pix_fmt="bgra")
    with open_video(path) as video:
        np.testing.assert_array_equal(all_frames(video), colours[..., 2::-1])


@pytest.mark.parametrize("size", [(24, 32), (96, 128), (24, 128), (96, 32), (48, 64), (1, 1)])
def test_frames_are_resized_to_the_asked_size(size: tuple[int, int], clip: Path) -> None:
    with open_video(clip) as video:
        frames = video.frames_at([4, 4, 9], size=size)
        assert frames.shape == (3, *size, 3)
        if min(size) > 8:
            assert read_numbers(frames) == [4, 4, 9]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(48, 64), (31, 45), (128, 171), (30, 200)])
def test_one_pass_to_a_size_is_near_converting_first_and_then_averaging(
    pix_fmt: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """Within 4 levels on average and 40 anywhere, on pictures whose colours are not clipped."""
    y, x = np.mgrid[0:120, 0:160]
    waves = [np.sin(x / 17 + k) + np.cos(y / (11 + 2 * k)) for k in range(3)]
    picture = (128 + 40 * np.stack(waves, axis=-1)).astype(np.uint8)
    path = write_video(tmp_path / "waves.mkv", [picture] * 3, codec="ffv1", pix_fmt=pix_fmt)
    with open_video(path) as video:
        full, (small,) = video.frames_at([1])[0], video.frames_at([1], size=size)
    shrunk = cv2.resize(full, (min(size[1], 160), min(size[0], 120)), interpolation=cv2.INTER_AREA)
    reference = cv2.resize(shrunk, size[::-1], interpolation=cv2.INTER_LINEAR)
    difference = np.abs(small.astype(int) - reference)
    assert difference.mean() <= 4 and difference.max() <= 40


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize(
    ("name", "pix_fmt", "rotation", "hflip"),
    [
        ("a.mp4", "yuv420p", 0, False),
        ("b.mp4", "yuv444p", 90, False),
        ("c.mp4", "yuv420p", 180, False),
        ("d.mp4", "yuv422p", 270, True),
        ("e.mp4", "yuv420p10le", 0, True),
    ],
)
def test_a_crop_is_a_part_of_the_whole_picture(
    name: str,
    pix_fmt: str,
    rotation: int,
    hflip: bool,
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"crop_{name}"
    if not path.exists():
        frames = numbered_frames(3, 50, 70)
        write_video(path, frames, pix_fmt=pix_fmt, rotation=rotation, hflip=hflip)
    with open_video(path) as video:
        top = data.draw(st.integers(0, video.height - 8))
        left = data.draw(st.integers(0, video.width - 8))
        height = data.draw(st.integers(8, video.height - top))
        width = data.draw(st.integers(8, video.width - left))
        crop = (top, left, height, width)
        cropped = video.frames_at([2, 0], crop=crop)
        part = video.frames_at([2, 0])[:, top : top + height, left : left + width]
        assert cropped.shape == part.shape
        np.testing.assert_array_equal(cropped, part)


@pytest.mark.parametrize("crop", [(10, 20, 60, 80), (11, 21, 61, 79), (1, 1, 90, 120)])
def test_a_crop_with_a_size_is_that_part_averaged(
    crop: tuple[int, int, int, int], tmp_path: Path
) -> None:
    y, x = np.mgrid[0:96, 0:128]
    wave = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)
    frames = np.stack([wave, 255 - wave, (x + y) % 256], axis=-1).astype(np.uint8)[None]
    path = write_video(tmp_path / "a.mp4", frames)
    top, left, height, width = crop
    with open_video(path) as video:
        (part,) = video.frames_at([0])[:, top : top + height, left : left + width]
        (resized,) = video.frames_at([0], size=(24, 32), crop=crop)
    expected = cv2.resize(part, (32, 24), interpolation=cv2.INTER_AREA)
    assert np.abs(resized.astype(int) - expected).mean() < 4


def test_a_crop_may_be_resized_to_the_size_of_the_video(clip: Path) -> None:
    with open_video(clip) as video:
        part = video.frames_at([7], crop=(0, 0, 24, 64), size=(48, 64))  # the number alone
        assert part.shape == (1, 48, 64, 3)
        assert np.abs(part[0, ::2].astype(int) - video.frames_at([7])[0, :24]).mean() < 3


def test_a_crop_of_the_whole_picture_changes_nothing(clip: Path) -> None:
    with open_video(clip) as video:
        whole = video.frames_at([3], size=(24, 30))
        np.testing.assert_array_equal(
            video.frames_at([3], size=(24, 30), crop=(0, 0, 48, 64)), whole
        )


@pytest.mark.parametrize("size", [(10,), (10, 10, 10), "ab", 10, (1.5, 2)])
def test_a_size_that_is_no_pair_is_refused(size: Any, clip: Path) -> None:
    with open_video(clip) as video:
        with pytest.raises(ValueError, match=r"size is .*Give \(height, width\)"):
            video.frames_at([0], size=size)
        with pytest.raises(ValueError, match=r"size is .*Give \(height, width\)"):
            video.frames(size=size)


@pytest.mark.parametrize(
    "crop",
    [(1, 2, 3), "all", (0, 0, 0, 4), (-1, 0, 4, 4), (0, 61, 4, 4), (45, 0, 4, 4), (0, 0, 4, -4)],
)
def test_a_crop_outside_the_picture_is_refused(crop: tuple[int, int, int, int], clip: Path) -> None:
    with open_video(clip) as video, pytest.raises(ValueError, match=r"crop is .* 48 x 64 pixels"):
        video.frames_at([0], crop=crop)


def test_a_crop_of_a_stream_that_changes_size_is_of_the_first_size(tmp_path: Path) -> None:
    frames = [numbered_frames(4, *size)[n] for n, size in enumerate([(48, 64), (96, 128)] * 2)]
    path = write_mjpeg(tmp_path / "a.mkv", frames, pts=[0, 40, 80, 120])
    with open_video(path) as video:
        cropped = video.frames_at([0, 1, 2, 3], crop=(24, 0, 24, 64))
        assert cropped.shape == (4, 24, 64, 3)
        small = video.frames_at([0, 1, 2, 3])[:, 24:]
        assert np.abs(cropped.astype(int) - small).mean() < 4


def test_shrinking_averages_instead_of_skipping_pixels(tmp_path: Path) -> None:
    stripes = np.zeros((3, 48, 64, 3), np.uint8)
    stripes[:, :, ::2] = 200
    path = write_video(tmp_path / "stripes.mkv", stripes, codec="ffv1", pix_fmt="bgr0")
    with open_video(path) as video:
        small = video.frames_at([1], size=(24, 32))
    assert np.all(np.abs(small.astype(int) - 100) <= 2)


# --- The caller's mistakes -----------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, COUNT, 10**9])
def test_an_index_out_of_range_is_refused(index: int, clip: Path) -> None:
    with (
        open_video(clip) as video,
        pytest.raises(ValueError, match=rf"frame {index} was asked for.*\n?.*Ask for 0 to 29"),
    ):
        video.frames_at([0, index])


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_a_size_below_one_is_refused(size: tuple[int, int], clip: Path) -> None:
    with open_video(clip) as video, pytest.raises(ValueError, match=r"size is .*Give \(height"):
        video.frames_at([0], size=size)


def test_negative_threads_are_refused(clip: Path) -> None:
    with pytest.raises(ValueError, match=r"threads is -1\. Give 0"):
        open_video(clip, threads=-1)


def test_a_closed_video_says_so(clip: Path) -> None:
    video = open_video(clip)
    video.close()
    video.close()
    assert video.num_frames == COUNT
    with pytest.raises(ValueError, match=r"is closed\. Open it again"):
        video.frames_at([0])


def test_the_timeline_cannot_be_overwritten(clip: Path) -> None:
    with open_video(clip) as video, pytest.raises(ValueError, match="read-only"):
        video.pts_s[0] = 1


# --- Files that cannot be read -------------------------------------------------------------------


def refused(path: Path, *parts: str) -> None:
    """Opening says the file's name and each part, in one or two lines, and has a cause."""
    with pytest.raises(VideoError) as caught:
        open_video(path)
    message = str(caught.value)
    for part in (path.name, *parts):
        assert part in message
    assert message.count("\n") == 0


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "missing.mp4", "no such file", "Check the path")
    refused(tmp_path / "missing" / "clip.mp4", "no such file")
    refused(tmp_path, "is a folder", "Name a file in it")
    with pytest.raises(VideoError, match="cannot be a file name"):
        open_video("a\0b.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    refused(pipe, "is a pipe or device", "Save it to a file")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    refused(path, "is empty (0 bytes)", "download it again")


def test_text_under_a_video_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("this is not a video\n" * 100)
    refused(path, "is not a video", "Invalid data", "Replace it")
    with pytest.raises(VideoError) as caught:
        open_video(path)
    assert isinstance(caught.value.__cause__, av.FFmpegError)


def test_a_title_in_an_unknown_encoding_costs_nothing(clip: Path) -> None:
    data = clip.read_bytes()
    assert b"VideoHandler" in data
    clip.write_bytes(data.replace(b"VideoHandler", b"\xff\xe9" * 6))
    with open_video(clip) as video:
        assert read_numbers(video.frames_at([5])) == [5]


def test_a_file_without_permission_is_refused(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip.chmod(0)
    try:
        if os.access(clip, os.R_OK):  # the superuser and some systems read everything
            denied = PermissionError(13, "Permission denied")
            monkeypatch.setattr(av, "open", lambda *_, **__: (_ for _ in ()).throw(denied))
        refused(clip, "no permission", "Change the file's permissions")
    finally:
        clip.chmod(0o600)


def write_song(path: Path, *, cover: bool) -> Path:
    """An mp3, with a cover picture in an ID3v2.3 tag before it."""
    with av.open(str(path), "w", format="mp3") as out:
        stream = out.add_stream("libmp3lame", rate=44100)
        silence = av.AudioFrame.from_ndarray(
            np.zeros((2, 4608), np.float32), format="fltp", layout="stereo"
        )
        silence.sample_rate, silence.pts = 44100, 0
        out.mux([*stream.encode(silence), *stream.encode(None)])
    if cover:
        picture = b"\0image/jpeg\0\x03\0" + jpeg_bytes(numbered_frames(1)[0])
        frame = b"APIC" + struct.pack(">IH", len(picture), 0) + picture
        size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
        path.write_bytes(b"ID3\x03\0\0" + size + frame + path.read_bytes())
    return path


def test_sound_alone_is_refused_and_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    refused(write_song(tmp_path / "song.mp3", cover=False), "has no video, only audio.")
    with av.open(str(write_song(tmp_path / "cover.mp3", cover=True))) as container:
        assert len(container.streams.video) == 1  # what FFmpeg takes for one
    refused(tmp_path / "cover.mp3", "only audio and a cover picture", "Name a video file")


def test_an_unknown_codec_is_refused(clip: Path) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    refused(clip, "no decoder", "Re-encode")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["h264.mp4", "faststart.mp4", "h264.mkv", "mpeg4.avi", "vp9.webm"])
def test_a_file_cut_short_gives_its_whole_frames_or_an_error(
    kind: str, part: float, tmp_path: Path
) -> None:
    codec = {"mpeg4.avi": "mpeg4", "vp9.webm": "libvpx-vp9"}.get(kind, "libx264")
    options = {"movflags": "faststart"} if kind == "faststart.mp4" else {}
    path = write_video(tmp_path / kind, numbered_frames(60), codec=codec, container_options=options)
    whole = in_order(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    num_in_order = 0
    with contextlib.suppress(av.FFmpegError, IndexError), av.open(str(path)) as container:
        for _ in container.decode(video=0):
            num_in_order += 1
    try:
        with open_video(path) as video:
            frames = all_frames(video)
    except VideoError as error:
        assert kind in str(error) and "Replace it" in str(error)
        assert not num_in_order
    else:
        # Of the packet that is cut through, the decoder may make half a picture; it is left out.
        assert len(frames) >= num_in_order - 1
        numbers = read_numbers(frames)  # a B-frame may be cut off and the one behind it not
        assert numbers == sorted(numbers)
        np.testing.assert_array_equal(frames, [whole[number] for number in numbers])


def damaged_tail(path: Path) -> Path:
    """An mp4 whose packets from the middle on are overwritten with nonsense."""
    write_video(path, numbered_frames(60), gop_size=10, container_options={"movflags": "faststart"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[30:]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def test_damage_costs_only_the_frames_behind_it(tmp_path: Path) -> None:
    path = damaged_tail(tmp_path / "tail.mp4")
    with open_video(path) as video:
        assert video.num_frames == 60
        assert read_numbers(video.frames_at([9, 0, 20])) == [9, 0, 20]
        with pytest.raises(VideoError, match=r"tail\.mp4: frame 55 .*decode.*Replace it"):
            video.frames_at([55])
        assert read_numbers(video.frames_at([21, 3])) == [21, 3]


def test_a_frame_the_decoder_leaves_out_is_named(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "hidden.mp4", numbered_frames(COUNT), codec="libvpx-vp9", gop_size=10
    )
    with av.open(str(path)) as container:
        packets = [(p.pos, p.is_keyframe) for p in container.demux(video=0) if p.size]
    hidden = 10
    position, is_key = packets[hidden]
    assert is_key
    data = bytearray(path.read_bytes())
    data[position] &= ~0b10  # VP9's show_frame: decoded, referred to, never shown
    path.write_bytes(data)
    assert len(in_order(path)) == COUNT - 1
    with open_video(path) as video:
        with pytest.raises(VideoError, match=r"hidden\.mp4: frame 10 of 30 is listed.*Replace it"):
            video.frames_at([0, hidden])
        assert read_numbers(video.frames_at([11, 9, 29])) == [11, 9, 29]


def test_names_with_colons_spaces_accents_and_links_are_opened(clip: Path) -> None:
    for name in ("with space.mp4", "für élise.MP4", "100%d.mp4"):
        copy = clip.with_name(name)
        copy.write_bytes(clip.read_bytes())
        with open_video(copy) as video:
            assert video.path == copy
            assert video.num_frames == COUNT
    if os.name == "posix":
        link = clip.with_name("http:link.mp4")
        link.symlink_to(clip)
        with open_video(link) as video:
            assert read_numbers(video.frames_at([2])) == [2]


def test_a_relative_name_like_a_protocol_is_a_file(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name != "posix":
        pytest.skip("no colons in file names here")
    clip.rename(clip.with_name("rtsp:clip.mp4"))
    monkeypatch.chdir(clip.parent)
    with open_video("rtsp:clip.mp4") as video:
        assert video.num_frames == COUNT


def test_ffmpeg_stays_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = damaged_tail(tmp_path / "tail.mp4")
    notes = tmp_path / "notes.mp4"
    notes.write_text("no video")
    capfd.readouterr()
    with open_video(broken) as video, pytest.raises(VideoError):
        video.frames_at([59])
    with pytest.raises(VideoError):
        open_video(notes)
    assert capfd.readouterr() == ("", "")


# --- Real files ----------------------------------------------------------------------------------


def test_every_hard_file_reads_as_in_order_or_is_refused(shared_dir: Path) -> None:
    files = sorted(path for path in (shared_dir / "data" / "hard").glob("*") if path.is_file())
    assert files
    without_frames = []
    for path in files:
        try:
            with open_video(path) as video:
                turned = all_frames(video)
                rotation = video.rotation
        except VideoError as error:
            assert str(path) in str(error)
            without_frames.append(path.name)
            continue
        frames = np.rot90(turned, rotation // 90, axes=(1, 2))
        reference = in_order(path)
        assert len(frames) == len(reference) == len(video.pts_s), path
        assert video.pts_s[0] == 0 and np.all(np.diff(video.pts_s) >= 0), path
        assert video.duration_s > 0 and video.fps > 0, path
        for frame, expected in zip(frames, reference, strict=True):
            np.testing.assert_array_equal(frame, expected, err_msg=str(path))
    sound = [path.name for path in files if path.suffix in (".wav", ".mp3")]
    assert sorted(without_frames) == sorted([*sound, "decord__corrupted.mp4"])


@pytest.mark.parametrize(
    ("name", "rotation", "size"),
    [
        ("decord__video_0.mov", 0, (320, 568)),
        ("decord__video_90.mov", 90, (568, 320)),
        ("decord__video_180.mov", 180, (320, 568)),
        ("decord__video_270.mov", 270, (568, 320)),
        ("torchcodec__nasa_13013_rotated.mp4", 270, (480, 270)),
    ],
)
def test_phones_recordings_stand_upright(
    name: str, rotation: int, size: tuple[int, int], shared_dir: Path
) -> None:
    with open_video(shared_dir / "data" / "hard" / name) as video:
        assert video.rotation == rotation
        assert (video.height, video.width) == size
        assert video.frames_at([0]).shape == (1, *size, 3)


def test_packed_b_frames_get_an_even_timeline(shared_dir: Path) -> None:
    name = "c3d__v_ApplyEyeMakeup_g01_c01.avi"
    with open_video(shared_dir / "data" / "hard" / name) as video:
        np.testing.assert_allclose(video.pts_s, np.arange(164) / 25, atol=1e-9)
