"""What happens around the training steps: keeping the best model, resuming, history, quarantine."""

import csv
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from cliptide.app.inference.nouns import Nouns
from cliptide.app.training.figures import FIGURES, Figure
from cliptide.app.training.missing_streams import MISSING_FILE, MissingStreams
from cliptide.app.training.module import ClassifierModule
from cliptide.configs.errors import DataError
from cliptide.datasets.loaders import Batch
from cliptide.datasets.records import SampleRecord
from cliptide.models.recognizer import Recognizer

QUARANTINE_COLUMNS = ("video", "split", "reason")


@dataclass
class Quarantine:
    """Videos that could not be read, and why; written as soon as one is found.

    Attributes:
        path: The CSV file.
        reasons: (split, reason) of each video by name.
    """

    path: Path
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, record: SampleRecord, reason: str) -> None:
        """Note a video that could not be read."""
        if record.name in self.reasons:
            return
        self.reasons[record.name] = (str(record.split), reason)
        self.write()

    def write(self) -> None:
        """Write the file, with its header alone when every video could be read."""
        with self.path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(QUARANTINE_COLUMNS)
            writer.writerows([name, *why] for name, why in sorted(self.reasons.items()))

    def count(self, split: str) -> int:
        """How many videos of a split could not be read."""
        return sum(where == split for where, _ in self.reasons.values())


class DataWatch(Callback):
    """Notes unreadable videos, missing streams, rates in frames per second, and waiting for data.

    Args:
        quarantine: Where unreadable videos are noted; missing streams are noted beside it.
        train_records: What the training batches index.
        val_records: What the validation batches index.
        clock: Seconds of a steady clock.
        nouns: What samples are called; videos when left out.
    """

    def __init__(
        self,
        quarantine: Quarantine,
        *,
        train_records: tuple[SampleRecord, ...],
        val_records: tuple[SampleRecord, ...],
        clock: Callable[[], float],
        nouns: Nouns | None = None,
    ) -> None:
        self.quarantine, self.clock, self.nouns = quarantine, clock, nouns or Nouns()
        self.missing = MissingStreams(quarantine.path.with_name(MISSING_FILE))
        self.train_records, self.val_records = train_records, val_records
        self.rates: dict[int, float] = {}
        self.lengths: dict[int, int] = {}
        self.waited_s = self.epoch_s = 0.0
        self.num_clips = 0
        self.total_waited_s = self.total_s = 0.0
        self._epoch_began = self._free_since = 0.0

    @property
    def rate_fps(self) -> float:
        """Median over the training clips of frames used per second."""
        known = [rate for rate in self.rates.values() if rate > 0]
        return statistics.median(known) if known else 1.0

    def num_frames(self, share: float) -> float:
        """So many frames, or fewer, were used of that share of the training clips."""
        if not self.lengths:
            return 1.0
        ranked = sorted(self.lengths.values())
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]

    @property
    def wait_share(self) -> float:
        """Share of this epoch's time so far that was spent waiting for data."""
        return self.waited_s / self.epoch_s if self.epoch_s else 0.0

    @property
    def clips_per_s(self) -> float:
        """Training clips a second in this epoch so far."""
        return self.num_clips / self.epoch_s if self.epoch_s else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Rates, lengths, unreadable videos and missing streams so far."""
        return {
            "rates": dict(self.rates),
            "lengths": dict(self.lengths),
            "quarantine": dict(self.quarantine.reasons),
            "missing_streams": dict(self.missing.reasons),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what the run before found."""
        self.rates = dict(state_dict["rates"])
        # Checkpoints of cliptide before it streamed have none; they are seen again.
        self.lengths = dict(state_dict.get("lengths", {}))
        self.quarantine.reasons.update(state_dict["quarantine"])
        self.quarantine.write()
        # Checkpoints of cliptide before it noted them have none; they are seen again.
        self.missing.restore(state_dict.get("missing_streams", {}))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self.waited_s = self.epoch_s = 0.0
        self.num_clips = 0
        self._epoch_began = self._free_since = self.clock()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Count the time since the last step as waiting, and note what could not be read."""
        self.waited_s += self.clock() - self._free_since
        self.missing.add(self.train_records, batch.samples)
        for sample in batch.samples:
            if sample.error:
                self.quarantine.add(self.train_records[sample.index], sample.error)
            elif sample.index not in self.lengths:
                self.rates[sample.index] = sample.used_fps[0]
                self.lengths[sample.index] = sample.frames_used

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Stop the clock of the step."""
        self.num_clips += len(batch.labels)
        self._free_since = self.clock()
        self.epoch_s = self._free_since - self._epoch_began

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Note what could not be read."""
        self.missing.add(self.val_records, batch.samples)
        for sample in batch.samples:
            if sample.error:
                self.quarantine.add(self.val_records[sample.index], sample.error)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum up, and refuse to go on when nothing could be read."""
        self.total_waited_s += self.waited_s
        self.total_s += self.epoch_s
        self.missing.tell_new({"train": len(self.train_records), "val": len(self.val_records)})
        for split, records in (("train", self.train_records), ("val", self.val_records)):
            failed = self.quarantine.count(split)
            if failed == len(records):
                _, reason = next(w for w in self.quarantine.reasons.values() if w[0] == split)
                raise DataError(
                    f"None of the {failed} {split} {self.nouns.samples} could be read; the first: "
                    f"{reason} All are listed in {self.quarantine.path}."
                )


class EpochKeeper(Checkpoint):
    """At the end of each epoch: history, best model, early stopping, and the state to resume from.

    The epoch that is kept has the highest validation figure (top-1, mAP or R2, see `figures`);
    among equals, the lowest validation loss. One whose loss is no number comes behind all others.

    Args:
        out: The run folder.
        watch: Gives the figures of the epoch.
        save_best: Writes the model file, given the network and the figures of its epoch.
        patience: Epochs without a better one before stopping; 0 never stops early.
        figure: What to choose by.
        choose: `best`, or `last` for the last epoch whatever its figure.
    """

    def __init__(
        self,
        out: Path,
        *,
        watch: DataWatch,
        save_best: Callable[[Recognizer, dict[str, Any]], None],
        patience: int,
        figure: Figure = FIGURES["single"],
        choose: str = "best",
    ) -> None:
        self.out, self.watch, self.save_best, self.patience = out, watch, save_best, patience
        self.figure, self.choose = figure, choose
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """History and best epoch so far."""
        return {"history": self.history, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the run before ended."""
        self.history, self.best = list(state_dict["history"]), dict(state_dict["best"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything; called after validation and after all other callbacks."""
        assert isinstance(pl_module, ClassifierModule)
        figures = trainer.callback_metrics
        row: dict[str, Any] = {"epoch": trainer.current_epoch + 1}
        of_training = [f"train_{self.figure.key}"] if self.figure.key == "top1" else []
        for key in ("train_loss", *of_training, "val_loss", f"val_{self.figure.key}"):
            row[key] = float(figures[key]) if key in figures else None
        row["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        for key in ("grad_norm", "grad_norm_max"):
            row[key] = float(figures[key]) if key in figures else None
        row["skipped_steps"] = pl_module.skipped_steps
        row["seconds"] = round(self.watch.epoch_s, 3)
        row["clips_per_s"] = round(self.watch.clips_per_s, 2)
        row["wait_share"] = round(self.watch.wait_share, 4)
        self.history.append(row)
        if self.choose == "last" or not self.best or self.rank(row) > self.rank(self.best):
            self.best = row
            self.save_best(pl_module.judged, row)
        self._write_history()
        # Only a whole file replaces the one before: a machine may die at any moment.
        scratch = self.out / "last.ckpt.part"
        trainer.save_checkpoint(scratch)
        scratch.replace(self.out / "last.ckpt")
        trainer.should_stop = self._is_out_of_patience()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave a resumed run as it is that had stopped early."""
        if self._is_out_of_patience():
            trainer.fit_loop.max_epochs = trainer.current_epoch
            trainer.should_stop = True

    def rank(self, row: dict[str, Any]) -> tuple[float, float]:
        """How good an epoch is: by its figure, among equals by its loss."""
        figure, loss = row[f"val_{self.figure.key}"], row["val_loss"]
        if loss is None or math.isnan(loss):
            return -math.inf, -math.inf  # whatever such a network hits, it hits by chance
        return figure if figure is not None else -math.inf, -loss

    def _is_out_of_patience(self) -> bool:
        if not self.patience or not self.history:
            return False
        return bool(self.history[-1]["epoch"] - self.best["epoch"] >= self.patience)

    def _write_history(self) -> None:
        scratch = self.out / "history.csv.part"
        with scratch.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.history[0])
            writer.writeheader()
            writer.writerows(self.history)
        scratch.replace(self.out / "history.csv")
