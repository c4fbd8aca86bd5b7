"""`cliptide predict`: what is found, what is written, and what one bad video costs."""

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from cliptide.app import load
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.app.inference.terminal import track
from cliptide.app.sources import expand_sources
from cliptide.configs.errors import ConfigError, InputError, ModelFileError, VideoError
from cliptide.datasets.video import open_video
from cliptide.models.bundle import load_model, save_model


@pytest.fixture(scope="module")
def recognizer(small_model):
    return load(small_model, device="cpu")


@pytest.fixture(scope="module")
def clip(small_data):
    return small_data / "rise" / "v_rise_g01_c01.mp4"


@pytest.fixture
def videos(clip, tmp_path, monkeypatch):
    """Three good videos under difficult names and one that is none; the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("b/two words.mp4", "b/ünï/größe.MP4", "[red]x :bomb: [1].mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / "in" / name)
    (tmp_path / "in" / "broken.mp4").write_text("no video")
    (tmp_path / "in" / "notes.txt").write_text("no video")
    return tmp_path


FOUND = [
    "in/[red]x :bomb: [1].mp4",
    "in/b/two words.mp4",
    "in/b/ünï/größe.MP4",
    "in/broken.mp4",
]


def test_load_and_predict_give_label_score_and_every_class(recognizer, clip):
    prediction = recognizer.predict(clip)
    assert tuple(prediction.scores) == recognizer.class_names
    assert math.isclose(sum(prediction.scores.values()), 1.0)
    assert (
        prediction.score == prediction.scores[prediction.label] == max(prediction.scores.values())
    )
    assert prediction.top(1) == [(prediction.label, prediction.score)]
    assert [score for _, score in prediction.top()] == sorted(prediction.scores.values())[:-6:-1]
    assert prediction.frames_used <= 8
    (segment,) = prediction.segments
    assert (segment.start_s, segment.end_s) == (0.0, prediction.duration_s)
    assert (segment.label, segment.score) == (prediction.label, prediction.score)


def test_predict_raises_for_a_video_that_cannot_be_read(recognizer, tmp_path):
    with pytest.raises(VideoError, match=r"nowhere\.mp4"):
        recognizer.predict(tmp_path / "nowhere.mp4")


def test_a_score_depends_on_its_video_alone(recognizer, small_data):
    files = sorted(small_data.rglob("*.mp4"))[::5]
    together = [result.scores for result in recognizer.predict_many(files)]
    for file, scores in zip(files, together, strict=True):
        assert recognizer.predict(file).scores == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize("options", [{"clips": 0}, {"workers": -1}])
def test_clips_and_workers_are_checked_from_python_too(recognizer, clip, options):
    with pytest.raises(ConfigError, match="Use "):
        next(recognizer.predict_many([clip], **options))


def test_folders_and_globs_are_searched_for_videos(videos):
    assert expand_sources(["in"]) == FOUND
    assert expand_sources(["in/**"]) == FOUND
    assert expand_sources(["in/b/*"]) == FOUND[1:3]
    assert expand_sources(["in/**/*.[mM][pP]4"]) == FOUND
    assert expand_sources([str(videos / "in/b/*.mp4")]) == [str(videos / "in/b/two words.mp4")]


def test_a_file_is_taken_as_named_and_each_only_once(videos):
    named = ["in/notes.txt", "in/[red]x :bomb: [1].mp4", "nowhere.mp4"]
    assert expand_sources([*named, "in", *named]) == [*named, *FOUND[1:]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("empty", "The folder empty holds no videos. Give one that does"),
        ("nothing/*.mp4", "The pattern nothing/*.mp4 matches nothing. Mend it"),
        ("in/*.txt", "The pattern in/*.txt matches 1 files, but no video. Mend it"),
    ],
)
def test_a_source_without_any_video_is_refused(videos, source, message):
    (videos / "empty").mkdir()
    with pytest.raises(InputError) as refusal:
        expand_sources(["in", source])
    assert str(refusal.value).startswith(message)


def test_an_unreadable_video_costs_only_itself(cliptide, videos, small_model):
    result = cliptide("predict", small_model, "in", "nowhere.mp4", "--json", "out.json")
    assert result.code == 1
    rows = json.loads((videos / "out.json").read_text("utf-8"))
    assert [row["video"] for row in rows] == [*FOUND, "nowhere.mp4"]
    assert ["error" in row for row in rows] == [False, False, False, True, True]
    for name in ("in/broken.mp4", "nowhere.mp4"):
        assert f"Not read: {name}" in result.err
    assert result.err.endswith("cliptide: 2 of 5 videos could not be read.\n")


def test_json_is_exactly_as_agreed(cliptide, videos, small_model, recognizer):
    cliptide("predict", small_model, "in/b/two words.mp4", "in/broken.mp4", "--json", "out.json")
    good, bad = json.loads((videos / "out.json").read_text("utf-8"))
    prediction = recognizer.predict("in/b/two words.mp4")
    assert good == {
        "video": "in/b/two words.mp4",
        "label": prediction.label,
        "score": prediction.score,
        "scores": prediction.scores,
        "top": [{"label": label, "score": score} for label, score in prediction.top(5)],
        "duration_s": prediction.duration_s,
        "frames_used": prediction.frames_used,
        "segments": [
            {
                "start_s": 0.0,
                "end_s": prediction.duration_s,
                "label": prediction.label,
                "score": prediction.score,
            }
        ],
    }
    assert list(bad) == ["video", "error"]


def test_json_to_stdout_is_pure(cliptide, videos, small_model):
    result = cliptide("predict", small_model, "in", "--json", "-", "--csv", "out.csv")
    assert [row["video"] for row in json.loads(result.out)] == FOUND
    assert "Written: out.csv" in result.err


@pytest.mark.skipif(sys.platform != "linux", reason="only there is any byte a file name")
def test_a_file_name_that_is_no_utf8_is_written_all_the_same(cliptide, videos, clip, small_model):
    name = os.fsdecode(b"in/bad\xff.mp4")
    shutil.copy(clip, name)
    words = ["predict", small_model, name, "--csv", "out.csv"]
    assert json.loads(cliptide(*words, "--json", "-").out)[0]["video"] == name
    assert cliptide(*words, "--overwrite").out.startswith(r"in/bad\udcff.mp4" + "\t")
    assert read_predictions("out.csv")[0][0].video == name


def test_json_on_a_stdout_without_utf8_is_escaped(videos, small_model, monkeypatch):
    from cliptide.app.cli import main

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["predict", str(small_model), FOUND[2], "--json", "-"]) == 0
    stream.flush()
    assert json.loads(stream.buffer.getvalue())[0]["video"] == FOUND[2]


def test_csv_has_the_columns_of_an_evaluation(cliptide, videos, small_model, recognizer):
    assert cliptide("predict", small_model, "in", "--csv", "out.csv").code == 1
    header = (videos / "out.csv").read_text("utf-8").splitlines()[0]
    classes = ",".join(recognizer.class_names)
    assert header == f"video,true,predicted,score,{classes},frames_used,group,error"
    rows, _ = read_predictions("out.csv")
    assert [row.video for row in rows] == FOUND
    assert [row.failed for row in rows] == [False, False, False, True]
    assert {row.true for row in rows} == {None}
    assert "broken.mp4" in rows[3].error


def test_a_pipe_gets_a_line_a_video(cliptide, videos, small_model, recognizer):
    result = cliptide("predict", small_model, "in")
    rows = list(csv.reader(io.StringIO(result.out), delimiter="\t"))
    assert [row[0] for row in rows] == FOUND
    label = recognizer.predict(FOUND[1]).label
    assert [row[1] for row in rows] == [label, label, label, ""]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_a_table_that_fits(cliptide, videos, small_model, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    output = cliptide("predict", small_model, "in").out
    lines = re.sub(r"\x1b\[[\d;]*m", "", output).splitlines()
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert ("next best" in text) == (columns == 120)
    # Names stand whole, below the folder that they share, and are no markup.
    for part in ("video in in/", "[red]x :bomb: [1].mp4", "b/two words.mp4", "could not be read"):
        assert part in text


@pytest.mark.parametrize("flag", ["--json", "--csv"])
def test_a_file_that_exists_is_kept_unless_told_otherwise(cliptide, videos, small_model, flag):
    out = videos / "out"
    out.write_text("precious")
    words = ["predict", small_model, FOUND[1], flag, out]
    result = cliptide(*words)
    assert (result.code, result.out) == (2, "")
    assert f"{out} exists. Give another name, or --overwrite to replace it." in result.err
    assert out.read_text() == "precious"
    assert cliptide(*words, "--overwrite").code == 0
    assert out.read_text() != "precious"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--json", "none/x.json"], ["There is no folder none", "Make it"]),
        (["--json", "in"], ["in is a folder", "name of a file"]),
        (["--csv", "-"], ["--csv - is no file", "--json -"]),
        (["--json", "x", "--csv", "./x"], ["x is to be written twice", "its own file"]),
        (["--eval.clips", "0"], ["eval.clips is 0", "Use 1 or more"]),
        (["--data.workers", "-1"], ["data.workers is -1", "Use auto, 0 or more"]),
        (["--device", "cuda:99"], ["'cuda:99'", "--device cpu"]),
        (["empty"], ["The folder empty holds no videos", "Give one that does"]),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(
    cliptide, videos, small_model, words, parts
):
    (videos / "empty").mkdir()
    result = cliptide("predict", small_model, "in", *words)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    for part in parts:
        assert part in result.err


def test_sources_may_stand_before_and_behind_flags(cliptide, videos, small_model):
    words = ["--device", "cpu", small_model, FOUND[1], "--eval.clips", "1", FOUND[0]]
    result = cliptide("predict", *words)
    assert (result.code, len(result.out.splitlines())) == (0, 2)


def test_a_model_whose_training_diverged_is_said_to_have(cliptide, videos, small_model):
    network, info = load_model(small_model)
    with torch.no_grad():
        next(network.head.parameters()).fill_(math.nan)
    save_model(videos / "nan.safetensors", network, info)
    result = cliptide("predict", videos / "nan.safetensors", FOUND[1])
    assert (result.code, result.out) == (1, "")
    assert "not numbers (NaN): its training diverged" in result.err
    assert "smaller --train.lr" in result.err


def test_a_model_of_another_size_and_rule_takes_its_own(small_model, clip, tmp_path):
    network, info = load_model(small_model)
    changed = replace(info, size=(24, 40), sampling="rate", rate_fps=4.0)
    save_model(tmp_path / "rate.safetensors", network, changed)
    prediction = load(tmp_path / "rate.safetensors", device="cpu").predict(clip, clips=1)
    assert prediction.frames_used == math.ceil(prediction.duration_s * 4)


def test_a_model_takes_every_stride_th_frame_if_it_learnt_so(small_model, clip, tmp_path):
    network, info = load_model(small_model)
    changed = replace(info, sampling="dense", frames=500, stride=3)
    save_model(tmp_path / "dense.safetensors", network, changed)
    with open_video(clip) as video:
        expected = math.ceil(video.num_frames / 3)
    prediction = load(tmp_path / "dense.safetensors", device="cpu").predict(clip, clips=1)
    assert prediction.frames_used == expected


def test_a_rule_of_a_later_release_asks_for_an_upgrade(small_model, clip, tmp_path):
    network, info = load_model(small_model)
    save_model(tmp_path / "odd.safetensors", network, replace(info, sampling="clever"))
    with pytest.raises(ModelFileError, match=r"sampling is 'clever'.*pip install --upgrade"):
        load(tmp_path / "odd.safetensors", device="cpu").predict(clip)


def test_progress_is_plain_lines_where_no_terminal_is(capsys, monkeypatch):
    monkeypatch.setattr("cliptide.app.inference.terminal.LINE_EVERY_S", 0.0)
    assert list(track("abc", total=3, what="Predicting", unit="videos")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("Predicting: 2/3 videos, ")
    assert "\x1b" not in captured.err


def test_predict_works_in_a_process_of_its_own_with_workers(videos, small_model):
    words = ["predict", small_model, "in/b", "--json", "-", "--data.workers", "1"]
    run = subprocess.run([sys.executable, "-m", "cliptide.app", *words], capture_output=True)
    # A loaded machine takes more than the ten seconds after which a line tells how far it is.
    told = [line for line in run.stderr.splitlines() if not line.startswith(b"Predicting: ")]
    assert (run.returncode, told) == (0, [])
    assert [row["video"] for row in json.loads(run.stdout)] == FOUND[1:3]
