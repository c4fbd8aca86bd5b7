"""The loop of a search: trial after trial until there are enough, and the files about them."""

import math
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import optuna

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log, warn
from cliptide.app.training.config_file import write_config_file
from cliptide.app.training.headline import validation_name
from cliptide.app.tuning.folder import TRIALS_FILE
from cliptide.app.tuning.leaderboard import figure_text, trial_line, write_trials
from cliptide.app.tuning.page import write_page
from cliptide.app.tuning.space import describe_space, with_values
from cliptide.app.tuning.storage import without_password
from cliptide.app.tuning.study import Trial, importances, ranked, redo_died, trials_of
from cliptide.app.tuning.trial import (
    NO_CONFIG_LEFT,
    FailedTrial,
    Search,
    SurplusTrial,
    run_trial,
    trial_folder,
)
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import RunConfig

# So many drawn configs in a row that cannot be trained mean that the space is wrong.
MOST_FAILURES = 10


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


class Loop:
    """Trial after trial, and the files that tell of them.

    Args:
        folder: Of the search.
        data: The data set.
        study: Opened.
        search: What all trials share.
        storage: The URL that was given with --study.
    """

    def __init__(
        self, folder: Path, data: Path, study: optuna.Study, search: Search, *, storage: str | None
    ) -> None:
        self.folder, self.data, self.study, self.search = folder, data, study, search
        self.storage = storage
        self.began = time.perf_counter()
        self.done_here = self.failures = 0
        self.exhausted = False
        self.figure = validation_name(self.search.catalog.task)
        self.told: set[str] = set()  # warnings that one of is enough

    def until_enough(self) -> TuningResult:
        """Go on until as many trials are finished as are wanted.

        Raises:
            ConfigError: The start cannot be trained, many drawn configs in a row cannot, or none
                in the space can.
            InputError: The data is wrong, or other processes still run the first trials.
            KeyboardInterrupt: Ctrl-C was pressed; the trial is done again when the search goes on.
        """
        wanted = self.search.num_trials
        if died := redo_died(self.study):
            for number in died:
                shutil.rmtree(trial_folder(self.search.folder, number), ignore_errors=True)
            trials = "1 trial" if len(died) == 1 else f"{len(died)} trials"
            log(f"{trials} died with their process: done again.")
        if begun := self._counts()[0]:
            log(f"Going on: {begun} of {wanted} trials are finished.")
        try:
            while sum(self._counts()) < wanted and not self.exhausted:
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
        if self.exhausted:
            log(
                f"Every config of the space is tried or under way: the search ends before "
                f"{wanted} trials. Widen the space for more."
            )
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
        if row is None:
            self.exhausted = ended.user_attrs.get("surplus") == NO_CONFIG_LEFT
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
                left_s=each_s * left,
            )
        )
        nouns = Nouns.of_samples(self.search.catalog.samples)
        unreadable = ended.user_attrs.get("unreadable")
        if unreadable and "unreadable" not in self.told:
            self.told.add("unreadable")
            warn(
                f"{nouns.counted(unreadable)} could not be read, so training goes without; see "
                "cliptide check."
            )
        undefined = row.state == "complete" and row.figure == -math.inf
        if undefined and self.figure not in self.told:
            self.told.add(self.figure)
            warn(
                f"{self.figure} is undefined on these validation {nouns.records}, so trials are "
                f"ranked by their loss, if it is of one kind. Give more {nouns.records} with "
                "--data.val_share or another split, or --folds."
            )
        if self.failures >= MOST_FAILURES:
            raise ConfigError(
                f"{self.failures} trials in a row could not be trained; the last: {row.error} "
                "Narrow the space to what can be."
            )

    def _write(self, *, last: bool = False) -> None:
        # Several processes may work in one folder: each writes apart, and only whole files replace
        # others.
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=self.folder) as name:
            scratch = Path(name)
            self._write_into(scratch, last=last)
            for path in scratch.iterdir():
                path.replace(self.folder / path.name)

    def _write_into(self, scratch: Path, *, last: bool) -> None:
        rows = self._trials()
        write_trials(scratch / TRIALS_FILE, rows, keys=list(self.search.space))
        best = ranked(rows)
        if best:
            write_config_file(
                scratch / "best.yaml",
                data=self.data,
                config=with_values(self.search.base, best[0].values),
                about=f"The best of {len(rows)} trials: trial {best[0].number}, "
                f"{self.figure} {figure_text(best[0].figure, digits=4)}. Train it with",
            )
        write_page(
            scratch / "study.html",
            title=self.folder.resolve().name,
            figure=self.figure,
            trials=rows,
            space=describe_space(self.search.space),
            facts=self._facts(),
            # It takes a second: not after every trial.
            importances=importances(self.study, space=self.search.space) if last else None,
            train_command=f"cliptide train --config {self.folder / 'best.yaml'}",
            storage=self.storage,
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
            facts["storage"] = without_password(self.storage)
        return facts

    def _result(self) -> TuningResult:
        rows = self._trials()
        best = ranked(rows)
        if not best and self._counts()[1]:
            raise InputError(
                "No trial is complete yet: other processes still run the first ones. Run the same "
                "command again when they are done."
            )
        if not best:
            last = next((row.error for row in reversed(rows) if row.error), "none was begun.")
            raise ConfigError(
                f"No trial of the {len(rows)} is complete; the last error: {last} Widen the space "
                "to what can be trained."
            )
        config = with_values(self.search.base, best[0].values)
        return TuningResult(self.folder, tuple(rows), best[0], config, self.figure)
