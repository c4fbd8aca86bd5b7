"""One trial: a config trained on one or more splits, judged on validation alone."""

import contextlib
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.trial import TrialState
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cliptide.app.inference.terminal import log_console
from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.headline import validation_figure
from cliptide.app.training.run import Run
from cliptide.app.training.start import (
    fresh_network,
    require_learnt_encoder,
    trainer_precision,
)
from cliptide.app.tuning.space import Space, flat_values, suggest, with_values
from cliptide.app.tuning.study import draw_number, mark_process, redo
from cliptide.configs.errors import CliptideError, ConfigError, InputError
from cliptide.configs.schema import RunConfig
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.splits import SplitPlan

# Optuna's own, before the model of TPE takes over from chance.
TPE_STARTUP = 10


class SurplusTrial(Exception):
    """Another process took the last trial that was wanted."""


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
        drawn = part.values if hasattr(part, "values") else (part.high,)
        return int(max(*drawn, self.base.train.epochs))


class TrialWatch(Callback):
    """Tells a trial's figure after each epoch, and shows on a terminal how far it is.

    Args:
        name: What is being trained.
        task: What is learnt.
        report: Takes epoch (from 1) and figure; raises to end the trial early.
    """

    def __init__(self, name: str, *, task: Task, report: Callable[[int, float], None]) -> None:
        self.name, self.report = name, report
        self.task: Task = task
        self._bar: Progress | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar."""
        console = log_console()
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=trainer.max_epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the figure."""
        if self._bar:
            self._bar.advance(self._task)
        row = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self.report(trainer.current_epoch + 1, validation_figure(row, task=self.task))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away."""
        self._stop()

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


class BaseFirst(optuna.samplers.RandomSampler):
    """Draws the values of the config that the search starts from.

    Args:
        values: {key: value}.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.values = values

    def sample_independent(self, study: Any, trial: Any, param_name: str, distribution: Any) -> Any:
        """Give the key's value."""
        return self.values[param_name]


def sampler_for(draw: int, *, kind: str, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler whose chance depends on the seed and the trial's draw number alone."""
    mixed = (seed * 1_000_003 + draw * 7_919) % 2**32
    if kind == "tpe":
        # Each key by itself, so that all is drawn once the trial knows its number.
        return optuna.samplers.TPESampler(
            seed=mixed, n_startup_trials=TPE_STARTUP, multivariate=False, constant_liar=True
        )
    return optuna.samplers.RandomSampler(seed=mixed)


def run_trial(trial: optuna.Trial, search: Search) -> float:
    """Draw a config and train it.

    Args:
        trial: A new one, or one to be done again.
        search: What all trials share.

    Returns:
        The validation figure of the best epoch, mean over the splits.

    Raises:
        optuna.TrialPruned: It fell behind the median of the others.
        SurplusTrial: Enough trials are there.
        FailedTrial: The config cannot be trained, or its training diverged.
        InputError: The data or the config that the search starts from is wrong.
    """
    if _is_surplus(trial, search.num_trials):
        trial.set_user_attr("surplus", True)
        raise SurplusTrial
    draw = draw_number(trial.study, trial)
    trial.set_user_attr("draw", draw)
    mark_process(trial)
    try:
        config = _draw(trial, draw, search)
        return _train(trial, config, search)
    except optuna.TrialPruned:
        raise
    except BaseException as error:
        if not _is_of_the_config(error, draw=draw):
            # It ends the search: once that is mended, the same command does the trial again.
            redo(trial.study, trial.study.get_trials(deepcopy=False)[trial.number])
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        trial.set_user_attr("error", text[:300])
        raise FailedTrial(text) from error


def _is_of_the_config(error: BaseException, *, draw: int) -> bool:
    """Whether another config may well be trained, so that the search goes on."""
    if isinstance(error, ConfigError):
        return draw > 0  # the first is what the user gave
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


def _draw(trial: optuna.Trial, draw: int, search: Search) -> RunConfig:
    study, base = trial.study, search.base
    if draw == 0:
        study.sampler = BaseFirst(flat_values(base))
        return with_values(base, suggest(trial, search.space, base=base))
    study.sampler = sampler_for(draw, kind=search.sampler, seed=base.seed)
    return with_values(base, suggest(trial, search.space, base=None))


def _train(trial: optuna.Trial, config: RunConfig, search: Search) -> float:
    require_learnt_encoder(config)
    figures: list[float] = []
    losses: list[float] = []
    epochs: list[int] = []
    unreadable = 0
    last = (len(search.plans) - 1) * search.most_epochs + config.train.epochs
    for number, plan in enumerate(search.plans):
        before = number * search.most_epochs

        def report(epoch: int, figure: float, before: int = before) -> None:
            # With several folds: the mean of the finished ones and this one so far.
            trial.report(statistics.fmean([*figures, figure]), before + epoch)
            # At the very end there is nothing left to save.
            if before + epoch < last and trial.should_prune():
                raise optuna.TrialPruned

        folder = trial_folder(search.folder, trial.number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fold = f", fold {number + 1}/{len(search.plans)}" if len(search.plans) > 1 else ""
        try:
            run = Run(
                folder,
                config,
                search.catalog,
                plan,
                fresh_network(config, search.catalog, plan, load_weights=True),
                search.device,
                trainer_precision(config.train.precision, search.device),
                resumed=False,
                progress=TrialWatch(
                    f"trial {trial.number}{fold}", task=search.catalog.task, report=report
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
