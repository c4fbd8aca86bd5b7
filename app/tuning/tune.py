"""`cliptide tune`: trials until there are enough, then a leaderboard and the best config.

    runs/x-tune-1/
      study.db (or storage.json: --study names another)   best.yaml   trials.csv   study.html

The best is chosen on the validation clips; no trial reads a clip of the test split.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from optuna.pruners import MedianPruner, NopPruner

from cliptide.app.inference.device import describe_device, resolve_device
from cliptide.app.inference.terminal import log
from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.loss import check_fits_task
from cliptide.app.training.split_table import show_split
from cliptide.app.training.start import new_network, read_split, with_whole_path
from cliptide.app.tuning.draw import SAMPLERS
from cliptide.app.tuning.folder import TRIALS_FILE, SearchKey, claim_folder, find_folder, url_in
from cliptide.app.tuning.leaderboard import write_trials
from cliptide.app.tuning.loop import Loop, TuningResult
from cliptide.app.tuning.space import Space, check_space, default_space, read_space, with_values
from cliptide.app.tuning.study import open_study, quiet_optuna, settings_of
from cliptide.app.tuning.trial import Search
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import RunConfig
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.folds import make_validation_folds
from cliptide.datasets.splits import SplitPlan

# The median of fewer trials says little.
TRIALS_BEFORE_PRUNING = 5


def tune(
    data: str | os.PathLike[str],
    *,
    trials: int = 20,
    config: RunConfig | None = None,
    space: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    folds: int | None = None,
    study: str | None = None,
    study_name: str = "cliptide",
    sampler: str = "random",
    prune: bool = True,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> TuningResult:
    """Search for the config that is best on the validation clips.

    The first trial is `config` itself. Called again, it goes on until `trials` are finished.

    Args:
        data: A data set; see `read_catalog`.
        trials: How many trials the study shall have, those of other processes included.
        config: What the search starts from; the defaults when left out.
        space: A YAML file, or {key: choices or range}; the default space when left out.
        folds: Judge each trial by the mean over so many folds of the training and validation
            clips, groups kept whole; by the validation split when left out.
        study: An Optuna storage URL that several processes may share; `study.db` in the folder
            when left out.
        study_name: Of the study in its storage.
        sampler: `random`, or `tpe`, which learns from the trials before.
        prune: Whether to end trials early that are worse than the median at their epoch.
        out: The folder, new or of the same search; the newest `runs/<data>-tune-<n>` of the same
            search by default, or a new one.
        device: Where to compute, in place of the config's.

    Raises:
        InputError: The data, the space, the study or an option is wrong.
    """
    if trials < 1:
        raise ConfigError(f"--trials is {trials}. Use 1 or more, such as 20.")
    if sampler not in SAMPLERS:
        raise ConfigError(f"--sampler is {sampler!r}. Use one of: {', '.join(SAMPLERS)}.")
    data, base = Path(data), with_whole_path(config or RunConfig())
    given = None if space is None else _given_space(space, base)
    where = resolve_device(device or base.device)
    catalog, plan = read_split(data, base)
    searched = default_space(base, task=catalog.task) if given is None else given
    _require_trainable(base, searched, catalog, plan, where)
    plans = (
        (plan,)
        if folds is None
        else make_validation_folds(
            plan,
            folds=folds,
            seed=base.seed,
            where=str(data),
            task=catalog.task,
            noun=catalog.noun,
        )
    )
    settings = settings_of(fingerprint=plan.fingerprint, config=base, space=searched, folds=folds)
    # The learning rate rises and falls within a run: a slow beginning is no verdict.
    warmup = max(1, base.train.epochs // 2)
    pruner = MedianPruner(TRIALS_BEFORE_PRUNING, warmup) if prune else NopPruner()
    with quiet_optuna():
        key = SearchKey(study, study_name, settings)
        asked = None if out is None else Path(out)
        folder = find_folder(data, out=asked, key=key)
        opened = None
        if study is not None:
            # First: a study that is refused leaves no folder.
            opened = open_study(study, name=study_name, settings=settings, pruner=pruner)
        if folder is None:
            folder = claim_folder(data, out=asked, key=key)
            if not (folder / TRIALS_FILE).exists():
                write_trials(folder / TRIALS_FILE, [], keys=list(searched))
        if opened is None:
            opened = open_study(url_in(folder), name=study_name, settings=settings, pruner=pruner)
        show_split(catalog, plan)
        log(
            f"Searching {', '.join(searched)} on {describe_device(where)}, {sampler}, into {folder}"
        )
        search = Search(
            base=base,
            space=searched,
            catalog=catalog,
            plans=plans,
            device=where,
            folder=folder / "trials",
            num_trials=trials,
            sampler=sampler,
            store=EncodedStore(runs=trials * len(plans)),
        )
        return Loop(folder, data, opened, search, storage=study).until_enough()


def _require_trainable(
    base: RunConfig, space: Space, catalog: Catalog, plan: SplitPlan, device: torch.device
) -> None:
    """Refuse a start, or a value of the space, that could never be trained here.

    Raises:
        ConfigError: The start is no config for this data and device, or a value of the space
            does not fit the task.
    """
    network, _ = new_network(base, catalog, plan, init=None, device=device)
    for key, part in space.items():
        for value in part.tried:
            try:
                train = with_values(base, {key: value}).train
            except ConfigError:  # goes with another value of the space alone
                continue
            try:
                check_fits_task(train, catalog, streams=network.streams.names)
            except ConfigError as error:
                raise ConfigError(f"The space: {error}") from error


def _given_space(space: str | os.PathLike[str] | Mapping[str, Any], base: RunConfig) -> Space:
    if isinstance(space, Mapping):
        if not space:
            raise ConfigError("The space is empty. Give {'model.hidden': [32, 64]} or the like.")
        return check_space(space, base=base, where="The space")
    return read_space(Path(space), base=base)
