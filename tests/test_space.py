"""The search space: what may be searched and between which values; every fault names its mend."""

import optuna
import pytest

from cliptide.app.tuning.space import (
    Choices,
    Range,
    check_space,
    default_space,
    describe_space,
    flat_values,
    read_space,
    suggest,
    with_values,
)
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import DataConfig, ModelConfig, RunConfig
from cliptide.configs.tasks import TASKS
from cliptide.configs.training import TrainConfig

BASE = RunConfig()


def test_a_space_is_read_as_people_write_it(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "train.lr: {low: 1e-4, high: 1e-2, log: true}\n"
        "model:\n"
        "  hidden: [32, 64]\n"
        "  dropout: {low: 0, high: 0.5, step: 0.1}\n"
        "train.epochs: {low: 2, high: 8}\n"
        "data.size: [64, 96x128]\n",
        encoding="utf-8",
    )
    assert read_space(path, base=BASE) == {
        "train.lr": Range(1e-4, 1e-2, log=True),
        "model.hidden": Choices((32, 64)),
        "model.dropout": Range(0.0, 0.5, step=0.1),
        "train.epochs": Range(2, 8, whole=True),
        "data.size": Choices((64, "96x128")),
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.hiden": [1]}, r"no key 'model.hiden'. Nearest: model.hidden"),
        ({"lr": [1e-3]}, r"no key 'lr'. Nearest: train.lr"),
        ({"model": {"hiden": [1]}}, r"no key 'model.hiden'. Nearest: model.hidden"),
        ({"model": [1]}, r"no key 'model'"),
        ({"seed": [1, 2]}, r"seed may not be searched: .*luck.*set it with --seed"),
        ({"device": ["cpu"]}, r"device may not be searched.*set it with --device"),
        ({"data.val_share": [0.1, 0.2]}, r"data.val_share decides which clips.*Take it out"),
        ({"eval.clips": [1, 2]}, r"for the test split, which no trial sees.*Take it out"),
        ({"model.hidden": ["big"]}, r"choice 'big'. Use a whole number"),
        ({"model.hidden": [1.5]}, r"choice 1.5. Use a whole number"),
        ({"model.temporal": ["gru", "gur"]}, r"choice 'gur'. Use one of: .*gru"),
        ({"train.lr": ["fast"]}, r"choice 'fast'. Use a number"),
        ({"model.hidden": []}, r"no choices. Write a list"),
        ({"model.hidden": 64}, r"is 64, no space. Write a list of choices"),
        ({"model.hidden": [64, 0]}, r"model.hidden is 0. Use 1 or more"),
        ({"model.dropout": {"low": 0.1, "high": 1.5}}, r"model.dropout is 1.5. Use a share"),
        ({"train.lr": {"low": 0.1, "high": 0.01}}, r"from 0.1 to 0.01 is empty. Give a low below"),
        ({"train.lr": {"low": 0.1, "high": 0.1}}, r"is empty. Give a low below"),
        ({"train.lr": {"low": 0.1}}, r"no 'high'. Give both"),
        ({"train.lr": {"low": 0.1, "high": "x"}}, r"high is 'x'. Use a number"),
        ({"train.lr": {"low": 0.1, "hihg": 1}}, r"no 'hihg'. Nearest: high"),
        ({"train.weight_decay": {"low": 0, "high": 1, "log": True}}, r"log range.*above 0"),
        ({"train.lr": {"low": 0.1, "high": 1, "log": 3}}, r"log is 3. Use true or false"),
        ({"train.lr": {"low": 0.1, "high": 1, "step": 3}}, r"step 3.0 fits no range. Use a step"),
        (
            {"train.lr": {"low": 0.1, "high": 1, "step": 0.1, "log": True}},
            r"step 0.1 with log. Leave out log or step",
        ),
        ({"model.temporal": {"low": 1, "high": 2}}, r"cannot be a range.*Give a list"),
        ({"data.workers": {"low": 1, "high": 2}}, r"cannot be a range.*Give a list"),
        (
            {"model.dropout": {"low": 0, "high": 0.5, "step": 0.2}},
            r"from 0.0 to 0.5 is no whole number of steps of 0.2. Use high: 0.4",
        ),
        (
            {"model.hidden": {"low": 32, "high": 127, "step": 32}},
            r"from 32 to 127 is no whole number of steps of 32. Use high: 128",
        ),
        ({"train.l1_head": {"low": None, "high": 0.1}}, r"low is None. Use a number"),
    ],
)
def test_a_wrong_space_is_refused_with_the_key_and_the_mend(values, message):
    with pytest.raises(ConfigError, match=rf"^here: .*{message}"):
        check_space(values, base=BASE, where="here")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", r"holds nothing"), ("- a", r"no keys. Write lines"), ("a: [", r"no YAML.*Write a list")],
)
def test_a_file_that_is_no_space_is_refused(tmp_path, text, message):
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_space(path, base=BASE)
    with pytest.raises(InputError, match=r"--space .*nowhere.yaml cannot be read"):
        read_space(tmp_path / "nowhere.yaml", base=BASE)


def test_a_value_that_goes_with_another_choice_alone_is_no_error():
    base = RunConfig(model=ModelConfig(temporal="none"))
    values = {"model.bidirectional": [True, False], "model.temporal": ["none", "gru"]}
    assert check_space(values, base=base, where="here")


@pytest.mark.parametrize(
    "base",
    [
        BASE,
        RunConfig(model=ModelConfig(temporal="none", summary="mean")),
        RunConfig(model=ModelConfig(hidden=1, dropout=0.0), train=TrainConfig(lr=0.3)),
        RunConfig(data=DataConfig(augment="none"), train=TrainConfig(weight_decay=0.0)),
    ],
)
def test_the_default_space_is_a_valid_one_around_any_config(base):
    space = default_space(base, task="single")
    assert check_space(describe_space(space), base=base, where="default") == space
    for key in ("train.lr", "model.summary", "data.augment"):
        assert space[key].holds(flat_values(base)[key])
    assert ("model.hidden" in space) == (base.model.temporal != "none")


def test_the_start_keeps_what_the_space_does_not_hold():
    space = check_space(
        {"model.hidden": [32, 64], "train.lr": {"low": 1e-4, "high": 1e-2}}, base=BASE, where=""
    )
    trial = optuna.create_study().ask()
    trial.study.sampler = optuna.samplers.RandomSampler(seed=0)
    drawn = suggest(trial, space, base=BASE)
    assert set(drawn) == {"train.lr"}, "128 is not among the choices of model.hidden"


def test_drawn_values_are_possible_and_stand_in_the_config():
    space = default_space(BASE, task="single")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        drawn = suggest(study.ask(), space, base=None)
        assert all(space[key].holds(value) for key, value in drawn.items())
        now = flat_values(with_values(BASE, drawn))
        assert now == flat_values(BASE) | drawn


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_smoothed_by_default_where_there_are_labels_alone(task):
    assert ("train.label_smoothing" in default_space(BASE, task=task)) == (task != "regression")


def test_a_key_that_may_be_nothing_is_searched_over_numbers_too():
    values = {
        "train.l1_encoder": {"low": "1e-6", "high": "1e-3", "log": True},
        "train.weight_decay_head": [None, "1e-2", 1],
    }
    assert check_space(values, base=BASE, where="here") == {
        "train.l1_encoder": Range(1e-6, 1e-3, log=True),
        "train.weight_decay_head": Choices((None, 0.01, 1.0)),
    }


@pytest.mark.parametrize(("high", "step"), [(0.5, 0.1), (0.3, 0.1), (0.7, 0.07), (1.1, 0.1)])
def test_steps_that_fit_as_they_are_written_are_taken(high, step, recwarn):
    values = {"model.dropout": {"low": 0.0, "high": 0.9, "step": 0.1}}
    values["train.mixup"] = {"low": 0.0, "high": high, "step": step}
    space = check_space(values, base=BASE, where="here")
    drawn = suggest(optuna.create_study().ask(), space, base=None)
    assert space["train.mixup"].holds(drawn["train.mixup"]) and not recwarn.list
