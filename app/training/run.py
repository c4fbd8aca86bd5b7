"""A whole training run: from a data set and a config to a model, an evaluation and a report."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from cliptide.app.evaluation.evaluate import (
    Evaluation,
    library_versions,
    predict_records,
    write_evaluation,
)
from cliptide.app.evaluation.figures.metrics import HEADLINES, compute_metrics
from cliptide.app.inference.device import describe_device
from cliptide.app.inference.recognise import ActionRecognizer, load
from cliptide.app.inference.terminal import format_seconds, log, track
from cliptide.app.training.callbacks import DataWatch, EpochKeeper, Quarantine
from cliptide.app.training.encoding import EncodedStore, encode_clips, encoder_stays
from cliptide.app.training.figures import FIGURES
from cliptide.app.training.loss import check_fits_task, training_loss, validation_loss
from cliptide.app.training.module import ClassifierModule
from cliptide.app.training.progress import TrainingProgress
from cliptide.app.training.quiet import quiet_lightning
from cliptide.configs.schema import RunConfig, parse_size
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.clips import ClipDataset, Sample
from cliptide.datasets.encoded import EncodedClip, EncodedDataset
from cliptide.datasets.kept import SHARE_OF_FREE_MEMORY, KeptClips, free_memory_bytes
from cliptide.datasets.lengths import clip_lengths
from cliptide.datasets.loaders import make_loader, worker_context, worker_count
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.splits import SplitPlan, require_split
from cliptide.models.bundle import ModelInfo, save_model
from cliptide.models.recognizer import Recognizer


@dataclass(frozen=True)
class TrainingResult:
    """What a run made.

    Attributes:
        out: The run folder.
        evaluation: Figures and predictions on the test split.
        best: The history row of the epoch that was kept.
        kept: Why that one, in words.
        slowest: The slowest thing found, in words.
        num_quarantined: Training and validation videos that could not be read.
    """

    out: Path
    evaluation: Evaluation
    best: Mapping[str, Any]
    kept: str
    slowest: str
    num_quarantined: int

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What metrics.json holds."""
        return self.evaluation.metrics

    @property
    def model(self) -> Path:
        """The model file."""
        return self.out / "model.safetensors"

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.out / "report.html"


class Run:
    """The objects of one run and the order in which they come to life.

    Args:
        out: The run folder, which exists.
        config: How to train.
        catalog: The data set as it lies on disk.
        plan: Its clips and their splits.
        network: What learns, with the weights it begins with.
        device: Where to compute.
        precision: Lightning's name for the number format.
        resumed: Whether to go on from the folder's `last.ckpt`.
        progress: What shows the training in place of a line an epoch.
        store: Features of a frozen encoder, shared with other runs.

    Raises:
        ConfigError: Its loss or mixing does not fit the task.
    """

    def __init__(
        self,
        out: Path,
        config: RunConfig,
        catalog: Catalog,
        plan: SplitPlan,
        network: Recognizer,
        device: torch.device,
        precision: Any,
        *,
        resumed: bool,
        progress: Callback | None = None,
        store: EncodedStore | None = None,
    ) -> None:
        check_fits_task(config.train, catalog)
        self.out, self.config, self.catalog, self.plan = out, config, catalog, plan
        self.network, self.device, self.precision, self.resumed = (
            network,
            device,
            precision,
            resumed,
        )
        self.size = parse_size(config.data.size)
        self.rule = SamplingRule(
            config.data.sampling,
            config.data.frames,
            config.data.rate_fps,
            config.data.stride,
        )
        where = str(catalog.root)
        self.train_records = require_split(plan.records, "train", where=where)
        self.val_records = require_split(plan.records, "val", where=where)
        self.test_records = require_split(plan.records, "test", where=where)
        self.workers = worker_count(config.data.workers, num_samples=len(self.train_records))
        self.quarantine = Quarantine(out / "quarantine.csv")
        self.watch = DataWatch(
            self.quarantine,
            train_records=self.train_records,
            val_records=self.val_records,
            clock=time.perf_counter,
        )
        self.figure = FIGURES[catalog.task]
        self.keeper = EpochKeeper(
            out,
            watch=self.watch,
            save_best=self._save_best,
            patience=config.train.patience,
            figure=self.figure,
            choose=config.train.choose,
        )
        self.progress = progress or TrainingProgress(self.watch, self.figure)
        self.store = store or EncodedStore()
        self.encoded_s = 0.0
        self.module: ClassifierModule

    def fit_and_evaluate(self) -> TrainingResult:
        """Train, score the best epoch on the test split, and write everything."""
        began = time.perf_counter()
        learning = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        total = sum(p.numel() for p in self.network.parameters())
        log(
            f"Training on {describe_device(self.device)}, {self.precision}, "
            f"{learning:,} of {total:,} parameters learn, {self.workers} loader processes, "
            f"into {self.out}"
        )
        try:
            self.fit()
        except KeyboardInterrupt:
            if self.keeper.history:
                log(f"Stopped. Go on with: cliptide train --resume {self.out}")
            raise
        return self._evaluate(time.perf_counter() - began, parameters=total)

    def fit(self) -> None:
        """Train alone; the best epoch's figures are then in `keeper.best`, its model on disk.

        Raises:
            DataError: No video could be read.
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        self.quarantine.write()
        with self._loaders() as (train_loader, val_loader):
            self.module = ClassifierModule(
                self.network,
                config=self.config.train,
                seed=self.config.seed,
                batches_per_epoch=len(train_loader),
                num_outputs=len(self.catalog.class_names),
                loss=training_loss(
                    self.config.train,
                    self.catalog,
                    network=self.network,
                    train_records=self.train_records,
                ),
                validation_loss=validation_loss(
                    self.config.train, self.catalog, network=self.network
                ),
                task=self.catalog.task,
            )
            ckpt = str(self.out / "last.ckpt") if self.resumed else None
            with quiet_lightning():
                trainer = self._trainer()
                try:
                    trainer.fit(self.module, train_loader, val_loader, ckpt_path=ckpt)
                except SystemExit:
                    # Lightning turns Ctrl-C into an exit and leaves Ctrl-C switched off.
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    raise KeyboardInterrupt from None
        # Lightning's logger leaves an empty one; config.yaml is the truth.
        (self.out / "hparams.yaml").unlink(missing_ok=True)

    def _evaluate(self, fitted_s: float, *, parameters: int) -> TrainingResult:
        began = time.perf_counter()
        recognizer = load(self.out / "model.safetensors", device=str(self.device))
        config, class_names = self.config, self.catalog.class_names
        rows = predict_records(
            recognizer, self.test_records, clips=config.eval.clips, workers=config.data.workers
        )
        for record, row in zip(self.test_records, rows, strict=True):
            if row.failed:
                self.quarantine.add(record, row.error)
        metrics = compute_metrics(
            rows,
            class_names,
            split="test",
            seed=config.seed,
            task=self.catalog.task,
            thresholds=recognizer.info.thresholds,
        )
        left_out = self.quarantine.count("train") + self.quarantine.count("val")
        metrics = {
            **metrics,
            "num_quarantined": left_out,
            "split_fingerprint": self.plan.fingerprint,
            "torn_groups": len(self.plan.torn_groups),
            "best_epoch": self.keeper.best["epoch"],
        }
        headline = {key: metrics[key] for key in HEADLINES[self.catalog.task]}
        info = replace(recognizer.info, metrics=recognizer.info.metrics | {"test": headline})
        save_model(self.out / "model.safetensors", recognizer.network, info)
        evaluated_s = time.perf_counter() - began
        slowest = self._slowest(fitted_s, evaluated_s)
        write_evaluation(
            self.out,
            recognizer=ActionRecognizer(recognizer.network, info, device=self.device),
            catalog=self.catalog,
            plan=self.plan,
            split="test",
            rows=rows,
            metrics=metrics,
            title=self.out.resolve().name,
            config_yaml=(self.out / "config.yaml").read_text(encoding="utf-8"),
            history=self.keeper.history,
            quarantined=[
                (name, reason)
                for name, (split, reason) in sorted(self.quarantine.reasons.items())
                if split != "test"  # those stand among the predictions, as failed
            ],
            facts={
                "encoder": config.model.encoder + (", frozen" if config.model.freeze else ""),
                "temporal": f"{config.model.temporal}, {config.model.summary}",
                "parameters": f"{parameters:,}",
                "epochs": f"{len(self.keeper.history)}, kept {self.keeper.best['epoch']}",
                "time": f"{format_seconds(fitted_s)} training, "
                f"{format_seconds(evaluated_s)} evaluation",
                "slowest": slowest,
            },
        )
        evaluation = Evaluation(metrics, tuple(rows), self.out)
        kept = "the last" if config.train.choose == "last" else "the best on validation"
        return TrainingResult(self.out, evaluation, self.keeper.best, kept, slowest, left_out)

    @contextmanager
    def _loaders(self) -> Iterator[tuple[DataLoader[Sample], DataLoader[Sample]]]:
        """What the training and the validation clips are read by, while training lasts."""
        encoded = self._encoded_clips()
        if encoded is not None:
            train, val = self._datasets(EncodedDataset, *({"clips": clips} for clips in encoded))
            yield self._loader(train, training=True, workers=0), self._loader(val, workers=0)
            return
        with self._kept_clips() as kept:
            train, val = self._datasets(ClipDataset, *({"kept": store} for store in kept))
            fewer = min(self.workers, worker_count("auto", num_samples=len(self.val_records)))
            yield (
                self._loader(train, training=True, workers=self.workers),
                self._loader(val, workers=fewer),
            )

    def _encoded_clips(self) -> tuple[list[EncodedClip], list[EncodedClip]] | None:
        """Features of all training and validation clips, where the encoder stays as it is."""
        if not encoder_stays(self.config, self.network):
            return None
        began, count = time.perf_counter(), len(self.train_records)
        clips = encode_clips(
            self.network.to(self.device),
            [*self.train_records, *self.val_records],
            num_mirrored=count if self.config.data.flip else 0,
            config=self.config,
            precision=self.precision,
            workers=self.workers,
            store=self.store,
        )
        self.encoded_s = time.perf_counter() - began
        return None if clips is None else (clips[:count], clips[count:])

    def _datasets(
        self, kind: type[ClipDataset], of_train: dict[str, Any], of_val: dict[str, Any]
    ) -> list[ClipDataset]:
        return [
            kind(
                records,
                class_names=self.catalog.class_names,
                rule=self.rule,
                size=self.size,
                fit=self.config.data.fit,
                augment=augment,
                flip=self.config.data.flip,
                seed=self.config.seed,
                task=self.catalog.task,
                **options,
            )
            for records, augment, options in (
                (self.train_records, self.config.data.augment, of_train),
                (self.val_records, None, of_val),
            )
        ]

    def _loader(
        self, dataset: ClipDataset, *, workers: int, training: bool = False
    ) -> DataLoader[Sample]:
        return make_loader(
            dataset,
            batch_size=self.config.train.batch_size,
            workers=workers,
            shuffle=training,
            pin_memory=self.device.type == "cuda",
            lengths=self._lengths() if training and self.config.data.bucket else None,
        )

    def _lengths(self) -> list[int]:
        """Frames of each training clip, for bucketing."""
        lengths = clip_lengths(self.train_records, rule=self.rule, workers=self.workers)
        total = len(self.train_records)
        found = list(track(lengths, total=total, what="Measuring lengths", unit="videos"))
        if len(set(found)) == 1:
            log("Note: every training clip has as many frames: data.bucket changes nothing.")
        return found

    @contextmanager
    def _kept_clips(self) -> Iterator[tuple[KeptClips | None, KeptClips | None]]:
        """Memory for decoded training and validation clips while training lasts."""
        if self.config.data.keep == "never":
            yield None, None
            return
        budget = free_memory_bytes() * SHARE_OF_FREE_MEMORY
        sizes = [len(self.train_records), len(self.val_records)]
        kept = [
            KeptClips(size, budget_bytes=int(budget * size / sum(sizes)), context=worker_context())
            for size in sizes
        ]
        try:
            yield kept[0], kept[1]
        finally:
            for store in kept:
                store.close()

    def _trainer(self) -> Trainer:
        config = self.config.train
        return Trainer(
            accelerator="gpu" if self.device.type == "cuda" else self.device.type,
            devices=[self.device.index or 0] if self.device.type == "cuda" else 1,
            precision=self.precision,
            max_epochs=config.epochs,
            logger=TensorBoardLogger(self.out, name="", version=""),
            callbacks=[self.watch, self.progress, self.keeper],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=10,
        )

    def _save_best(self, network: Recognizer, row: dict[str, Any]) -> None:
        config, encoder = self.config, network.encoder
        rate_fps = config.data.rate_fps if self.rule.kind == "rate" else self.watch.rate_fps
        info = ModelInfo(
            model=asdict(config.model),
            class_names=self.catalog.class_names,
            size=self.size,
            mean=encoder.mean,
            std=encoder.std,
            sampling=self.rule.kind,
            frames=self.rule.frames,
            rate_fps=rate_fps,
            context_s=self.rule.frames / rate_fps,
            split_fingerprint=self.plan.fingerprint,
            stride=self.rule.stride,
            fit=config.data.fit,
            run={"data": asdict(config.data), "eval": asdict(config.eval), "seed": config.seed},
            metrics={
                "val": {
                    self.figure.key: row[f"val_{self.figure.key}"],
                    "loss": row["val_loss"],
                    "epoch": row["epoch"],
                }
            },
            versions=library_versions(),
            task=self.catalog.task,
            thresholds=self.module.validation.thresholds(),
        )
        save_model(self.out / "model.safetensors", network, info)

    def _slowest(self, fitted_s: float, evaluated_s: float) -> str:
        total = fitted_s + evaluated_s
        waited = self.watch.total_waited_s
        computed = self.watch.total_s - waited
        help_reading = (
            f": more --data.workers (now {self.workers}), a smaller --data.size or fewer "
            "--data.frames would help"
        )
        parts = {
            "waiting for data" + ("" if self.encoded_s else help_reading): waited,
            f"the network on the {self.device.type}": computed,
            "encoding every frame once": self.encoded_s,
            "validation and bookkeeping between the epochs": fitted_s
            - self.watch.total_s
            - self.encoded_s,
            "evaluating the test split": evaluated_s,
        }
        name = max(parts, key=parts.__getitem__)
        share = parts[name] / total if total else 0.0
        what, colon, mend = name.partition(":")
        return f"{what}, {share:.0%} of {format_seconds(total)}{colon}{mend}"
