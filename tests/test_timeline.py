"""Who does what when: windows, smoothing, hysteresis, segments, in constant memory."""

import numpy as np
import pytest
from engines import SIZE, BrightnessEngine, tiny_engine
from hypothesis import given, settings
from hypothesis import strategies as st

from cliptide.app.inference import timeline as timelines
from cliptide.app.inference.engine import scores_of
from cliptide.app.inference.prediction import Segment
from cliptide.app.inference.segments import SegmentMaker, SegmentRule, segment_rule, smoothed
from cliptide.app.inference.timeline import make_timeline
from cliptide.app.inference.windows import Point, scored_windows
from cliptide.configs.errors import ConfigError
from cliptide.datasets.video import TimedFrame


def shown(levels, rate_fps=10.0):
    """Frames of given brightness at a rate."""
    for number, level in enumerate(levels):
        yield TimedFrame(number, number / rate_fps, np.full((*SIZE, 3), level, np.uint8))


def rule_of(**keys) -> SegmentRule:
    values = {
        "begin_at": (0.5,) * 3,
        "end_below": (0.3,) * 3,
        "lead": 0.1,
        "smooth_s": 0.0,
        "least_s": 0.0,
    }
    return SegmentRule(**(values | keys))


def segments_of(rows, rule, *, task="single", step_s=1.0):
    maker = SegmentMaker(rule, ("a", "b", "c"), task=task)
    for number, row in enumerate(rows):
        maker.add(Point((number + 0.5) * step_s, np.array(row, float)))
    return [(s.label, s.start_s, s.end_s) for s in maker.finish(len(rows) * step_s)]


# --- Windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{}, {"bidirectional": True}, {"shift": "both"}])
def test_a_window_says_what_the_clip_of_its_frames_says(keys):
    engine = tiny_engine(temporal="gru", info={"context_s": 0.8}, **keys)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (30, *SIZE, 3), dtype=np.uint8)
    frames = [TimedFrame(i, i / 10, picture) for i, picture in enumerate(pictures)]
    points = list(scored_windows(engine, frames))
    for point in points:
        first = round(point.time_s * 10 - 3.5)
        expected = scores_of(engine.score_clips([pictures[first : first + 8]]), task="single")[0]
        np.testing.assert_allclose(point.scores, expected, atol=1e-5)
    assert points[0].time_s == pytest.approx(0.35) and points[-1].time_s == pytest.approx(2.55)


def test_windows_of_a_slow_video_are_as_long_as_a_clip_and_hold_fewer_frames():
    engine = BrightnessEngine()  # 6 frames in 0.6 s
    levels = [0] * 20 + [255] * 20
    points = list(scored_windows(engine, shown(levels, rate_fps=5.0)))
    said = np.array([point.scores.argmax() for point in points])
    times_s = np.array([point.time_s for point in points])
    assert np.median(np.diff(times_s)) == pytest.approx(0.2)
    assert (said[times_s < 3.6] == 0).all() and (said[times_s > 4.2] == 2).all()


def test_a_picture_that_stands_for_minutes_is_a_window_of_its_own():
    times_s = [0.0, 0.1, 0.2, 300.0, 300.1]
    frames = [
        TimedFrame(i, time_s, np.full((*SIZE, 3), 255 if i > 2 else 0, np.uint8))
        for i, time_s in enumerate(times_s)
    ]
    points = list(scored_windows(BrightnessEngine(), frames))
    assert all(point.time_s < 1 or point.time_s > 299 for point in points)
    assert points[-1].scores.argmax() == 2


def test_each_frame_is_encoded_once_and_a_short_video_is_one_window():
    engine = BrightnessEngine()
    list(scored_windows(engine, shown([0] * 100)))
    assert engine.encoded == 100
    (point,) = scored_windows(engine, shown([255] * 3))
    assert point.scores.argmax() == 2 and point.time_s == pytest.approx(0.1)
    assert list(scored_windows(engine, [])) == []


# --- Smoothing -----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0, 12))
@settings(max_examples=60, deadline=None)
def test_smoothing_is_the_mean_of_what_is_near(values, smooth_s):
    points = [Point(float(i), np.array([value])) for i, value in enumerate(values)]
    smooth = list(smoothed(points, smooth_s=smooth_s))
    assert [point.time_s for point in smooth] == [point.time_s for point in points]
    for at, point in enumerate(smooth):
        near = [v for i, v in enumerate(values) if abs(i - at) <= smooth_s / 2 + 1e-9]
        assert point.scores[0] == pytest.approx(np.mean(near))


# --- Segments ------------------------------------------------------------------------------------


def test_a_label_that_wavers_above_its_lower_threshold_stays_one_segment():
    rows = [[0.6, 0.2, 0.2], [0.35, 0.33, 0.32], [0.6, 0.2, 0.2], [0.2, 0.25, 0.2], [0.2, 0.2, 0.2]]
    assert segments_of(rows, rule_of()) == [("a", 0.0, 3.0)]


def test_another_label_takes_over_when_it_is_ahead_by_the_lead_and_sure_enough():
    rows = [[0.6, 0.4, 0], [0.46, 0.54, 0], [0.4, 0.6, 0]]
    assert segments_of(rows, rule_of()) == [("a", 0.0, 2.0), ("b", 2.0, 3.0)]


def test_scores_below_the_threshold_are_nothing():
    assert segments_of([[0.4, 0.3, 0.3]] * 5, rule_of()) == []


def test_short_segments_go_and_what_is_left_on_both_sides_is_joined():
    a, b = [0.9, 0.1, 0], [0.1, 0.9, 0]
    assert segments_of([a, a, a, b, a, a, a], rule_of(least_s=2.0)) == [("a", 0.0, 7.0)]
    assert segments_of([a, a, a, b, b, a, a], rule_of(least_s=2.0)) == [
        ("a", 0.0, 3.0),
        ("b", 3.0, 5.0),
        ("a", 5.0, 7.0),
    ]


def test_a_video_shorter_than_the_least_length_may_be_one_segment():
    assert segments_of([[0.9, 0, 0]], rule_of(least_s=30.0)) == [("a", 0.0, 1.0)]


def test_several_labels_overlap_each_by_its_own_threshold():
    rows = [[0.9, 0.1, 0.05], [0.9, 0.9, 0.05], [0.1, 0.9, 0.25], [0.1, 0.1, 0.25]]
    rule = rule_of(begin_at=(0.5, 0.5, 0.2), end_below=(0.3, 0.3, 0.1))
    assert segments_of(rows, rule, task="multi") == [
        ("a", 0.0, 2.0),
        ("b", 1.0, 3.0),
        ("c", 2.0, 4.0),
    ]


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=30),
    st.floats(0, 5),
    st.sampled_from(["single", "multi"]),
)
@settings(max_examples=80, deadline=None)
def test_segments_lie_within_the_video_in_order_and_last_long_enough(rows, least_s, task):
    found = segments_of(rows, rule_of(least_s=least_s), task=task)
    assert found == sorted(found, key=lambda s: (s[1], s[0]))
    for label, start_s, end_s in found:
        assert 0 <= start_s < end_s <= len(rows)
        assert end_s - start_s >= min(least_s, len(rows)) - 1e-6
        others = [s for s in found if s[0] != label] if task == "single" else []
        assert not any(s[1] < end_s and s[2] > start_s for s in others)


# --- The rule ------------------------------------------------------------------------------------


def test_the_rule_follows_from_the_model_file_and_gives_way_to_what_is_asked():
    info = BrightnessEngine(info={"nothing_below": 0.3}).info
    assert segment_rule(info).begin_at == (0.3, 0.3, 0.3)
    assert segment_rule(info).smooth_s == segment_rule(info).least_s == pytest.approx(0.3)
    sure = BrightnessEngine(info={"nothing_below": 0.95}).info
    # A window over two actions is never that sure.
    assert segment_rule(sure).begin_at == (0.5, 0.5, 0.5)
    assert segment_rule(sure, nothing_below=0.9).begin_at == (0.9, 0.9, 0.9)
    multi = BrightnessEngine(info={"task": "multi", "thresholds": (0.2, 0.5, 0.7)}).info
    assert segment_rule(multi).begin_at == (0.2, 0.5, 0.7)


@pytest.mark.parametrize(
    "wrong",
    [{"nothing_below": 1.5}, {"nothing_below": -0.1}, {"smooth_s": -1}, {"least_s": float("inf")}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        segment_rule(BrightnessEngine().info, **wrong)


# --- The whole -----------------------------------------------------------------------------------


def test_a_video_of_three_stretches_has_three_segments_with_the_right_borders():
    engine = BrightnessEngine()
    levels = [0] * 40 + [128] * 30 + [255] * 50
    found = make_timeline(
        engine,
        shown(levels),
        video="x.mp4",
        duration_s=12.0,
        rule=segment_rule(engine.info),
    )
    assert [s.label for s in found.segments] == ["a", "b", "c"]
    edges = [found.segments[0].start_s, *(s.end_s for s in found.segments)]
    assert edges == pytest.approx([0.0, 4.0, 7.0, 12.0], abs=0.2)
    assert found.frames_used == 120
    assert found.seconds_of()["c"] == pytest.approx(5.0, abs=0.2)
    written = found.to_json()
    assert len(written["curve"]["times_s"]) == len(written["curve"]["scores"]["a"])


def test_a_timeline_keeps_few_points_however_long_the_video_is(monkeypatch):
    monkeypatch.setattr(timelines, "MOST_POINTS", 16)
    engine = BrightnessEngine()
    found = make_timeline(
        engine,
        shown([0] * 400 + [255] * 400),
        video="x",
        duration_s=80.0,
        rule=segment_rule(engine.info),
    )
    assert len(found.times_s) <= 16
    assert (np.diff(found.times_s) > 0).all()
    # Each point is the mean of those that it stands for: both halves are still there.
    assert found.scores[:, 0].mean() == pytest.approx(0.5, abs=0.05)
    assert found.segments[0].end_s == pytest.approx(40.0, abs=0.3)


def test_numbers_have_a_curve_and_no_segments():
    engine = tiny_engine(info={"task": "regression"})
    found = make_timeline(
        engine, shown([10] * 20), video="x", duration_s=2.0, rule=segment_rule(engine.info)
    )
    assert found.segments == () and len(found.times_s)
    assert set(found.to_json()["curve"]["values"]) == {"a", "b", "c"}


def test_segments_are_plain_records():
    assert vars(Segment(0.0, 1.0, "a", 0.5)) == {
        "start_s": 0.0,
        "end_s": 1.0,
        "label": "a",
        "score": 0.5,
    }
