"""A training's end and an evaluation as one: what is tried, fitted, stored, written and rebuilt."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from cliptide.app import evaluate, load, train
from cliptide.app.evaluation.clip_facts import BASELINES, ORDERS, read_clip_facts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.app.evaluation.report.stored import read_stored
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset
from cliptide.models.bundle import load_model, read_baselines, read_info, save_model

CONFIG = RunConfig(
    data=DataConfig(frames=6, size=32, augment="none", flip=False, workers=0),
    model=ModelConfig(width=0.25, hidden=16, temporal="none", summary="mean"),
    train=TrainConfig(epochs=3, lr=3e-3),
    device="cpu",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "videos"
    for _ in write_dataset(folder, groups=7, clips_per_group=3, num_frames=8, side=32):
        pass
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of the mean over frames, which is blind to their order."""
    return train(data, config=CONFIG, out=tmp_path_factory.mktemp("runs") / "blind")


def page_of(folder):
    return (folder / "report.html").read_text("utf-8").partition("<script")[0]


def copied(run, tmp_path):
    return shutil.copytree(run.out, tmp_path / "copy")


def test_a_model_that_ignores_order_is_named_so(run, cliptide, data, tmp_path):
    assert run.metrics["order"]["verdict"] == "ignores"
    assert "This model ignores order" in page_of(run.out)
    result = cliptide("evaluate", run.model, data, "--out", tmp_path / "out")
    assert "This model ignores order" in " ".join(result.out.split())


def test_every_condition_stands_in_clips_csv_and_gives_the_figures(run):
    facts = read_clip_facts(run.out / "clips.csv")
    rows, _ = read_predictions(run.out / "predictions.csv")
    assert [clip.video for clip in facts] == [row.video for row in rows]
    assert set(facts[0].answers) == {*ORDERS, *BASELINES}
    true = [row.true for row in rows]
    figures = run.metrics["order"] | run.metrics["baselines"]
    for name in (*ORDERS, *BASELINES):
        said = [clip.answers[name] for clip in facts]
        assert figures[name] == pytest.approx(sk.accuracy_score(true, said))


def test_facts_are_those_of_the_videos(run):
    for clip in read_clip_facts(run.out / "clips.csv"):
        assert (clip.width, clip.height) == (32, 32)
        assert 0 < clip.brightness < 1 and 0 < clip.motion < 1
        assert 0 < clip.duration_s < 5


def test_the_model_file_brings_its_baselines_to_later_evaluations(run, data, tmp_path):
    assert read_baselines(run.model) is not None
    again = evaluate(run.model, data, out=tmp_path / "out", device="cpu", workers=0)
    for key in ("order", "baselines", "above", "calibration", "slices", "top1", "ci95"):
        assert again.metrics[key] == run.metrics[key], key
    ours, theirs = ((f / "clips.csv").read_bytes() for f in (again.out, run.out))
    assert ours == theirs


def test_without_probes_nothing_else_is_tried(run, data, cliptide, tmp_path):
    words = ["evaluate", run.model, data, "--out", tmp_path / "out", "--eval.probes", "false"]
    assert cliptide(*words).code == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["order"] is None
    assert set(metrics["baselines"]) == {"majority"}
    config = replace(CONFIG, eval=EvalConfig(probes=False), train=TrainConfig(epochs=1))
    other = train(data, config=config, out=tmp_path / "run")
    assert read_baselines(other.model) is None and other.metrics["order"] is None


def test_calibration_is_fitted_on_validation_and_kept_in_the_model_file(run, data, tmp_path):
    info = read_info(run.model)
    assert info.temperature != 1.0
    assert 0 < info.nothing_below < 1
    assert run.metrics["calibration"]["temperature"] == info.temperature
    # Scores of the validation clips as they were before: the stored temperature does best.
    network, _ = load_model(run.model)
    save_model(tmp_path / "raw.safetensors", network, replace(info, temperature=1.0))
    raw = evaluate(tmp_path / "raw.safetensors", data, split="val", out=tmp_path / "o", workers=0)
    scores = np.array([row.scores for row in raw.predictions])
    index = {name: place for place, name in enumerate(info.class_names)}
    labels = np.array([index[row.true] for row in raw.predictions])
    smooth = np.full(scores.shape, 1 / (len(labels) + 2) / (scores.shape[1] - 1))
    smooth[np.arange(len(labels)), labels] = 1 - 1 / (len(labels) + 2)

    def loss(temperature):
        powers = scores ** (1 / temperature)
        return -(smooth * np.log(powers / powers.sum(axis=1, keepdims=True))).sum()

    assert loss(info.temperature) <= min(loss(1.0), loss(info.temperature * 1.1))
    assert loss(info.temperature) <= loss(info.temperature / 1.1)


def test_what_is_predicted_is_calibrated_as_what_was_evaluated(run, data):
    rows, _ = read_predictions(run.out / "predictions.csv")
    scores = load(run.model, device="cpu").predict(data / rows[0].video).scores
    assert list(scores.values()) == pytest.approx(list(rows[0].scores), abs=1e-6)


def test_too_few_validation_videos_calibrate_nothing(small_model):
    info = read_info(small_model)
    assert (info.temperature, info.nothing_below) == (None, None)


def test_an_overconfident_model_is_named_so(run, data, tmp_path):
    network, info = load_model(run.model)
    sure = replace(info, temperature=0.02)
    save_model(tmp_path / "sure.safetensors", network, sure)
    evaluation = evaluate(tmp_path / "sure.safetensors", data, out=tmp_path / "out", workers=0)
    assert evaluation.metrics["calibration"]["verdict"] == "over"
    assert "Over-confident: it says" in page_of(evaluation.out)


def test_swapped_class_names_are_named_so(data, tmp_path):
    config = replace(CONFIG, model=replace(CONFIG.model, temporal="gru", summary="last"))
    config = replace(config, train=TrainConfig(epochs=12, lr=5e-3))
    good = train(data, config=config, out=tmp_path / "run")
    network, info = load_model(good.model)
    recall = {name: entry["recall"] for name, entry in good.metrics["per_class"].items()}
    first, second = sorted(recall, key=lambda name: -recall[name])[:2]
    assert recall[second] > 0.5, "two classes were learnt"
    swap = {first: second, second: first}
    names = tuple(swap.get(name, name) for name in info.class_names)
    save_model(tmp_path / "swapped.safetensors", network, replace(info, class_names=names))
    evaluation = evaluate(tmp_path / "swapped.safetensors", data, out=tmp_path / "o", workers=0)
    (cycle,) = evaluation.metrics["swaps"]
    assert set(cycle) == {first, second}
    assert "look swapped" in page_of(evaluation.out)


def test_a_copied_file_is_a_leak_although_groups_are_whole(data, tmp_path):
    own = shutil.copytree(data, tmp_path / "videos")
    files = sorted(path for path in own.glob("rise/*.mp4"))
    shutil.copyfile(files[0], files[-1])
    run = train(own, config=replace(CONFIG, train=TrainConfig(epochs=1)), out=tmp_path / "run")
    stored = read_stored(run.out / "report.json")
    assert [(a.split("/")[-1], b.split("/")[-1]) for a, b in stored.copies] == [
        (files[0].name, files[-1].name)
    ]
    page = page_of(run.out)
    assert files[-1].name in page
    assert "Leakage found (1 video byte-identical to one that was learnt from)" in page
    assert "No group stands in both training and test data" not in page.partition("</section>")[0]


def test_mistakes_are_shown_with_what_drove_them(run):
    stored = read_stored(run.out / "report.json")
    rows, _ = read_predictions(run.out / "predictions.csv")
    wrong = {row.video: row for row in rows if not row.correct}
    assert 0 < len(stored.mistakes) <= 8
    for strip in stored.mistakes:
        assert strip.video in wrong
        assert strip.frames.startswith("data:image/jpeg;base64,") and strip.count == 6
        told = strip.explanation
        assert len(told.times_s) == len(told.predicted) == len(told.true) == 6
        assert told.output == wrong[strip.video].predicted
        assert len(told.occlusion) == 6 and told.cam.startswith("data:image/png;base64,")
        assert all(0 <= score <= 1 for score in (*told.predicted, *told.true))
        assert told.predicted[-1] >= told.true[-1] - 1e-3
    for pair in stored.confused:
        assert pair.true != pair.predicted and 1 <= len(pair.strips) <= 2


def test_the_report_is_rebuilt_without_model_and_videos_to_the_byte(run, cliptide, tmp_path):
    folder = copied(run, tmp_path)
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    (folder / "model.safetensors").unlink()
    result = cliptide("report", folder)
    assert (result.code, result.err) == (0, "")
    assert str(folder / "report.html") in result.out
    assert (folder / "report.html").read_bytes() == before


def test_an_edited_predictions_file_is_named_with_both_figures(run, cliptide, tmp_path):
    folder = copied(run, tmp_path)
    with (folder / "predictions.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    place = next(i for i, line in enumerate(lines) if line[1] != line[2])
    lines[place][1] = lines[place][2]  # a mistake made right
    with (folder / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    assert cliptide("report", folder).code == 0
    page = page_of(folder)
    assert "predictions.csv was changed after the evaluation" in page
    right = run.metrics["top1"] + 1 / len(lines)
    assert f"{100 * run.metrics['top1']:.1f}" in page and f"{100 * right:.1f}" in page


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda f: f / "none", "is no run folder"),
        (lambda f: f / "metrics.json", "Give its folder"),
        (lambda f: f.parent, "has no metrics.json"),
    ],
)
def test_what_is_no_run_folder_is_refused(run, cliptide, make, part):
    result = cliptide("report", make(run.out))
    assert (result.code, result.out) == (2, "")
    assert part in result.err and len(result.err.splitlines()) == 1


def test_all_videos_failing_says_so_and_ends_with_1(run, data, cliptide, tmp_path):
    own = shutil.copytree(data, tmp_path / "videos")
    for path in own.rglob("*.mp4"):
        path.write_text("no video")
    result = cliptide("evaluate", run.model, own, "--out", tmp_path / "out")
    assert result.code == 1
    assert "could not be read" in result.out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["num_failed"] == metrics["num_videos"] and metrics["top1"] is None
    assert "No video could be scored" in page_of(tmp_path / "out")


@pytest.fixture
def renamed(data, tmp_path):
    """The data with two classes under other names."""
    own = shutil.copytree(data, tmp_path / "renamed")
    shutil.rmtree(own / "ucfTrainTestlist")
    (own / "rise").rename(own / "rising")
    (own / "fall").rename(own / "Fall down")
    return own


def test_classes_under_other_names_are_mapped(run, renamed, cliptide, tmp_path):
    words = ["evaluate", run.model, renamed, "--split", "all", "--out", tmp_path / "out"]
    result = cliptide(*words, "--map", "rising=rise", "--map", "Fall down=fall")
    assert result.code == 0, result.err
    rows, names = read_predictions(tmp_path / "out" / "predictions.csv")
    assert {row.true for row in rows} == set(CLASS_NAMES) == set(names)


def test_missing_and_new_classes_are_both_named(run, renamed, cliptide):
    result = cliptide("evaluate", run.model, renamed, "--split", "all")
    assert result.code == 2
    for part in ("'Fall down' (nearest: fall)", "rising", "Here is no video of: fall, rise"):
        assert part in result.err
    assert "--map 'Fall down=fall'" in result.err


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rising", "--map is 'rising'"),
        ("risin=rise", "no class 'risin'. Use one of: rising"),
        ("rising=ris", "The model has no class 'ris'. Use one of: rise"),
    ],
)
def test_a_map_that_fits_neither_side_is_refused(run, renamed, cliptide, text, part):
    result = cliptide("evaluate", run.model, renamed, "--split", "all", "--map", text)
    assert (result.code, result.out) == (2, "")
    assert part in result.err


def test_order_that_was_learnt_is_worth_points(data, tmp_path):
    """A network whose answer is the direction: forwards it is right, backwards wrong."""
    config = replace(CONFIG, model=replace(CONFIG.model, temporal="gru", summary="last"))
    config = replace(config, train=TrainConfig(epochs=12, lr=5e-3))
    found = train(data, config=config, out=tmp_path / "run").metrics
    assert found["order"]["worth"]["reversed"]["by"] > 0
    assert found["order"]["verdict"] in ("uses", "not_above_baseline", "unclear")


def test_scores_stay_the_same_when_probes_are_tried(run, data, tmp_path):
    plain = evaluate(run.model, data, out=tmp_path / "a", probes=False, workers=0)
    probed = evaluate(run.model, data, out=tmp_path / "b", workers=0)
    ours, theirs = (
        torch.tensor([row.scores for row in one.predictions]) for one in (plain, probed)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def figures_of_files(folder, *, task="single"):
    """What the files of a run say by themselves."""
    stored = json.loads((folder / "metrics.json").read_text())
    rows, names = read_predictions(folder / "predictions.csv", task=task)
    calibration = stored["calibration"] or {}
    nothing = calibration.get("nothing_below") or {}
    found = compute_metrics(
        rows,
        names,
        split=stored["split"],
        seed=stored["seed"],
        task=task,
        clips=read_clip_facts(folder / "clips.csv"),
        temperature=calibration.get("temperature"),
        nothing_below=nothing["threshold"] if nothing.get("from") == "validation" else None,
    )
    return stored, json.loads(json.dumps(found))


@pytest.mark.parametrize("temperature", [None, 0.05])
def test_metrics_json_is_to_the_digit_what_the_files_say(run, data, tmp_path, temperature):
    network, info = load_model(run.model)
    # Sharpened so far that many scores come out as 1 in nine digits.
    save_model(tmp_path / "m.safetensors", network, replace(info, temperature=temperature))
    out = evaluate(tmp_path / "m.safetensors", data, out=tmp_path / "o", workers=0).out
    stored, found = figures_of_files(out)
    assert {key: stored[key] for key in found} == found


def test_resuming_leaves_calibration_and_answers_as_they_were(run, data, tmp_path):
    before = read_info(run.model)
    folder = copied(run, tmp_path)
    train(data, resume=folder)
    after = read_info(folder / "model.safetensors")
    assert (after.temperature, after.nothing_below) == (before.temperature, before.nothing_below)
    ours, theirs = ((f / "predictions.csv").read_bytes() for f in (folder, run.out))
    assert ours == theirs


def test_validation_videos_that_cannot_be_read_calibrate_nothing(data, tmp_path):
    own = shutil.copytree(data, tmp_path / "videos")
    first = train(own, config=CONFIG, out=tmp_path / "first")
    rows = evaluate(first.model, own, split="val", out=tmp_path / "val", workers=0).predictions
    for row in rows[:-1]:
        (own / row.video).write_text("no video")
    config = replace(CONFIG, train=TrainConfig(epochs=1))
    again = train(own, config=config, out=tmp_path / "again")
    assert read_info(again.model).temperature is None
    assert again.metrics["calibration"]["uncalibrated"] is None
    assert "was fitted on validation" not in page_of(again.out)


def test_broken_downloads_that_are_alike_are_no_leak(data, tmp_path):
    own = shutil.copytree(data, tmp_path / "videos")
    for folder in ("rise", "fall"):
        for path in (own / folder).glob("*.mp4"):
            path.write_text("404 not found")
    found = train(own, config=replace(CONFIG, train=TrainConfig(epochs=1)), out=tmp_path / "run")
    assert found.metrics["copies"] == 0 and found.metrics["num_failed"] > 0


def test_a_copy_is_told_on_the_terminal_and_by_the_pooled_report(data, cliptide, tmp_path):
    own = shutil.copytree(data, tmp_path / "videos")
    shutil.rmtree(own / "ucfTrainTestlist")
    first, *others = sorted(own.glob("rise/*_c01.mp4"))  # one of each group
    for other in others:
        shutil.copyfile(first, other)
    words = ["--folds", "2", "--train.epochs", "1", "--data.frames", "4", "--data.size", "32"]
    words += ["--model.width", "0.25", "--data.augment", "none", "--data.workers", "0"]
    result = cliptide("train", own, *words, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert "LEAKY: test files that were learnt from" in result.out
    assert "Leakage found" in page_of(tmp_path / "run")
    pooled, fold = (
        read_stored(tmp_path / "run" / path) for path in ("report.json", "fold-1/report.json")
    )
    assert pooled.confused and fold.confused
