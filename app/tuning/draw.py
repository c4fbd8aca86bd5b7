"""Which config a trial tries: drawn by its draw number, and not one that was tried before.

draw 0     the config that the search starts from
draw n     chance, seeded by (seed, n, try), or TPE; drawn again while an earlier draw has it
"""

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna

from cliptide.app.tuning.space import Space, flat_values, num_configs, suggest
from cliptide.app.tuning.study import Trial, trials_of
from cliptide.configs.schema import RunConfig

SAMPLERS = ("random", "tpe")
# Optuna's own, before the model of TPE takes over from chance.
TPE_STARTUP = 10
# So many repeats in a row, and few configs are left: those are then looked for one by one.
_TRIES = 20


class Exhausted(Exception):
    """Every config of the space was tried, or is under way."""


class _Given(optuna.samplers.RandomSampler):
    """Draws values that are known.

    Args:
        values: {key: value}.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.values = values

    def sample_independent(self, study: Any, trial: Any, param_name: str, distribution: Any) -> Any:
        """Give the key's value."""
        return self.values[param_name]


def draw(
    trial: optuna.Trial, number: int, *, kind: str, space: Space, base: RunConfig
) -> dict[str, Any]:
    """Let a trial choose its values.

    Args:
        trial: Of the study; one that is done again keeps the values that it had.
        number: Its draw number, see `draw_number`.
        kind: `random` or `tpe`.
        space: What is searched.
        base: The config that the search starts from, and whose seed counts.

    Returns:
        {key: value}.

    Raises:
        Exhausted: Every config of the space was tried.
    """
    study = trial.study
    if number == 0:
        study.sampler = _Given(flat_values(base))
        return suggest(trial, space, base=base)
    # What a trial had before it died is kept by Optuna, whatever is drawn here.
    earlier = _tried(trials_of(study, space=space, base=base), before=number)
    proposals = _proposals(trial, number, kind=kind, space=space, base=base, tried=earlier)
    study.sampler = _Given(next(one for one in proposals if not _is_among(one, earlier)))
    return suggest(trial, space, base=None)


def _tried(trials: Sequence[Trial], *, before: int) -> list[Mapping[str, Any]]:
    """The values of earlier draws, also of those under way: done again, each would end alike."""
    return [trial.values for trial in trials if trial.draw < before and trial.state != "died"]


def _is_among(values: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> bool:
    return any(all(_is_same(values[key], one[key]) for key in values) for one in tried)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)  # 3 x 0.1 is no 0.3
    return bool(one == other)


def _proposals(
    trial: optuna.Trial,
    number: int,
    *,
    kind: str,
    space: Space,
    base: RunConfig,
    tried: Sequence[Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    for attempt in range(_TRIES):
        # TPE would give the same again.
        sampler = _sampler(number, attempt, kind=kind if attempt == 0 else "random", base=base)
        yield _sample(sampler, trial, space)
    if math.isinf(num_configs(space)):
        raise Exhausted  # numbers so near to each other that they are the same
    keys = sorted(space)
    every = itertools.product(*(space[key].all_values() for key in keys))
    configs = (dict(zip(keys, values, strict=True)) for values in every)
    left = [one for one in configs if not _is_among(one, tried)]
    if not left:
        raise Exhausted
    yield random.Random(_seed(number, _TRIES, base=base)).choice(left)


def _sample(
    sampler: optuna.samplers.BaseSampler, trial: optuna.Trial, space: Space
) -> dict[str, Any]:
    """Draw a value for each key, as the trial itself would, without telling the study."""
    study = trial.study
    frozen = study.get_trials(deepcopy=False)[trial.number]
    values = {}
    # In one order: the same space written otherwise draws the same.
    for key, part in sorted(space.items()):
        distribution = part.distribution
        values[key] = (
            part.all_values()[0]
            if distribution.single()
            else sampler.sample_independent(study, frozen, key, distribution)
        )
    return values


def _sampler(
    number: int, attempt: int, *, kind: str, base: RunConfig
) -> optuna.samplers.BaseSampler:
    """A sampler whose chance depends on the seed, the draw number and the attempt alone."""
    seed = _seed(number, attempt, base=base)
    if kind == "tpe":
        # Each key by itself, so that all is drawn once the trial knows its number.
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=TPE_STARTUP, multivariate=False, constant_liar=True
        )
    return optuna.samplers.RandomSampler(seed=seed)


def _seed(number: int, attempt: int, *, base: RunConfig) -> int:
    return (base.seed * 1_000_003 + number * 7_919 + attempt * 104_729) % 2**32
