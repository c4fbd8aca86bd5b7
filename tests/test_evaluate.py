"""`cliptide evaluate`: the split of the training, other data, and nothing dropped in silence."""

import csv
import json
import math
import shutil
from dataclasses import replace

import pytest
import torch

from cliptide.app import evaluate
from cliptide.app.evaluation.command_line import repeat_command
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.configs.errors import CliptideError, DataError, InputError, SplitError
from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset
from cliptide.models.bundle import load_model, save_model

UNPROVEN = "it is not known whether it has seen these videos"
PROVEN = "No group stands in both training and test data"
UNKNOWN_CLIPS = "These are not the clips, or not the split, that the model was trained with"


@pytest.fixture
def data(small_data, tmp_path):
    """A copy of the data that may be changed."""
    return shutil.copytree(small_data, tmp_path / "videos")


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    """Videos that the model was not trained on."""
    folder = tmp_path_factory.mktemp("other") / "others"
    for _ in write_dataset(folder, groups=3, clips_per_group=1, num_frames=6, side=32, seed=9):
        pass
    return folder


def write_manifest(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def saved_with(model, path, **changes):
    network, info = load_model(model)
    save_model(path, network, replace(info, **changes))
    return path


def run(model, data, tmp_path, **options):
    return evaluate(model, data, out=tmp_path / "out", device="cpu", workers=0, **options)


def test_the_same_split_as_in_training_is_scored_by_default(
    cliptide, small_run, small_data, tmp_path
):
    result = cliptide("evaluate", small_run / "model.safetensors", small_data, "--out", tmp_path)
    assert (result.code, result.err) == (0, "")
    trained = json.loads((small_run / "metrics.json").read_text())
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["split"] == "test"
    for key in ("split_fingerprint", "top1", "confusion", "num_videos", "ci95"):
        assert metrics[key] == trained[key]
    ours, theirs = (read_predictions(f / "predictions.csv")[0] for f in (tmp_path, small_run))
    assert ours == theirs
    assert PROVEN in (tmp_path / "report.html").read_text()


def test_metrics_json_has_what_was_agreed(small_model, small_data, tmp_path):
    run(small_model, small_data, tmp_path)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    agreed = {"split", "num_videos", "num_failed", "top1", "top5", "macro_f1", "ci95", "per_class"}
    assert agreed <= set(metrics)
    assert set(metrics["per_class"]) == set(CLASS_NAMES)
    assert metrics["baselines"]["majority"] == 1 / 8
    assert (metrics["num_videos"], metrics["num_failed"]) == (8, 0)


@pytest.mark.parametrize(("split", "count"), [("train", 16), ("val", 8), ("test", 8), ("all", 32)])
def test_any_split_can_be_scored(cliptide, small_model, small_data, tmp_path, split, count):
    words = ["evaluate", small_model, small_data, "--split", split, "--out", tmp_path]
    result = cliptide(*words)
    assert result.code == 0
    assert f"{count} of {count}" in result.out
    assert ("Results on all videos" in result.out) == (split == "all")
    assert ("--split all scores the training clips too" in result.err) == (split == "all")
    rows, _ = read_predictions(tmp_path / "predictions.csv")
    assert len({row.video for row in rows}) == len(rows) == count


def test_an_unknown_split_is_refused_with_the_nearest(cliptide, small_model, small_data):
    result = cliptide("evaluate", small_model, small_data, "--split", "tset")
    assert (result.code, result.out) == (2, "")
    assert "Split 'tset' is not in" in result.err
    assert "Did you mean 'test'? Use one of: train, val, test." in result.err


def test_a_failed_video_is_reported_not_dropped(cliptide, small_model, data, tmp_path):
    broken = next((data / "rise").glob("*_g04_*"))
    broken.write_text("no video")
    result = cliptide("evaluate", small_model, data, "--out", tmp_path / "out")
    assert result.code == 0
    assert "7 of 8" in result.out
    assert "videos that could not be read" in result.out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["num_videos"], metrics["num_scored"], metrics["num_failed"]) == (8, 7, 1)
    rows, _ = read_predictions(tmp_path / "out" / "predictions.csv")
    (failed,) = [row for row in rows if row.failed]
    assert (failed.video, failed.true) == (f"rise/{broken.name}", "rise")
    assert broken.name in failed.error
    assert broken.name in (tmp_path / "out" / "report.html").read_text()


def test_other_data_is_never_said_to_be_free_of_leaks(small_model, other_data, tmp_path, capsys):
    evaluation = run(small_model, other_data, tmp_path)
    assert UNKNOWN_CLIPS in " ".join(capsys.readouterr().err.split())
    report = evaluation.report.read_text()
    assert UNPROVEN in report
    assert PROVEN not in report
    assert "another split or other data" in report


def test_all_videos_of_other_data_are_scored_without_a_warning(
    small_model, other_data, tmp_path, capsys
):
    evaluation = run(small_model, other_data, tmp_path, split="all")
    assert evaluation.metrics["num_videos"] == 24
    assert capsys.readouterr().err == ""
    assert PROVEN not in evaluation.report.read_text()


def test_another_split_of_the_same_data_is_warned_of(small_model, small_data, tmp_path, capsys):
    evaluation = run(small_model, small_data, tmp_path, seed=1, kind="folder")
    assert UNKNOWN_CLIPS in " ".join(capsys.readouterr().err.split())
    assert UNPROVEN in evaluation.report.read_text()


def test_a_list_of_test_clips_alone_can_be_scored(small_model, other_data, tmp_path):
    files = sorted(other_data.rglob("*.mp4"))
    rows = [{"path": f, "label": f.parent.name, "split": "test"} for f in files]
    data = write_manifest(tmp_path / "test.csv", rows)
    evaluation = run(small_model, data, tmp_path)
    assert evaluation.metrics["num_scored"] == 24
    assert PROVEN not in evaluation.report.read_text()
    with pytest.raises(SplitError, match=r"'val' is not in .*Use one of: test\."):
        evaluate(small_model, data, split="val", device="cpu")


def test_data_too_small_to_be_split_can_be_scored_as_a_whole(small_model, other_data, tmp_path):
    files = [next((other_data / name).glob("*_g01_*")) for name in ("rise", "fall")]
    rows = [{"path": f, "label": f.parent.name, "group": "one"} for f in files]
    data = write_manifest(tmp_path / "two.csv", rows)
    assert run(small_model, data, tmp_path, split="all").metrics["num_scored"] == 2
    with pytest.raises(SplitError, match=r"1 group"):
        evaluate(small_model, data, device="cpu")


def test_a_class_that_the_model_does_not_know_is_named_with_the_nearest(small_model, data):
    (data / "rise").rename(data / "rising")
    shutil.rmtree(data / "ucfTrainTestlist")
    with pytest.raises(DataError) as refusal:
        evaluate(small_model, data, split="all", device="cpu")
    assert "'rising' (nearest: rise)" in str(refusal.value)
    assert "It knows: anticlockwise, clockwise" in str(refusal.value)
    assert "cliptide train --init" in str(refusal.value)


def test_a_class_without_test_clips_does_not_matter(small_model, small_data, tmp_path):
    files = sorted((small_data / "rise").glob("*.mp4")) + sorted((small_data / "fall").glob("*"))
    rows = [{"path": f, "label": f.parent.name, "split": "test"} for f in files]
    metrics = run(small_model, write_manifest(tmp_path / "two.csv", rows), tmp_path).metrics
    assert metrics["per_class"]["rise"]["support"] == 4
    assert metrics["per_class"]["open"]["support"] == 0


def test_a_model_whose_training_diverged_gives_an_error_and_no_metrics(
    small_model, small_data, tmp_path
):
    network, info = load_model(small_model)
    with torch.no_grad():
        next(network.head.parameters()).fill_(math.nan)
    save_model(tmp_path / "nan.safetensors", network, info)
    with pytest.raises(CliptideError, match=r"not numbers \(NaN\).*smaller --train\.lr"):
        run(tmp_path / "nan.safetensors", small_data, tmp_path)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_the_way_the_training_data_was_read_is_not_forced_on_other_data(
    small_model, other_data, tmp_path, capsys
):
    settings = {"group_regex": "_p([0-9]+)_", "fold": 3, "kind": "ucf101", "frames": 4}
    model = saved_with(small_model, tmp_path / "m.safetensors", run={"data": settings})
    assert run(model, other_data, tmp_path, split="all").metrics["num_scored"] == 24
    assert "is not read as the model's training data was" in capsys.readouterr().err
    # What was asked for is never put aside.
    with pytest.raises(InputError, match=r"Fold 2 .* Use one of: 1\."):
        evaluate(model, other_data, split="all", fold=2, device="cpu")


def test_settings_of_another_version_in_the_model_file_do_not_stop_it(
    small_model, small_data, tmp_path
):
    settings = {"kind": "auto", "streams": "rgb"}
    model = saved_with(small_model, tmp_path / "m.safetensors", run={"data": settings})
    assert run(model, small_data, tmp_path).metrics["num_scored"] == 8


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--eval.clips", "0"], ["eval.clips is 0", "Use 1 or more"]),
        (["--data.workers", "-1"], ["data.workers is -1", "Use auto, 0 or more"]),
        (
            ["--data.kind", "ucf"],
            ["data.kind is 'ucf'", "one of: auto, folder, split-folders, ucf101"],
        ),
        (["--data.fold", "7"], ["Fold 7", "Use one of: 1."]),
        (["--device", "cuda:99"], ["'cuda:99'", "--device cpu"]),
        (["--seed", "-1"], ["seed is -1", "from 0"]),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_no_folder(
    cliptide, small_model, small_data, tmp_path, monkeypatch, words, parts
):
    monkeypatch.chdir(tmp_path)
    result = cliptide("evaluate", small_model, small_data, *words)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    for part in parts:
        assert part in result.err
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_never_replaces_a_trained_model(cliptide, small_run, small_data):
    before = {path: path.read_bytes() for path in small_run.iterdir() if path.is_file()}
    words = ["evaluate", small_run / "model.safetensors", small_data, "--out", small_run]
    result = cliptide(*words, "--overwrite")
    assert result.code == 2
    assert "holds a training run, which an evaluation does not replace" in result.err
    assert {path: path.read_bytes() for path in before} == before


def test_an_evaluation_replaces_an_earlier_one_only_when_told_to(
    cliptide, small_model, small_data, tmp_path
):
    words = ["evaluate", small_model, small_data, "--out", tmp_path]
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty. Give another --out, or --overwrite" in cliptide(*words).err
    assert cliptide(*words, "--overwrite").code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folders_are_numbered_when_none_is_named(
    cliptide, small_model, small_data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cliptide("evaluate", small_model, small_data).code == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == ["videos-evaluate-1", "videos-evaluate-2"]


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/x/bin/cliptide", "evaluate", "m", "my data"], "cliptide evaluate m 'my data'"),
        (["/x/app/__main__.py", "evaluate", "m"], "python -m cliptide.app evaluate m"),
        (["/x/pytest/__main__.py", "-q"], "(called from Python)"),
    ],
)
def test_the_report_tells_the_command_only_if_it_was_ours(monkeypatch, argv, command):
    monkeypatch.setattr("sys.argv", argv)
    assert repeat_command() == command


def test_markup_in_a_class_name_is_shown_as_it_is(cliptide, small_model, small_data, tmp_path):
    names = ("[red]rise", *sorted(set(CLASS_NAMES) - {"rise"}))
    model = saved_with(small_model, tmp_path / "m.safetensors", class_names=names)
    files = [f for f in sorted(small_data.rglob("*.mp4")) if f.parent.name in ("rise", "fall")]
    rows = [
        {"path": f, "label": "[red]rise" if f.parent.name == "rise" else "fall", "split": "test"}
        for f in files
    ]
    data = write_manifest(tmp_path / "two.csv", rows)
    assert "[red]rise" in cliptide("evaluate", model, data, "--out", tmp_path / "out").out
