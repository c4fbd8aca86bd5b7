"""Several streams of one sample: read on one clock, masked where missing, joined into steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from video_files import write_video

from cliptide.configs.errors import SampleError
from cliptide.configs.streams import StepsConfig, Streams
from cliptide.datasets.kept import KeptRows
from cliptide.datasets.processes import worker_context
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.pictures import KeptTrack
from cliptide.datasets.streams.playing import AT_ONCE, Playing, playing
from cliptide.datasets.streams.samples import joined, read_sample, read_views
from cliptide.datasets.streams.stream import Stream, Track
from cliptide.datasets.streams.windows import Rows, WindowedStream
from cliptide.datasets.video import TimedFrame

RECORD = SampleRecord(Path("none"), "none", label="a", group="g")


class Frames(Stream):
    """Pictures of 2 x 2 pixels whose grey level is the number of the frame, modulo 256."""

    name = "rgb"
    row_type = np.uint8
    row_shape = (2, 2, 3)

    def __init__(self, times_s: list[float], *, fails: str = "") -> None:
        self.times_s, self.fails = np.array(times_s), fails

    @contextmanager
    def open(self, record: SampleRecord) -> Iterator[Track]:
        if self.fails:
            raise SampleError(self.fails)
        frames = np.arange(len(self.times_s)).astype(np.uint8)
        pictures = np.broadcast_to(frames[:, None, None, None], (len(frames), 2, 2, 3))
        yield KeptTrack(self.times_s, pictures, float(self.times_s[-1] + 0.1))

    content = from_content = drawn = None  # type: ignore[assignment]


class Ticks(WindowedStream):
    """Rows of one number, which is their time."""

    name = "audio"
    row_type = np.float32
    row_shape = (1,)
    blank = -1.0

    def __init__(self, times_s: Any, *, fails: str = "", window: int = 3) -> None:
        super().__init__(window=window, hop=1)
        self.times_s, self.fails = np.asarray(times_s, dtype=np.float64), fails

    def read(self, record: SampleRecord) -> Rows:
        if self.fails:
            raise SampleError(self.fails)
        rows = self.times_s.astype(np.float32)[:, None]
        return Rows(self.times_s, rows, float(self.times_s[-1]))

    drawn = None  # type: ignore[assignment]


def every(pts_s: np.ndarray) -> list[list[int]]:
    return [list(range(len(pts_s)))]


def test_a_slower_and_a_faster_stream_meet_at_the_moments_of_the_clock() -> None:
    frames, ticks = Frames([0.0, 0.5, 1.0]), Ticks(np.arange(0, 1.3, 0.01))
    read = read_sample(RECORD, [frames, ticks], choose=every)
    pictures, windows = read.views[0]
    assert pictures is not None and windows is not None
    assert pictures[:, 0, 0, 0].tolist() == [0, 1, 2]
    # The row nearest to each moment stands in the middle of its window.
    assert windows[:, 1, 0] == pytest.approx([0.0, 0.5, 1.0], abs=0.005)
    assert windows[1, :, 0] == pytest.approx([0.49, 0.5, 0.51], abs=0.005)
    assert windows[0, 0, 0] == -1.0, "nothing is before the first row"


def test_where_sound_ends_before_the_picture_there_is_nothing_and_not_its_last_row() -> None:
    frames, ticks = Frames([0.0, 1.0, 2.0]), Ticks(np.arange(0, 1.05, 0.1))
    windows = read_sample(RECORD, [frames, ticks], choose=every).views[0][1]
    assert windows is not None
    assert windows[2, :, 0].tolist() == [-1.0, -1.0, -1.0]


def test_joined_steps_say_what_is_there_and_hold_pictures_channels_first() -> None:
    streams = [Frames([0.0, 0.1]), Ticks([0.0, 0.1, 0.2])]
    views = read_sample(RECORD, streams, choose=every).views[0]
    steps = joined(views, streams)
    assert steps.shape == (2, 2 + 12 + 3) and steps.dtype == np.float32
    assert steps[:, :2].tolist() == [[1, 1], [1, 1]]
    assert steps[1, 2:14].tolist() == [1.0] * 12


def test_a_stream_that_cannot_be_read_is_masked_and_its_cause_is_kept() -> None:
    streams = [Frames([0.0, 0.1]), Ticks([0.0], fails="none: it has no sound.")]
    read = read_sample(RECORD, streams, choose=every)
    assert read.missing == {"audio": "none: it has no sound."}
    steps = joined(read.views[0], streams)
    assert steps[:, :2].tolist() == [[1, 0], [1, 0]]
    assert not steps[:, 14:].any()


def test_where_the_first_stream_cannot_be_read_the_next_is_the_clock() -> None:
    streams = [Frames([0.0], fails="broken"), Ticks([0.0, 0.1, 0.2, 0.3])]
    read = read_sample(RECORD, streams, choose=every)
    assert read.pts_s == pytest.approx([0.1, 0.2])
    assert joined(read.views[0], streams)[:, :2].tolist() == [[0, 1], [0, 1]]


def test_a_sample_without_any_stream_cannot_be_read() -> None:
    streams = [Frames([0.0], fails="broken.mp4: no video."), Ticks([0.0], fails="no sound")]
    with pytest.raises(SampleError, match=r"broken\.mp4: no video"):
        read_sample(RECORD, streams, choose=every)


class Damaged(Frames):
    """Frames of which the last cannot be read."""

    def content(self, track: Track) -> Any:
        raise SampleError("damaged.mp4: its last frame cannot be decoded.")


@contextmanager
def kept_frames() -> Iterator[KeptRows]:
    store = KeptRows(
        1, row_shape=(2, 2, 3), row_type=np.uint8, budget_bytes=4096, context=worker_context()
    )
    try:
        yield store
    finally:
        store.close()


def test_damage_behind_the_wanted_steps_masks_nothing_of_several_streams() -> None:
    streams = [Damaged([0.0, 0.1, 0.2]), Ticks([0.0, 0.1, 0.2])]
    with kept_frames() as store:
        assert store.has_room(3)
        read = read_sample(RECORD, streams, choose=lambda pts_s: [[0, 1]], kept=[store, None])
    assert read.missing == {}
    pictures = read.views[0][0]
    assert pictures is not None and pictures[:, 0, 0, 0].tolist() == [0, 1]


def test_damage_anywhere_makes_a_single_stream_unreadable_where_it_is_kept_whole() -> None:
    with kept_frames() as store, pytest.raises(SampleError, match="its last frame"):
        read_sample(RECORD, [Damaged([0.0, 0.1])], choose=lambda pts_s: [[0]], kept=[store])


def test_views_of_joined_samples_are_steps_of_all_streams() -> None:
    streams = [Frames([i / 10 for i in range(12)]), Ticks(np.arange(0, 1.2, 0.01))]
    views = read_views(RECORD, streams, rule=SamplingRule("uniform", 4), num_views=2)
    assert [clip.shape for clip in views.clips] == [(4, 17)] * 2
    assert views.frames_used == 8
    assert views.missing == {}


def test_views_name_the_streams_that_are_masked() -> None:
    streams = [Frames([0.0, 0.1]), Ticks([0.0], fails="none: it has no sound.")]
    missing = read_views(RECORD, streams, rule=SamplingRule("uniform", 2)).missing
    assert missing == {"audio": "none: it has no sound."}


def test_a_joined_sample_is_gone_through_at_the_models_rate() -> None:
    streams = [Frames([i / 10 for i in range(20)]), Ticks(np.arange(0, 2, 0.01))]
    with playing("none", streams, rate_fps=5) as sample:
        steps = list(sample.steps)
    assert [round(step.time_s, 3) for step in steps] == [round(i / 5, 3) for i in range(10)]
    assert [int(step.picture[2]) for step in steps] == [2 * i for i in range(10)]


def gone_through(streams: list[Stream], *, rate_fps: float) -> tuple[list[TimedFrame], Playing]:
    with playing("none", streams, rate_fps=rate_fps) as sample:
        return list(sample.steps), sample


def test_a_stream_that_begins_late_is_masked_only_until_then() -> None:
    streams = [Frames([i / 10 for i in range(120)]), Ticks(np.arange(8, 12, 0.01))]
    steps, sample = gone_through(streams, rate_fps=10)
    heard = [round(step.time_s, 3) for step in steps if step.picture[1] and step.picture[-2] >= 8]
    assert heard == [i / 10 for i in range(80, 120)]
    assert [int(step.picture[1]) for step in steps[:AT_ONCE]] == [0] * AT_ONCE
    assert sample.missing == {}


def test_a_stream_that_is_there_at_no_step_is_missing_and_says_where_it_is() -> None:
    streams = [Frames([0.0, 0.1, 0.2]), Ticks(np.arange(80, 82, 0.01))]
    steps, sample = gone_through(streams, rate_fps=10)
    assert [step.picture[:2].tolist() for step in steps] == [[1, 0]] * 3
    assert "Its times are from 80.00 s to 81.99 s" in sample.missing["audio"]


def test_a_stream_that_cannot_be_opened_is_missing_from_the_beginning() -> None:
    streams = [Frames([0.0, 0.1]), Ticks([0.0], fails="none: it has no sound.")]
    with playing("none", streams, rate_fps=10) as sample:
        assert sample.missing == {"audio": "none: it has no sound."}


class BreaksTrack(KeptTrack):
    def steps(self, indices: Any) -> Any:
        if max(indices) > 40:
            raise SampleError("none: frame 41 cannot be decoded.")
        return super().steps(indices)


class Breaks(Frames):
    """Frames that cannot be read any more from number 41 on."""

    @contextmanager
    def open(self, record: SampleRecord) -> Iterator[Track]:
        with super().open(record) as track:
            pictures = track.steps(range(40))
            shown = np.resize(pictures, (len(self.times_s), 2, 2, 3))
            yield BreaksTrack(self.times_s, shown, track.duration_s)


def test_a_stream_that_breaks_on_the_way_is_masked_from_there_and_says_why() -> None:
    streams = [Breaks([i / 10 for i in range(80)]), Ticks(np.arange(0, 8, 0.01))]
    steps, sample = gone_through(streams, rate_fps=10)
    assert [int(step.picture[0]) for step in steps] == [1] * AT_ONCE + [0] * (80 - AT_ONCE)
    assert sample.missing == {"rgb": "from 3.20 s on: none: frame 41 cannot be decoded."}


def test_where_one_stream_is_broken_and_the_others_have_ended_a_sample_cannot_be_read() -> None:
    streams = [Breaks([i / 10 for i in range(80)]), Ticks(np.arange(0, 2, 0.01))]
    with pytest.raises(SampleError, match="frame 41 cannot be decoded"):
        gone_through(streams, rate_fps=10)


def test_a_stream_whose_times_leap_is_gone_through_in_small_memory() -> None:
    streams = [Frames([0.0, 1.0, 1.7e9]), Ticks([0.0, 1.0, 2.0])]
    with playing("none", streams, rate_fps=30) as sample:
        first = next(sample.steps)
    assert (first.index, first.time_s) == (0, 0.0)


# --- Rows without times beside pictures ----------------------------------------------------------


PTS = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16]  # twelfths of a second, with a pause
FRAMES_S = [pts / 12 for pts in PTS]


def write_pictures(folder: Path, kind: str) -> Path:
    """A video of frames at `FRAMES_S`, or as many images in a folder."""
    pictures = np.random.default_rng(0).integers(0, 255, (len(PTS), 32, 32, 3), dtype=np.uint8)
    if kind == "video":
        return write_video(folder / "a.mp4", pictures, pts=PTS, time_base=Fraction(1, 12))
    (folder / "a").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / "a" / f"img_{number:03d}.png"), picture)
    return folder / "a"


def beside(*names: Any, **steps: Any) -> tuple[Stream, ...]:
    options = StepsConfig(window=1, hop=1, **steps)
    return build_streams(Streams(names=names, num_values=1, steps=options), size=(32, 32))


def record_of(source: Path, **part: float) -> SampleRecord:
    return SampleRecord(source, source.name, label="a", group="g", **part)  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [("rgb", "arrays"), ("flow", "arrays"), ("arrays", "rgb")])
@pytest.mark.parametrize("kind", ["video", "frames"])
def test_a_row_for_each_frame_is_at_its_frames_time(
    tmp_path: Path, names: tuple[str, str], kind: str
) -> None:
    source = write_pictures(tmp_path, kind)
    np.save(tmp_path / "a.npy", np.arange(12.0))
    streams, place = beside(*names), names.index("arrays")
    read = read_sample(record_of(source), streams, choose=every)
    rows = read.views[0][place]
    assert rows is not None and rows.ravel().tolist() == list(range(12))
    assert read.pts_s == pytest.approx(FRAMES_S if kind == "video" else np.arange(12) / 25)
    with playing(source, streams, rate_fps=6 if kind == "video" else 25) as sample:
        played = [step.picture[2 if place == 0 else -1] for step in sample.steps]
    at_every_other = [0, 2, 4, np.nan, np.nan, 5, 7, 9, 11]
    np.testing.assert_array_equal(played, at_every_other if kind == "video" else range(12))
    assert not streams[place].note


def test_of_a_part_the_rows_of_its_frames_are_read(tmp_path: Path) -> None:
    source = write_pictures(tmp_path, "video")
    np.save(tmp_path / "a.npy", np.arange(12.0))
    record = record_of(source, start_s=0.25, end_s=1.0)
    read = read_sample(record, beside("rgb", "arrays"), choose=every)
    assert read.views[0][1] is not None
    assert read.views[0][1].ravel().tolist() == [3, 4, 5, 6]


def test_times_of_the_file_go_before_those_of_the_frames(tmp_path: Path) -> None:
    source = write_pictures(tmp_path, "video")
    times_s = np.array(FRAMES_S) + 2 / 12
    np.savez(tmp_path / "a.npz", values=np.arange(12.0), time_s=times_s)
    read = read_sample(record_of(source), beside("rgb", "arrays"), choose=every)
    assert read.views[0][1] is not None
    assert read.views[0][1].ravel()[2:5].tolist() == [0, 1, 2]


@pytest.mark.parametrize(("count", "noted"), [(41, False), (30, True), (60, True)])
def test_rows_that_are_not_as_long_as_their_video_are_noted_with_both_lengths(
    tmp_path: Path, count: int, noted: bool
) -> None:
    source = write_pictures(tmp_path, "video")  # of 1.37 s
    np.save(tmp_path / "a.npy", np.arange(float(count)))
    streams = beside("rgb", "arrays")
    read = read_sample(record_of(source), streams, choose=every)
    assert read.views[0][1] is not None
    assert read.views[0][1].ravel()[1] == pytest.approx(30 / 12, abs=0.6), "by steps.row_rate"
    said = f"a.npy has {count} rows without time_s, {count / 30:.2f} s at steps.row_rate 30, but"
    assert (said in streams[1].note) is noted
    assert ("a.mp4 lasts 1.37 s. Set steps.row_rate to" in streams[1].note) is noted
