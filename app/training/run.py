"""A whole training run: from a data set and a config to a model, an evaluation and a report."""

import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from cliptide.app.evaluation.evaluate import Evaluation, copies_in, timings
from cliptide.app.evaluation.figures.metrics import HEADLINES, compute_metrics
from cliptide.app.evaluation.mistakes import confused_pairs, mistake_strips
from cliptide.app.evaluation.report.words import percent
from cliptide.app.evaluation.scored import score_all
from cliptide.app.evaluation.writing import library_versions, write_evaluation
from cliptide.app.inference.device import describe_device
from cliptide.app.inference.network import NetworkRecognizer, load_network
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.probing import Probe
from cliptide.app.inference.terminal import format_seconds, log
from cliptide.app.training.callbacks import DataWatch, EpochKeeper, Quarantine
from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.figures import FIGURES
from cliptide.app.training.judging import calibrate, fit_fusion, learn_baselines
from cliptide.app.training.loss import training_loss, validation_loss
from cliptide.app.training.module import ClassifierModule
from cliptide.app.training.progress import TrainingProgress
from cliptide.app.training.quiet import quiet_lightning
from cliptide.app.training.run_data import RunData
from cliptide.app.training.words import encoder_words, idle_keys, workers_words
from cliptide.configs.schema import RunConfig
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.splits import SplitPlan
from cliptide.models.bundle import save_model
from cliptide.models.info import FORMAT_VERSION, PLAIN_VERSION, ModelInfo
from cliptide.models.recognizer import Recognizer

# Of a shorter run there is nothing worth making faster, and its start is what takes the time.
SHORT_S = 30.0


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
        self.out, self.config, self.catalog, self.plan = out, config, catalog, plan
        self.network, self.device, self.precision, self.resumed = (
            network,
            device,
            precision,
            resumed,
        )
        self.data = RunData(
            config,
            catalog,
            plan,
            device=device,
            precision=precision,
            streams=network.streams,
            store=store or EncodedStore(),
        )
        self.quarantine = Quarantine(out / "quarantine.csv")
        nouns = Nouns.of_streams(network.streams)
        self.watch = DataWatch(
            self.quarantine,
            train_records=self.data.train_records,
            val_records=self.data.val_records,
            clock=time.perf_counter,
            nouns=nouns,
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
        self.progress = progress or TrainingProgress(self.watch, self.figure, nouns)
        self.module: ClassifierModule

    def fit_and_evaluate(self) -> TrainingResult:
        """Train, score the best epoch on the test split, and write everything."""
        began = time.perf_counter()
        learning = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        total = sum(p.numel() for p in self.network.parameters())
        log(
            f"Training on {describe_device(self.device)}, {self.precision}, "
            f"{learning:,} of {total:,} parameters learn, {workers_words(self.data.workers)}, "
            f"into {self.out}"
        )
        for note in idle_keys(self.config, self.network.streams.names):
            log(note)
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
        with self.data.loaders(self.network) as (train_loader, val_loader):
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
                    train_records=self.data.train_records,
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
        best = load_network(self.out / "model.safetensors", device=str(self.device))
        # The file does not say where this run keeps its flow.
        streams = replace(best.info.streams, steps=self.network.streams.steps)
        recognizer = NetworkRecognizer(
            best.network, replace(best.info, streams=streams), device=best.device
        )
        config, class_names = self.config, self.catalog.class_names
        clips, workers = config.eval.clips, config.data.workers
        recognizer = fit_fusion(
            recognizer,
            self.data.plain_loaders()[1],
            loss=validation_loss(config.train, self.catalog, network=recognizer.network),
        )
        recognizer = calibrate(recognizer, self.data.val_records, clips=clips, workers=workers)
        baselines = (
            learn_baselines(recognizer, self.data.plain_loaders) if config.eval.probes else None
        )
        probe = Probe(config.seed, baselines) if config.eval.probes else None
        judged_s = time.perf_counter() - began
        scored = score_all(
            recognizer, self.data.test_records, clips=clips, workers=workers, probe=probe
        )
        scored_s = time.perf_counter() - began - judged_s
        for record, row in zip(self.data.test_records, scored.rows, strict=True):
            if row.failed:
                self.quarantine.add(record, row.error)
        metrics = compute_metrics(
            scored.rows,
            class_names,
            split="test",
            seed=config.seed,
            task=self.catalog.task,
            thresholds=recognizer.info.thresholds,
            clips=scored.facts,
            temperature=recognizer.info.temperature,
            nothing_below=recognizer.info.nothing_below,
            nouns=Nouns.of_streams(recognizer.info.streams),
        )
        headline = {key: metrics[key] for key in HEADLINES[self.catalog.task]}
        info = replace(recognizer.info, metrics=recognizer.info.metrics | {"test": headline})
        save_model(self.out / "model.safetensors", recognizer.network, info, baselines=baselines)
        mistakes = mistake_strips(recognizer, scored.rows, self.data.test_records)
        confused = confused_pairs(recognizer, scored.rows, self.data.test_records)
        left_out = self.quarantine.count("train") + self.quarantine.count("val")
        evaluated_s = time.perf_counter() - began
        slowest = self._slowest(fitted_s, judged_s, evaluated_s - judged_s)
        copies = copies_in(self.plan.records, scored.rows)
        metrics = {
            **metrics,
            "num_quarantined": left_out,
            "split_fingerprint": self.plan.fingerprint,
            "same_split": True,
            "torn_groups": len(self.plan.torn_groups),
            "copies": len(copies),
            "best_epoch": self.keeper.best["epoch"],
            "views": clips,
            "seed": config.seed,
            "timings": {
                "training_s": round(fitted_s, 3),
                "calibration_and_baselines_s": round(judged_s, 3),
                **timings(
                    scored_s,
                    videos=len(scored.rows),
                    explained_s=evaluated_s - judged_s - scored_s,
                ),
            },
        }
        written = write_evaluation(
            self.out,
            scored=scored,
            metrics=metrics,
            class_names=class_names,
            task=self.catalog.task,
            catalog=self.catalog,
            plan=self.plan,
            device=self.device,
            title=self.out.resolve().name,
            facts={
                "encoder": encoder_words(self.network.streams.names, config.model),
                "temporal": f"{config.model.temporal}, {config.model.summary}",
                "parameters": f"{parameters:,}",
                "epochs": f"{len(self.keeper.history)}, kept {self.keeper.best['epoch']}",
                "time": f"{format_seconds(fitted_s)} training, {format_seconds(judged_s)} "
                f"calibration and baselines, {format_seconds(evaluated_s - judged_s)} evaluation",
                "slowest": slowest,
                **({"fold": str(self.catalog.fold)} if self.catalog.fold else {}),
            },
            mistakes=mistakes,
            confused=confused,
            copies=copies,
        )
        evaluation = Evaluation(written, scored.rows, self.out)
        kept = "the last" if config.train.choose == "last" else "the best on validation"
        return TrainingResult(self.out, evaluation, self.keeper.best, kept, slowest, left_out)

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
        rate_fps = config.data.rate_fps if self.data.rule.kind == "rate" else self.watch.rate_fps
        info = ModelInfo(
            model=asdict(config.model),
            class_names=self.catalog.class_names,
            size=self.data.size,
            mean=encoder.mean,
            std=encoder.std,
            sampling=self.data.rule.kind,
            frames=self.data.rule.frames,
            rate_fps=rate_fps,
            # Who was shown what is before an action may look back as far as long clips go.
            context_s=self.watch.num_frames(0.9 if config.train.lead_in else 0.5) / rate_fps,
            split_fingerprint=self.plan.fingerprint,
            stride=self.data.rule.stride,
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
            format_version=PLAIN_VERSION
            if self.network.streams.names == ("rgb",) and self.network.streams.samples == "video"
            else FORMAT_VERSION,
            streams=self.network.streams,
        )
        save_model(self.out / "model.safetensors", network, info)

    def _slowest(self, fitted_s: float, judged_s: float, evaluated_s: float) -> str:
        total = fitted_s + judged_s + evaluated_s
        waited = self.watch.total_waited_s
        computed = self.watch.total_s - waited
        help_reading = (
            f": more --data.workers (now {self.data.workers}), a smaller --data.size or fewer "
            "--data.frames would help"
        )
        parts = {
            "waiting for data" + ("" if self.data.encoded_s else help_reading): waited,
            f"the network on the {self.device.type}": computed,
            "encoding every frame once": self.data.encoded_s,
            "validation and bookkeeping between the epochs": fitted_s
            - self.watch.total_s
            - self.data.encoded_s,
            "calibration and baselines": judged_s,
            "evaluating the test split": evaluated_s,
        }
        name = max(parts, key=parts.__getitem__)
        share = parts[name] / total if total else 0.0
        what, colon, mend = name.partition(":")
        if total < SHORT_S:
            colon = mend = ""
        return f"{what}, {percent(share)} of {format_seconds(total)}{colon}{mend}"
