"""`cliptide train --folds K`: one run a fold, then mean, spread and the pooled figures.

    runs/x/
      config.yaml  folds.csv  metrics.json  predictions.csv  report.html
      fold-1/ ... fold-K/        complete runs, each tested on its own fold

`folds.csv` has a row for each finished fold: resuming goes on behind its last one.
"""

import csv
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cliptide.app.evaluation.clip_facts import ClipFacts, read_clip_facts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.mistakes import pooled_pairs, pooled_strips
from cliptide.app.evaluation.predictions import VideoPrediction, read_predictions
from cliptide.app.evaluation.report.stored import StoredReport, read_stored
from cliptide.app.evaluation.run_folder import claim_run_folder, data_name
from cliptide.app.evaluation.scored import Scored
from cliptide.app.evaluation.writing import write_evaluation
from cliptide.app.inference.device import resolve_device
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log
from cliptide.app.training.config_file import (
    read_config_file,
    read_config_values,
    write_config_file,
)
from cliptide.app.training.encoding import EncodedStore
from cliptide.app.training.headline import FOLD_FIGURES
from cliptide.app.training.single import train_single
from cliptide.app.training.start import config_from_model, new_network, with_whole_path
from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import RunConfig
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.folds import read_folds
from cliptide.datasets.splits import SplitPlan
from cliptide.models.bundle import read_info

_COLUMNS = ("num_scored", "num_failed", "best_epoch", "split_fingerprint")


@dataclass(frozen=True)
class FoldResult:
    """One finished fold.

    Attributes:
        number: Counted from 1.
        out: Its run folder.
        metrics: What its metrics.json holds.
        predictions: One row a video of the fold.
        facts: What each readable video is like.
        stored: What else its report shows; None of an earlier version.
    """

    number: int
    out: Path
    metrics: Mapping[str, Any]
    predictions: tuple[VideoPrediction, ...]
    facts: tuple[ClipFacts, ...]
    stored: StoredReport | None


@dataclass(frozen=True)
class FoldsResult:
    """What a cross-validation made.

    Attributes:
        out: The folder of all folds.
        folds: In order.
        metrics: The pooled figures over every tested clip, and under `folds` the figures of each
            fold with mean and sample standard deviation.
    """

    out: Path
    folds: tuple[FoldResult, ...]
    metrics: Mapping[str, Any]

    @property
    def report(self) -> Path:
        """The pooled report's file."""
        return self.out / "report.html"

    def mean(self, figure: str = "top1") -> float | None:
        """Mean of a figure over the folds; None where a fold has none."""
        return self.metrics["folds"][figure]["mean"]  # type: ignore[no-any-return]

    def sd(self, figure: str = "top1") -> float | None:
        """Sample standard deviation of a figure over the folds; None where a fold has none."""
        return self.metrics["folds"][figure]["sd"]  # type: ignore[no-any-return]


def is_folds_run(folder: Path) -> bool:
    """Whether a folder is that of a cross-validation."""
    config = folder / "config.yaml"
    return config.is_file() and bool(read_config_values(config).get("folds"))


def train_folds(
    data: str | os.PathLike[str] | None,
    *,
    folds: int,
    config: RunConfig | None,
    out: str | os.PathLike[str] | None,
    init: str | os.PathLike[str] | None,
    overwrite: bool,
    device: str | None,
) -> FoldsResult:
    """Train each fold of a data set; the arguments are those of `train`.

    Raises:
        InputError: The data, the config or an option is wrong, or the folds cannot be made.
    """
    if data is None:
        raise InputError("No data was given. Name a folder of samples or a manifest CSV.")
    start = None if init is None else Path(init)
    if config is None:
        config = RunConfig() if start is None else config_from_model(start)
    config = with_whole_path(config)
    if folds < 2:
        raise ConfigError(f"--folds is {folds}. Use 2 or more, such as 5.")
    if config.data.folds:
        raise ConfigError(
            f"--folds {folds} trains every fold, data.folds {config.data.folds} one of them. "
            "Give one of the two."
        )
    splits = _splits(Path(data), config, folds=folds)
    # For what it refuses, while nothing is written.
    new_network(config, *splits[0], init=start, device=resolve_device(device or config.device))
    folder = claim_run_folder(
        f"{data_name(Path(data))}-folds",
        out=None if out is None else Path(out),
        overwrite=overwrite,
    )
    write_config_file(
        folder / "config.yaml", data=Path(data), config=config, init=start, folds=folds
    )
    return _train_from(folder, Path(data), config, splits, init=start, device=device)


def resume_folds(
    folder: Path, *, data: str | os.PathLike[str] | None, device: str | None
) -> FoldsResult:
    """Go on with a cross-validation that was broken off; finished folds are kept.

    Raises:
        InputError: The data is not what the finished folds were trained on.
    """
    stored, config = read_config_file(folder / "config.yaml")
    values = read_config_values(folder / "config.yaml")
    where = Path(data) if data is not None else stored
    if where is None:
        raise InputError(f"{folder / 'config.yaml'} names no DATA. Give it before --resume.")
    splits = _splits(where, config, folds=int(values["folds"]))
    for row in _finished(folder):
        number, before = int(row["fold"]), row["split_fingerprint"]
        now = splits[number - 1][1].fingerprint
        if now != before:
            raise InputError(
                f"{where} is not what fold {number} of {folder} was trained on: its split has the "
                f"fingerprint {now}, not {before}. Give the data as it was, or start a new run."
            )
    start = Path(values["init"]) if values.get("init") else None
    return _train_from(folder, where, config, splits, init=start, device=device)


def _splits(data: Path, config: RunConfig, *, folds: int) -> tuple[tuple[Catalog, SplitPlan], ...]:
    return read_folds(
        data,
        kind=config.data.kind,
        folds=folds,
        group_regex=config.data.group_regex,
        seed=config.seed,
        val_share=config.data.val_share,
        task=config.data.task,
    )


def _train_from(
    folder: Path,
    data: Path,
    config: RunConfig,
    splits: Sequence[tuple[Catalog, SplitPlan]],
    *,
    init: Path | None,
    device: str | None,
) -> FoldsResult:
    folds = len(splits)
    store = EncodedStore(runs=folds)  # of a resumed one too: it goes on as it began
    try:
        for number in range(len(_finished(folder)) + 1, folds + 1):
            log(f"\nFold {number} of {folds}")
            out = folder / f"fold-{number}"
            if (out / "last.ckpt").is_file():
                train_single(data, resume=out, device=device, store=store)
            else:
                one = replace(config, data=replace(config.data, folds=folds, fold=number))
                train_single(
                    data,
                    config=one,
                    out=out,
                    init=init,
                    overwrite=True,
                    device=device,
                    store=store,
                )
            _note_finished(folder, number)
    except KeyboardInterrupt:
        log(f"Go on with all folds: cliptide train --resume {folder}")
        raise
    results = tuple(_read_fold(folder / f"fold-{n}", number=n) for n in range(1, folds + 1))
    return _pool(folder, results, splits, config=config, device=device or config.device)


def _finished(folder: Path) -> list[dict[str, str]]:
    path = folder / "folds.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _note_finished(folder: Path, number: int) -> None:
    rows: list[Mapping[str, Any]] = list(_finished(folder))
    metrics = json.loads((folder / f"fold-{number}" / "metrics.json").read_text("utf-8"))
    columns = (*FOLD_FIGURES[metrics["task"]], *_COLUMNS)
    rows.append({"fold": number} | {key: metrics[key] for key in columns})
    scratch = folder / "folds.csv.part"
    with scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("fold", *columns))
        writer.writeheader()
        writer.writerows(rows)
    scratch.replace(folder / "folds.csv")


def _read_fold(out: Path, *, number: int) -> FoldResult:
    # From the files also where it was trained just now: a resumed run gives the same figures.
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    rows, _ = read_predictions(out / "predictions.csv", task=metrics["task"])
    # A fold that an earlier version finished has neither.
    facts = read_clip_facts(out / "clips.csv") if (out / "clips.csv").exists() else []
    stored = read_stored(out / "report.json") if (out / "report.json").exists() else None
    return FoldResult(number, out, metrics, tuple(rows), tuple(facts), stored)


def summary(metrics: Sequence[Mapping[str, Any]], figure: str) -> dict[str, Any]:
    """A figure of each fold, its mean and its sample standard deviation.

    Returns:
        `mean`, `sd` (both None where a fold lacks the figure) and `each`, a list.
    """
    each = [one[figure] for one in metrics]
    if any(value is None or math.isnan(value) for value in each):
        return {"mean": None, "sd": None, "each": each}
    return {"mean": statistics.fmean(each), "sd": statistics.stdev(each), "each": each}


def _pool(
    folder: Path,
    results: tuple[FoldResult, ...],
    splits: Sequence[tuple[Catalog, SplitPlan]],
    *,
    config: RunConfig,
    device: str,
) -> FoldsResult:
    catalog, plan = splits[0]
    shown = _number if catalog.task == "regression" else _percent
    infos = [read_info(one.out / "model.safetensors") for one in results]
    nouns = Nouns.of_streams(infos[0].streams)
    # Each fold has thresholds of its own; those of all together are judged by their mean.
    thresholds = [
        statistics.fmean(each) for each in zip(*(info.thresholds for info in infos), strict=True)
    ]
    names = FOLD_FIGURES[catalog.task]
    scored = Scored(
        tuple(row for result in results for row in result.predictions),
        tuple(clip for result in results for clip in result.facts),
    )
    by_name = {r.name: r for _, one in splits for r in one.records if r.split == "test"}
    torn = sorted({group for _, one in splits for group in one.torn_groups})
    pages = [result.stored for result in results if result.stored is not None]
    copies = sorted({pair for one in pages for pair in one.copies})
    summaries = {
        figure: summary([result.metrics for result in results], figure) for figure in names
    }
    metrics = {
        **compute_metrics(
            scored.rows,
            catalog.class_names,
            split="test",
            seed=config.seed,
            task=catalog.task,
            thresholds=thresholds,
            clips=scored.facts,
            nouns=nouns,
        ),
        "same_split": True,
        "torn_groups": len(torn),
        "copies": len(copies),
        "views": config.eval.clips,
        "seed": config.seed,
        "folds": {
            "count": len(results),
            "official": plan.origin == "official",
            "split_fingerprints": [one.fingerprint for _, one in splits],
            **summaries,
        },
    }
    written = write_evaluation(
        folder,
        scored=scored,
        class_names=catalog.class_names,
        task=catalog.task,
        device=resolve_device(device),
        catalog=catalog,
        plan=replace(
            plan,
            records=tuple(by_name[name] for name in sorted(by_name)),
            torn_groups=tuple(torn),
            fingerprint="",
        ),
        metrics=metrics,
        title=f"{folder.resolve().name}: {len(results)} folds",
        copies=copies,
        confused=pooled_pairs(scored.rows, [pair for one in pages for pair in one.confused]),
        mistakes=pooled_strips(
            scored.rows,
            [strip for one in pages for strip in one.mistakes],
            class_names=catalog.class_names,
            task=catalog.task,
        ),
        facts={
            **{
                f"{name}, mean of {len(results)} folds": f"{shown(figures['mean'])} "
                f"(standard deviation {shown(figures['sd'])})"
                for name, figures in zip(names.values(), summaries.values(), strict=True)
            },
            **{
                f"fold {result.number}": ", ".join(
                    f"{name} {shown(result.metrics[figure])}" for figure, name in names.items()
                )
                + f" (in {result.out.name}/report.html)"
                for result in results
            },
            "these figures": (
                f"pooled: the tested {nouns.records} of all {len(results)} folds together"
            ),
        },
    )
    return FoldsResult(folder, results, written)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
