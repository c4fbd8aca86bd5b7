"""One trial: a config trained on one or more splits, judged on validation alone."""

import contextlib
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import torch
from optuna.trial import TrialState
from rich.table import Table

from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.headline import validation_figure, validation_name
from cliptide.app.training.run import Run
from cliptide.app.training.start import new_network, trainer_precision
from cliptide.app.tuning.draw import Exhausted, draw
from cliptide.app.tuning.leaderboard import running_board
from cliptide.app.tuning.space import Choices, Space, with_values
from cliptide.app.tuning.study import draw_number, mark_process, redo, trials_of
from cliptide.app.tuning.watch import TrialWatch
from cliptide.configs.errors import CliptideError, ConfigError, InputError
from cliptide.configs.schema import RunConfig
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.splits import SplitPlan

# Why a trial is none, in its user attribute `surplus`.
ENOUGH_TRIALS, NO_CONFIG_LEFT = "enough trials", "no config left"


class SurplusTrial(Exception):
    """The trial is none: another process took the last that was wanted, or no config is left."""


class FailedTrial(Exception):
    """The config cannot be trained, or its training diverged; the study goes on with another."""


@dataclass(frozen=True)
class Search:
    """What all trials of a study share.

    Attributes:
        base: The config that the search starts from.
        space: What is searched.
        catalog: The data set.
        plans: The splits that each trial is trained on; their test clips are never read.
        device: Where to compute.
        folder: For what a trial writes while it runs.
        num_trials: How many are wanted, those of other processes included.
        sampler: `random` or `tpe`.
        store: Features of a frozen encoder, which all trials share.
    """

    base: RunConfig
    space: Space
    catalog: Catalog
    plans: Sequence[SplitPlan]
    device: torch.device
    folder: Path
    num_trials: int
    sampler: str
    store: EncodedStore

    @property
    def most_epochs(self) -> int:
        """The most epochs that a trial can have: what its folds are counted on by."""
        part = self.space.get("train.epochs")
        if part is None:
            return self.base.train.epochs
        drawn = part.values if isinstance(part, Choices) else (part.high,)
        return int(max(*drawn, self.base.train.epochs))


def run_trial(trial: optuna.Trial, search: Search) -> float:
    """Draw a config and train it.

    Args:
        trial: A new one, or one to be done again.
        search: What all trials share.

    Returns:
        The validation figure of the best epoch, mean over the splits.

    Raises:
        optuna.TrialPruned: It fell behind the median of the others.
        SurplusTrial: Enough trials are there, or every config of the space was tried.
        FailedTrial: The config cannot be trained, or its training diverged.
        InputError: The data or the config that the search starts from is wrong.
    """
    if _is_surplus(trial, search.num_trials):
        trial.set_user_attr("surplus", ENOUGH_TRIALS)
        raise SurplusTrial
    number = draw_number(trial.study, trial)
    trial.set_user_attr("draw", number)
    mark_process(trial)
    try:
        values = draw(trial, number, kind=search.sampler, space=search.space, base=search.base)
        return _train(trial, with_values(search.base, values), search)
    except optuna.TrialPruned:
        raise
    except Exhausted:
        trial.set_user_attr("surplus", NO_CONFIG_LEFT)
        raise SurplusTrial from None
    except BaseException as error:
        if not _is_of_the_config(error, number=number):
            # It ends the search: once that is mended, the same command does the trial again.
            redo(trial.study, trial.study.get_trials(deepcopy=False)[trial.number])
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        trial.set_user_attr("error", text[:300])
        raise FailedTrial(text) from error


def _is_of_the_config(error: BaseException, *, number: int) -> bool:
    """Whether another config may well be trained, so that the search goes on."""
    if isinstance(error, ConfigError):
        return number > 0  # the first is what the user gave
    if isinstance(error, InputError):
        return False
    # A training that diverged, or one too large.
    return isinstance(error, CliptideError | MemoryError | torch.OutOfMemoryError)


def trial_folder(parent: Path, number: int) -> Path:
    """Where a trial writes while it runs; gone once it has ended."""
    return parent / f"trial-{number}"


def _is_surplus(trial: optuna.Trial, num_trials: int) -> bool:
    counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    others = trial.study.get_trials(deepcopy=False, states=counted)
    ahead = sum(t.number < trial.number and "surplus" not in t.user_attrs for t in others)
    return ahead >= num_trials


def _make_anew(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    while True:
        try:
            folder.mkdir(parents=True)
        except FileNotFoundError:  # another process has just removed the empty parent
            continue
        return


def _board(trial: optuna.Trial, search: Search) -> Callable[[float | None, str], Table]:
    """What is shown while a trial is under way: the best so far, and the trial itself below."""
    rows = trials_of(trial.study, space=search.space, base=search.base)
    row = next(row for row in rows if row.number == trial.number)

    def board(figure: float | None, epoch: str) -> Table:
        now = replace(row, figure=figure, epoch=epoch)
        name = validation_name(search.catalog.task)
        return running_board(rows, now, figure=name, wanted=search.num_trials)

    return board


def _train(trial: optuna.Trial, config: RunConfig, search: Search) -> float:
    figures: list[float] = []
    losses: list[float] = []
    epochs: list[int] = []
    unreadable = 0
    board = _board(trial, search)
    last = (len(search.plans) - 1) * search.most_epochs + config.train.epochs
    for number, plan in enumerate(search.plans):
        before = number * search.most_epochs

        def report(epoch: int, figure: float, before: int = before) -> None:
            # With several folds: the mean of the finished ones and this one so far.
            trial.report(statistics.fmean([*figures, figure]), before + epoch)
            # At the very end there is nothing left to save.
            if before + epoch < last and trial.should_prune():
                raise optuna.TrialPruned

        network, _ = new_network(config, search.catalog, plan, init=None, device=search.device)
        folder = trial_folder(search.folder, trial.number)
        _make_anew(folder)
        fold = f", fold {number + 1}/{len(search.plans)}" if len(search.plans) > 1 else ""
        try:
            run = Run(
                folder,
                config,
                search.catalog,
                plan,
                network,
                search.device,
                trainer_precision(config.train.precision, search.device),
                resumed=False,
                progress=TrialWatch(
                    f"trial {trial.number}{fold}",
                    task=search.catalog.task,
                    report=report,
                    board=board,
                ),
                store=search.store,
            )
            run.fit()
        finally:
            # Models of trials would fill any disk; the best config is trained anew.
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process writes beside it
                search.folder.rmdir()
        best = run.keeper.best
        loss = float(best["val_loss"])
        if not math.isfinite(loss):
            # With one label there is a top-1 all the same: NaN for every class names the first.
            raise CliptideError(
                "The training diverged: the validation loss of its best epoch is no number. Search "
                f"smaller values of train.lr (here {config.train.lr:g}) or train.clip_grad (here "
                f"{config.train.clip_grad:g})."
            )
        figures.append(validation_figure(best, task=search.catalog.task))
        losses.append(loss)
        epochs.append(int(best["epoch"]))
        unreadable = max(unreadable, len(run.quarantine.reasons))
    trial.set_user_attr("loss", statistics.fmean(losses))
    trial.set_user_attr("epoch", ",".join(map(str, epochs)))
    trial.set_user_attr("unreadable", unreadable)
    return statistics.fmean(figures)
