"""Frames fitted for a network without PyTorch, and work spread over threads in order."""

import threading
import time

import numpy as np
import pytest
from video_files import numbered_frames, read_numbers, write_video

from cliptide.configs.errors import VideoError
from cliptide.datasets.in_order import AHEAD, in_order
from cliptide.datasets.reading import frames_at_rate, read_fitted
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.pictures import PictureStream
from cliptide.datasets.streams.samples import read_views
from cliptide.datasets.video import open_video


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("reading") / "film.mp4"
    return write_video(path, numbered_frames(50), fps=25)


@pytest.mark.parametrize("fit", ["resize", "crop", "letterbox", "pad"])
def test_frames_at_a_rate_are_those_of_reading_by_index(film, fit):
    with open_video(film) as video:
        frames = list(frames_at_rate(video, rate_fps=5, size=(40, 40), fit=fit))
        assert [frame.index for frame in frames] == list(range(0, 50, 5))
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(10) / 5)
        expected = read_fitted(video, range(0, 50, 5), size=(40, 40), fit=fit)
    np.testing.assert_array_equal(np.stack([frame.picture for frame in frames]), expected)


def test_a_rate_above_the_videos_own_gives_each_frame_once(film):
    with open_video(film) as video:
        frames = list(frames_at_rate(video, rate_fps=90, size=(48, 64), fit="resize"))
    assert read_numbers(np.stack([frame.picture for frame in frames])) == list(range(50))


def test_views_are_the_frames_that_the_rule_chooses_and_none_twice(film):
    record = SampleRecord(film, "film", label="", group="")
    streams = [PictureStream(size=(48, 64))]
    views = read_views(record, streams, rule=SamplingRule("uniform", 4), num_views=2)
    assert [read_numbers(clip) for clip in views.clips] == [[3, 15, 28, 40], [9, 21, 34, 46]]
    assert views.frames_used == 8 and views.duration_s == pytest.approx(2.0)
    whole = read_views(record, streams, rule=SamplingRule("uniform", 64), num_views=3)
    assert len(whole.clips) == 1


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_results_come_in_order_whoever_is_done_first(threads):
    def work(item):
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * item

    assert list(in_order(work, range(20), threads=threads)) == [item**2 for item in range(20)]


def test_no_more_is_read_ahead_than_a_few_and_an_early_end_ends_the_threads():
    started = []

    def work(item):
        started.append(item)
        return item

    results = in_order(work, range(1000), threads=2)
    assert next(results) == 0
    time.sleep(0.1)
    assert len(started) <= 2 * AHEAD + 1
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("cliptide-read")]


def test_what_fails_in_a_thread_fails_here():
    def work(item):
        raise VideoError(f"{item} is broken")

    with pytest.raises(VideoError, match="0 is broken"):
        list(in_order(work, range(3), threads=2))
