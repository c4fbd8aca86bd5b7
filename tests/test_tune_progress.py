"""What a person sees of a search, and that no config is tried twice."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cliptide.app.cli import main
from cliptide.app.tuning.leaderboard import (
    MOST_CHARS,
    difference_words,
    leaderboard,
    running_board,
    trial_line,
)
from cliptide.app.tuning.space import check_space, default_space, num_configs
from cliptide.app.tuning.study import Trial
from cliptide.app.tuning.tune import tune
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig

TINY = RunConfig(
    data=DataConfig(frames=3, size=16, flip=False, augment="none", workers=0, keep="never"),
    model=ModelConfig(width=0.25, hidden=8),
    train=TrainConfig(epochs=1, batch_size=16, lr=3e-3),
    eval=EvalConfig(clips=1),
    device="cpu",
)
START = Trial(0, "complete", 0, {"train.lr": 0.1, "model.layers": 1}, 0.5, 1.0, "3", 61.0, (), "")
OTHER = replace(START, number=1, draw=1, values={"train.lr": 0.1, "model.layers": 2}, figure=0.6)


def drawn_as_text(table, *, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_a_trial_line_says_what_its_times_are_and_stays_short():
    space = default_space(RunConfig(), task="single")
    values = {key: part.tried[-1] for key, part in space.items()}
    start = replace(START, values=dict.fromkeys(values, "x"))
    row = replace(OTHER, values=values)
    line = trial_line(row, [start, row], figure="val top-1", wanted=20, left_s=150)
    assert len(line) <= MOST_CHARS
    assert " 2/20  trial 1    complete  val top-1 0.600  best 0.600 (trial 1)" in line
    assert "took 1 min 01 s, about 2 min 30 s left" in line
    assert re.search(r"lr=0.01 .* and \d more$", line)


def test_an_error_is_told_whole():
    row = replace(OTHER, state="failed", figure=None, error="e" * 300)
    line = trial_line(row, [START, row], figure="val top-1", wanted=2, left_s=1)
    assert line.endswith("failed    " + "e" * 300)


def test_the_running_board_shows_the_best_and_the_trial_under_way():
    rows = [replace(START, number=n, draw=n, figure=n / 10) for n in range(8)]
    now = replace(OTHER, number=8, draw=8, state="running", figure=0.25, loss=None, epoch="2/8")
    text = drawn_as_text(running_board([*rows, now], now, figure="val top-1", wanted=20))
    cells = [[cell.strip() for cell in line.split("│")] for line in text.splitlines()]
    lines = [line[1:-1] for line in cells if len(line) > 2]
    assert [line[1] for line in lines[:-1]] == ["7", "6", "5", "4", "3"]
    assert lines[-1] == ["", "8", "0.250", "-", "2/8", "layers=2"]
    assert "8 of 20 trials are finished" in text


def test_a_running_board_takes_one_line_a_trial_however_narrow_the_terminal():
    now = replace(OTHER, values={f"train.{name}": n for n, name in enumerate("abcdefghijklmnop")})
    board = running_board([START, now], now, figure="val top-1", wanted=2)
    wide, narrow = drawn_as_text(board, width=200), drawn_as_text(board, width=76)
    assert wide.count("\n") == narrow.count("\n")
    assert max(map(len, narrow.splitlines())) <= 76
    assert "val top-1" in narrow and "│     1 │     0.600 │ 1.000 │" in narrow and "…" in narrow


def test_a_draw_that_equals_the_start_says_so():
    same = replace(START, number=2, draw=2)
    assert difference_words(same, [START, same]) == "the same as the start"
    text = drawn_as_text(leaderboard([START, OTHER, same], figure="val top-1"))
    assert text.count("the same as the start") == 1
    assert "│ the start " in text and "│ layers=2" in text


def test_a_searched_loss_has_a_heading_of_its_own(small_data, tmp_path, capfd):
    space = {"train.loss": ["cross_entropy", "focal"], "train.l1_head": {"low": 0.0, "high": 0.01}}
    result = tune(small_data, config=TINY, space=space, trials=3, out=tmp_path / "study")
    head = re.search(r"<thead>.*?</thead>", result.page.read_text("utf-8"), re.DOTALL)[0]
    names = re.findall(r">([^<>]+)</th>", head)
    assert names[3:] == ["val top-1", "Loss", "Epoch", "train.loss", "l1_head"]
    assert "train.loss=" in capfd.readouterr().err


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_no_config_is_tried_twice_and_an_exhausted_space_ends_the_search(
    small_data, tmp_path, capfd, sampler
):
    space = {"model.hidden": [4, 8], "model.dropout": {"low": 0.1, "high": 0.3, "step": 0.1}}
    config = replace(TINY, model=replace(TINY.model, dropout=0.3))
    options = {"config": config, "space": space, "trials": 20, "sampler": sampler}
    result = tune(small_data, **options, out=tmp_path / "study")
    tried = [(t.values["model.hidden"], round(t.values["model.dropout"], 6)) for t in result.trials]
    assert sorted(tried) == [(h, d) for h in (4, 8) for d in (0.1, 0.2, 0.3)]
    assert {trial.state for trial in result.trials} == {"complete"}
    told = capfd.readouterr().err
    assert "Every config of the space is tried" in told and "Widen the space for more" in told
    again = tune(small_data, **options, out=tmp_path / "study")
    assert again.trials == result.trials


def test_a_space_of_which_no_config_can_be_trained_ends_with_the_last_reason(small_data, tmp_path):
    config = replace(TINY, train=replace(TINY.train, lr=1e30, clip_grad=0.0))
    space = {"train.lr": [1e30, 1e29]}
    with pytest.raises(ConfigError, match=r"No trial of the 2 is complete.*diverged.*Widen the sp"):
        tune(small_data, config=config, space=space, trials=3, out=tmp_path / "study")


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({"model.hidden": {"low": 3, "high": 6}}, 4),
        ({"model.hidden": [4, 8], "model.dropout": {"low": 0.0, "high": 0.5, "step": 0.1}}, 12),
        ({"model.hidden": [4, 8], "train.lr": {"low": 0.1, "high": 1}}, float("inf")),
    ],
)
def test_the_configs_of_a_space_are_counted(values, count):
    assert num_configs(check_space(values, base=TINY, where="here")) == count


def test_a_config_of_folds_is_told_the_flag_of_a_search(small_data, tmp_path, cliptide):
    config = tmp_path / "config.yaml"
    config.write_text(f"DATA: {Path(small_data).as_posix()}\nfolds: 5\n", encoding="utf-8")
    told = cliptide("tune", "--config", config, "--out", tmp_path / "study")
    assert told.code == 2 and "sets folds 5" in told.err
    assert "Take that line out; --folds 5 judges each trial" in told.err


def test_a_pipe_gets_one_line_a_trial_and_no_table(small_data, tmp_path, capfd):
    flags = "--data.frames 3 --data.size 16 --model.width 0.25 --model.hidden 8 --train.epochs 1"
    words = ["tune", str(small_data), *flags.split(), "--data.workers", "0", "--device", "cpu"]
    assert main([*words, "--trials", "2", "--out", str(tmp_path / "study")]) == 0
    told = capfd.readouterr()
    lines = [line for line in told.err.splitlines() if re.match(r"[12]/2  trial ", line)]
    assert len(lines) == 2 and "the start" in lines[0]
    assert "trials are finished" not in told.err and "\x1b" not in told.err
    assert "Leaderboard" in told.out
