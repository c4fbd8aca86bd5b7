"""Which frames are read: rising, none twice, none invented."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cliptide.configs.errors import VideoError
from cliptide.datasets.sampling import (
    SamplingRule,
    choose_indices,
    dense_indices,
    rate_indices,
    segment_bounds,
    uniform_indices,
)

# Time on a shared machine says nothing about pure functions.
patient = settings(deadline=None, max_examples=200)

seeds = st.none() | st.integers(0, 2**32)
views = st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))
gaps = st.floats(0, 2) | st.sampled_from([0.04, 1 / 30, 1001 / 30000, 0.1, 0.0])


@st.composite
def timelines(draw: st.DrawFn) -> NDArray[np.float64]:
    """Presentation times of even and uneven, repeated and single frames; the first at any time."""
    start = draw(st.floats(0, 1e5))
    steps = draw(st.lists(gaps, max_size=80))
    return start + np.concatenate([[0.0], np.cumsum(steps)])


def draw_of(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


def even(count: int, fps: float) -> NDArray[np.float64]:
    return np.arange(count) / fps


class TestUniform:
    @patient
    @given(st.integers(1, 5000), st.integers(1, 300), views, seeds)
    def test_gives_rising_frames_of_the_video_as_many_as_there_can_be(
        self, num_frames: int, clip_frames: int, view: tuple[int, int], seed: int | None
    ) -> None:
        chosen = uniform_indices(
            num_frames=num_frames,
            clip_frames=clip_frames,
            view=view[0],
            num_views=view[1],
            rng=draw_of(seed),
        )
        assert len(chosen) == min(num_frames, clip_frames)
        assert chosen == sorted(set(chosen))
        assert chosen[0] >= 0
        assert chosen[-1] < num_frames

    @patient
    @given(st.integers(1, 5000), st.integers(1, 300), views, seeds)
    def test_takes_one_frame_of_every_equal_stretch(
        self, num_frames: int, clip_frames: int, view: tuple[int, int], seed: int | None
    ) -> None:
        chosen = uniform_indices(
            num_frames=num_frames,
            clip_frames=clip_frames,
            view=view[0],
            num_views=view[1],
            rng=draw_of(seed),
        )
        if num_frames > clip_frames:
            for place, index in enumerate(chosen):
                start = place * num_frames / clip_frames
                assert start - 1 < index < start + num_frames / clip_frames

    @patient
    @given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6))
    def test_views_of_a_video_with_frames_enough_share_none(
        self, clip_frames: int, spare: int, num_views: int
    ) -> None:
        num_frames = clip_frames * num_views + spare - 1
        chosen = [
            uniform_indices(
                num_frames=num_frames, clip_frames=clip_frames, view=view, num_views=num_views
            )
            for view in range(num_views)
        ]
        together = [index for indices in chosen for index in indices]
        assert len(set(together)) == len(together)

    def test_one_view_takes_the_middle_of_each_stretch(self) -> None:
        assert uniform_indices(num_frames=100, clip_frames=4) == [12, 37, 62, 87]
        assert uniform_indices(num_frames=10, clip_frames=1) == [5]

    def test_views_stand_evenly_apart(self) -> None:
        chosen = [
            uniform_indices(num_frames=90, clip_frames=3, view=view, num_views=3)
            for view in range(3)
        ]
        assert chosen == [[5, 35, 65], [15, 45, 75], [25, 55, 85]]

    @pytest.mark.parametrize(("num_frames", "clip_frames"), [(17, 16), (3, 2), (40, 16), (7, 1)])
    def test_training_reaches_every_frame(self, num_frames: int, clip_frames: int) -> None:
        rng = np.random.default_rng(0)
        seen = {
            index
            for _ in range(400)
            for index in uniform_indices(num_frames=num_frames, clip_frames=clip_frames, rng=rng)
        }
        assert seen == set(range(num_frames))

    def test_a_short_video_gives_every_frame_once(self) -> None:
        for rng in (None, np.random.default_rng(0)):
            assert uniform_indices(num_frames=5, clip_frames=16, rng=rng) == [0, 1, 2, 3, 4]
            assert uniform_indices(num_frames=1, clip_frames=16, rng=rng) == [0]


class TestRate:
    @patient
    @given(timelines(), st.floats(0.1, 120), st.integers(1, 64), views, seeds)
    def test_gives_rising_frames_of_the_video_at_most_those_asked_for(
        self,
        pts_s: NDArray[np.float64],
        rate_fps: float,
        clip_frames: int,
        view: tuple[int, int],
        seed: int | None,
    ) -> None:
        chosen = rate_indices(
            pts_s,
            rate_fps=rate_fps,
            clip_frames=clip_frames,
            view=view[0],
            num_views=view[1],
            rng=draw_of(seed),
        )
        assert 1 <= len(chosen) <= min(clip_frames, len(pts_s))
        assert chosen == sorted(set(chosen))
        assert chosen[0] >= 0
        assert chosen[-1] < len(pts_s)

    @pytest.mark.parametrize("fps", [25.0, 30000 / 1001, 24000 / 1001, 50.0, 12.0])
    @pytest.mark.parametrize("rate_fps", [1.0, 4.0, 8.0, 10.0])
    @pytest.mark.parametrize("seed", [None, 0, 1, 2])
    def test_frames_stand_one_step_apart_within_one_frame(
        self, fps: float, rate_fps: float, seed: int | None
    ) -> None:
        pts_s = even(round(20 * fps), fps)
        chosen = rate_indices(pts_s, rate_fps=rate_fps, clip_frames=9, rng=draw_of(seed))
        assert len(chosen) == 9
        elapsed = pts_s[chosen] - pts_s[chosen[0]]
        assert np.abs(elapsed - np.arange(9) / rate_fps).max() < 1 / fps + 1e-6

    @pytest.mark.parametrize("fps", [10.0, 25.0, 30.0, 30000 / 1001, 60.0])
    def test_the_videos_own_rate_gives_its_frames_in_a_row(self, fps: float) -> None:
        """k / fps computed in floats must not fall to the frame before."""
        pts_s = even(400, fps)
        assert rate_indices(pts_s, rate_fps=fps, clip_frames=400) == list(range(400))
        chosen = rate_indices(pts_s, rate_fps=fps, clip_frames=100)
        assert chosen == list(range(chosen[0], chosen[0] + 100))

    def test_a_multiple_of_the_rate_gives_every_nth_frame(self) -> None:
        pts_s = even(300, 30.0)
        chosen = rate_indices(pts_s, rate_fps=10.0, clip_frames=100)
        assert chosen == list(range(0, 300, 3))

    def test_uneven_frame_rates_are_followed_in_time_not_in_number(self) -> None:
        """Ten frames in the first second, then one a second."""
        pts_s = np.array([*np.arange(10) / 10, 1.0, 2.0, 3.0, 4.0])
        chosen = rate_indices(pts_s, rate_fps=1.0, clip_frames=10)
        assert pts_s[chosen].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]

    def test_a_frame_on_show_over_several_steps_is_taken_once(self) -> None:
        pts_s = np.array([0.0, 3.0, 3.5, 4.0])
        chosen = rate_indices(pts_s, rate_fps=2.0, clip_frames=50)
        assert chosen == [0, 1, 2, 3]

    def test_a_rate_above_the_videos_gives_each_frame_once(self) -> None:
        assert rate_indices(even(6, 5.0), rate_fps=60.0, clip_frames=500) == list(range(6))

    def test_a_short_video_gives_fewer_frames(self) -> None:
        assert rate_indices(even(10, 10.0), rate_fps=5.0, clip_frames=16) == [0, 2, 4, 6, 8]
        assert rate_indices(np.zeros(1), rate_fps=5.0, clip_frames=16) == [0]

    def test_frames_that_share_one_instant_give_one(self) -> None:
        assert len(rate_indices(np.zeros(7), rate_fps=5.0, clip_frames=16)) == 1

    def test_views_are_windows_spread_over_the_video(self) -> None:
        pts_s = even(1000, 10.0)
        chosen = [
            rate_indices(pts_s, rate_fps=10.0, clip_frames=10, view=view, num_views=3)
            for view in range(3)
        ]
        assert [pts_s[indices[0]] for indices in chosen] == pytest.approx([16.5, 49.5, 82.5])

    def test_training_draws_windows_over_the_whole_video(self) -> None:
        rng, pts_s = np.random.default_rng(0), even(50, 10.0)
        drawn = [rate_indices(pts_s, rate_fps=10.0, clip_frames=5, rng=rng) for _ in range(500)]
        assert all(len(indices) == 5 for indices in drawn)
        assert {index for indices in drawn for index in indices} >= set(range(49))


class TestDense:
    @patient
    @given(st.integers(1, 3000), st.integers(1, 64), st.integers(1, 40), views, seeds)
    def test_gives_frames_of_the_video_one_stride_apart_as_many_as_there_can_be(
        self,
        num_frames: int,
        clip_frames: int,
        stride: int,
        view: tuple[int, int],
        seed: int | None,
    ) -> None:
        chosen = dense_indices(
            num_frames=num_frames,
            clip_frames=clip_frames,
            stride=stride,
            view=view[0],
            num_views=view[1],
            rng=draw_of(seed),
        )
        assert len(chosen) == min(clip_frames, len(range(0, num_frames, stride)))
        assert set(np.diff(chosen).tolist()) <= {stride}
        assert 0 <= chosen[0] <= chosen[-1] < num_frames

    @patient
    @given(st.integers(1, 300), st.integers(1, 16), st.integers(1, 9), st.integers(2, 6))
    def test_views_never_go_back_and_mirror_each_other(
        self, num_frames: int, clip_frames: int, stride: int, num_views: int
    ) -> None:
        starts = [
            dense_indices(
                num_frames=num_frames,
                clip_frames=clip_frames,
                stride=stride,
                view=view,
                num_views=num_views,
            )
            for view in range(num_views)
        ]
        assert starts == sorted(starts)
        before, after = starts[0][0], num_frames - 1 - starts[-1][-1]
        assert before <= after <= before + 1

    def test_one_view_takes_the_middle(self) -> None:
        assert dense_indices(num_frames=100, clip_frames=4, stride=1) == [48, 49, 50, 51]
        assert dense_indices(num_frames=101, clip_frames=3, stride=10) == [40, 50, 60]

    def test_views_are_windows_spread_evenly(self) -> None:
        chosen = [
            dense_indices(num_frames=64, clip_frames=4, stride=1, view=view, num_views=3)
            for view in range(3)
        ]
        assert [indices[0] for indices in chosen] == [10, 30, 50]

    @pytest.mark.parametrize(("num_frames", "stride"), [(40, 1), (40, 4), (5, 7), (1, 3)])
    def test_training_draws_windows_over_the_whole_video(
        self, num_frames: int, stride: int
    ) -> None:
        rng = np.random.default_rng(0)
        seen = {
            index
            for _ in range(500)
            for index in dense_indices(num_frames=num_frames, clip_frames=4, stride=stride, rng=rng)
        }
        assert seen == set(range(num_frames))

    def test_a_short_video_gives_fewer_frames(self) -> None:
        assert dense_indices(num_frames=5, clip_frames=16, stride=1) == [0, 1, 2, 3, 4]
        assert dense_indices(num_frames=5, clip_frames=16, stride=2) == [0, 2, 4]
        assert dense_indices(num_frames=1, clip_frames=16, stride=8) == [0]


class TestSegment:
    pts_s = np.arange(50) / 10

    def bounds(self, start_s: float, end_s: float | None) -> tuple[int, int]:
        return segment_bounds(self.pts_s, start_s=start_s, end_s=end_s, name="clip@x")

    def test_holds_the_frames_from_start_up_to_but_without_end(self) -> None:
        assert self.bounds(1.0, 2.0) == (10, 20)
        assert self.bounds(1.01, 2.01) == (11, 21)

    def test_without_an_end_or_with_one_beyond_it_ends_with_the_video(self) -> None:
        assert self.bounds(1.0, None) == (10, 50)
        assert self.bounds(1.0, 1e9) == (10, 50)
        assert self.bounds(0.0, None) == (0, 50)

    def test_times_computed_in_floats_mean_the_frame_they_name(self) -> None:
        start_s = 0.1 + 0.2  # 0.30000000000000004
        assert self.bounds(start_s, None) == (3, 50)
        assert self.bounds(0.0, start_s) == (0, 3)

    @patient
    @given(st.lists(st.integers(1, 49), unique=True, max_size=8), st.floats(-1e-9, 1e-9))
    def test_neighbouring_segments_share_no_frame_and_lose_none(
        self, cuts: list[int], error_s: float
    ) -> None:
        edges = [0.0, *(cut / 10 + error_s for cut in sorted(cuts)), 5.0]
        frames: list[int] = []
        for start_s, end_s in pairwise(edges):
            frames.extend(range(*self.bounds(start_s, end_s)))
        assert frames == list(range(50))

    @pytest.mark.parametrize(("start_s", "end_s"), [(5.0, None), (1.01, 1.09), (7.0, 9.0)])
    def test_a_segment_without_frames_names_itself_and_the_last_frame(
        self, start_s: float, end_s: float | None
    ) -> None:
        with pytest.raises(VideoError, match=f"clip@x has no frame from {start_s:g} s") as caught:
            self.bounds(start_s, end_s)
        assert "last frame is at 4.90 s. Correct start_s and end_s." in str(caught.value)


@patient
@given(timelines(), st.sampled_from(["uniform", "rate"]), st.integers(0, 9))
def test_the_same_draw_gives_the_same_frames(
    pts_s: NDArray[np.float64], kind: str, seed: int
) -> None:
    rule = SamplingRule("rate" if kind == "rate" else "uniform", frames=8, rate_fps=3.0)
    one, other = (choose_indices(pts_s, rule, rng=np.random.default_rng(seed)) for _ in range(2))
    assert one == other


def test_a_rule_chooses_its_kind() -> None:
    pts_s = even(100, 10.0)
    uniform = choose_indices(pts_s, SamplingRule("uniform", frames=4))
    rate = choose_indices(pts_s, SamplingRule("rate", frames=4, rate_fps=5.0))
    dense = choose_indices(pts_s, SamplingRule("dense", frames=4, stride=3))
    assert uniform == [12, 37, 62, 87]
    assert np.diff(dense).tolist() == [3, 3, 3]
    assert np.diff(rate).tolist() == [2, 2, 2]
