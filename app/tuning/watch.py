"""What a person sees of a trial that is under way, and what the study hears of it."""

import sys
from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from cliptide.app.training.headline import validation_figure
from cliptide.configs.tasks import Task


class TrialWatch(Callback):
    """Tells a trial's figure after each epoch; on a terminal, a table shows how far it is.

    The table is gone with the trial, whose line then takes its place. Nothing is shown in a pipe.

    Args:
        name: What is being trained.
        task: What is learnt.
        report: Takes epoch (from 1) and figure; raises to end the trial early.
        board: Gives the table, from the figure so far (None before the first epoch's end) and the
            epochs that are done, such as `3/8`.
    """

    def __init__(
        self,
        name: str,
        *,
        task: Task,
        report: Callable[[int, float], None],
        board: Callable[[float | None, str], Table],
    ) -> None:
        self.name, self.report, self.board = name, report, board
        self.task: Task = task
        self._live: Live | None = None
        self._figure: float | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the table."""
        # Not the log's console, which never cuts a line: too wide a table could not be redrawn.
        console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task(self.name, total=trainer.max_epochs)
            self._live = Live(self._shown(), console=console, transient=True)
            self._live.start(refresh=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the figure."""
        row = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self._figure = validation_figure(row, task=self.task)
        if self._live:
            self._bar.advance(self._task)
            self._live.update(self._shown(), refresh=True)
        self.report(trainer.current_epoch + 1, self._figure)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the table away."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the table away."""
        self._stop()

    def _shown(self) -> Group:
        done, total = self._bar.tasks[0].completed, self._bar.tasks[0].total
        return Group(self.board(self._figure, f"{done:.0f}/{total:.0f}"), self._bar)

    def _stop(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None
