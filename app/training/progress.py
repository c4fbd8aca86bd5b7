"""The training's progress: a bar on a terminal, else a plain line an epoch and one a minute."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import format_seconds, log, log_console
from cliptide.app.training.callbacks import DataWatch
from cliptide.app.training.figures import FIGURES, Figure

SHOW_EVERY_S = 0.25
LINE_EVERY_S = 60.0


class TrainingProgress(Callback):
    """Shows loss and figure, samples per second, the share of time waiting for data, and the ETA.

    Args:
        watch: Gives speed and waiting; must stand before this in the list of callbacks.
        figure: What epochs are chosen by.
        nouns: What samples are called; videos when left out.
    """

    def __init__(
        self, watch: DataWatch, figure: Figure = FIGURES["single"], nouns: Nouns | None = None
    ) -> None:
        self.watch, self.figure, self.nouns = watch, figure, nouns or Nouns()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._began = self._last_shown = 0.0
        self._epochs_done = 0
        self._sums: Any = 0.0  # loss (and top-1), times clips; on the device, so that no step waits
        self._seen = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar."""
        self._began = self._last_shown = time.perf_counter()
        console = log_console()
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, figures="")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch."""
        self._sums, self._seen = 0.0, 0
        if self._bar:
            batches = int(trainer.num_training_batches)
            self._bar.update(
                self._task,
                description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                total=batches * (trainer.max_epochs or 1),
                completed=batches * trainer.current_epoch,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the figures so far."""
        count = len(batch.labels)
        if outputs is not None and count:
            shown = [outputs[key] for key in ("loss", self.figure.key) if key in outputs]
            figures = torch.stack([each.detach().float() for each in shown])
            self._sums = self._sums + figures * count
            self._seen += count
        if self._bar:
            self._bar.advance(self._task)
        now = time.perf_counter()
        if not self._seen or now - self._last_shown < (SHOW_EVERY_S if self._bar else LINE_EVERY_S):
            return
        self._last_shown = now
        loss, *figure = (self._sums / self._seen).tolist()
        text = "  ".join(
            [
                f"loss {loss:.3f}",
                *(f"{self.figure.name} {value:.2f}" for value in figure),
                self._speed(),
                f"waiting for data {self.watch.wait_share:.0%}",
            ]
        )
        if self._bar:
            self._bar.update(self._task, figures=text)
        else:
            done = f"{batch_idx + 1}/{int(trainer.num_training_batches)} batches"
            log(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {done}  {text}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line for the epoch, which stays on the screen."""
        figures = trainer.callback_metrics
        epochs = trainer.max_epochs or 1
        epoch = trainer.current_epoch + 1
        self._epochs_done += 1
        each_s = (time.perf_counter() - self._began) / self._epochs_done
        words = [
            f"epoch {epoch:>{len(str(epochs))}}/{epochs}",
            *(
                f"{split} {name} {float(figures[f'{split}_{key}']):.3f}"
                for split in ("train", "val")
                for key, name in (("loss", "loss"), (self.figure.key, self.figure.name))
                if f"{split}_{key}" in figures
            ),
            *(f"grad {float(figures[key]):.2g}" for key in ("grad_norm",) if key in figures),
            self._speed(),
            f"waiting for data {self.watch.wait_share:.0%}",
            f"{format_seconds(each_s * (epochs - epoch))} left",
        ]
        (self._bar.console.print if self._bar else log)("  ".join(words))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away, so that the message is read."""
        self._stop()

    def _speed(self) -> str:
        return f"{self.watch.clips_per_s:.0f} {self.nouns.records}/s"

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
