"""The space that is searched: which keys, between which values. Read from YAML, checked at once.

train.lr: {low: 1e-4, high: 1e-2, log: true}
model.hidden: [64, 128, 256]
model: {dropout: {low: 0.0, high: 0.5, step: 0.1}}      a section's keys may be indented too
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import optuna
import yaml

from cliptide.configs.checks import allowed_values, fits, nearest
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import SECTIONS, RunConfig
from cliptide.configs.tasks import Task

# Trials are compared on the same validation clips, so these stay as they are; and the evaluation
# is of the test split, which no trial sees.
_DECIDES_THE_SPLIT = ("kind", "fold", "folds", "group_regex", "val_share", "test_share", "task")

_NOT_SEARCHED = {
    "seed": "the best of several seeds is luck, not a better config",
    "device": "where a trial is computed makes no better config",
}

_RANGE_KEYS = ("low", "high", "log", "step")
_EXAMPLE = "Write a list of choices, such as [32, 64], or a range, such as {low: 0.1, high: 0.5}."


@dataclass(frozen=True)
class Choices:
    """One of several values.

    Attributes:
        values: At least one.
    """

    values: tuple[Any, ...]

    @property
    def tried(self) -> tuple[Any, ...]:
        """What the config must allow: every value."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return any(value == one and type(value) is type(one) for one in self.values)

    @property
    def distribution(self) -> optuna.distributions.BaseDistribution:
        """What Optuna draws from."""
        return optuna.distributions.CategoricalDistribution(self.values)

    @property
    def count(self) -> float:
        """How many values there are."""
        return len(self.values)

    def all_values(self) -> Sequence[Any]:
        """Every value."""
        return self.values

    def suggest(self, trial: optuna.Trial, key: str) -> Any:
        """Let the trial choose."""
        return trial.suggest_categorical(key, self.values)


@dataclass(frozen=True)
class Range:
    """A number between two others, both included.

    Attributes:
        low: The smallest value.
        high: The largest, above `low`.
        log: Whether each factor is equally likely, not each difference.
        step: The distance of neighbouring values; None for any, and for 1 with whole numbers.
        whole: Whether they are whole numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def tried(self) -> tuple[Any, ...]:
        """What the config must allow: both ends, and all between them then."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        """Whether a value can be drawn."""
        number = not isinstance(value, bool) and isinstance(value, int | float)
        if not number or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    @property
    def distribution(self) -> optuna.distributions.BaseDistribution:
        """What Optuna draws from."""
        if self.whole:
            step = int(self.step or 1)
            return optuna.distributions.IntDistribution(
                int(self.low), int(self.high), log=self.log, step=step
            )
        return optuna.distributions.FloatDistribution(
            self.low, self.high, log=self.log, step=self.step
        )

    @property
    def count(self) -> float:
        """How many values there are; infinitely many where there are no steps."""
        step = self.step or (1 if self.whole else 0)
        return round((self.high - self.low) / step) + 1 if step else math.inf

    def all_values(self) -> Sequence[Any]:
        """Every value, as Optuna would draw it; of a range in steps."""
        step = self.step or 1
        values = (self.low + number * step for number in range(int(self.count)))
        return [int(v) if self.whole else min(v, self.high) for v in values]

    def suggest(self, trial: optuna.Trial, key: str) -> Any:
        """Let the trial choose."""
        if self.whole:
            step = int(self.step or 1)
            return trial.suggest_int(key, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log)


Space = Mapping[str, Choices | Range]


def num_configs(space: Space) -> float:
    """How many configs a space holds; infinity for one with a range without steps."""
    return math.prod(part.count for part in space.values())


def default_space(base: RunConfig, *, task: Task) -> Space:
    """What is worth trying first around a config: optimisation, size, regularisation, fusion.

    Args:
        base: The config.
        task: What is learnt; numbers have no classes over which a label could be smoothed.
    """
    space: dict[str, Choices | Range] = {
        "train.lr": Range(base.train.lr / 10, base.train.lr * 10, log=True),
        "train.weight_decay": Range(1e-4, 0.1, log=True),
        "model.dropout": Range(0.0, 0.5),
        "model.summary": Choices(("last", "mean", "attention")),
        "data.augment": Choices(("none", "light", "strong")),
    }
    if task != "regression":
        space["train.label_smoothing"] = Choices((0.0, 0.1))
    if base.model.temporal != "none":
        hidden = base.model.hidden
        space["model.hidden"] = Choices(
            tuple(dict.fromkeys((max(1, hidden // 2), hidden, hidden * 2)))
        )
        space["model.layers"] = Choices((1, 2))
    if base.model.temporal in ("lstm", "gru"):
        space["model.temporal"] = Choices(("lstm", "gru"))
    return space


def read_space(path: Path, *, base: RunConfig) -> Space:
    """Read a space from a YAML file.

    Raises:
        InputError: The file cannot be read.
        ConfigError: It is no YAML, or a key or value in it is wrong.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"--space {path} cannot be read: {error.strerror}. Mend that.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = getattr(error, "problem", None) or "it is not UTF-8 text"
        raise ConfigError(f"{path} is no YAML: {problem}. {_EXAMPLE}") from error
    if not isinstance(values, Mapping) or not values:
        held = "nothing" if values is None else repr(values)[:40]
        raise ConfigError(
            f"{path} holds {held} and no keys. Write lines such as 'model.hidden: [32, 64, 128]'."
        )
    return check_space(values, base=base, where=str(path))


def check_space(values: Mapping[Any, Any], *, base: RunConfig, where: str) -> Space:
    """Turn what a file or a caller gave into a space.

    Args:
        values: {key: list of choices, or {low, high, log, step}}; a section may hold its keys.
        base: The config that the values are tried in.
        where: What it comes from, for the message.

    Raises:
        ConfigError: A key is unknown or may not be searched, or a value does not fit it.
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if key in SECTIONS and isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": part for inner, part in value.items()}
        else:
            flat[str(key)] = value
    return {key: _part(key, value, base=base, where=where) for key, value in flat.items()}


def _part(key: str, value: Any, *, base: RunConfig, where: str) -> Choices | Range:
    hints = {
        f"{section}.{field.name}": field.type
        for section, kind in SECTIONS.items()
        for field in fields(kind)
    }
    if key in _NOT_SEARCHED:
        raise ConfigError(
            f"{where}: {key} may not be searched: {_NOT_SEARCHED[key]}. Take it out, or set it "
            f"with --{key}."
        )
    if key not in hints:
        near = nearest(key, hints)
        mend = f"Nearest: {', '.join(near)}." if near else "cliptide train --print_config has all."
        raise ConfigError(f"{where}: there is no key {key!r}. {mend}")
    section, _, name = key.partition(".")
    if section == "eval" or (section == "data" and name in _DECIDES_THE_SPLIT):
        why = (
            "is for the test split, which no trial sees"
            if section == "eval"
            else "decides which clips a trial is judged on, so trials could not be compared"
        )
        raise ConfigError(f"{where}: {key} {why}. Take it out, or set it with --{key}.")
    hint = hints[key]
    number = _without_none(hint)
    at = f"{where}: {key}"
    if isinstance(value, Mapping):
        part: Choices | Range = _range(value, number, at=at)
    elif isinstance(value, list | tuple):
        if not value:
            raise ConfigError(f"{at} has no choices. {_EXAMPLE}")
        choices = [_number(one, number) for one in value]
        for one in choices:
            if not fits(one, hint):
                raise ConfigError(f"{at} has the choice {one!r}. Use {allowed_values(hint)}.")
        part = Choices(tuple(dict.fromkeys(choices)))
    else:
        raise ConfigError(f"{at} is {value!r}, no space. {_EXAMPLE}")
    for one in part.tried:
        _require_possible(section, name, one, base=base, where=where)
    return part


def _range(value: Mapping[Any, Any], hint: Any, *, at: str) -> Range:
    unknown = [str(key) for key in value if key not in _RANGE_KEYS]
    if unknown:
        near = nearest(unknown[0], _RANGE_KEYS) or _RANGE_KEYS
        raise ConfigError(f"{at}: a range has no {unknown[0]!r}. Nearest: {', '.join(near)}.")
    if hint not in (int, float):
        raise ConfigError(
            f"{at} cannot be a range: it takes {allowed_values(hint)}. Give a list of choices."
        )
    for key in ("low", "high"):
        if key not in value:
            raise ConfigError(f"{at}: the range has no {key!r}. Give both low and high.")
    keys = ["low", "high", *(["step"] if value.get("step") is not None else [])]
    numbers = {key: _number(value[key], hint) for key in keys}
    for key, number in numbers.items():
        if not fits(number, hint):
            raise ConfigError(f"{at}: {key} is {number!r}. Use {allowed_values(hint)}.")
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{at}: log is {log!r}. Use true or false.")
    if low >= high:
        raise ConfigError(
            f"{at}: the range from {low} to {high} is empty. Give a low below high, or a list of "
            "choices."
        )
    if log and low <= 0:
        raise ConfigError(f"{at}: a log range cannot begin at {low}. Give a low above 0.")
    if step is not None and (log or not 0 < step <= high - low):
        mend = "Leave out log or step" if log else f"Use a step above 0 and up to {high - low}"
        raise ConfigError(f"{at}: step {step} {'with log' if log else 'fits no range'}. {mend}.")
    if step is not None and (fitting := _last_step(low, high, step)) != high:
        raise ConfigError(
            f"{at}: from {low} to {high} is no whole number of steps of {step}. Use high: "
            f"{fitting}, or another step."
        )
    return Range(low, high, log=log, step=step, whole=hint is int)


def _last_step(low: float, high: float, step: float) -> float:
    """The value nearest to `high` that whole steps from `low` reach, one of them at least."""
    # As they are written: in binary, 0.3 is no three times 0.1.
    first, last, each = (Decimal(str(number)) for number in (low, high, step))
    steps = max(1, round((last - first) / each))
    return type(high)(first + steps * each)


def _without_none(hint: Any) -> Any:
    """What a key takes besides nothing: a range of `number or nothing` is one of numbers."""
    parts = [part for part in get_args(hint) if part is not NoneType]
    return parts[0] if get_origin(hint) in (Union, UnionType) and len(parts) == 1 else hint


def _number(value: Any, hint: Any) -> Any:
    """YAML takes 1e-4 for text, as it lacks a point; and a whole number may stand for a float."""
    if hint is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _require_possible(section: str, name: str, value: Any, *, base: RunConfig, where: str) -> None:
    """Refuse what the config itself refuses, whatever else is drawn with it."""
    problem = None
    # Some values go with some others alone: what the defaults allow is no error of its own.
    for start in (getattr(base, section), SECTIONS[section]()):
        try:
            replace(start, **{name: value})
        except ConfigError as error:
            problem = error
        else:
            return
    raise ConfigError(f"{where}: {problem}")


def suggest(trial: optuna.Trial, space: Space, *, base: RunConfig | None) -> dict[str, Any]:
    """Let a trial choose a value for each key.

    Args:
        trial: Of the study.
        space: What to choose from.
        base: Where the trial is the config that the search started from: a key whose value the
            space does not hold is then left as it is.

    Returns:
        {key: value}.
    """
    here = {} if base is None else flat_values(base)
    return {
        key: part.suggest(trial, key)
        # In one order: the same space written otherwise draws the same.
        for key, part in sorted(space.items())
        if base is None or part.holds(here[key])
    }


def with_values(base: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The config with some of its keys changed.

    Raises:
        ConfigError: The values do not go together.
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    changed = {
        section: replace(getattr(base, section), **inner) for section, inner in sections.items()
    }
    return replace(base, **changed)


def flat_values(config: RunConfig) -> dict[str, Any]:
    """Every key of the sections with its value: `{"train.lr": 0.001, ...}`."""
    return {
        f"{section}.{key}": value
        for section in SECTIONS
        for key, value in asdict(getattr(config, section)).items()
    }


def describe_space(space: Space) -> dict[str, Any]:
    """The space as plain values, as it is written in YAML."""
    return {
        key: list(part.values)
        if isinstance(part, Choices)
        else {k: v for k, v in asdict(part).items() if v is not None and v is not False}
        for key, part in space.items()
    }
