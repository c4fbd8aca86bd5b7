"""Cross-validation as a whole: each fold a run of its own, then mean, spread and pooled figures."""

import csv
import json
import statistics
from dataclasses import replace

import pytest
from reproducible import reproducible

from cliptide.app.evaluation.evaluate import evaluate
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.app.training import folds as folds_module
from cliptide.app.training.single import train_single
from cliptide.app.training.train import train
from cliptide.configs.errors import ConfigError, InputError, SplitError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig

TINY = RunConfig(
    data=DataConfig(frames=4, size=24, flip=False, workers=0),
    model=ModelConfig(width=0.25, hidden=8),
    train=TrainConfig(epochs=1, batch_size=8, lr=3e-3),
    eval=EvalConfig(clips=1),
    device="cpu",
)


@pytest.fixture(scope="module")
def finished(small_data, tmp_path_factory):
    return train(small_data, folds=4, config=TINY, out=tmp_path_factory.mktemp("cv") / "run")


def test_every_clip_is_tested_in_exactly_one_fold(finished, small_data):
    videos = {path.relative_to(small_data).as_posix() for path in small_data.rglob("*.mp4")}
    rows, _ = read_predictions(finished.out / "predictions.csv")
    assert sorted(row.video for row in rows) == sorted(videos)
    assert [row for fold in finished.folds for row in fold.predictions] == rows


def test_mean_and_sample_deviation_are_those_of_the_folds(finished):
    for figure in ("top1", "macro_f1"):
        each = [
            json.loads((finished.out / f"fold-{n}" / "metrics.json").read_text("utf-8"))[figure]
            for n in (1, 2, 3, 4)
        ]
        assert finished.mean(figure) == pytest.approx(statistics.fmean(each))
        assert finished.sd(figure) == pytest.approx(statistics.stdev(each))


def test_the_pooled_confusion_is_the_sum_of_the_folds(finished):
    written = json.loads((finished.out / "metrics.json").read_text("utf-8"))
    summed = [
        [sum(cells) for cells in zip(*rows, strict=True)]
        for rows in zip(*(fold.metrics["confusion"] for fold in finished.folds), strict=True)
    ]
    assert written["confusion"] == summed
    assert written["num_videos"] == 32 and written["folds"]["count"] == 4


def test_each_fold_is_a_complete_run(finished):
    for fold in finished.folds:
        names = {path.name for path in fold.out.iterdir()}
        assert names >= {"config.yaml", "model.safetensors", "report.html", "metrics.json"}


def test_the_report_tells_mean_and_spread(finished):
    page = finished.report.read_text("utf-8").partition("<script")[0]
    assert f"{finished.mean():.1%} (standard deviation {finished.sd():.1%})" in page
    assert "proven" in page, "no group stood on both sides of any fold"


def test_a_model_of_a_fold_is_scored_on_the_clips_it_was_held_out_from(
    finished, small_data, tmp_path
):
    fold = finished.folds[2]
    again = evaluate(fold.out / "model.safetensors", small_data, out=tmp_path / "again")
    assert again.metrics["top1"] == fold.metrics["top1"]
    assert [row.video for row in again.predictions] == [row.video for row in fold.predictions]


def test_one_fold_trained_alone_is_that_of_all(finished, small_data, tmp_path):
    config = replace(TINY, data=replace(TINY.data, folds=4, fold=2))
    alone = train(small_data, config=config, out=tmp_path / "alone")
    assert reproducible(alone.metrics) == reproducible(finished.folds[1].metrics)


def test_a_run_broken_off_goes_on_with_its_fold(
    finished, small_data, tmp_path, monkeypatch, capsys
):
    trained = []

    def train_until_third(data, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(data)
        return train_single(data, **options)

    out = tmp_path / "broken"
    with monkeypatch.context() as patched:
        patched.setattr(folds_module, "train_single", train_until_third)
        with pytest.raises(KeyboardInterrupt):
            train(small_data, folds=4, config=TINY, out=out)
    assert f"cliptide train --resume {out}" in capsys.readouterr().err
    kept = (out / "fold-1" / "model.safetensors").stat().st_mtime_ns
    # The third fold had begun and finished no epoch; the second is cut behind its last epoch.
    (out / "fold-3").mkdir()
    (out / "fold-3" / "config.yaml").write_text("", encoding="utf-8")
    rows = (out / "folds.csv").read_text("utf-8").splitlines()
    (out / "folds.csv").write_text("\n".join(rows[:2]) + "\n", encoding="utf-8")

    resumed = train(resume=out)
    assert reproducible(resumed.metrics) == reproducible(finished.metrics)
    assert (out / "fold-1" / "model.safetensors").stat().st_mtime_ns == kept
    with (out / "folds.csv").open(encoding="utf-8", newline="") as file:
        assert [row["fold"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


def test_resuming_refuses_data_that_changed(finished, small_data, tmp_path):
    manifest = tmp_path / "fewer.csv"
    lines = [
        f"{path},{path.parent.name},{path.stem.split('_')[2]}"
        for path in sorted(small_data.rglob("*.mp4"))[1:]
    ]
    manifest.write_text("\n".join(["path,label,group", *lines]), encoding="utf-8")
    with pytest.raises(InputError, match=r"not what fold 1.*Give the data as it was"):
        train(manifest, resume=finished.out)


def test_a_resumed_run_takes_no_other_options(finished):
    with pytest.raises(InputError, match=r"Leave out everything but --resume"):
        train(resume=finished.out, folds=4)


def test_folds_that_cannot_be_made_leave_no_folder(small_data, tmp_path):
    with pytest.raises(SplitError, match=r"4 groups.*5 folds. Use 4 folds or fewer"):
        train(small_data, folds=5, config=TINY, out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"--folds is 1. Use 2 or more"):
        train(small_data, folds=1, config=TINY, out=tmp_path / "run")
    one = replace(TINY, data=replace(TINY.data, folds=4))
    with pytest.raises(ConfigError, match=r"trains every fold.*Give one of the two"):
        train(small_data, folds=4, config=one, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_ends_with_mean_and_deviation_and_repeats_from_its_config(
    cliptide, finished, tmp_path
):
    out = tmp_path / "again"
    result = cliptide("train", "--config", finished.out / "config.yaml", "--out", out)
    assert result.code == 0, result.err
    assert "standard deviation" in result.out and str(out / "report.html") in result.out
    assert "is not used" in result.err, "the list of the one official fold is passed over"
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert reproducible(metrics) == reproducible(finished.metrics)


def test_an_overwritten_run_leaves_no_fold_behind(finished, small_data, tmp_path):
    out = tmp_path / "run"
    train(small_data, folds=2, config=TINY, out=out)
    train(small_data, config=TINY, out=out, overwrite=True)
    assert not list(out.rglob("fold-*/model.safetensors")) and not (out / "folds.csv").exists()


@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("train", {"loss": "mse"}, "train.loss mse"),
        ("train", {"chunk": 4}, "train.chunk is 4"),
        ("model", {"freeze": True}, "as random as it begins"),
        ("model", {"encoder": "no-such"}, "no encoder 'no-such'"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused_before_anything_is_written(
    section, values, told, small_data, tmp_path
):
    config = replace(TINY, model=replace(TINY.model, bidirectional=True, width=1.0))
    config = replace(config, **{section: replace(getattr(config, section), **values)})
    with pytest.raises(ConfigError, match=told):
        train(small_data, folds=4, config=config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
