"""Long files are opened by their index alone, and read through in constant memory."""

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_files import numbered_frames, read_numbers, write_mjpeg, write_video

from cliptide.configs.errors import VideoError
from cliptide.datasets.video import Video, open_video, opening
from cliptide.datasets.video.ahead import read_ahead
from cliptide.datasets.video.table import IndexTable

COUNT = 60
OPEN_GROUPS = {"x264-params": "open-gop=1:keyint=8:min-keyint=8"}


@pytest.fixture
def everything_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliptide.datasets.video.listing.LONG_FROM_PACKETS", 1)


def uses_index(video: Video) -> bool:
    return isinstance(video._table, IndexTable)


def shifted(source: Path, path: Path, shifts: dict[int, int]) -> Path:
    """A copy whose packets (by place in decode order) are shown so many ticks later."""
    with av.open(str(source)) as read, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.size]
        for place, packet in enumerate(packets):
            packet.stream = stream
            packet.pts += shifts.get(place, 0)
            out.mux(packet)
    return path


# --- Opening by the index ------------------------------------------------------------------------


@pytest.mark.usefixtures("everything_is_long")
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {}),
        ("libx264", OPEN_GROUPS),
        ("libx265", {}),
        ("mpeg4", {}),
        ("libvpx-vp9", {}),
    ],
)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(indices=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=5))
def test_any_frames_of_a_long_file_are_the_same_as_of_a_short_one(
    codec: str,
    options: dict[str, str],
    indices: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{codec}{len(options)}.mp4"
    if not path.exists():
        write_video(path, numbered_frames(COUNT), codec=codec, gop_size=8, codec_options=options)
    with open_video(path) as video:
        assert uses_index(video) is (codec != "mpeg4")  # which is known by its headers alone
        assert video.num_frames == COUNT
        assert video.duration_s == pytest.approx(COUNT / 25)
        np.testing.assert_allclose(video.pts_s, np.arange(COUNT) / 25)
        assert read_numbers(video.frames_at(indices)) == indices
        assert read_numbers(video.frames_at(indices[::-1])) == indices[::-1]


@pytest.mark.usefixtures("everything_is_long")
def test_opening_and_one_frame_read_few_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT), gop_size=5)
    listed: list[int] = []
    list_group = IndexTable._list_group
    monkeypatch.setattr(
        IndexTable,
        "_list_group",
        lambda self, group, fetch: (listed.append(group), list_group(self, group, fetch)),
    )
    with open_video(path) as video:
        assert uses_index(video) and listed == []
        assert read_numbers(video.frames_at([42])) == [42]
        assert len(set(listed)) == 1


@pytest.mark.usefixtures("everything_is_long")
def test_uneven_times_without_b_frames_come_from_the_index(tmp_path: Path) -> None:
    pts = list(np.cumsum(np.tile([10, 50, 33], 20)) - 10)
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT), pts=pts, max_b_frames=0)
    with open_video(path) as video:
        assert uses_index(video)
        np.testing.assert_allclose(video.pts_s, np.array(pts) / 1000)
        assert read_numbers(video.frames_at([50, 3])) == [50, 3]


@pytest.mark.usefixtures("everything_is_long")
def test_uneven_times_with_b_frames_need_every_packet(tmp_path: Path) -> None:
    pts = list(np.cumsum(np.tile([10, 50, 33], 20)) - 10)
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT), pts=pts)
    with open_video(path) as video:
        assert not uses_index(video)
        np.testing.assert_allclose(video.pts_s, np.array(pts) / 1000)


@pytest.mark.usefixtures("everything_is_long")
def test_an_index_that_promises_other_times_is_found_out(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "plain.mp4", numbered_frames(COUNT), gop_size=10)
    path = shifted(plain, tmp_path / "late.mp4", {40: 3})
    with open_video(path) as video:
        assert uses_index(video)
        assert read_numbers(video.frames_at([5])) == [5]
        assert uses_index(video)
        assert read_numbers(video.frames_at([44, 38])) == [44, 38]
        assert not uses_index(video)
        shown = np.diff(video.pts_s)
        assert np.ptp(shown) > 0 and np.all(shown > 0)


@pytest.mark.usefixtures("everything_is_long")
@pytest.mark.parametrize("index", [22, 25, 28, 29, 35])
def test_an_index_that_promises_the_times_of_other_frames_is_found_out(
    index: int, tmp_path: Path
) -> None:
    """A group shown one whole gap late has stamps that the index promises to other frames."""
    plain = write_video(tmp_path / "plain.mp4", numbered_frames(COUNT), gop_size=10)
    with av.open(str(plain)) as container:
        gap = next(packet.duration for packet in container.demux(video=0))
    path = shifted(plain, tmp_path / "late.mp4", dict.fromkeys(range(20, 30), gap))
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with open_video(path) as video:
        assert uses_index(video)
        np.testing.assert_array_equal(video.frames_at([index]), [frames[index]])


@pytest.mark.usefixtures("everything_is_long")
def test_a_late_last_frame_is_seen_when_the_file_is_opened(tmp_path: Path) -> None:
    pts = [40 * number for number in range(COUNT)]
    pts[-1] += 1600
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT), pts=pts)
    with open_video(path) as video:
        np.testing.assert_allclose(video.pts_s, np.array(pts) / 1000)


@pytest.mark.usefixtures("everything_is_long")
def test_a_long_file_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        numbered_frames(COUNT),
        gop_size=10,
        container_options={"movflags": "faststart"},
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with open_video(path) as video:
        assert not uses_index(video)
        assert 20 < video.num_frames < COUNT
        assert read_numbers(video.frames_at([20, 3])) == [20, 3]


# --- Reading through -----------------------------------------------------------------------------

FILES = {
    "a.mp4": {"codec": "libx264"},
    "open.mp4": {"codec": "libx264", "codec_options": OPEN_GROUPS},
    "b.avi": {"codec": "mpeg4"},
    "c.webm": {"codec": "libvpx-vp9"},
    "d.mpg": {"codec": "mpeg2video"},  # read by number
}


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("every_s", [None, 0.04, 0.1, 0.5, 30])
@pytest.mark.parametrize("name", FILES)
def test_reading_through_gives_the_frames_on_show(
    name: str, every_s: float | None, long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if long:
        monkeypatch.setattr("cliptide.datasets.video.listing.LONG_FROM_PACKETS", 1)
        monkeypatch.setattr("cliptide.datasets.video.table.PLANNED_AT_ONCE", 4)
    path = write_video(tmp_path / name, numbered_frames(COUNT), gop_size=8, **FILES[name])
    step = 1 if every_s is None else every_s * 25
    expected = [int(step * i + 1e-6) for i in range(COUNT) if step * i < COUNT - 1e-6]
    with open_video(path) as video:
        frames = list(video.frames(every_s=every_s, size=(24, 32)))
        assert [frame.index for frame in frames] == expected
        np.testing.assert_allclose([frame.time_s for frame in frames], np.array(expected) / 25)
        pictures = np.stack([frame.picture for frame in frames])
        assert read_numbers(pictures) == expected
        np.testing.assert_array_equal(pictures, video.frames_at(expected, size=(24, 32)))


def test_a_video_slower_than_asked_gives_each_frame_once(tmp_path: Path) -> None:
    path = write_mjpeg(tmp_path / "a.mkv", numbered_frames(4), pts=[0, 500, 600, 3000])
    with open_video(path) as video:
        assert [frame.index for frame in video.frames(every_s=0.05)] == [0, 1, 2, 3]
        # At 0, 0.7, 1.4, 2.1, 2.8: the third stays on show.
        assert [frame.index for frame in video.frames(every_s=0.7)] == [0, 2]


def test_a_step_far_below_the_gaps_gives_every_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT))
    with open_video(path) as video:
        frames = video.frames(every_s=1e-9, size=(12, 16))
        assert [frame.index for frame in frames] == list(range(COUNT))


def test_the_video_may_be_read_and_closed_meanwhile(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT))
    video = open_video(path)
    frames = video.frames()
    first = [next(frames) for _ in range(5)]
    assert read_numbers(video.frames_at([50, 2])) == [50, 2]
    video.close()
    rest = list(frames)
    assert read_numbers(np.stack([f.picture for f in first + rest])) == list(range(COUNT))
    with pytest.raises(ValueError, match=r"a\.mp4: the video is closed"):
        video.frames()


def test_stopping_early_ends_the_thread_that_reads_ahead(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT))
    with open_video(path) as video:
        frames = video.frames()
        next(frames)
        assert any(t.name == "cliptide-read-ahead" for t in threading.enumerate())
        frames.close()
        assert not any(t.name == "cliptide-read-ahead" for t in threading.enumerate())


def test_a_damaged_tail_gives_what_is_before_it(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        numbered_frames(COUNT),
        gop_size=10,
        container_options={"movflags": "faststart"},
    )
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[30:]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    given_frames: list[int] = []
    with open_video(path) as video, pytest.raises(VideoError, match=r"a\.mp4: frame \d+ .*Replace"):
        for frame in video.frames():
            given_frames.append(frame.index)
    assert given_frames == list(range(len(given_frames))) and len(given_frames) >= 25


@pytest.mark.parametrize("every_s", [0, -1, float("nan"), float("inf")])
def test_a_step_that_is_none_is_refused(every_s: float, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(4))
    with open_video(path) as video, pytest.raises(ValueError, match=r"every_s is .*above 0"):
        video.frames(every_s=every_s)


def test_reading_ahead_stays_within_its_depth() -> None:
    made: list[int] = []
    enough = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 5:
                enough.set()
            yield number

    ahead = read_ahead(numbers(), depth=4)
    assert next(ahead) == 0
    assert enough.wait(5)  # one given, four waiting, one in hand
    assert not threading.Event().wait(0.05) and len(made) == 6
    assert list(ahead) == list(range(1, 100))


def test_what_goes_wrong_ahead_is_raised_in_its_place() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise VideoError("broken")

    ahead = read_ahead(numbers(), depth=4)
    assert next(ahead) == 1
    with pytest.raises(VideoError, match="broken"):
        next(ahead)


# --- Hardware ------------------------------------------------------------------------------------


def test_without_the_hardware_the_cpu_decodes_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_there(**_: object) -> None:
        raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(opening, "HWAccel", none_there)
    monkeypatch.setattr(opening, "_missing_devices", set())
    path = write_video(tmp_path / "a.mp4", numbered_frames(10))
    with (
        pytest.warns(RuntimeWarning, match=r"'cuda' here \(.*CPU.*device=\"cpu\""),
        open_video(path, device="cuda") as video,
    ):
        assert read_numbers(video.frames_at([7, 2])) == [7, 2]
    with warnings.catch_warnings(), open_video(path, device="cuda") as video:
        warnings.simplefilter("error")
        assert read_numbers(video.frames_at([1])) == [1]
        assert [frame.index for frame in video.frames()] == list(range(10))


def test_a_bad_file_is_not_blamed_on_the_hardware(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with warnings.catch_warnings(), pytest.raises(VideoError, match=r"text\.mp4"):
        warnings.simplefilter("error")
        open_video(path, device="cuda")


def test_hardware_frames_are_the_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_missing_devices", set())
    path = write_video(tmp_path / "a.mp4", numbered_frames(COUNT, 256, 320))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with open_video(path, device="cuda") as video:
            frames = video.frames_at([40, 3, 21])
    if warned:
        pytest.skip(f"no hardware that decodes video: {warned[0].message}")
    with open_video(path) as video:
        reference = video.frames_at([40, 3, 21])
    assert read_numbers(frames) == [40, 3, 21]
    assert np.abs(frames.astype(int) - reference).max() <= 3


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered_frames(4))
    with pytest.raises(ValueError, match="device is 'gpu'"):
        open_video(path, device="gpu")  # type: ignore[arg-type]


@pytest.mark.usefixtures("everything_is_long")
def test_groups_that_are_behind_are_forgotten_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    write_video(path, numbered_frames(COUNT), gop_size=6)
    with open_video(path) as video:
        video.frames_at(range(COUNT))
        table = video._table
        assert isinstance(table, IndexTable) and len(table.rows) == COUNT
        table.forget_before(50)
        assert len(table.rows) <= 24 and table._held_bytes >= 0
        assert set(table._held) <= set(table.rows)
        assert read_numbers(video.frames_at(range(COUNT))) == list(range(COUNT))
