"""What a notebook shows: pictures and bars that are right, and nothing a name could break."""

import re
import shutil

import numpy as np
import pytest

from cliptide.app import load
from cliptide.app.inference.prediction import Prediction, Segment
from cliptide.app.inference.timeline import Timeline


@pytest.fixture
def clip(small_data, tmp_path):
    return shutil.copy(small_data / "rise" / "v_rise_g01_c01.mp4", tmp_path / "<b>one&.mp4")


def test_a_prediction_is_a_film_strip_and_bars(small_model, clip):
    prediction = load(small_model, device="cpu").predict(clip)
    page = prediction._repr_html_()
    assert len(re.findall(r"data:image/jpeg;base64,", page)) == 6
    assert page.count("width:180px") == 5
    assert "&lt;b&gt;one&amp;.mp4" in page and "<b>one" not in page
    assert f"{prediction.score:.1%}" in page


def test_a_video_that_is_gone_leaves_the_bars(small_model, clip):
    prediction = load(small_model, device="cpu").predict(clip)
    clip.unlink()
    page = prediction._repr_html_()
    assert "No pictures" in page and page.count("width:180px") == 5


def test_numbers_are_told_without_bars():
    page = Prediction("gone.mp4", "regression", (), {}, {"speed": 2.5}, 1.0, 4, ())._repr_html_()
    assert "speed 2.5" in page and "width:180px" not in page


def test_a_timeline_is_a_lane_for_each_label():
    segments = (Segment(0, 2, "walk", 0.9), Segment(2, 8, "<wave>", 0.8), Segment(8, 10, "walk", 1))
    timeline = Timeline(
        "x.mp4", "single", ("walk", "<wave>"), 10.0, 5, segments, np.zeros(1), np.zeros((1, 2))
    )
    page = timeline._repr_html_()
    assert re.findall(r"left:([\d.]+)%;width:([\d.]+)%", page) == [
        ("20.00", "60.00"),
        ("0.00", "20.00"),
        ("80.00", "20.00"),
    ]
    assert "<wave>" not in page
