"""An evaluated folder: metrics.json, predictions.csv, clips.csv, report.json, report.html."""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cliptide.app.evaluation.clip_facts import write_clip_facts
from cliptide.app.evaluation.command_line import repeat_command
from cliptide.app.evaluation.predictions import write_predictions
from cliptide.app.evaluation.report.folder import file_sha256, write_page
from cliptide.app.evaluation.report.stored import ConfusedPair, StoredReport, Strip, write_stored
from cliptide.app.evaluation.scored import Scored
from cliptide.app.inference.device import describe_device
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.records import SPLITS
from cliptide.datasets.splits import SplitPlan, split_counts, split_sizes
from cliptide.datasets.strata import target_ranges

LIBRARIES = (
    "cliptide",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "av",
    "opencv-python-headless",
    "numpy",
    "scikit-learn",
)


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


def write_evaluation(
    out: Path,
    *,
    scored: Scored,
    metrics: Mapping[str, Any],
    class_names: Sequence[str],
    task: Task,
    catalog: Catalog,
    plan: SplitPlan,
    device: torch.device,
    title: str,
    facts: Mapping[str, str] | None = None,
    mistakes: Sequence[Strip] = (),
    confused: Sequence[ConfusedPair] = (),
    copies: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Write all files of an evaluation into a folder; the page is built from them.

    Args:
        out: The folder, which exists; of a training its history.csv, config.yaml and
            quarantine.csv lie there already.
        scored: One prediction a video, and what each is like.
        metrics: What metrics.json shall hold.
        class_names: The model's classes, labels or targets, in the order of the scores.
        task: What was predicted.
        catalog: The data set as it lies on disk.
        plan: Its clips and their splits.
        device: Where the model ran.
        title: The report's heading.
        facts: Short lines for the report's summary.
        mistakes: Film strips of the worst mistakes.
        confused: Pairs of classes most often confused.
        copies: Test clips that are copies of clips of training or validation; see `find_copies`.

    Returns:
        What metrics.json holds.
    """
    write_predictions(out / "predictions.csv", scored.rows, class_names, task=task)
    write_clip_facts(out / "clips.csv", scored.facts)
    whole = {
        **metrics,
        "predictions_sha256": file_sha256(out / "predictions.csv"),
        "clips_sha256": file_sha256(out / "clips.csv"),
    }
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    regression = catalog.task == "regression"
    write_stored(
        out / "report.json",
        StoredReport(
            title=title,
            command=repeat_command(),
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            class_names=tuple(class_names),
            environment=environment(device),
            facts=facts or {},
            split_origin=plan.origin,
            fingerprint=plan.fingerprint,
            torn_groups=plan.torn_groups,
            copies=tuple(copies),
            groups_known=plan.groups_known,
            num_groups=len({record.group for record in plan.records}),
            split_table=tuple(
                (row.class_name, row.train, row.val, row.test)
                for row in split_counts(plan.records, catalog.class_names, catalog.task)
            ),
            split_sizes=tuple(split_sizes(plan.records)),
            target_ranges=tuple(
                tuple(row) for row in target_ranges(plan.records, catalog.class_names, SPLITS)
            )
            if regression
            else (),
            mistakes=tuple(mistakes),
            confused=tuple(confused),
        ),
    )
    write_page(out)
    return whole
