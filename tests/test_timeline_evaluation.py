"""`cliptide evaluate --timeline`: annotations, and how well what is found agrees with them."""

import csv
import json
import os
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliptide.app.evaluation.figures.segment_metrics import (
    VideoSegments,
    iou,
    matches,
    mean_average_precision,
    segment_metrics,
)
from cliptide.app.inference.prediction import Segment
from cliptide.configs.errors import DataError
from cliptide.datasets.catalog.annotations import Annotation, read_annotations
from cliptide.datasets.synthetic import write_long_video


def s(start_s, end_s, label="a", score=0.9):
    return Segment(start_s, end_s, label, score)


# --- The figures ---------------------------------------------------------------------------------


def test_iou_is_what_is_shared_over_what_is_covered():
    assert iou(s(0, 4), s(2, 6)) == pytest.approx(2 / 6)
    assert iou(s(0, 1), s(1, 2)) == 0
    assert iou(s(1, 3), s(1, 3)) == 1


def test_an_annotated_segment_is_found_once():
    video = VideoSegments(10, (s(0, 4),), (s(0, 4, score=0.8), s(0, 3, score=0.9)))
    assert matches(video, at_iou=0.5) == [True, False]


def test_figures_by_hand():
    video = VideoSegments(
        10.0, true=(s(0, 4, "a"), s(4, 8, "b")), found=(s(0, 3, "a"), s(3, 4.5, "b"), s(8, 10, "c"))
    )
    figures = segment_metrics([video], seed=0)
    # a is right up to 0.75; b overlaps by 0.5 of 5: an IoU of 0.1; c is made up.
    assert figures["segment_f1"]["0.1"]["f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert figures["segment_f1"]["0.25"]["f1"] == pytest.approx(2 * 1 / (3 + 2))
    assert figures["segment_f1"]["0.5"]["precision"] == pytest.approx(1 / 3)
    assert figures["segment_f1"]["0.5"]["recall"] == pytest.approx(1 / 2)
    assert figures["map"]["0.5"] == pytest.approx(0.5)  # a 1, b 0; c is not annotated
    # Agreeing: 0-3 and 4-4.5; nothing is found from 4.5 to 8 where b is, and c where nothing is.
    assert figures["frame_accuracy"]["accuracy"] == pytest.approx(0.35)
    assert figures["frame_accuracy"]["where_something_happens"] == pytest.approx(3.5 / 8)
    assert figures["segment_f1"]["0.5"]["ci95"] is None  # one video says nothing of others
    assert figures["per_class"]["b"] == {"f1": 0.0, "num_segments": 1, "num_found": 1}


def test_average_precision_ranks_over_all_videos():
    first = VideoSegments(10, (s(0, 4),), (s(0, 4, score=0.6),))
    second = VideoSegments(10, (s(0, 4),), (s(5, 9, score=0.9),))
    # The wrong one stands first: precision 1/2 at the recall of 1/2 that is reached.
    assert mean_average_precision([first, second], at_iou=0.5) == pytest.approx(0.25)
    assert mean_average_precision([VideoSegments(1, (), (s(0, 1),))], at_iou=0.5) is None


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10), st.sampled_from("ab")), max_size=8)
)
@settings(max_examples=50, deadline=None)
def test_what_is_annotated_is_perfect_against_itself(spans):
    # Of one label no two alike, which could take each other's place.
    true = tuple(s(start, start + length, label) for start, length, label in dict.fromkeys(spans))
    figures = segment_metrics([VideoSegments(30.0, true, true)], seed=0)
    assert figures["segment_f1"]["0.5"]["f1"] == 1.0
    assert figures["frame_accuracy"]["accuracy"] == 1.0


def test_five_videos_have_intervals():
    videos = [VideoSegments(4, (s(0, 4),), (s(0, 4 - i),)) for i in range(4)] + [
        VideoSegments(4, (s(0, 4),), ())
    ]
    low, high = segment_metrics(videos, seed=0)["segment_f1"]["0.5"]["ci95"]
    assert 0 < low < high <= 1


# --- Annotations ---------------------------------------------------------------------------------


@pytest.fixture
def annotated(tmp_path):
    """Two videos with a CSV beside each, and one without."""
    for name in ("one", "two", "bare"):
        spans = write_long_video(
            tmp_path / f"{name}.mp4", ["rise", "close"], repeats=2, side=32, num_frames=20
        )
        if name != "bare":
            with (tmp_path / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("start_s", "end_s", "label"), *spans])
    return tmp_path


def test_a_folder_is_read_by_the_csv_beside_each_video(annotated):
    videos, notes = read_annotations(annotated, split="test")
    assert [video.path.stem for video in videos] == ["one", "two"]
    assert [a.label for a in videos[0].annotations] == ["rise", "close"]
    assert notes == ["1 video without a CSV left out: bare.mp4."]


def test_a_video_in_which_nothing_happens_has_a_csv_of_its_header(annotated):
    (annotated / "bare.csv").write_text("start_s,end_s,label\n")
    videos, notes = read_annotations(annotated, split="test")
    assert [len(video.annotations) for video in videos] == [0, 2, 2]
    assert notes == []


def test_a_csv_for_all_has_splits_several_labels_and_open_ends(annotated):
    path = annotated / "all.csv"
    path.write_text(
        "path,start_s,end_s,label,split\none.mp4,0,2,rise|close,test\none.mp4,3,,fall,test\n"
        "two.mp4,0,1,rise,train\n"
    )
    (video,), _ = read_annotations(path, split="test")
    assert video.annotations == (
        Annotation(0.0, 2.0, "rise"),
        Annotation(0.0, 2.0, "close"),
        Annotation(3.0, None, "fall"),
    )
    assert len(read_annotations(path, split="all")[0]) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\nx,y\n", "lacks the column 'start_s' and 'end_s'"),
        ("path,start_s,end_s,label\none.mp4,2,1,rise\n", "not after start_s"),
        (
            "path,start_s,end_s,label\ngone.mp4,0,1,rise\n",
            "1 file that are not there: gone|gone.mp4",
        ),
        ("path,start_s,end_s,label,split\none.mp4,0,1,rise,train\n", "no row of the split 'test'"),
    ],
)
def test_wrong_annotations_are_refused(annotated, text, told):
    (annotated / "all.csv").write_text(text)
    with pytest.raises(DataError, match=told):
        read_annotations(annotated / "all.csv", split="test")


# --- The command ---------------------------------------------------------------------------------


def test_the_command_writes_figures_and_segments(cliptide, small_model, annotated, tmp_path):
    out = tmp_path / "out"
    result = cliptide(
        "evaluate", small_model, annotated, "--timeline", "--out", out, "--nothing_below", "0.05"
    )
    assert result.code == 0, result.err
    figures = json.loads((out / "timeline.json").read_text())
    assert figures["num_videos"] == 2 and figures["num_segments"] == 4
    rows = list(csv.DictReader((out / "segments.csv").read_text().splitlines()))
    assert sum(row["which"] == "annotated" for row in rows) == 4
    assert sum(row["which"] == "found" for row in rows) == figures["num_found"]
    assert "overlapping by 50%" in result.out and "of all moments" in result.out.replace("\n", " ")


def test_a_video_that_cannot_be_read_costs_only_itself(cliptide, small_model, annotated, tmp_path):
    (annotated / "two.mp4").write_text("no video")
    out = tmp_path / "out"
    result = cliptide("evaluate", small_model, annotated, "--timeline", "--out", out)
    assert result.code == 1 and "two.mp4" in result.err
    assert json.loads((out / "timeline.json").read_text())["num_failed"] == 1


def test_labels_that_the_model_does_not_know_are_refused_or_mapped(
    cliptide, small_model, annotated, tmp_path
):
    path = annotated / "all.csv"
    path.write_text("path,start_s,end_s,label\none.mp4,0,2,rising\n")
    words = ("evaluate", small_model, path, "--timeline", "--out", tmp_path / "out")
    result = cliptide(*words)
    assert result.code == 2 and "'rising' (nearest: rise)" in " ".join(result.err.split())
    assert cliptide(*words, "--map", "rising=rise").code == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["--eval.clips", "3"], "--eval.clips is 3"), (["--data.fold", "2"], "--data.fold is 2")],
)
def test_what_is_for_clips_is_refused(cliptide, small_model, annotated, flags, told):
    result = cliptide("evaluate", small_model, annotated, "--timeline", *flags)
    assert result.code == 2 and told in result.err


def test_what_is_annotated_behind_the_end_of_a_video_is_said(
    cliptide, small_model, annotated, tmp_path
):
    with (annotated / "one.csv").open("a") as file:
        file.write("5000,6000,rise\n")  # milliseconds, say
    out = tmp_path / "out"
    result = cliptide("evaluate", small_model, annotated, "--timeline", "--out", out)
    assert re.search(r"1 annotated segment.*Are the times seconds", result.err, re.DOTALL)
    assert json.loads((out / "timeline.json").read_text("utf-8"))["num_beyond_end"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode elsewhere")
def test_names_that_are_no_utf8_are_written_too(cliptide, small_model, annotated, tmp_path):
    for suffix in (b".mp4", b".csv"):
        (annotated / f"one{suffix.decode()}").rename(annotated / os.fsdecode(b"caf\xe9" + suffix))
    out = tmp_path / "out"
    assert cliptide("evaluate", small_model, annotated, "--timeline", "--out", out).code == 0
    assert b"caf\xe9.mp4" in (out / "segments.csv").read_bytes()
    words = ["predict", small_model, annotated, "--timeline", "--nothing_below", "0"]
    assert cliptide(*words, "--csv", tmp_path / "a.csv").code == 0
    assert b"caf\xe9.mp4" in (tmp_path / "a.csv").read_bytes()
