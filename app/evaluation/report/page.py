"""The report: one HTML file that needs no network and no other file.

Python prepares figures and words, `page.html.jinja` and a template for each section lay them
out, scripts beside them draw what one hovers. Colours stand in `page.css.jinja` alone, so that
light, dark and paper are one page. A content security policy in it forbids every request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.charts import (
    confidence_figure,
    history_cell,
    history_figures,
    order_bars,
    slice_rows,
    stream_bars,
)
from cliptide.app.evaluation.report.confusion import confusion_figure, most_confused
from cliptide.app.evaluation.report.filters import breakable, shown_facts, when
from cliptide.app.evaluation.report.remarks import (
    first_copies,
    leakage_verdict,
    remarks,
    verdicts,
)
from cliptide.app.evaluation.report.stored import StoredReport
from cliptide.app.evaluation.report.stream_words import (
    compared_words,
    missing_words,
    stream_verdicts,
)
from cliptide.app.evaluation.report.strips import shown_mistakes, shown_pairs
from cliptide.app.evaluation.report.tasks import OUTPUT_WORDS, target_figures
from cliptide.app.evaluation.report.words import (
    MAX_EXAMPLES,
    calibration_verdict,
    order_verdict,
    percent,
    slice_verdict,
    swap_verdicts,
    threshold_words,
)
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import numbers_in

# Confused pairs that are told at once, and those in a list to be opened.
_MOST_PAIRS, _LISTED_PAIRS = 8, 200
_UNDEFINED = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_ORIGINS = {
    "official": "the data set's official split",
    "manifest": "the split given with the data",
    "folders": "the split given by the folders' names",
    "made": "a split made by cliptide, groups kept whole",
    "": "not known",
}
_QUALITY = {"top1": "top-1", "f1": "F1 of {one}'s labels", "mae": "mean absolute error"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything the page shows, as the files of a run folder hold it.

    Attributes:
        stored: report.json.
        metrics: metrics.json; figures that an older run lacks are left out of the page.
        rows: predictions.csv, failed videos included.
        history: history.csv, one row an epoch; empty when nothing was trained.
        config_yaml: config.yaml; may be empty.
        quarantined: (video, reason) of the files left out of training.
        pages: Pages of folds in folders beside this one, such as `fold-1/report.html`.
        alarm: What is wrong with the files themselves, such as edited predictions; empty if all
            is well.
    """

    stored: StoredReport
    metrics: Mapping[str, Any]
    rows: Sequence[VideoPrediction]
    history: Sequence[Mapping[str, Any]] = ()
    config_yaml: str = ""
    quarantined: Sequence[tuple[str, str]] = ()
    pages: Sequence[str] = ()
    alarm: str = ""


def render(report: Report) -> str:
    """The page as HTML text."""
    return page_environment().get_template("page.html.jinja").render(_context(report))


def page_environment(*folders: Path) -> jinja2.Environment:
    """What renders a page from templates in these folders and the report's own."""
    # Always escaping: class and file names are the user's, and `.jinja` would not be
    # recognised as HTML by the name.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "decimal": _decimal,
        "cell": _cell,
        "epoch_cell": history_cell,
        "targets": _targets,
        "when": when,
        "breakable": breakable,
    }
    return environment


def _origin(stored: StoredReport, nouns: Nouns) -> str:
    alone = not stored.groups_known and stored.num_groups == sum(stored.split_sizes)
    if stored.split_origin == "made" and alone:
        return f"a split made by cliptide, by {nouns.record}"
    return _ORIGINS.get(stored.split_origin, stored.split_origin)


def _context(report: Report) -> dict[str, Any]:
    stored, metrics = report.stored, report.metrics
    task: Task = metrics["task"]
    names = stored.class_names
    by_name = {row.video: row for row in report.rows}
    single = task == "single"
    nouns = Nouns.of_metrics(metrics)
    return {
        "report": report,
        "stored": stored,
        "metrics": metrics,
        "single": single,
        "nouns": nouns,
        "quality_name": _QUALITY.get(metrics.get("quality", ""), "quality").format(one=nouns.one),
        "leakage": leakage_verdict(stored, metrics),
        "verdicts": verdicts(stored, metrics),
        "remarks": remarks(metrics),
        "torn_examples": list(stored.torn_groups)[:MAX_EXAMPLES],
        "copies": first_copies(stored.copies),
        "scale": _scale(metrics, num_classes=len(names)),
        "order": order_verdict(metrics),
        "bars": order_bars(metrics),
        "stream_bars": stream_bars(metrics),
        "stream_compared": compared_words(metrics),
        "stream_verdicts": stream_verdicts(metrics),
        "missing": missing_words(metrics),
        "swaps": swap_verdicts(metrics, names),
        "confused": most_confused(metrics["confusion"], names, limit=_LISTED_PAIRS)
        if single
        else [],
        "most_pairs": _MOST_PAIRS,
        "num_confused": _num_confused(metrics["confusion"]) if single else 0,
        "pairs": shown_pairs(stored.confused, by_name, names, nouns=nouns),
        "confidence": calibration_verdict(metrics),
        "threshold": _threshold(metrics),
        "mistakes": shown_mistakes(stored.mistakes, by_name, names, task=task, nouns=nouns),
        "slices": slice_rows(metrics),
        "slice_verdict": slice_verdict(metrics),
        "failed": [row for row in report.rows if row.failed],
        "history_columns": list(dict.fromkeys(key for row in report.history for key in row)),
        "facts": shown_facts(stored.facts, pages=report.pages),
        "repeatable": bool(stored.command or report.config_yaml or stored.environment),
        "origin": _origin(stored, nouns),
        "output_words": OUTPUT_WORDS[task],
        "num_outputs": "1 target"
        if task == "regression" and len(names) == 1
        else f"{len(names)} {OUTPUT_WORDS[task]}",
        "figures": _figures(report),
    }


def _figures(report: Report) -> dict[str, Any]:
    """What the scripts draw."""
    metrics, names = report.metrics, report.stored.class_names
    nouns = Nouns.of_metrics(metrics)
    figures: dict[str, Any] = {
        "nouns": {"sample": nouns.sample, "samples": nouns.samples},
        "history": history_figures(report.history),
        "kept": metrics.get("best_epoch"),
        "confidence": confidence_figure(metrics),
    }
    if metrics["task"] == "single":
        figures["confusion"] = confusion_figure(metrics["confusion"], names)
    elif metrics["task"] == "regression":
        figures["targets"] = target_figures(report.rows, names)
    return figures


def _num_confused(confusion: Sequence[Sequence[int]]) -> int:
    return sum(
        bool(count)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if true != predicted
    )


def _scale(metrics: Mapping[str, Any], *, num_classes: int) -> list[dict[str, Any]]:
    """The marks on the scale beside top-1."""
    samples = Nouns.of_metrics(metrics).samples
    marks = [
        (
            f"always the most frequent class of these {samples}",
            "baseline",
            metrics["baselines"].get("majority"),
        ),
        ("chance", "chance", 1 / num_classes if num_classes else None),
    ]
    return [
        {"name": name, "kind": kind, "share": share}
        for name, kind, share in marks
        if share is not None
    ]


def _threshold(metrics: Mapping[str, Any]) -> str:
    nothing = (metrics.get("calibration") or {}).get("nothing_below")
    return threshold_words(nothing, Nouns.of_metrics(metrics)) if nothing else ""


def _percent(share: float | None) -> str:
    return percent(share, 1)


def _targets(label: str) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers_in(label))


def _decimal(value: float | None, digits: int = 2) -> str:
    return _UNDEFINED if value is None else f"{value:.{digits}f}".replace("-", _MINUS)


def _cell(value: Any) -> str:
    if value is None:
        return _UNDEFINED
    return f"{value:.4g}".replace("-", _MINUS) if isinstance(value, float) else str(value)
