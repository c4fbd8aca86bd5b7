"""Searches for several labels and for numbers, and trainings that diverge."""

import csv
from dataclasses import replace

import pytest

from cliptide.app.cli import main
from cliptide.app.training.figures import WholeSplit
from cliptide.app.training.headline import validation_figure
from cliptide.app.tuning.tune import tune
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.synthetic_tasks import write_event_dataset, write_speed_dataset

TINY = RunConfig(
    data=DataConfig(frames=3, size=16, flip=False, augment="none", workers=0, keep="never"),
    model=ModelConfig(width=0.25, hidden=8),
    train=TrainConfig(epochs=1, batch_size=16, lr=3e-3),
    eval=EvalConfig(clips=1),
    device="cpu",
)
REGRESSION = replace(TINY, data=replace(TINY.data, task="regression"))


def with_train(config, **changes):
    return replace(config, train=replace(config.train, **changes))


@pytest.fixture(scope="module")
def speeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speeds")
    list(write_speed_dataset(folder, groups=5, clips_per_group=2, num_frames=4, side=24))
    return folder / "speeds.csv"


@pytest.fixture(scope="module")
def one_validation_clip(speeds):
    with speeds.open(newline="") as file:
        rows = list(csv.DictReader(file))
    path = speeds.parent / "split.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "split"])
        writer.writeheader()
        for number, row in enumerate(rows):
            # The groups have two clips each, and none may be torn.
            if number != 1:
                split = "val" if number == 0 else "test" if number in (2, 3) else "train"
                writer.writerow(row | {"split": split})
    return path


@pytest.mark.parametrize("lr", [1e30, 3e-3], ids=["the start", "a drawn one"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_diverges_is_told_as_failed_and_the_search_goes_on(
    small_data, tmp_path, lr, epochs, capfd
):
    config = with_train(TINY, lr=lr, epochs=epochs, clip_grad=0.0)
    result = tune(
        small_data,
        config=config,
        space={"train.lr": [1e30, 3e-3], "model.dropout": {"low": 0.0, "high": 0.5}},
        trials=3,
        out=tmp_path / "study",
    )
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert failed and {trial.values["train.lr"] for trial in failed} == {1e30}
    assert all("diverged" in trial.error and "train.lr" in trial.error for trial in failed)
    assert failed[0].base == (lr == 1e30)
    assert [t.values["train.lr"] for t in result.trials if t.state == "complete"] == [3e-3] * 3
    assert "diverged" in (tmp_path / "study" / "trials.csv").read_text("utf-8")
    assert "diverged" in result.page.read_text("utf-8")
    assert "trial 0" in capfd.readouterr().err


def test_a_figure_that_is_undefined_ranks_below_every_number():
    assert validation_figure({"val_r2": None, "val_loss": 1.0}, task="regression") == -float("inf")
    assert validation_figure({"val_loss": 1.0}, task="multi") == -float("inf")
    assert validation_figure({"val_map": float("nan")}, task="multi") == -float("inf")
    assert validation_figure({"val_top1": 0.25, "val_r2": 1.0}, task="single") == 0.25


def test_where_r2_is_undefined_trials_are_ranked_by_their_loss(
    one_validation_clip, tmp_path, capfd
):
    space = {"train.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    out = tmp_path / "study"
    result = tune(one_validation_clip, config=REGRESSION, space=space, trials=3, out=out)
    assert {trial.figure for trial in result.trials} == {-float("inf")}
    assert result.best.loss == min(trial.loss for trial in result.trials)
    told = capfd.readouterr().err
    assert "val R2 is undefined" in told and "--data.val_share" in told
    for file in ("study.html", "best.yaml"):
        head = (out / file).read_text("utf-8").partition('<script type="application/json"')[0]
        assert "inf" not in head.replace("information", ""), file


@pytest.mark.parametrize("task", ["multi", "regression"])
def test_the_default_space_holds_nothing_that_the_task_refuses(tmp_path, speeds, task):
    config, data = REGRESSION, speeds
    if task == "multi":
        list(write_event_dataset(tmp_path, groups=5, clips_per_group=2, num_frames=4))
        config, data = TINY, tmp_path / "events.csv"
    result = tune(data, config=config, trials=5, out=tmp_path / "study")
    assert [trial.state for trial in result.trials] == ["complete"] * 5
    assert result.figure == {"multi": "val mAP", "regression": "val R2"}[task]
    assert ("train.label_smoothing" in result.best.values) == (task == "multi")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cutmix": 1.0}, r"train.cutmix is 1.0, but the task is regression.*Set train.cutmix 0"),
        ({"loss": "focal"}, r"train.loss focal does not fit.*Use one of: auto, mse"),
        ({"label_smoothing": 0.1}, r"label_smoothing is 0.1.*Leave train.label_smoothing at 0.0"),
        ({"precision": "fp16"}, r"fp16 needs a GPU. Use auto"),
        ({"unfreeze_after": 0, "chunk": 2, "ema": 0.5}, None),
    ],
)
def test_a_start_that_the_task_refuses_is_refused_before_anything_is_written(
    speeds, tmp_path, changes, message
):
    out = tmp_path / "study"
    options = {"space": {"model.dropout": [0.0, 0.1]}, "trials": 1, "out": out}
    if message is None:
        tune(speeds, config=with_train(REGRESSION, **changes), **options)
        return
    with pytest.raises(ConfigError, match=message):
        tune(speeds, config=with_train(REGRESSION, **changes), **options)
    assert not out.exists()


def test_weights_that_cannot_be_loaded_are_refused_before_anything_is_written(speeds, tmp_path):
    config = replace(REGRESSION, model=replace(REGRESSION.model, encoder_weights="nowhere.pt"))
    with pytest.raises(InputError, match=r"tiny has no pretrained weights. Leave out"):
        tune(speeds, config=config, trials=1, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    "space", [{"train.cutmix": [0.0, 1.0]}, {"train.loss": ["auto", "cross_entropy"]}]
)
def test_a_space_with_a_value_that_the_task_refuses_is_refused_at_once(speeds, tmp_path, space):
    key = next(iter(space))
    with pytest.raises(ConfigError, match=rf"^The space: {key} .*regression"):
        tune(speeds, config=REGRESSION, space=space, trials=1, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_folds_of_a_manifest_with_numbers_are_searched_from_the_command_line(speeds, tmp_path):
    words = ["tune", str(speeds), "--data.task", "regression", "--trials", "2", "--folds", "2"]
    words += ["--data.frames", "3", "--data.size", "16", "--model.width", "0.25"]
    words += ["--train.epochs", "1", "--data.workers", "0", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "study")]) == 0


def test_an_epoch_without_a_figure_does_not_show_that_of_the_epoch_before(
    speeds, tmp_path, monkeypatch
):
    figures = iter([0.5, None])
    monkeypatch.setattr(WholeSplit, "figure", lambda self: next(figures))
    config = with_train(REGRESSION, epochs=2)
    result = tune(speeds, config=config, trials=1, out=tmp_path / "study")
    assert result.best.curve == ((1, 0.5), (2, -float("inf")))
    assert (result.best.figure, result.best.epoch) == (0.5, "1")
