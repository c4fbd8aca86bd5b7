"""Scoring a model on a data set: every video once, files and a report."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cliptide.app.evaluation.command_line import repeat_command
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.mistakes import film_strips
from cliptide.app.evaluation.predictions import VideoPrediction, write_predictions
from cliptide.app.evaluation.report.page import Report, write_report
from cliptide.app.evaluation.run_folder import claim_run_folder, data_name
from cliptide.app.inference.device import describe_device
from cliptide.app.inference.recognise import ActionRecognizer, load
from cliptide.app.inference.terminal import log, track, warn
from cliptide.configs.checks import nearest
from cliptide.configs.errors import ConfigError, DataError, SplitError
from cliptide.configs.schema import DataConfig, EvalConfig, RunConfig
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.catalog.wording import counted
from cliptide.datasets.folds import read_fold
from cliptide.datasets.labels import SEPARATOR, classes_of, joined_names, numbers_in
from cliptide.datasets.loaders import worker_count
from cliptide.datasets.records import SPLITS, SampleRecord
from cliptide.datasets.splits import (
    SplitPlan,
    make_splits,
    require_split,
    split_counts,
    split_sizes,
)
from cliptide.datasets.strata import target_ranges
from cliptide.models.bundle import ModelInfo

LIBRARIES = (
    "cliptide",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "av",
    "opencv-python-headless",
    "numpy",
)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        metrics: What metrics.json holds.
        predictions: One row a video, failed ones included.
        out: The folder with metrics.json, predictions.csv and report.html.
    """

    metrics: Mapping[str, Any]
    predictions: tuple[VideoPrediction, ...]
    out: Path

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.out / "report.html"


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide what a model computes."""
    return {name: version(name) for name in LIBRARIES}


def environment(device: torch.device) -> dict[str, str]:
    """What a run ran on, for the report."""
    return {
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": describe_device(device),
        **library_versions(),
    }


def predict_records(
    recognizer: ActionRecognizer,
    records: Sequence[SampleRecord],
    *,
    clips: int,
    workers: int | str = "auto",
) -> list[VideoPrediction]:
    """Score each record exactly once; one that cannot be read becomes a failed row."""
    count = worker_count(workers, num_samples=len(records))
    rows = []
    results = recognizer.score_records(records, clips=clips, workers=count)
    for result in track(results, total=len(records), what="Evaluating", unit="videos"):
        record = records[result.index]
        scores = () if result.scores is None else tuple(result.scores.tolist())
        rows.append(
            VideoPrediction(
                video=record.name,
                true=record.label,
                predicted=_predicted(recognizer, scores) if scores else None,
                scores=scores,
                frames_used=result.frames_used,
                group=record.group,
                error=result.error,
            )
        )
    return rows


def _predicted(recognizer: ActionRecognizer, scores: Sequence[float]) -> str:
    if recognizer.task == "regression":
        return SEPARATOR.join(f"{number:.9g}" for number in scores)
    return joined_names(recognizer.labels_for(scores))


def write_evaluation(
    out: Path,
    *,
    recognizer: ActionRecognizer,
    catalog: Catalog,
    plan: SplitPlan,
    split: str,
    rows: Sequence[VideoPrediction],
    metrics: Mapping[str, Any],
    title: str,
    config_yaml: str = "",
    history: Sequence[Mapping[str, Any]] = (),
    quarantined: Sequence[tuple[str, str]] = (),
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write metrics.json, predictions.csv and report.html into a folder.

    Args:
        out: The folder, which exists.
        recognizer: What was evaluated.
        catalog: The data set as it lies on disk.
        plan: Its clips and their splits.
        split: The split that was scored, or `all`.
        rows: One prediction a video.
        metrics: What metrics.json shall hold.
        title: The report's heading.
        config_yaml: The config of the training.
        history: One row an epoch.
        quarantined: (video, reason) of the files left out of training.
        facts: Short lines for the report's summary.
    """
    class_names = recognizer.class_names
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    write_predictions(out / "predictions.csv", rows, class_names, task=recognizer.task)
    records = [record for record in plan.records if split in ("all", record.split)]
    write_report(
        out / "report.html",
        Report(
            title=title,
            command=repeat_command(),
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            metrics=metrics,
            class_names=class_names,
            predictions=rows,
            history=history,
            config_yaml=config_yaml,
            environment=environment(recognizer.device),
            split_table=split_counts(plan.records, catalog.class_names, catalog.task),
            split_sizes=split_sizes(plan.records),
            target_ranges=target_ranges(plan.records, catalog.class_names, SPLITS)
            if catalog.task == "regression"
            else (),
            split_origin=plan.origin,
            fingerprint=plan.fingerprint,
            torn_groups=plan.torn_groups,
            groups_known=plan.groups_known,
            num_groups=len({record.group for record in plan.records}),
            quarantined=quarantined,
            mistakes=film_strips(rows, records, class_names=class_names, task=recognizer.task),
            facts=facts or {},
        ),
    )


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: str = "test",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    clips: int | None = None,
    workers: int | str = "auto",
    kind: str | None = None,
    fold: int | None = None,
    group_regex: str | None = None,
    seed: int | None = None,
    device: str = "auto",
) -> Evaluation:
    """Score a model on a data set and write a report.

    What is not given is taken from the model file, so that the model is scored on the very
    split it was held out from.

    Args:
        model: A model file.
        data: A data set; see `read_catalog`.
        split: `test`, `val`, `train`, or `all` for every video.
        out: Folder to write to; `runs/<data>-evaluate-<n>` by default.
        overwrite: Whether an earlier evaluation in `out` may be replaced.
        clips: Clips taken from each video; their scores are averaged.
        workers: Processes that decode, or `auto`.
        kind: Layout of the data on disk.
        fold: Official fold.
        group_regex: Regular expression finding the group in a file's path.
        seed: Seed of a split that has to be made.
        device: Where to compute.

    Raises:
        InputError: The model, the data or an option is wrong.
    """
    recognizer = load(model, device=device)
    info, data = recognizer.info, Path(data)
    options = {"kind": kind, "fold": fold, "group_regex": group_regex}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if seed is None:
        seed = int(info.run.get("seed", 0))
    if clips is None:
        clips = int(info.run.get("eval", {}).get("clips", EvalConfig().clips))
    values: dict[str, Any] = {**given, "workers": workers}
    RunConfig(data=DataConfig(**values), eval=EvalConfig(clips=clips), seed=seed)  # checks them

    fold_of_training = None if given else _fold_of_training(data, info=info, seed=seed)
    if fold_of_training is not None:
        catalog, plan = fold_of_training
    else:
        given["task"] = info.task
        catalog, config = _read_as_trained(data, info=info, given=given)
        plan = _plan(catalog, config, split=split, seed=seed)
    for note in (*catalog.notes, *plan.notes):
        log(f"Note: {note}")
    records = (
        plan.records if split == "all" else require_split(plan.records, split, where=str(data))
    )
    _refuse_unknown_classes(records, info, data=data)
    same_split = plan.fingerprint == info.split_fingerprint
    if not same_split:
        # What was compared is these clips with each other, not with those the model learnt from.
        plan = replace(plan, groups_known=False, torn_groups=())
    _warn_of_known_clips(split, same_split=same_split, torn_groups=plan.torn_groups)
    folder = claim_run_folder(
        f"{data_name(data)}-evaluate",
        out=None if out is None else Path(out),
        overwrite=overwrite,
        training=False,
    )
    rows = predict_records(recognizer, records, clips=clips, workers=workers)
    metrics = {
        **compute_metrics(
            rows,
            info.class_names,
            split=split,
            seed=seed,
            task=info.task,
            thresholds=info.thresholds,
        ),
        "split_fingerprint": plan.fingerprint,
        "torn_groups": len(plan.torn_groups),
    }
    told = "this split's other clips" if same_split else "another split or other data"
    write_evaluation(
        folder,
        recognizer=recognizer,
        catalog=catalog,
        plan=plan,
        split=split,
        rows=rows,
        metrics=metrics,
        title=f"{data_name(data)}, {'all videos' if split == 'all' else f'{split} split'}",
        facts={
            "model": str(model),
            "trained on": f"{told} (fingerprint {info.split_fingerprint})",
            "clips a video": f"up to {clips}",
        },
    )
    return Evaluation(metrics, tuple(rows), folder)


def _fold_of_training(
    data: Path, *, info: ModelInfo, seed: int
) -> tuple[Catalog, SplitPlan] | None:
    """The fold that a model of a cross-validation was trained on; None where this is no such."""
    stored = info.run.get("data", {})
    if not stored.get("folds"):
        return None
    keys = ("kind", "folds", "fold", "group_regex", "val_share", "test_share")
    try:
        catalog, plan = read_fold(
            data, seed=seed, task=info.task, **{key: stored[key] for key in keys}
        )
    except (ConfigError, DataError):
        return None  # other data, which is read as it lies
    return (catalog, plan) if plan.fingerprint == info.split_fingerprint else None


def _read_as_trained(
    data: Path, *, info: ModelInfo, given: dict[str, Any]
) -> tuple[Catalog, DataConfig]:
    """Read a data set the way the model's own was read, or as it lies if that does not fit it."""
    keys = ["kind", "fold", "group_regex", "val_share", "test_share"]
    if info.run.get("data", {}).get("folds"):
        keys.remove("fold")  # it counts folds that were dealt for the training alone
    stored = {key: value for key, value in info.run.get("data", {}).items() if key in keys}
    config = DataConfig(**stored | given)
    try:
        return _read(data, config), config
    except (ConfigError, DataError) as error:
        shares = {key: stored[key] for key in ("val_share", "test_share") if key in stored}
        plain = DataConfig(**shares | given)
        if plain == config:
            raise
        catalog = _read(data, plain)
        log(f"Note: {data} is not read as the model's training data was. {error}")
        return catalog, plain


def _read(data: Path, config: DataConfig) -> Catalog:
    return read_catalog(
        data,
        kind=config.kind,
        fold=config.fold,
        group_regex=config.group_regex,
        task=config.task,
    )


def _plan(catalog: Catalog, config: DataConfig, *, split: str, seed: int) -> SplitPlan:
    try:
        return make_splits(
            catalog, seed=seed, val_share=config.val_share, test_share=config.test_share
        )
    except SplitError:
        if catalog.split_origin is None and split != "all":
            raise
        # Too little to train on, such as a list of test clips alone, can be scored all the same.
        return SplitPlan(
            records=catalog.records,
            origin=catalog.split_origin or "made",
            torn_groups=(),
            fingerprint="",
            groups_known=False,
            notes=(),
        )


def _refuse_unknown_classes(
    records: Sequence[SampleRecord], info: ModelInfo, *, data: Path
) -> None:
    class_names = info.class_names
    if info.task == "regression":
        found = len(numbers_in(records[0].label))
        if found != len(class_names):
            raise DataError(
                f"{data} has {counted(found, 'target')} in each row, but the model predicts "
                f"{len(class_names)}. Give as many numbers as labels, in the model's order."
            )
        return
    labels = {name for record in records for name in classes_of(record.label, info.task)}
    strangers = sorted(labels - set(class_names))
    if not strangers:
        return
    name = strangers[0]
    near = nearest(name, class_names)
    alike = f", nearest: {', '.join(near)}" if near else ""
    more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
    raise DataError(
        f"{data} has classes that the model does not know: {name!r}{alike}{more}. It knows: "
        f"{', '.join(class_names[:10])}{', ...' if len(class_names) > 10 else ''}. Rename folders "
        "or labels, list the other clips in a CSV, or fine-tune with cliptide train --init."
    )


def _warn_of_known_clips(split: str, *, same_split: bool, torn_groups: Sequence[str]) -> None:
    if same_split and split == "all":
        warn("--split all scores the training clips too: it says nothing about new videos.")
    elif not same_split and split != "all":
        warn(
            "These are not the clips, or not the split, that the model was trained with: clips it "
            "knows may be among them. For a data set it has never seen, --split all scores every "
            "video."
        )
    if torn_groups:
        warn(
            f"LEAKY SPLIT: {len(torn_groups)} groups stand in both train and test. The score is "
            "too good, and the report says so."
        )
