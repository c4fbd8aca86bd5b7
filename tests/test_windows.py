"""Windows over rows as steps, and the description of streams that a model file holds."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliptide.configs.errors import ConfigError, SampleError
from cliptide.configs.schema import DataConfig
from cliptide.configs.streams import JointMap, StepsConfig, Streams
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.windows import Rows, WindowedTrack


def track_of(count: int, *, window: int, hop: int) -> WindowedTrack:
    """Rows that hold their own number, a tenth of a second apart."""
    numbers = np.arange(count, dtype=np.float32)
    return WindowedTrack(
        Rows(numbers / 10.0, numbers[:, None], count / 10), window=window, hop=hop, blank=-1.0
    )


def rows_in(track: WindowedTrack) -> list[list[float]]:
    return track.steps(range(len(track.pts_s)))[..., 0].tolist()


def test_windows_follow_each_other_by_the_hop_and_the_last_ends_with_the_last_row() -> None:
    track = track_of(9, window=4, hop=2)
    assert rows_in(track) == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [5, 6, 7, 8]]
    assert track.pts_s == pytest.approx([0.1, 0.3, 0.5, 0.6])


def test_a_sequence_shorter_than_a_window_is_one_step_with_blanks_behind_it() -> None:
    assert rows_in(track_of(2, window=4, hop=2)) == [[0, 1, -1, -1]]
    assert rows_in(track_of(1, window=4, hop=4)) == [[0, -1, -1, -1]]


def test_shifted_windows_begin_later_and_never_beyond_the_last() -> None:
    track = track_of(9, window=4, hop=3)
    track.shift(0.99)
    assert rows_in(track)[0] == [2, 3, 4, 5] and rows_in(track)[-1] == [5, 6, 7, 8]
    short = track_of(3, window=4, hop=3)
    short.shift(0.99)
    assert rows_in(short) == [[0, 1, 2, -1]]


def test_in_a_pause_and_behind_the_end_nothing_is_shown_in_place_of_old_rows() -> None:
    times_s = np.concatenate([np.arange(10), np.arange(50, 60)]) / 10.0
    rows = np.arange(20, dtype=np.float32)[:, None]
    track = WindowedTrack(Rows(times_s, rows, 6.0), window=5, hop=2, blank=-1.0)

    def shown(*moments_s: float) -> list[list[float]]:
        return track.around(np.array(moments_s))[..., 0].tolist()

    assert shown(0.5, 1.1, 4.8) == [[3, 4, 5, 6, 7], [7, 8, 9, 10, 11], [8, 9, 10, 11, 12]]
    assert shown(0.5, 1.3, 3.0, 4.6)[1:] == [[-1] * 5] * 3, "a pause"
    assert shown(6.0, 6.1, 6.5) == [[18, 19, -1, -1, -1], [19, -1, -1, -1, -1], [-1] * 5]
    with pytest.raises(SampleError, match=r"Its times are from 0\.00 s to 5\.90 s, and those"):
        shown(2.0, 3.0)


def test_rows_that_come_a_little_late_are_no_pause() -> None:
    times_s = np.array([0.0, 0.1, 0.2, 0.33, 0.4])
    rows = np.arange(5, dtype=np.float32)[:, None]
    track = WindowedTrack(Rows(times_s, rows, 0.5), window=1, hop=1, blank=-1.0)
    assert track.around(np.array([0.05, 0.26, 0.27, 0.45]))[..., 0].tolist() == [[0], [2], [3], [4]]


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 60),
    window=st.integers(1, 12),
    hop=st.integers(1, 12),
    share=st.floats(0, 0.999),
)
def test_every_row_behind_the_first_window_is_seen_where_windows_touch(
    count: int, window: int, hop: int, share: float
) -> None:
    track = track_of(count, window=window, hop=min(hop, window))
    track.shift(share)
    seen = {int(row) for step in rows_in(track) for row in step if row >= 0}
    first = min(seen)
    assert seen == set(range(first, count))
    assert first < min(hop, window)
    assert (np.diff(track.pts_s) > 0).all() or len(track.pts_s) == 1


def test_a_description_of_streams_is_read_back_as_it_was() -> None:
    streams = Streams(
        names=("rgb", "arrays"),
        samples="frames",
        steps=StepsConfig(window=5, patch="7x14"),
        num_values=4,
        columns=("x", "y", "z", "w"),
        joints=JointMap(("hip", "knee"), 2, ((0, 1),), ((0, 1),)),
    )
    assert Streams.from_dict(json.loads(json.dumps(asdict(streams)))) == streams
    assert Streams.from_dict({}) == Streams(), "a file from before there were others"


@pytest.mark.parametrize(
    ("streams", "says"),
    [
        ("rgb,rgb", "each once"),
        ("rgb,text", "rgb, flow, audio, arrays"),
        ("sound", "data.streams is 'sound'"),
        ("rgb,", "each once"),
    ],
)
def test_streams_that_cannot_be_are_refused(streams: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DataConfig(streams=streams)


@pytest.mark.parametrize(("augment", "asked"), [("none", False), ("light", True), (None, True)])
def test_without_augmentation_windows_stay_as_they_are(augment: str | None, asked: bool) -> None:
    (sound,) = build_streams(Streams(names=("audio",)), size=(8, 8), augment=augment)
    assert sound.augments is asked
