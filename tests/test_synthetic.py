"""Synthetic videos: real files, UCF101's layout, and classes that only order tells apart."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cliptide.datasets.catalog import read_catalog
from cliptide.datasets.splits import make_splits
from cliptide.datasets.synthetic import (
    CLASS_NAMES,
    PAIRS,
    Look,
    clip_frames,
    write_dataset,
    write_new_video,
)
from cliptide.datasets.video import open_video

GROUPS, CLIPS, FRAMES, SIDE = 4, 2, 8, 32


def write(root: Path, *, seed: int = 0, groups: int = GROUPS) -> list[Path]:
    options = {"clips_per_group": CLIPS, "num_frames": FRAMES, "side": SIDE}
    return list(write_dataset(root, groups=groups, seed=seed, **options))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    written = write(root)
    assert len(written) == GROUPS * CLIPS * len(CLASS_NAMES)
    return root


def draw(label: str, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    texture = rng.integers(40, 140, (256, 256, 3), dtype=np.uint8)
    look = Look("disc", (250, 200, 20), texture)
    return clip_frames(label, num_frames=12, side=48, look=look, rng=rng)


def test_eight_classes_in_four_pairs() -> None:
    assert len(PAIRS) == 4
    assert len(set(CLASS_NAMES)) == 8
    assert tuple(sorted(CLASS_NAMES)) == CLASS_NAMES


def test_every_video_plays(dataset: Path) -> None:
    paths = sorted(dataset.rglob("*.mp4"))
    assert len(paths) == GROUPS * CLIPS * len(CLASS_NAMES)
    lengths = set()
    for path in paths:
        with open_video(path) as video:
            assert (video.height, video.width) == (SIDE, SIDE)
            assert video.fps == pytest.approx(12)
            assert FRAMES * 3 // 4 <= video.num_frames <= FRAMES
            assert len(video.frames_at(range(video.num_frames))) == video.num_frames
            lengths.add(video.num_frames)
    assert len(lengths) > 1, "lengths differ, as they do in life"


def test_the_layout_is_ucf101_with_an_official_split_and_no_torn_groups(dataset: Path) -> None:
    catalog = read_catalog(dataset, kind="auto", fold=1, group_regex=None)
    assert catalog.kind == "ucf101"
    assert catalog.class_names == CLASS_NAMES
    assert len(catalog.records) == GROUPS * CLIPS * len(CLASS_NAMES)
    plan = make_splits(catalog, seed=0, val_share=0.2, test_share=0.2)
    assert plan.origin == "official"
    assert plan.torn_groups == ()
    assert plan.groups_known
    for split in ("train", "val", "test"):
        labels = {record.label for record in plan.records if record.split == split}
        assert labels == set(CLASS_NAMES), split


def test_two_groups_are_enough_for_a_split(tmp_path: Path) -> None:
    write(tmp_path, groups=2)
    lists = tmp_path / "ucfTrainTestlist"
    train = (lists / "trainlist01.txt").read_text(encoding="utf-8").splitlines()
    test = (lists / "testlist01.txt").read_text(encoding="utf-8").splitlines()
    assert len(train) == len(test) == CLIPS * len(CLASS_NAMES)
    assert all("_g01_" in line for line in train)
    assert all("_g02_" in line for line in test)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(
    dataset: Path, tmp_path: Path
) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    write(again)
    write(other, seed=1)
    paths = [path.relative_to(dataset) for path in sorted(dataset.rglob("*.*"))]
    assert paths == [path.relative_to(again) for path in sorted(again.rglob("*.*"))]
    for path in paths:
        assert (again / path).read_bytes() == (dataset / path).read_bytes(), path
    videos = [path for path in paths if path.suffix == ".mp4"]
    assert all((other / p).read_bytes() != (dataset / p).read_bytes() for p in videos)


@pytest.mark.parametrize(("forwards", "backwards"), PAIRS)
@pytest.mark.parametrize("seed", range(5))
def test_a_pair_is_the_same_clip_in_either_direction(
    forwards: str, backwards: str, seed: int
) -> None:
    """So no single frame and no bag of frames can tell which of the two it is."""
    there, back = draw(forwards, seed), draw(backwards, seed)
    assert np.array_equal(back, there[::-1])
    assert not np.array_equal(back, there)


@pytest.mark.parametrize(("forwards", "backwards"), PAIRS)
def test_every_frame_of_a_clip_differs_from_the_next(forwards: str, backwards: str) -> None:
    frames = draw(forwards, 0).astype(int)
    assert np.abs(np.diff(frames, axis=0)).max(axis=(1, 2, 3)).min() > 50


@pytest.mark.parametrize(("forwards", "backwards"), PAIRS)
def test_a_pairs_lengths_come_from_one_distribution(
    dataset: Path, forwards: str, backwards: str
) -> None:
    def lengths(label: str) -> list[int]:
        found = []
        for path in sorted((dataset / label).glob("*.mp4")):
            with open_video(path) as video:
                found.append(video.num_frames)
        return found

    assert abs(np.mean(lengths(forwards)) - np.mean(lengths(backwards))) < 2


@pytest.mark.parametrize("direction", [1, -1])
def test_clockwise_is_clockwise_on_the_screen(direction: int) -> None:
    """From the top the disc goes on to the right, and mirrored it would go left."""
    frames = draw("clockwise" if direction > 0 else "anticlockwise", 3).astype(float)
    yellow = frames[..., 0] + frames[..., 1] - 2 * frames[..., 2] > 200
    yellow[:, 20:28, 20:28] = False  # the hub
    rows, columns = np.mgrid[:48, :48] - 23.5
    angles = [
        np.arctan2(np.average(rows, weights=m), np.average(columns, weights=m)) for m in yellow
    ]
    assert np.sign(np.diff(np.unwrap(angles))).tolist() == [direction] * 11


def test_a_new_video_has_a_look_of_its_own(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.mp4"
    write_new_video(path, "rise", num_frames=10, side=SIDE, seed=0)
    with open_video(path) as video:
        assert video.num_frames == 10
        new = video.frames_at([0])[0].astype(int)
    for known in sorted((dataset / "rise").glob("*.mp4")):
        with open_video(known) as video:
            assert np.abs(video.frames_at([0])[0].astype(int) - new).mean() > 5
