"""Kept flow: the numbers of computing anew, or it is computed anew."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from test_flow import SIZE, flow_stream, make_record, moving_texture
from video_files import write_video

from cliptide.configs.errors import VideoError
from cliptide.datasets.streams import flow_cache
from cliptide.datasets.streams.flow_cache import (
    FlowRule,
    bytes_in,
    default_folder,
    file_of,
    keep,
    open_kept,
    precompute,
)

RULE = FlowRule(SIZE, "resize", "dis")
HOW = {"size": SIZE, "fit": "resize", "method": "dis"}


@pytest.fixture
def clip(tmp_path) -> Path:
    # More frames than are computed at once, with a part left over.
    return write_video(tmp_path / "clip.mp4", moving_texture(40, size=(96, 128), shift=(0.5, 0.3)))


@pytest.fixture
def short(tmp_path) -> Path:
    return write_video(tmp_path / "short.mp4", moving_texture(6, size=(96, 128), shift=(0.5, 0.3)))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "kept"


def computed(path, **values):
    with flow_stream(**values).open(make_record(path)) as track:
        return track.steps(range(len(track.pts_s)))


def made(path, folder, **values):
    return list(precompute([make_record(path)], **(HOW | values), folder=folder, workers=0))


@pytest.mark.parametrize("fit", ["resize", "letterbox", "crop"])
@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_kept_flow_equals_computing_it_to_the_byte(clip, folder, fit, method) -> None:
    (item,) = made(clip, folder, fit=fit, method=method)
    kept = open_kept(folder, clip, FlowRule(SIZE, fit, method))
    assert kept is not None
    assert kept.num_flows == 39
    assert item.num_bytes == kept.num_bytes > 0
    kept.close()
    assert (
        computed(clip, folder=folder, fit=fit, method=method)
        == computed(clip, fit=fit, method=method)
    ).all()


def test_kept_flow_of_repeated_frames_is_that_of_computing_and_takes_no_room(
    tmp_path, folder
) -> None:
    moving = moving_texture(21, size=(96, 128))
    once = write_video(tmp_path / "once.mp4", moving)
    twice = write_video(tmp_path / "twice.mp4", moving.repeat(2, axis=0))
    (of_once,), (of_twice,) = made(once, folder), made(twice, folder)
    assert of_twice.num_bytes < 1.2 * of_once.num_bytes
    assert (computed(twice, folder=folder) == computed(twice)).all()


def test_kept_flow_is_read_and_not_computed(clip, folder, tmp_path) -> None:
    """The file of another video in the place of this one's would be believed."""
    other = write_video(tmp_path / "other.mp4", moving_texture(40, size=(96, 128), shift=(-1, 0)))
    made(clip, folder)
    stamp = flow_cache._stamp_of(clip)
    with file_of(folder, clip, RULE).open("wb") as file, flow_cache.open_video(other) as video:
        flow_cache.write_flow(file, flow_cache.codes_in_order(video, RULE), stamp, SIZE)
    assert (computed(clip, folder=folder) == computed(other)).all()


def test_each_size_fit_and_method_is_kept_apart(clip, folder) -> None:
    rules = [
        RULE,
        FlowRule((32, 32), "resize", "dis"),
        FlowRule(SIZE, "crop", "dis"),
        FlowRule(SIZE, "resize", "farneback"),
    ]
    for rule in rules:
        keep(folder, clip, rule)
    assert len({file_of(folder, clip, rule) for rule in rules}) == len(list(folder.iterdir())) == 4


def test_what_is_there_is_not_computed_again(clip, folder) -> None:
    records = [make_record(clip, end_s=0.5), make_record(clip, start_s=0.5)]
    (first,) = precompute(records, **HOW, folder=folder, workers=0)
    (second,) = precompute(records, **HOW, folder=folder, workers=0)
    assert (first.was_kept, second.was_kept) == (False, True)
    assert first.num_bytes == second.num_bytes == file_of(folder, clip, RULE).stat().st_size


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_cut_short_is_computed_again(short, folder, share) -> None:
    right = computed(short)
    made(short, folder)
    file = file_of(folder, short, RULE)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    assert (computed(short, folder=folder) == right).all()
    assert not made(short, folder)[0].was_kept
    assert made(short, folder)[0].was_kept


def test_no_changed_byte_gives_wrong_frames(short, folder) -> None:
    right = computed(short)
    made(short, folder)
    file = file_of(folder, short, RULE)
    whole = file.read_bytes()
    for place in [0, 20, *range(100, len(whole), len(whole) // 7), len(whole) - 30, len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        assert (computed(short, folder=folder) == right).all(), place
        # A field that was found damaged is gone from disk, so it is made again.
        assert not made(short, folder)[0].was_kept, place
        assert file.read_bytes() == whole


def test_a_video_that_changed_is_computed_again(short, folder) -> None:
    made(short, folder)
    write_video(short, moving_texture(6, size=(96, 128), shift=(-1, 0), seed=1))
    assert (computed(short, folder=folder) == computed(short)).all()
    assert not made(short, folder)[0].was_kept
    assert len(list(folder.iterdir())) == 1
    assert (computed(short, folder=folder) == computed(short)).all()


def test_processes_make_the_files_that_this_one_would(tmp_path, folder) -> None:
    paths = [
        write_video(tmp_path / f"{n}.mp4", moving_texture(6, size=(48, 64), seed=n))
        for n in range(5)
    ]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(paths[0].read_bytes()[:300])
    records = [make_record(path) for path in [*paths, broken]]
    items = list(precompute(records, **HOW, folder=folder, workers=2))
    assert {item.path for item in items} == {*paths, broken}
    for item in items:
        assert ("broken.mp4" in item.error) == (item.path == broken)
    alone = tmp_path / "alone"
    for path in paths:
        keep(alone, path, RULE)
        assert file_of(alone, path, RULE).read_bytes() == file_of(folder, path, RULE).read_bytes()
    assert len(list(folder.iterdir())) == len(paths)


def test_processes_that_are_stopped_leave_no_parts(tmp_path, folder, short) -> None:
    long = write_video(tmp_path / "long.mp4", moving_texture(400, size=(96, 128), shift=(0.1, 0)))
    other = shutil.copy(long, tmp_path / "other.mp4")
    folder.mkdir()
    of_another_run = folder / "0.1.part"
    of_another_run.touch()
    records = [make_record(path) for path in (short, long, other)]
    making = precompute(records, **HOW, folder=folder, workers=2)
    next(making)
    while len(list(folder.glob("*.part"))) == 1:
        time.sleep(0.001)
    making.close()
    assert list(folder.glob("*.part")) == [of_another_run]


def test_of_old_parts_only_its_own_are_removed(folder, short) -> None:
    keep(folder, short, RULE)
    ours = file_of(folder, short, RULE).with_suffix(f".{'0f' * 16}.part")
    theirs = folder / "film.mkv.part"
    for part in (ours, theirs):
        part.write_bytes(b"half of it")
        two_days_ago = time.time() - 2 * 24 * 3600
        os.utime(part, (two_days_ago, two_days_ago))
    made(short, folder)
    assert (ours.exists(), theirs.exists()) == (False, True)


def test_the_size_of_a_folder_is_that_of_the_flow_in_it(clip, short, folder) -> None:
    assert bytes_in(folder) == 0
    sizes = [made(path, folder)[0].num_bytes for path in (clip, short)]
    (folder / "film.mkv.part").write_bytes(b"half of it")
    assert bytes_in(folder) == sum(sizes)


def test_writing_one_file_at_once_harms_nobody(clip, folder) -> None:
    right = computed(clip)
    keep(folder, clip, RULE)
    writers = [threading.Thread(target=keep, args=(folder, clip, RULE)) for _ in range(3)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        kept = open_kept(folder, clip, RULE)
        assert kept is not None
        assert (kept.codes([3, 38]) == right[[3, 38], ..., :2]).all()
        kept.close()
    assert [file.suffix for file in folder.iterdir()] == [".flow"]


def test_a_folder_that_cannot_be_written_is_said_once_and_reading_goes_on(clip, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    other = write_video(tmp_path / "other.mp4", moving_texture(4))
    records, folder = [make_record(clip), make_record(other)], tmp_path / "file" / "kept"
    with pytest.warns(RuntimeWarning, match=r"cannot be kept in .*kept.*--steps\.flow_cache") as w:
        (item,) = precompute(records, **HOW, folder=folder, workers=0)
    assert len(w) == 1
    assert item.unwritable
    assert (computed(clip, folder=folder) == computed(clip)).all()


def test_a_full_disk_leaves_no_part_behind(clip, folder) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.warns(RuntimeWarning, match="cannot be kept"):
            (item,) = made(clip, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert item.unwritable
    assert list(folder.iterdir()) == []


def test_a_video_damaged_midway_is_said_and_not_kept_but_its_whole_part_is_read(
    clip, folder
) -> None:
    right = computed(clip)[:5]
    whole = clip.read_bytes()
    middle, quarter = len(whole) // 2, len(whole) // 4
    clip.write_bytes(whole[:middle] + bytes(quarter) + whole[middle + quarter :])
    (item,) = made(clip, folder)
    assert "clip.mp4: frame" in item.error
    assert list(folder.iterdir()) == []
    with flow_stream(folder=folder).open(make_record(clip)) as track:
        assert (track.steps(range(5)) == right).all()
        with pytest.raises(VideoError, match=r"clip\.mp4"):
            track.steps(range(40))


def test_the_folder_is_the_users_cache(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "cliptide" / "flow"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert default_folder() == tmp_path / "me" / ".cache" / "cliptide" / "flow"


def test_reading_flow_imports_no_torch() -> None:
    code = (
        "import sys, cliptide.datasets.streams.flow; "
        "sys.exit(any(n in sys.modules for n in ('torch', 'albumentations')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
