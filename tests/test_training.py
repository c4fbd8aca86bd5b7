"""Training runs as a whole, on small generated videos whose class is the order of events."""

import csv
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from reproducible import reproducible

from cliptide.app.cli import main
from cliptide.app.inference.rules import sampling_rule
from cliptide.app.training.callbacks import EpochKeeper
from cliptide.app.training.config_file import read_config_file
from cliptide.app.training.start import config_from_model
from cliptide.app.training.train import train
from cliptide.app.training.words import workers_words
from cliptide.configs.errors import ConfigError, DataError, InputError, ModelFileError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.synthetic import CLASS_NAMES, write_dataset
from cliptide.models.baselines import PREFIX
from cliptide.models.bundle import read_info, read_tensors

TINY = RunConfig(
    data=DataConfig(frames=6, size=24, flip=False, workers=0),
    model=ModelConfig(width=0.25, hidden=16),
    train=TrainConfig(epochs=2, batch_size=8, lr=3e-3),
    eval=EvalConfig(clips=2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    list(write_dataset(root, groups=4, clips_per_group=1, num_frames=8, side=32))
    return root


def with_data(config, **changes):
    return replace(config, data=replace(config.data, **changes))


def with_train(config, **changes):
    return replace(config, train=replace(config.train, **changes))


def with_model(config, **changes):
    return replace(config, model=replace(config.model, **changes))


def history_of(folder):
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # Speed differs from run to run; what was learnt must not.
    timing = {"seconds", "clips_per_s", "wait_share"}
    return [{k: v for k, v in row.items() if k not in timing} for row in rows]


def assert_same_weights(one, other):
    a, b = read_tensors(one / "model.safetensors"), read_tensors(other / "model.safetensors")
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return train(data, config=TINY, out=tmp_path_factory.mktemp("run") / "one")


def test_no_advice_is_given_on_the_speed_of_a_short_run(finished):
    assert " of " in finished.slowest and ":" not in finished.slowest
    assert [workers_words(count) for count in (0, 1, 2)] == [
        "no loader processes",
        "1 loader process",
        "2 loader processes",
    ]


def test_a_run_leaves_everything_in_its_folder(finished):
    names = {path.name for path in finished.out.iterdir()}
    tensorboard = {name for name in names if name.startswith("events.out.tfevents")}
    assert names - tensorboard == {
        "config.yaml",
        "model.safetensors",
        "last.ckpt",
        "metrics.json",
        "clips.csv",
        "report.json",
        "predictions.csv",
        "report.html",
        "history.csv",
        "quarantine.csv",
    }
    assert tensorboard


def test_every_test_video_is_scored_once(finished):
    with (finished.out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        videos = [row["video"] for row in csv.DictReader(file)]
    assert len(videos) == len(set(videos)) == finished.metrics["num_videos"] == len(CLASS_NAMES)
    written = json.loads((finished.out / "metrics.json").read_text("utf-8"))
    assert written["num_failed"] == 0 and written["top1"] == finished.metrics["top1"]


def test_the_model_file_says_where_it_comes_from(finished):
    info = read_info(finished.model)
    assert info.class_names == CLASS_NAMES
    assert info.split_fingerprint == finished.metrics["split_fingerprint"]
    # 6 of 6 to 8 frames at 12 frames a second.
    assert 8 <= info.rate_fps <= 12
    assert info.context_s == pytest.approx(6 / info.rate_fps)
    assert info.metrics["test"]["top1"] == finished.metrics["top1"]
    assert info.metrics["val"]["epoch"] == finished.best["epoch"]


def test_a_run_repeats_from_its_folder_alone(finished, tmp_path):
    stored_data, config = read_config_file(finished.out / "config.yaml")
    again = train(stored_data, config=config, out=tmp_path / "again")
    assert history_of(again.out) == history_of(finished.out)
    assert_same_weights(again.out, finished.out)
    assert reproducible(again.metrics) == reproducible(finished.metrics)


@pytest.mark.parametrize("change", [{"keep": "never"}, {"workers": 2}])
def test_keeping_clips_and_the_number_of_workers_change_nothing(change, data, finished, tmp_path):
    other = train(data, config=with_data(TINY, **change), out=tmp_path / "other")
    assert_same_weights(other.out, finished.out)


def test_another_seed_gives_another_model(data, finished, tmp_path):
    other = train(data, config=replace(TINY, seed=1), out=tmp_path / "other")
    assert history_of(other.out) != history_of(finished.out)


# Everything that a step keeps from one epoch to the next, the encoder frozen for two epochs.
ALL_AT_ONCE = {
    "accumulate": 2,
    "ema": 0.9,
    "unfreeze_after": 2,
    "encoder_lr": 0.1,
    "l1": 1e-3,
    "chunk": 4,
    "checkpointing": True,
    "mixup": 0.5,
    "cutmix": 0.5,
}


@pytest.mark.parametrize("changes", [{}, ALL_AT_ONCE], ids=["plain", "all at once"])
def test_a_killed_run_resumes_to_the_same_result_as_an_unbroken_one(
    changes, data, finished, tmp_path
):
    config = with_train(with_model(TINY, freeze=bool(changes)), epochs=6, **changes)
    init = finished.model if changes else None
    # Dropout and augmentation are on: all that is random must continue as it would have.
    if not changes:
        config = with_model(config, dropout=0.3, layers=2)
    unbroken = train(data, config=config, init=init, out=tmp_path / "unbroken")

    _, stored = read_config_file(unbroken.out / "config.yaml")
    assert stored == config
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "cliptide.app", "train", str(data), "--out", str(killed)]
    command += ["--config", str(unbroken.out / "config.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            history = killed / "history.csv"
            if (killed / "last.ckpt").exists() and len(history.read_text("utf-8").splitlines()) > 2:
                break
            time.sleep(0.02)
        process.kill()
    epochs_before = len(history_of(killed))
    assert 2 <= epochs_before < 6, "the process was to be killed between its epochs"

    resumed = train(resume=killed)
    assert history_of(resumed.out) == history_of(unbroken.out)
    assert_same_weights(resumed.out, unbroken.out)
    assert reproducible(resumed.metrics) == reproducible(unbroken.metrics)
    one, other = (
        torch.load(run.out / "last.ckpt", weights_only=True)["state_dict"]
        for run in (resumed, unbroken)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_moving_average_is_what_is_saved(data, tmp_path):
    run = train(data, config=with_train(TINY, epochs=1, ema=0.9), out=tmp_path / "run")
    kept = torch.load(run.out / "last.ckpt", weights_only=True)["state_dict"]
    saved = {k: v for k, v in read_tensors(run.model).items() if not k.startswith(PREFIX)}
    for key, value in saved.items():
        assert torch.equal(value, kept[f"average.module.{key}"]), key
    assert any(not torch.equal(value, kept[f"network.{key}"]) for key, value in saved.items())


def test_the_last_epoch_is_kept_where_that_is_asked_for(data, tmp_path):
    config = with_train(TINY, epochs=4, choose="last")
    run = train(data, config=config, out=tmp_path / "run")
    best = train(data, config=with_train(config, choose="best"), out=tmp_path / "best")
    assert best.best["epoch"] < 4, "the seed must be one whose best epoch is an earlier one"
    assert run.best["epoch"] == run.metrics["best_epoch"] == 4
    assert read_info(run.model).metrics["val"]["epoch"] == 4


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_epoch_whose_loss_is_no_number_is_never_the_best(order, tmp_path):
    rows = [
        {"epoch": 1, "val_top1": 0.1, "val_loss": 2.5},
        {"epoch": 2, "val_top1": 0.4, "val_loss": math.nan},
    ]
    keeper = EpochKeeper(tmp_path, watch=None, save_best=None, patience=0)
    best = max((rows[at] for at in order), key=keeper.rank)
    assert best["epoch"] == 1


def test_the_history_holds_the_norm_of_the_gradient(finished):
    for row in history_of(finished.out):
        assert 0 < float(row["grad_norm"]) <= float(row["grad_norm_max"])
        assert row["skipped_steps"] == "0"


def test_chunks_of_a_model_that_looks_ahead_are_refused(data, tmp_path):
    config = with_model(with_train(TINY, chunk=4), bidirectional=True)
    with pytest.raises(ConfigError, match=r"still to come.*Set train\.chunk 0"):
        train(data, config=config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resuming_a_finished_run_evaluates_it_again(finished, data, tmp_path):
    copy = tmp_path / "copy"
    first = train(data, config=TINY, out=copy)
    again = train(resume=copy)
    assert reproducible(again.metrics) == reproducible(first.metrics)
    assert history_of(copy) == history_of(finished.out)


def test_resuming_refuses_data_that_changed(data, tmp_path):
    root = tmp_path / "data"
    list(write_dataset(root, groups=4, clips_per_group=1, num_frames=8, side=32))
    run = train(root, config=TINY, out=tmp_path / "run")
    lists = root / "ucfTrainTestlist" / "trainlist01.txt"
    lists.write_text("\n".join(lists.read_text("utf-8").splitlines()[1:]), encoding="utf-8")
    with pytest.raises(InputError, match=r"fingerprint.*Give the data as it was"):
        train(resume=run.out)


def test_resuming_what_is_no_run_names_the_folder(tmp_path):
    with pytest.raises(InputError, match=r"no run folder.*--resume"):
        train(resume=tmp_path)


def test_fine_tuning_on_other_classes_keeps_all_but_the_head(data, finished, tmp_path):
    root = tmp_path / "other"
    list(write_dataset(root, groups=4, clips_per_group=1, num_frames=8, side=32, seed=5))
    for name in CLASS_NAMES[3:]:
        for path in (root / name).iterdir():
            path.unlink()
    for split in ("train", "test"):
        path = root / "ucfTrainTestlist" / f"{split}list01.txt"
        lines = [
            x for x in path.read_text("utf-8").splitlines() if x.split("/")[0] in CLASS_NAMES[:3]
        ]
        path.write_text("\n".join(lines), encoding="utf-8")
    tuned = train(root, init=finished.model, out=tmp_path / "tuned")
    info = read_info(tuned.model)
    assert info.class_names == CLASS_NAMES[:3]
    # The network and the way of taking clips come from the model file.
    assert info.model["hidden"] == TINY.model.hidden and info.frames == TINY.data.frames


def test_fine_tuning_another_network_is_refused(data, finished, tmp_path):
    config = with_model(TINY, hidden=24)
    with pytest.raises(ModelFileError, match=r"differs.*Leave the model"):
        train(data, config=config, init=finished.model, out=tmp_path / "x")
    assert not (tmp_path / "x").exists(), "nothing is made before the input is found right"


def test_a_frozen_encoder_does_not_move(data, finished, tmp_path):
    config = with_model(TINY, freeze=True)
    run = train(data, config=config, init=finished.model, out=tmp_path / "run")
    start, end = read_tensors(finished.model), read_tensors(run.model)
    for key in start:
        if key.startswith("encoder."):
            assert torch.equal(end[key], start[key]), key


def test_freezing_an_encoder_that_never_learnt_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match=r"as random as it begins.*--model.encoder_weights"):
        train(data, config=with_model(TINY, freeze=True), out=tmp_path / "run")


def test_a_start_from_a_model_of_another_split_proves_nothing(data, finished, tmp_path, capsys):
    config = with_data(TINY, kind="folder")
    run = train(data, config=config, init=finished.model, out=tmp_path / "run")
    assert "was trained on other clips or another split" in capsys.readouterr().err
    page = run.report.read_text("utf-8").partition("<script")[0]
    assert "leakage cannot be excluded" in page


def test_a_fine_tuned_run_repeats_from_its_folder_too(data, finished, tmp_path):
    run = train(data, config=TINY, init=finished.model, out=tmp_path / "run")
    command = ["train", "--config", str(run.out / "config.yaml"), "--out", str(tmp_path / "again")]
    assert main(command) == 0
    assert_same_weights(run.out, tmp_path / "again")


def test_an_unreadable_video_is_left_out_counted_and_never_replaced(tmp_path):
    root = tmp_path / "data"
    list(write_dataset(root, groups=4, clips_per_group=1, num_frames=8, side=32))
    broken = {"rise/v_rise_g01_c01.mp4": "train", "fall/v_fall_g04_c01.mp4": "test"}
    for name in broken:
        (root / name).write_bytes(b"this is no video")
    run = train(root, config=TINY, out=tmp_path / "run")
    with (run.out / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    assert {name: row["split"] for name, row in rows.items()} == broken
    assert all(row["reason"] for row in rows.values())
    assert run.num_quarantined == 1 == run.metrics["num_quarantined"]
    assert run.metrics["num_failed"] == 1
    assert run.metrics["num_videos"] == len(CLASS_NAMES)
    page = run.report.read_text("utf-8")
    assert "v_rise_g01_c01.mp4" in page and "1 video left out of training" in page

    again = train(resume=run.out)
    assert reproducible(again.metrics) == reproducible(run.metrics)
    assert again.num_quarantined == 1


def test_training_on_nothing_readable_ends_with_the_reason(tmp_path):
    root = tmp_path / "data"
    for path in write_dataset(root, groups=4, clips_per_group=1, num_frames=8, side=32):
        path.write_bytes(b"no video")
    with pytest.raises(DataError, match=r"None of the \d+ train videos could be read"):
        train(root, config=TINY, out=tmp_path / "run")


def test_a_split_that_tears_groups_is_shouted_and_marked(data, tmp_path, capsys):
    manifest = data / "leaky.csv"
    lines = ["path,label,group,split"]
    for name in CLASS_NAMES:
        for group in (1, 2, 3, 4):
            split = "test" if group == 4 else "train"
            path = f"{name}/v_{name}_g{group:02d}_c01.mp4"
            lines.append(f"{path},{name},{'same' if group in (1, 4) else f'g{group}'},{split}")
    manifest.write_text("\n".join(lines), encoding="utf-8")
    run = train(manifest, config=TINY, out=tmp_path / "run")
    assert "LEAKY SPLIT" in capsys.readouterr().err
    assert run.metrics["torn_groups"] == 1
    assert "leaky" in run.report.read_text("utf-8").lower()


def test_nothing_is_chosen_on_the_test_split(finished):
    """The kept epoch has the highest validation top-1, and among equals the lowest loss."""
    rows = history_of(finished.out)
    best = max(rows, key=lambda row: (float(row["val_top1"]), -float(row["val_loss"])))
    assert int(best["epoch"]) == finished.best["epoch"]


def test_patience_ends_a_run_that_gets_no_better(data, tmp_path):
    config = with_train(TINY, epochs=30, patience=2, lr=1e-9)
    run = train(data, config=config, out=tmp_path / "run")
    stopped = history_of(run.out)
    assert len(stopped) < 30

    again = train(resume=run.out)
    assert history_of(run.out) == stopped, "a run that had stopped does not go on"
    assert reproducible(again.metrics) == reproducible(run.metrics)


def test_a_folder_with_a_run_is_kept_unless_told_otherwise(data, finished):
    before = (finished.out / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"not empty.*--overwrite"):
        train(data, config=TINY, out=finished.out)
    assert (finished.out / "model.safetensors").read_bytes() == before


def test_sgd_class_weights_smoothing_and_an_mlp_head_train_too(data, tmp_path):
    config = with_train(
        TINY, epochs=1, optimizer="sgd", class_weights="balanced", label_smoothing=0.1
    )
    run = train(data, config=with_model(config, head="mlp"), out=tmp_path / "run")
    assert float(history_of(run.out)[0]["train_loss"]) > 0


def test_sampling_by_rate_stores_its_rate(data, tmp_path):
    config = with_data(with_train(TINY, epochs=1), sampling="rate", rate_fps=6.0)
    info = read_info(train(data, config=config, out=tmp_path / "run").model)
    assert (info.sampling, info.rate_fps) == ("rate", 6.0)
    # The clips last 0.6 s or so: four frames at that rate, not the six of the budget.
    assert info.context_s == pytest.approx(4 / 6)


def test_dense_sampling_stores_its_stride_and_scores_with_it(data, tmp_path):
    config = with_data(with_train(TINY, epochs=1), sampling="dense", stride=2)
    run = train(data, config=config, out=tmp_path / "run")
    info = read_info(run.model)
    assert (info.sampling, info.stride) == ("dense", 2)
    assert sampling_rule(info) == SamplingRule("dense", config.data.frames, info.rate_fps, 2)
    assert config_from_model(run.model).data.stride == 2


def test_fp16_on_a_cpu_is_refused(data, tmp_path):
    config = replace(with_train(TINY, precision="fp16"), device="cpu")
    with pytest.raises(ConfigError, match=r"fp16 needs a GPU.*Use auto"):
        train(data, config=config, out=tmp_path / "run")


def test_bf16_trains_on_a_cpu(data, tmp_path):
    config = replace(with_train(TINY, precision="bf16", epochs=1), device="cpu")
    assert train(data, config=config, out=tmp_path / "run").metrics["num_failed"] == 0


def test_the_config_file_is_complete(finished):
    values = yaml.safe_load((finished.out / "config.yaml").read_text("utf-8"))
    assert Path(values.pop("DATA")).is_dir()
    for section in ("data", "model", "train", "eval"):
        assert set(values[section]) == set(vars(getattr(TINY, section)))


def test_damaged_run_folders_are_told_apart(data, tmp_path):
    run = train(data, config=with_train(TINY, epochs=1), out=tmp_path / "run").out
    config = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(config + "foo: 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no key 'foo'"):
        train(resume=run)
    (run / "config.yaml").write_text(config, encoding="utf-8")
    (run / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(InputError, match=r"last.ckpt.*damaged.*Train anew"):
        train(resume=run)
    (run / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"no run folder.*--resume"):
        train(resume=run)


def test_a_run_resumes_without_the_weights_it_began_with(data, finished, tmp_path, monkeypatch):
    from torchvision.models import squeezenet1_1

    weights = tmp_path / "w.pt"
    torch.save(squeezenet1_1(weights=None).state_dict(), weights)
    config = with_model(with_data(TINY, size=32), encoder="squeezenet1_1", width=1.0, freeze=True)
    monkeypatch.chdir(tmp_path)
    run = train(data, config=with_model(config, encoder_weights="w.pt"), out=tmp_path / "run")
    weights.unlink()
    assert reproducible(train(resume=run.out).metrics) == reproducible(run.metrics)


def test_killing_a_run_ends_its_workers_too(data, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "cliptide.app", "train", str(data), "--out", str(out)]
    command += ["--data.workers", "2", "--data.frames", "4", "--data.size", "24"]
    before = set(multiprocessing_segments())
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (out / "last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = children_of(process.pid)
        process.kill()
    assert workers
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not left and set(multiprocessing_segments()) <= before:
            break
        time.sleep(0.1)
    assert not left
    assert set(multiprocessing_segments()) <= before


def children_of(pid):
    """All processes below one, by the process table (Linux)."""
    if not Path("/proc").is_dir():
        pytest.skip("this platform has no /proc to look processes up in")
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it ended just now
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def multiprocessing_segments():
    return [path.name for path in Path("/dev/shm").glob("psm_*")]
