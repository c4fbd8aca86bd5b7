"""`cliptide tune`: trials until there are enough, then a leaderboard and the best config.

    runs/x-tune-1/
      study.db (unless --study names another storage)   best.yaml   trials.csv   study.html

The best is chosen on the validation clips; no trial reads a clip of the test split.
"""

import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.pruners import MedianPruner, NopPruner

from cliptide.app.evaluation.run_folder import claim_run_folder, data_name
from cliptide.app.inference.device import describe_device, resolve_device
from cliptide.app.inference.terminal import format_seconds, log, warn
from cliptide.app.training.config_file import write_config_file
from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.headline import validation_name
from cliptide.app.training.loss import check_fits_task
from cliptide.app.training.split_table import show_split
from cliptide.app.training.start import (
    fresh_network,
    require_learnt_encoder,
    trainer_precision,
    with_whole_path,
)
from cliptide.app.tuning.leaderboard import figure_text, trial_line, write_trials
from cliptide.app.tuning.page import write_page
from cliptide.app.tuning.space import (
    Space,
    check_space,
    default_space,
    describe_space,
    read_space,
    with_values,
)
from cliptide.app.tuning.study import (
    Trial,
    difference_of,
    importances,
    open_study,
    quiet_optuna,
    ranked,
    redo_died,
    settings_of,
    trials_of,
)
from cliptide.app.tuning.trial import FailedTrial, Search, SurplusTrial, run_trial, trial_folder
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import RunConfig
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.folds import make_validation_folds, read_fold
from cliptide.datasets.splits import SplitPlan

SAMPLERS = ("random", "tpe")
STUDY_FILE = "study.db"
# So many drawn configs in a row that cannot be trained mean that the space is wrong.
MOST_FAILURES = 10
# The median of fewer trials says little.
TRIALS_BEFORE_PRUNING = 5


@dataclass(frozen=True)
class TuningResult:
    """What a search found.

    Attributes:
        out: Its folder.
        trials: Every trial of the study so far, in order.
        best: The best complete one.
        config: Its config, which stands in `best.yaml` too.
        figure: What they are judged by.
    """

    out: Path
    trials: tuple[Trial, ...]
    best: Trial
    config: RunConfig
    figure: str

    @property
    def best_config_file(self) -> Path:
        """The best config, ready for `cliptide train --config`."""
        return self.out / "best.yaml"

    @property
    def page(self) -> Path:
        """The study's HTML page."""
        return self.out / "study.html"


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
        out: The folder; the newest `runs/<data>-tune-<n>` of the same search by default, or a new
            one.
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
    catalog, plan = read_fold(
        data,
        kind=base.data.kind,
        folds=base.data.folds,
        fold=base.data.fold,
        group_regex=base.data.group_regex,
        seed=base.seed,
        val_share=base.data.val_share,
        test_share=base.data.test_share,
        task=base.data.task,
    )
    searched = default_space(base, task=catalog.task) if given is None else given
    _require_trainable(base, searched, catalog, plan, where)
    plans = (
        (plan,)
        if folds is None
        else make_validation_folds(
            plan, folds=folds, seed=base.seed, where=str(data), task=catalog.task
        )
    )
    settings = settings_of(fingerprint=plan.fingerprint, config=base, space=searched, folds=folds)
    # The learning rate rises and falls within a run: a slow beginning is no verdict.
    warmup = max(1, base.train.epochs // 2)
    pruner = MedianPruner(TRIALS_BEFORE_PRUNING, warmup) if prune else NopPruner()
    with quiet_optuna():
        folder = _folder(data, out=out, study=study, name=study_name, settings=settings)
        url = study or f"sqlite:///{(folder / STUDY_FILE).resolve().as_posix()}"
        opened = open_study(url, name=study_name, settings=settings, pruner=pruner)
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
        loop = _Loop(folder, data, opened, search, storage=study)
        return loop.until_enough()


def _require_trainable(
    base: RunConfig, space: Space, catalog: Catalog, plan: SplitPlan, device: torch.device
) -> None:
    """Refuse a start, or a value of the space, that could never be trained here.

    Raises:
        ConfigError: The start is no config for this data and device, or a value of the space
            does not fit the task.
    """
    check_fits_task(base.train, catalog)
    trainer_precision(base.train.precision, device)
    require_learnt_encoder(base)
    fresh_network(base, catalog, plan, load_weights=False)
    for key, part in space.items():
        for value in part.tried:
            try:
                train = with_values(base, {key: value}).train
            except ConfigError:  # goes with another value of the space alone
                continue
            try:
                check_fits_task(train, catalog)
            except ConfigError as error:
                raise ConfigError(f"The space: {error}") from error


def _given_space(space: str | os.PathLike[str] | Mapping[str, Any], base: RunConfig) -> Space:
    if isinstance(space, Mapping):
        if not space:
            raise ConfigError("The space is empty. Give {'model.hidden': [32, 64]} or the like.")
        return check_space(space, base=base, where="The space")
    return read_space(Path(space), base=base)


def _folder(
    data: Path,
    *,
    out: str | os.PathLike[str] | None,
    study: str | None,
    name: str,
    settings: Mapping[str, Any],
) -> Path:
    """The folder to go on in or to begin in: the same command again finds its own."""
    if out is not None:
        folder = Path(out)
        if (folder / STUDY_FILE).is_file() or (study and (folder / "trials.csv").is_file()):
            return folder
        return claim_run_folder("", out=folder, training=False)
    label = f"{data_name(data)}-tune"
    earlier = [
        (int(match[1]), path)
        for path in Path("runs").glob(f"{label}-*")
        if (match := re.fullmatch(rf"{re.escape(label)}-(\d+)", path.name))
    ]
    if study is None and earlier:
        _, newest = max(earlier)
        if (newest / STUDY_FILE).is_file() and _is_of(newest / STUDY_FILE, name, settings):
            return newest
    return claim_run_folder(label)


def _is_of(file: Path, name: str, settings: Mapping[str, Any]) -> bool:
    url = f"sqlite:///{file.resolve().as_posix()}"
    summaries = {s.study_name: s for s in optuna.get_all_study_summaries(url)}
    stored = summaries[name].user_attrs.get("settings") if name in summaries else None
    return stored is None or not difference_of(stored, settings)


class _Loop:
    """Trial after trial, and the files that tell of them."""

    def __init__(
        self, folder: Path, data: Path, study: optuna.Study, search: Search, *, storage: str | None
    ) -> None:
        self.folder, self.data, self.study, self.search = folder, data, study, search
        self.storage = storage
        self.began = time.perf_counter()
        self.done_here = self.failures = 0
        self.figure = validation_name(self.search.catalog.task)
        self.told: set[str] = set()  # warnings that one of is enough

    def until_enough(self) -> TuningResult:
        wanted = self.search.num_trials
        if died := redo_died(self.study):
            for number in died:
                shutil.rmtree(trial_folder(self.search.folder, number), ignore_errors=True)
            trials = "1 trial" if len(died) == 1 else f"{len(died)} trials"
            log(f"{trials} died with their process: done again.")
        if begun := self._counts()[0]:
            log(f"Going on: {begun} of {wanted} trials are finished.")
        try:
            while sum(self._counts()) < wanted:
                try:
                    self.study.optimize(
                        lambda trial: run_trial(trial, self.search),
                        n_trials=1,
                        catch=(SurplusTrial, FailedTrial),
                        callbacks=[lambda _, trial: self._tell(trial)],
                    )
                finally:
                    self._write()
        except KeyboardInterrupt:
            log(f"Stopped. Go on with the same command, or --out {self.folder}")
            raise
        self._write(last=True)
        running = self._counts()[1]
        if running:
            log(f"{running} more still run in other processes.")
        return self._result()

    def _trials(self) -> list[Trial]:
        return trials_of(self.study, space=self.search.space, base=self.search.base)

    def _counts(self) -> tuple[int, int]:
        """How many trials are finished, and how many run."""
        states = [trial.state for trial in self._trials()]
        return states.count("complete") + states.count("pruned"), states.count("running")

    def _tell(self, ended: optuna.trial.FrozenTrial) -> None:
        """A line for the trial that has just ended here."""
        rows = self._trials()
        row = next((row for row in rows if row.number == ended.number), None)
        if row is None:  # surplus
            return
        self.done_here += 1
        self.failures = self.failures + 1 if row.state == "failed" else 0
        each_s = (time.perf_counter() - self.began) / self.done_here
        left = max(0, self.search.num_trials - sum(self._counts()))
        log(
            trial_line(
                row,
                rows,
                figure=self.figure,
                wanted=self.search.num_trials,
                left=f"{format_seconds(each_s)} a trial, {format_seconds(each_s * left)} left",
            )
        )
        unreadable = ended.user_attrs.get("unreadable")
        if unreadable and "unreadable" not in self.told:
            self.told.add("unreadable")
            warn(f"{unreadable} videos could not be read and are left out; see cliptide check.")
        undefined = row.state == "complete" and row.figure == -math.inf
        if undefined and self.figure not in self.told:
            self.told.add(self.figure)
            warn(
                f"{self.figure} is undefined on these validation clips, so trials are ranked by "
                "their loss. Give more clips with --data.val_share or another split, or --folds."
            )
        if self.failures >= MOST_FAILURES:
            raise ConfigError(
                f"{self.failures} trials in a row could not be trained; the last: {row.error} "
                "Narrow the space to what can be."
            )

    def _write(self, *, last: bool = False) -> None:
        rows = self._trials()
        write_trials(self.folder / "trials.csv", rows, keys=list(self.search.space))
        best = ranked(rows)
        if best:
            write_config_file(
                self.folder / "best.yaml",
                data=self.data,
                config=with_values(self.search.base, best[0].values),
                about=f"The best of {len(rows)} trials: trial {best[0].number}, "
                f"{self.figure} {figure_text(best[0].figure, digits=4)}. Train it with",
            )
        write_page(
            self.folder / "study.html",
            title=self.folder.resolve().name,
            figure=self.figure,
            trials=rows,
            space=describe_space(self.search.space),
            facts=self._facts(),
            # It takes a second: not after every trial.
            importances=importances(self.study, space=self.search.space) if last else None,
            train_command=f"cliptide train --config {self.folder / 'best.yaml'}",
        )

    def _facts(self) -> dict[str, str]:
        search, base = self.search, self.search.base
        folds = len(search.plans)
        fingerprint = self.study.user_attrs["settings"]["data"]
        judged = f"the mean over {folds} folds" if folds > 1 else "the validation split"
        facts = {
            "data": f"{self.data} (fingerprint {fingerprint})",
            "judged by": f"{self.figure}, {judged}; the test split was not read",
            "search": {"random": "random search", "tpe": "TPE"}[search.sampler],
            "started from": f"{base.model.encoder}, {base.model.temporal}, "
            f"{base.train.epochs} epochs, seed {base.seed}",
        }
        if self.storage:
            # A password may stand in it.
            facts["storage"] = re.sub(r"//[^@/]*@", "//", self.storage)
        return facts

    def _result(self) -> TuningResult:
        rows = self._trials()
        best = ranked(rows)
        if not best:
            raise InputError(
                "No trial is complete yet: other processes still run the first ones. Run the same "
                "command again when they are done."
            )
        config = with_values(self.search.base, best[0].values)
        return TuningResult(self.folder, tuple(rows), best[0], config, self.figure)
