"""From the files of a run folder to its report.html, without the model and without a video."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from cliptide.app.evaluation.clip_facts import ClipFacts, read_clip_facts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.metrics_file import check_metrics, damaged_value, read_metrics
from cliptide.app.evaluation.predictions import VideoPrediction, read_predictions
from cliptide.app.evaluation.report.page import Report, render
from cliptide.app.evaluation.report.stored import StoredReport, read_stored
from cliptide.app.evaluation.report.words import changed_words, clips_changed_words
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.errors import DataError
from cliptide.configs.tasks import DEFAULT_THRESHOLD, Task

_HEADLINES: dict[Task, str] = {"single": "top1", "multi": "map", "regression": "mae"}


def write_page(folder: Path) -> str:
    """Build report.html anew from the files beside it; only a whole page replaces the old one.

    Where predictions.csv is not the file that was evaluated, all figures are computed from it as
    it is now, and the page says so.

    Args:
        folder: A run folder with metrics.json and predictions.csv. report.json, clips.csv,
            history.csv, config.yaml and quarantine.csv are shown where they are there.

    Returns:
        What is wrong with the files, such as edited predictions, as the page says it; empty if
        all is well.

    Raises:
        DataError: A file is missing or damaged.
    """
    report = read_report(folder)
    page = render(report)
    scratch = folder / "report.html.part"
    # Names of files that are no UTF-8 hold lone surrogates, which no page can show.
    scratch.write_bytes(page.encode("utf-8", errors="replace"))
    scratch.replace(folder / "report.html")
    return report.alarm


def rebuild_page(folder: Path) -> str:
    """The same for files of any age and hand, whose metrics.json may lack what is needed.

    Returns:
        See `write_page`.

    Raises:
        DataError: A file is missing or damaged.
    """
    metrics_file = folder / "metrics.json"
    try:
        return write_page(folder)
    # The keys are checked, but not all that lies below them.
    except (KeyError, UndefinedError) as error:
        raise damaged_value(metrics_file, f"a part of it is missing ({error})") from error
    except (TypeError, AttributeError) as error:
        raise damaged_value(
            metrics_file, f"a part of it is of another kind than it was written ({error})"
        ) from error


def read_report(folder: Path) -> Report:
    """Read what the page shows.

    Raises:
        DataError: A file is missing or damaged.
    """
    metrics_file = folder / "metrics.json"
    metrics = read_metrics(metrics_file)
    if "split" not in metrics:
        raise damaged_value(metrics_file, "it has no 'split'")
    task: Task = metrics["task"]
    predictions = folder / "predictions.csv"
    rows, class_names = read_predictions(predictions, task=task)
    clips_file = folder / "clips.csv"
    clips = read_clip_facts(clips_file) if clips_file.exists() else []
    known = metrics.get("predictions_sha256")
    # Runs of before there was a checksum tell other columns at least.
    columns = metrics.get("per_target" if task == "regression" else "per_class", {})
    changed = known is not None and known != file_sha256(predictions)
    alarm = ""
    clips_known = metrics.get("clips_sha256")
    if changed or list(columns) != class_names:
        fresh = _computed(metrics, rows, class_names, clips)
        headline = _HEADLINES[task]
        alarm = changed_words(metrics.get(headline), fresh[headline], task=task)
        metrics = metrics | fresh
    elif clips_known is not None and clips_known != _sha256_if_there(clips_file):
        metrics = metrics | _computed(metrics, rows, class_names, clips)
        alarm = clips_changed_words(metrics)
    elif "quality" not in metrics:  # written before these figures were known
        metrics = _computed(metrics, rows, class_names, clips) | metrics
    check_metrics(metrics, path=metrics_file)
    return Report(
        stored=_stored(folder, class_names),
        metrics=metrics,
        rows=rows,
        history=_read_table(folder / "history.csv"),
        config_yaml=_read_text(folder / "config.yaml"),
        quarantined=[
            (row["video"], row["reason"])
            for row in _read_table(folder / "quarantine.csv")
            if row.get("split") != "test"  # those stand among the predictions, as failed
        ],
        pages=[f"{page.parent.name}/{page.name}" for page in sorted(folder.glob("*/report.html"))],
        alarm=alarm,
    )


def _sha256_if_there(path: Path) -> str:
    return file_sha256(path) if path.exists() else ""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _computed(
    metrics: Mapping[str, Any],
    rows: Sequence[VideoPrediction],
    class_names: Sequence[str],
    clips: Sequence[ClipFacts],
) -> dict[str, Any]:
    """All figures of the rows as they are; what was fitted on validation stays."""
    task: Task = metrics["task"]
    calibration = metrics.get("calibration") or {}
    nothing = calibration.get("nothing_below") or {}
    of_validation = nothing.get("from") == "validation"
    per_class = metrics.get("per_class", {})
    return compute_metrics(
        rows,
        class_names,
        split=metrics["split"],
        seed=metrics.get("seed", 0),
        task=task,
        thresholds=[
            per_class.get(name, {}).get("threshold", DEFAULT_THRESHOLD) for name in class_names
        ]
        if task == "multi"
        else (),
        clips=clips,
        temperature=calibration.get("temperature"),
        nothing_below=nothing["threshold"] if of_validation else None,
        nouns=Nouns.of_metrics(metrics),
    )


def _stored(folder: Path, class_names: Sequence[str]) -> StoredReport:
    path = folder / "report.json"
    if path.exists():
        return replace(read_stored(path), class_names=tuple(class_names))
    # A run of before there was such a file: its figures are all there.
    return StoredReport(
        title=folder.resolve().name, command="", created="", class_names=tuple(class_names)
    )


def _read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header; none where there is no such file."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return [
                {key: value or "" for key, value in row.items() if key is not None}
                for row in csv.DictReader(file)
            ]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}. Mend it, or take it away.") from error


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
