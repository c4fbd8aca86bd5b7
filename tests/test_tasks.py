"""Several labels and regression from videos to a report, as a user runs them."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reproducible import reproducible

from cliptide.app import evaluate, load, train
from cliptide.app.evaluation.clip_facts import BASELINES, read_clip_facts
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.app.training.run import TrainingResult
from cliptide.configs.errors import ConfigError, DataError, ModelFileError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic import random_look
from cliptide.datasets.synthetic_tasks import (
    EVENTS,
    event_frames,
    speed_frames,
    write_event_dataset,
    write_speed_dataset,
)
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import load_model, read_baselines, read_info, read_tensors, save_model

TINY = RunConfig(
    data=DataConfig(frames=4, size=24, augment="none", workers=0, keep="never"),
    model=ModelConfig(width=0.25, hidden=8),
    train=TrainConfig(epochs=2, batch_size=8),
    eval=EvalConfig(clips=2),
    device="cpu",
)
REGRESSION = replace(TINY, data=replace(TINY.data, task="regression"))


def with_train(config, **changes):
    return replace(config, train=replace(config.train, **changes))


def learning(*, size, epochs, task="auto"):
    """The config of benchmarks/tasks.py."""
    return RunConfig(
        data=DataConfig(frames=10, size=size, augment="none", workers=0, task=task),
        model=ModelConfig(width=0.5, hidden=64, dropout=0.1),
        train=TrainConfig(epochs=epochs, batch_size=16, lr=3e-3),
        eval=EvalConfig(clips=1),
        device="cpu",
    )


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    for _ in write_event_dataset(folder, groups=6, clips_per_group=4, num_frames=6):
        pass
    return folder / "events.csv"


@pytest.fixture(scope="module")
def speeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speeds")
    for _ in write_speed_dataset(folder, groups=5, clips_per_group=4, num_frames=6, side=32):
        pass
    return folder / "speeds.csv"


@pytest.fixture(scope="module")
def two_targets(speeds):
    """The speeds, and far larger numbers of another unit beside them."""
    with speeds.open(newline="") as file:
        rows = list(csv.DictReader(file))
    path = speeds.parent / "two.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            number = float(row["label"])
            writer.writerow(row | {"label": f"{number}|{5000 - 1000 * number}"})
    return path


@pytest.fixture(scope="module")
def events_run(events, tmp_path_factory) -> TrainingResult:
    return train(events, config=TINY, out=tmp_path_factory.mktemp("run") / "events")


@pytest.fixture(scope="module")
def speed_run(speeds, tmp_path_factory) -> TrainingResult:
    return train(speeds, config=REGRESSION, out=tmp_path_factory.mktemp("run") / "speed")


@pytest.fixture(scope="module")
def two_run(two_targets, tmp_path_factory) -> TrainingResult:
    return train(two_targets, config=REGRESSION, out=tmp_path_factory.mktemp("run") / "two")


def history_columns(run):
    return (run.out / "history.csv").read_text().splitlines()[0].split(",")


# --- they are learnt -----------------------------------------------------------------------


def test_the_speed_of_a_shape_is_learnt(tmp_path):
    list(write_speed_dataset(tmp_path))
    config = learning(size=48, epochs=15, task="regression")
    result = train(tmp_path / "speeds.csv", config=config, out=tmp_path / "run")
    assert result.metrics["r2"] >= 0.9
    # Everything is in the user's unit: sides of the frame a second.
    assert result.metrics["mae"] < 0.06 < result.metrics["baselines"]["mean"]


def test_several_events_at_once_are_learnt(tmp_path):
    list(write_event_dataset(tmp_path))
    result = train(
        tmp_path / "events.csv", config=learning(size=32, epochs=14), out=tmp_path / "run"
    )
    assert result.metrics["map"] >= 0.95
    assert result.metrics["map"] > result.metrics["baselines"]["constant"] + 0.3


# --- what a run leaves ---------------------------------------------------------------------


def test_a_model_of_several_labels_says_so_and_keeps_its_thresholds(events_run):
    info = read_info(events_run.model)
    assert (info.task, info.class_names) == ("multi", EVENTS)
    assert len(info.thresholds) == len(EVENTS)
    assert all(0 < cut < 1 for cut in info.thresholds)
    per_class = events_run.metrics["per_class"]
    assert tuple(per_class[name]["threshold"] for name in EVENTS) == info.thresholds
    assert info.metrics["test"]["map"] == events_run.metrics["map"]


def test_the_best_epoch_is_chosen_by_the_figure_of_the_task(events_run, speed_run):
    for run, key in ((events_run, "val_map"), (speed_run, "val_r2")):
        assert key in history_columns(run)
        assert not [name for name in history_columns(run) if "top1" in name]
        with (run.out / "history.csv").open(newline="") as file:
            best = max(csv.DictReader(file), key=lambda row: float(row[key] or -math.inf))
        assert run.best["epoch"] == int(best["epoch"])


def test_metrics_json_names_the_task(events_run, speed_run):
    for run, task in ((events_run, "multi"), (speed_run, "regression")):
        metrics = json.loads((run.out / "metrics.json").read_text())
        assert metrics["task"] == task
        assert metrics["num_scored"] == metrics["num_videos"] > 0


def test_predictions_csv_keeps_its_columns(events_run, two_run):
    rows, names = read_predictions(events_run.out / "predictions.csv", task="multi")
    assert tuple(names) == EVENTS
    assert all(set(row.true.split("|")) <= set(EVENTS) for row in rows)
    info = read_info(events_run.model)
    for row in rows:
        given = [n for n, s, t in zip(names, row.scores, info.thresholds, strict=True) if s >= t]
        assert row.predicted == "|".join(sorted(given))
    rows, names = read_predictions(two_run.out / "predictions.csv", task="regression")
    assert names == ["target_1", "target_2"]
    for row in rows:
        assert [float(part) for part in row.predicted.split("|")] == pytest.approx(row.scores)


@pytest.mark.parametrize("name", ["events_run", "two_run"])
def test_the_report_has_a_section_for_the_task(name, request):
    run = request.getfixturevalue(name)
    page = run.report.read_text()
    shown = page.partition("<body>")[2].partition("<script")[0]
    assert "Confusion" not in shown and ">chance" not in shown
    words = {
        "events_run": ["Mean average precision", "Threshold", *EVENTS],
        "two_run": ["Mean absolute error", "Predicted against true", "scatter-1", "Spread"],
    }
    for word in words[name]:
        assert word in shown
    figures = json.loads(page.partition('id="figures">')[2].partition("</script>")[0])
    if name == "two_run":
        assert [figure["name"] for figure in figures["targets"]] == ["target_1", "target_2"]
        first = figures["targets"][0]
        assert len(first["true"]) == len(first["predicted"]) == run.metrics["num_scored"]
        assert sum(first["errors"]["counts"]) == run.metrics["num_scored"]


def test_the_units_of_the_targets_are_in_the_network(two_run):
    network, _ = load_model(two_run.model)
    scale = network.target_scale
    assert scale.mean.tolist() == pytest.approx([0.4, 4600], rel=0.2)
    assert scale.std[1] == pytest.approx(1000 * scale.std[0].item(), rel=1e-3)
    # An untrained network already says something near the mean.
    assert all(4000 < row.scores[1] < 5200 for row in two_run.evaluation.predictions)


# --- predict -------------------------------------------------------------------------------


def test_a_prediction_of_several_labels(events_run, events):
    prediction = load(events_run.model, device="cpu").predict(events.parent / "g01_c01.mp4")
    info = read_info(events_run.model)
    cuts = dict(zip(info.class_names, info.thresholds, strict=True))
    given = {label for label, score in prediction.scores.items() if score >= cuts[label]}
    assert set(prediction.labels) == given
    assert [segment.label for segment in prediction.segments] == list(prediction.labels)
    answer = prediction.to_json()
    assert answer["labels"] == list(prediction.labels)
    assert not {"label", "score", "value"} & set(answer)
    with pytest.raises(AttributeError, match=r"'multi': read \.labels"):
        _ = prediction.label
    with pytest.raises(AttributeError, match=r"read \.labels, not \.value"):
        _ = prediction.value


def test_a_prediction_of_one_number_and_of_several(speed_run, two_run, speeds):
    video = speeds.parent / "g01_c01.mp4"
    one = load(speed_run.model, device="cpu").predict(video)
    assert one.to_json() == {
        "video": str(video),
        "value": one.value,
        "duration_s": one.duration_s,
        "frames_used": one.frames_used,
    }
    two = load(two_run.model, device="cpu").predict(video)
    assert two.to_json()["value"] == {"target_1": two.values["target_1"]} | dict(two.values)
    with pytest.raises(AttributeError, match=r"no single number: read \.values"):
        _ = two.value
    with pytest.raises(AttributeError, match=r"'regression': read \.values"):
        _ = two.label


def test_numbers_and_labels_are_averaged_over_the_clips_of_a_video(two_run, events_run, speeds):
    for run in (two_run, events_run):
        recognizer = load(run.model, device="cpu")
        records = [replace_label(speeds.parent / "g01_c01.mp4")]
        (result,) = recognizer.score_records(records, clips=2)
        assert result.scores is not None and np.isfinite(result.scores).all()
        single = [each.scores for each in recognizer.score_records(records, clips=1)]
        assert result.scores.shape == single[0].shape


def replace_label(path):
    from cliptide.datasets.records import SampleRecord

    return SampleRecord(path, path.name, label="", group="")


def test_predict_on_the_command_line(cliptide, events_run, two_run, speeds, tmp_path, monkeypatch):
    (tmp_path / "broken.mp4").write_text("no video")
    video = speeds.parent / "g01_c01.mp4"
    result = cliptide("predict", two_run.model, video, tmp_path / "broken.mp4")
    good, bad = result.out.splitlines()
    assert result.code == 1 and bad == f"{tmp_path / 'broken.mp4'}\t\t"
    assert len([float(part) for part in good.split("\t")[1].split("|")]) == 2

    result = cliptide("predict", events_run.model, video, "--csv", tmp_path / "e.csv")
    _, labels, scores = result.out.rstrip("\n").split("\t")
    assert len(labels.split("|")) == len(scores.split("|"))
    rows, _ = read_predictions(tmp_path / "e.csv", task="multi")
    assert [row.predicted for row in rows] == [labels]
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    assert "target_2" in cliptide("predict", two_run.model, video).out
    assert "labels" in cliptide("predict", events_run.model, video).out


# --- evaluate, check, init, resume ---------------------------------------------------------


@pytest.mark.parametrize(("run", "data"), [("events_run", "events"), ("two_run", "two_targets")])
def test_evaluate_scores_the_split_of_the_training(cliptide, run, data, request, tmp_path):
    run, data = request.getfixturevalue(run), request.getfixturevalue(data)
    result = cliptide("evaluate", run.model, data, "--out", tmp_path / "out")
    assert (result.code, result.err) == (0, "")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for key in set(metrics) - {"num_quarantined", "timings"}:
        assert metrics[key] == run.metrics[key], key
    headline = {"multi": "mAP", "regression": "mean absolute error"}[metrics["task"]]
    assert headline in result.out


def test_evaluate_refuses_labels_and_targets_that_the_model_does_not_know(
    events_run, speed_run, two_targets, events, tmp_path
):
    from cliptide.app import evaluate

    strange = events.parent / "strange.csv"
    strange.write_text(events.read_text().replace("flash", "flush"))
    with pytest.raises(DataError, match=r"'flush' \(nearest: flash\).*--map flush=flash"):
        evaluate(events_run.model, strange, split="all", out=tmp_path / "a", device="cpu")
    with pytest.raises(DataError, match=r"2 targets in each row, but the model predicts 1\. Give"):
        evaluate(speed_run.model, two_targets, split="all", out=tmp_path / "b", device="cpu")


@pytest.mark.parametrize(
    ("data", "words", "shown"),
    [("events", (), "flash"), ("two_targets", ("--data.task", "regression"), "target_2")],
)
def test_check_counts_labels_and_tells_the_range_of_targets(
    cliptide, data, words, shown, request, tmp_path
):
    data = request.getfixturevalue(data)
    result = cliptide("check", data, *words, "--csv", tmp_path / "c.csv")
    assert result.code == 0
    assert shown in result.out
    clips = next(line for line in result.out.splitlines() if line.split()[:1] == ["clips"])
    with data.open() as file:
        assert sum(int(count) for count in clips.split()[1:4]) == len(file.readlines()) - 1


def test_fine_tuning_keeps_the_head_of_the_same_task_and_renews_another(
    events_run, events, speeds, speed_run, tmp_path, capsys
):
    from cliptide.app.training.start import config_from_model

    config = with_train(config_from_model(speed_run.model), epochs=1, batch_size=8)
    assert config.data.task == "regression"
    same = train(speeds, config=config, init=speed_run.model, out=tmp_path / "same", device="cpu")
    assert "new head" not in capsys.readouterr().err
    kept, before = (load_model(run.model)[0].target_scale for run in (same, speed_run))
    assert torch.equal(kept.mean, before.mean) and torch.equal(kept.std, before.std)
    other = replace(config, data=replace(config.data, task="auto"))
    train(events, config=other, init=speed_run.model, out=tmp_path / "other", device="cpu")
    assert "with a new head for the labels here" in capsys.readouterr().err
    assert read_info(tmp_path / "other" / "model.safetensors").task == "multi"


@pytest.mark.parametrize(("data", "config"), [("events", TINY), ("two_targets", REGRESSION)])
def test_a_resumed_run_of_any_task_equals_an_unbroken_one(data, config, request, tmp_path):
    data = request.getfixturevalue(data)
    whole = train(data, config=with_train(config, epochs=3), out=tmp_path / "whole")
    broken = tmp_path / "broken"

    class Killed(Exception):
        pass

    with pytest.MonkeyPatch.context() as patch:
        from cliptide.app.training.callbacks import EpochKeeper

        finish = EpochKeeper.on_train_epoch_end

        def then_die(self, trainer, module):
            finish(self, trainer, module)
            if trainer.current_epoch == 1:
                raise Killed

        patch.setattr(EpochKeeper, "on_train_epoch_end", then_die)
        with pytest.raises(Killed):
            train(data, config=with_train(config, epochs=3), out=broken)
    resumed = train(resume=broken)
    assert reproducible(resumed.metrics) == reproducible(whole.metrics)
    ours, theirs = read_tensors(resumed.model), read_tensors(whole.model)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert read_info(resumed.model).thresholds == read_info(whole.model).thresholds


@pytest.mark.parametrize(
    "changes", [{"loss": "focal", "class_weights": "effective"}, {"class_weights": "balanced"}]
)
def test_every_loss_and_weight_trains_several_labels(events, tmp_path, changes):
    run = train(events, config=with_train(TINY, epochs=1, **changes), out=tmp_path / "run")
    assert math.isfinite(run.best["train_loss"])


@pytest.mark.parametrize("loss", ["l1", "huber"])
def test_every_loss_trains_numbers(two_targets, tmp_path, loss):
    run = train(two_targets, config=with_train(REGRESSION, epochs=1, loss=loss), out=tmp_path / "r")
    assert math.isfinite(run.best["train_loss"])


def test_a_loss_that_does_not_fit_leaves_no_folder(events, speeds, tmp_path):
    for data, config, loss in ((events, TINY, "mse"), (speeds, REGRESSION, "focal")):
        with pytest.raises(ConfigError, match=f"train.loss {loss} does not fit.*Use one of: auto"):
            train(data, config=with_train(config, loss=loss), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


# --- the network and its file --------------------------------------------------------------


def test_a_network_for_numbers_steps_to_what_it_says_of_the_whole_clip():
    network = build_recognizer(ModelConfig(width=0.25, hidden=8), num_classes=2, task="regression")
    network.target_scale.set_from(torch.tensor([[10.0, 5.0], [20.0, 5.0]]))
    assert network.target_scale.std.tolist() == [5.0, 1.0], "a target without spread keeps 1"
    network.eval()
    clips = torch.randint(0, 256, (1, 3, 3, 16, 16), dtype=torch.uint8)
    state = None
    for frame in clips.unbind(dim=1):
        stepped, state = network.step(frame, state)
    whole = network(clips, torch.tensor([3]))
    assert torch.allclose(stepped, whole, atol=1e-5)


def test_a_task_of_a_later_release_asks_for_an_upgrade(events_run, tmp_path):
    network, info = load_model(events_run.model)
    save_model(tmp_path / "m.safetensors", network, replace(info, task="counting"))
    with pytest.raises(ModelFileError, match=r"the task 'counting'.*pip install --upgrade"):
        load_model(tmp_path / "m.safetensors")


def test_a_model_file_without_thresholds_gives_labels_from_one_half_on(
    events_run, events, tmp_path
):
    network, info = load_model(events_run.model)
    save_model(tmp_path / "m.safetensors", network, replace(info, thresholds=()))
    prediction = load(tmp_path / "m.safetensors", device="cpu").predict(
        events.parent / "g01_c01.mp4"
    )
    assert set(prediction.labels) == {n for n, s in prediction.scores.items() if s >= 0.5}


# --- the videos ----------------------------------------------------------------------------


def test_a_shape_goes_as_far_as_its_speed_says():
    for speed in (0.2, 0.6):
        rng = np.random.default_rng(3)
        frames = speed_frames(speed, num_frames=13, side=64, look=random_look(rng), rng=rng)
        middles = [np.nonzero(frame.min(axis=2) > 150)[1].mean() for frame in frames]
        # 13 frames at 12 a second: one second from first to last.
        assert abs(middles[-1] - middles[0]) / 64 == pytest.approx(speed, abs=0.03)


def test_a_flash_brightens_two_frames_and_nothing_else_does():
    rng = np.random.default_rng(0)
    look = random_look(rng)
    flashing = event_frames(["flash"], num_frames=12, side=32, look=look, rng=rng)
    means = flashing.reshape(12, -1).mean(axis=1)
    assert (means > means.min() + 50).sum() == 2
    still = event_frames([], num_frames=12, side=32, look=look, rng=rng)
    assert (still == still[0]).all()


def test_baselines_give_labels_from_a_half_on_whatever_the_model_needs(
    events_run, events, tmp_path
):
    network, info = load_model(events_run.model)
    answers = []
    for cut in (0.05, 0.97):
        model, out = tmp_path / f"{cut}.safetensors", tmp_path / str(cut)
        changed = replace(info, thresholds=(cut,) * len(info.class_names))
        save_model(model, network, changed, baselines=read_baselines(events_run.model))
        evaluate(model, events, out=out, device="cpu", workers=0)
        answers.append([clip.answers for clip in read_clip_facts(out / "clips.csv")])
    low, high = answers
    for name in BASELINES:
        assert [clip[name] for clip in low] == [clip[name] for clip in high]
    assert [clip["shuffled"] for clip in low] != [clip["shuffled"] for clip in high]
