"""What reading a file to its end tells of it: all is well, or what is wrong and where."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_files import numbered_frames, write_video

from cliptide.datasets.checking.comparing import near_pairs, same_content
from cliptide.datasets.video import open_video
from cliptide.datasets.video.examine import examine
from cliptide.datasets.video.likeness import HASHED_FRAMES, hashed_indices
from cliptide.datasets.video.unevenness import is_uneven

NUM_FRAMES = 50


def noisy_frames(count=NUM_FRAMES, *, seed=0, height=96, width=128):
    """Frames that do not compress to nothing, so that bytes in the middle are pictures."""
    noise = np.random.default_rng(seed).integers(-12, 13, (count, height, width, 3))
    return np.clip(numbered_frames(count, height, width) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """One content in several containers; only to read."""
    folder = tmp_path_factory.mktemp("clips")
    frames = noisy_frames()
    write_video(folder / "clip.mp4", frames)
    write_video(folder / "fast.mp4", frames, container_options={"movflags": "faststart"})
    write_video(folder / "clip.mkv", frames)
    write_video(folder / "clip.avi", frames, codec="mjpeg", pix_fmt="yuvj420p")
    return folder


def changed(source: Path, target: Path, *, keep: float = 1.0, spoil: int = 0) -> Path:
    """Copy a file, cut short or with bytes in the middle overwritten."""
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + spoil] = np.random.default_rng(1).bytes(spoil)
    target.write_bytes(data[: int(keep * len(data))])
    return target


@pytest.mark.parametrize("name", ["clip.mp4", "fast.mp4", "clip.mkv", "clip.avi"])
def test_a_healthy_file_is_ok_in_every_container(clips, name):
    found = examine(clips / name)
    assert (found.status, found.problem, found.at_s) == ("ok", "", None)
    assert found.num_frames == NUM_FRAMES
    assert found.header_frames == (None if name.endswith("mkv") else NUM_FRAMES)
    assert (found.width, found.height, found.rotation) == (128, 96, 0)
    assert found.duration_s == pytest.approx(NUM_FRAMES / 25)
    assert found.fps == pytest.approx(25)
    assert not found.variable_rate
    assert found.num_bytes == (clips / name).stat().st_size
    assert len(found.looks) == HASHED_FRAMES


def test_pictures_are_the_same_whatever_the_container(clips):
    one, other = examine(clips / "clip.mp4"), examine(clips / "clip.mkv")
    assert one.frames_hash == other.frames_hash
    assert one.content_hash != other.content_hash
    assert one.frames_hash != examine(clips / "clip.avi").frames_hash


def test_an_index_that_is_cut_off_says_where_the_file_ends(clips, tmp_path):
    found = examine(changed(clips / "clip.mp4", tmp_path / "x.mp4", keep=0.7))
    size = (tmp_path / "x.mp4").stat().st_size
    assert found.status == "unreadable"
    assert found.problem.startswith(f"cut short: it ends at byte {size:,} of at least ")


@pytest.mark.parametrize("name", ["fast.mp4", "clip.avi", "clip.mkv"])
def test_a_file_cut_short_tells_how_much_is_there(clips, tmp_path, name):
    found = examine(changed(clips / name, tmp_path / name, keep=0.6))
    assert found.status in ("cut short", "unreadable")
    assert 10 < found.num_frames < 45
    assert found.at_s == pytest.approx(found.duration_s)
    of = " of 2.00 s" if name == "clip.mkv" else f"{found.num_frames} of {NUM_FRAMES} frames"
    assert "cut short: " in found.problem
    assert of in found.problem


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv"])
def test_damage_in_the_middle_is_placed(clips, tmp_path, name):
    found = examine(changed(clips / name, tmp_path / name, spoil=1500))
    assert found.status in ("damaged", "unreadable")
    assert found.problem.startswith("damaged at frame ")
    assert 0.3 < found.at_s < 1.6
    assert f"({found.at_s:.2f} s)" in found.problem


def test_uneven_times_and_rotation_are_named(tmp_path):
    frames = numbered_frames(12)
    uneven = [0, 40, 100, 120, 200, 220, 300, 400, 410, 500, 600, 610]
    assert examine(write_video(tmp_path / "vfr.mp4", frames, pts=uneven)).variable_rate
    found = examine(write_video(tmp_path / "turned.mp4", frames, rotation=90))
    assert (found.rotation, found.width, found.height) == (90, 48, 64)
    assert not found.variable_rate


def test_rounded_times_and_a_single_gap_are_no_variable_rate():
    times_s = np.round(np.arange(100) / 30, 3)
    assert not is_uneven(times_s, tick_s=0.001)
    times_s[50:] += 0.5
    assert not is_uneven(times_s, tick_s=0.001)
    assert not is_uneven(np.zeros(1), tick_s=0.001)


def test_an_encrypted_file_is_called_so(tmp_path):
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16}
    path = write_video(
        tmp_path / "x.mp4", noisy_frames(), container_options=key | {"encryption_kid": "a7" * 16}
    )
    found = examine(path)
    assert (found.status, found.problem) == ("unreadable", "it is encrypted")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty (0 bytes)"),
        (b"no video at all\n", "it is text, not a video"),
        (b"<!DOCTYPE html><html></html>", "it is a web page, not a video: the download failed"),
        (bytes(5000), "it begins with zeros only: a copy or download that never finished"),
        (np.random.default_rng(0).bytes(5000), "is not a video FFmpeg can open, or it is damaged"),
    ],
)
def test_what_is_no_video_is_called_what_it_is(tmp_path, data, problem):
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    found = examine(path)
    assert found.status == "unreadable"
    assert found.problem.startswith(problem)


def test_what_is_no_file_is_refused_without_opening_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert "is a pipe or device" in examine(tmp_path / "pipe.mp4").problem
    assert "there is no such file" in examine(tmp_path / "gone.mp4").problem


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(clips, tmp_path):
    path = Path(shutil.copy(clips / "clip.mp4", tmp_path / "x.mp4"))
    path.chmod(0)
    assert examine(path).problem == "no permission to read it"


def scene(seed: int, *, side: int, count: int = 10) -> np.ndarray:
    """A smooth random picture, (count, side, side, 3), that brightens slowly."""
    picture = np.random.default_rng(seed).integers(30, 200, (12, 12, 3)).astype(np.uint8)
    picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.stack([np.clip(picture.astype(int) + i, 0, 255) for i in range(count)]).astype(
        np.uint8
    )


def test_looks_survive_another_size_and_quality(tmp_path):
    looks = [
        examine(write_video(tmp_path / name, frames, codec_options={"crf": crf})).looks
        for name, frames, crf in (
            ("one.mp4", scene(1, side=128), "18"),
            ("again.mp4", scene(1, side=64), "30"),
            ("other.mp4", scene(2, side=128), "18"),
        )
    ]
    splits = ["train", "test", "test"]
    (pair,) = near_pairs(looks, splits=splits, contents=[0, 1, 2])
    assert (pair.first, pair.second) == (0, 1)
    for spared in (
        {"splits": ["train", "train", "train"], "contents": [0, 1, 2]},
        {"splits": ["train", None, "train"], "contents": [0, 1, 2]},
        {"splits": splits, "contents": ["same", "same", 2]},
    ):
        assert not near_pairs(looks, **spared)


def test_near_pairs_are_those_of_comparing_each_with_each():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, (40, HASHED_FRAMES)).tolist()
    looks = base + [[bits ^ (1 << place) for bits in row] for place, row in enumerate(base)]
    pairs = near_pairs(looks, splits=["train"] * 40 + ["test"] * 40, contents=list(range(80)))
    assert pairs == [(i, i + 40, 1.0) for i in range(40)]
    blank = [[None] * HASHED_FRAMES] * 2
    assert near_pairs(blank, splits=["train", "test"], contents=[0, 1]) == []


def test_only_content_that_is_there_twice_is_grouped():
    assert same_content(["a", "b", None, "a", None]) == [[0, 3]]
    assert hashed_indices(1) == [0] * HASHED_FRAMES
    assert hashed_indices(50) == [5, 15, 25, 35, 45]


def test_videos_that_differ_in_a_few_rows_or_in_colour_alone_are_not_the_same(tmp_path):
    plain = np.full((10, 64, 64, 3), 90, np.uint8)
    moved, coloured = plain.copy(), plain.copy()
    moved[:, 17:23, 30:36] = 200
    videos = []
    for name, frames in (("plain", plain), ("moved", moved), ("coloured", coloured)):
        planes = [np.full((96, 64), 128, np.uint8) for _ in frames]
        for picture, frame in zip(planes, frames, strict=True):
            picture[:64] = frame[..., 0]
            picture[64:] = 60 if name == "coloured" else 128
        videos.append(write_video(tmp_path / f"{name}.mkv", planes, codec="ffv1"))
    assert len({examine(path).frames_hash for path in videos}) == 3
    again = write_video(tmp_path / "again.avi", planes, codec="ffv1")
    assert examine(again).frames_hash == examine(videos[-1]).frames_hash


def test_an_mp4_trimmed_by_its_edit_list_is_whole(tmp_path):
    path = write_video(tmp_path / "a.mp4", noisy_frames(), max_b_frames=0)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12  # version and flags, the number of entries, then its duration
    duration = int.from_bytes(data[at : at + 4], "big")
    data[at : at + 4] = (duration // 2).to_bytes(4, "big")
    path.write_bytes(data)
    found = examine(path)
    assert found.status == "ok", found.problem
    with open_video(path) as video:
        assert found.num_frames == video.num_frames < len(noisy_frames())
