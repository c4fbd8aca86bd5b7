"""The report: one HTML file that needs no network and no other file.

Python prepares figures and words (`_context`), `page.html.jinja` lays them out,
`page.js.jinja` draws what one hovers with Plotly and gives it the colours of the page, which
stand in `page.css.jinja` alone. A content security policy in the page forbids every request.
"""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.tasks import OUTPUT_WORDS, no_skill_remark, target_figures
from cliptide.configs.tasks import Task

STRIP_HEIGHT = 120
# More examples than this make the banner a wall; the count is always given.
_MAX_EXAMPLES = 5
# Above this many classes a cell is too small for its count.
_MAX_COUNTS = 12
# Longer class names are cut beside the confusion matrix, on a phone even earlier.
_LABEL_CHARS = 22
_SHORT_LABEL_CHARS = 12

_UNDEFINED = "\N{EN DASH}"
_ORIGINS = {
    "official": "the data set's official split",
    "manifest": "the split given with the data",
    "folders": "the split given by the folders' names",
    "made": "a split made by cliptide, groups kept whole",
    "": "not known",
}
# What to say in place of the leak check where it is not the test split that was scored.
_NOT_TEST = {
    "train": "These are the training videos: the score says what the model has learnt by heart.",
    "val": "These are the validation videos, by which the training was guided: "
    "the score is a little too good.",
    "all": "All videos were scored, whatever their split: if the model was trained on some of "
    "them, the score is too good.",
}
_BASELINES = {
    "majority": "always the most frequent class",
    "single_frame": "a single frame",
    "mean_pool": "mean over frames, no order",
}


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction and what the model saw.

    Attributes:
        prediction: The prediction.
        frames: (N, H, W, 3) uint8 RGB, in order of time.
    """

    prediction: VideoPrediction
    frames: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything the report shows.

    Attributes:
        title: Its heading, such as the name of the run.
        command: What to type to repeat it.
        created: When, as ISO text.
        metrics: What `compute_metrics` gave.
        class_names: The model's classes, in the order of the scores.
        predictions: One row a video, failed ones included.
        history: One row an epoch: `epoch` and any of `train_loss`, `val_loss`, `train_top1`,
            `val_top1`, `val_map`, `val_r2` (drawn) and others (shown in a table); empty when
            nothing was trained.
        config_yaml: The complete config; may be empty.
        environment: Versions and machine.
        split_table: (class, train, val, test) clips; may be empty.
        split_sizes: Clips of train, val and test; where it is empty, the sums of the table.
        target_ranges: (target, train, val, test) of a regression, each as `1.5 to 3`.
        split_origin: Who made the split; empty when unknown.
        fingerprint: Of the split.
        torn_groups: Groups that stand in both training and test data.
        groups_known: Whether groups of training and test data were compared.
        num_groups: How many groups were compared; None takes the groups of the scored videos.
        quarantined: (video, reason) of the files left out of training.
        mistakes: What to show as film strips, the most confident first.
        facts: Short lines for the summary, such as parameters, encoder, epochs, time.
    """

    title: str
    command: str
    created: str
    metrics: Mapping[str, Any]
    class_names: Sequence[str]
    predictions: Sequence[VideoPrediction]
    history: Sequence[Mapping[str, Any]] = ()
    config_yaml: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    split_table: Sequence[tuple[str, int, int, int]] = ()
    split_sizes: Sequence[int] = ()
    target_ranges: Sequence[tuple[str, ...]] = ()
    split_origin: Literal["official", "manifest", "folders", "made", ""] = ""
    fingerprint: str = ""
    torn_groups: Sequence[str] = ()
    groups_known: bool = False
    num_groups: int | None = None
    quarantined: Sequence[tuple[str, str]] = ()
    mistakes: Sequence[Mistake] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def write_report(path: str | Path, report: Report) -> None:
    """Write the report as one self-contained HTML file.

    Args:
        path: The file to write; replaced if it exists.
        report: What it shows.

    Raises:
        ValueError: The frames of a mistake are not (N, H, W, 3) uint8.
    """
    page = page_environment().get_template("page.html.jinja").render(_context(report))
    # Names of files that are no UTF-8 hold lone surrogates, which no page can show.
    Path(path).write_bytes(page.encode("utf-8", errors="replace"))


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
    environment.filters |= {"percent": _percent, "decimal": _decimal, "cell": _cell}
    return environment


def _context(report: Report) -> dict[str, Any]:
    from plotly.offline import get_plotlyjs

    metrics = report.metrics
    task: Task = metrics["task"]
    figures: dict[str, Any] = {"history": _history_figures(report.history)}
    if task == "single":
        figures["confusion"] = _confusion_figure(metrics["confusion"], report.class_names)
    elif task == "regression":
        figures["targets"] = target_figures(report.predictions, report.class_names)
    drawn = bool(metrics["num_scored"]) or bool(figures["history"])
    return {
        "report": report,
        "metrics": metrics,
        "chance": 1 / len(report.class_names),
        "baselines": [
            (_BASELINES.get(name, name), share)
            for name, share in metrics["baselines"].items()
            if share is not None
        ],
        "origin": _ORIGINS[report.split_origin],
        "num_groups": metrics["num_groups"] if report.num_groups is None else report.num_groups,
        "not_test": _NOT_TEST.get(metrics["split"]),
        "torn_examples": list(report.torn_groups)[:_MAX_EXAMPLES],
        "remarks": _remarks(report),
        "failed": [row for row in report.predictions if row.failed],
        "confused": _most_confused(metrics["confusion"], report.class_names)
        if task == "single"
        else [],
        "output_words": OUTPUT_WORDS[task],
        "num_outputs": "1 target"
        if task == "regression" and len(report.class_names) == 1
        else f"{len(report.class_names)} {OUTPUT_WORDS[task]}",
        "history_columns": list(dict.fromkeys(key for row in report.history for key in row)),
        "mistakes": [_film_strip(mistake, report.class_names) for mistake in report.mistakes],
        "figures": figures,
        # Its text is data of ours, not of the user, and holds no closing script tag.
        "plotly_js": Markup(get_plotlyjs()) if drawn else None,
    }


def _percent(share: float | None) -> str:
    return _UNDEFINED if share is None else f"{100 * share:.1f}%"


def _decimal(value: float | None, digits: int = 2) -> str:
    return _UNDEFINED if value is None else f"{value:.{digits}f}"


def _cell(value: Any) -> str:
    if value is None:
        return _UNDEFINED
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _remarks(report: Report) -> list[str]:
    """What a careful reader must know about the figures, in sentences."""
    metrics = report.metrics
    remarks = []
    failed = metrics["num_failed"]
    if failed:
        verb = "stands" if failed == 1 else "stand"
        remarks.append(
            f"{_videos(failed)} could not be read and {verb} in no figure; "
            "the reasons are under Data."
        )
    if metrics["num_unlabelled"]:
        remarks.append(f"{_videos(metrics['num_unlabelled'])} without a true label: not scored.")
    unknown = metrics["unknown_labels"]
    if unknown:
        examples = ", ".join(list(unknown)[:_MAX_EXAMPLES])
        more = "" if len(unknown) <= _MAX_EXAMPLES else ", …"
        remarks.append(
            f"{_videos(sum(unknown.values()))} of classes the model does not know "
            f"({examples}{more}): not scored."
        )
    per_class = metrics.get("per_class", {})
    absent = sum(not entry["support"] for entry in per_class.values())
    if absent and metrics["num_scored"]:
        remarks.append(
            f"{absent} of {len(per_class)} {OUTPUT_WORDS[metrics['task']]} have no scored video: "
            "nothing is known about them."
        )
    return remarks + _interval_remarks(report)


def _interval_remarks(report: Report) -> list[str]:
    metrics = report.metrics
    if metrics["ci95"] is None:
        return []
    low, high = metrics["ci95"]
    no_skill = no_skill_remark(metrics, num_classes=len(report.class_names))
    remarks = [no_skill] if no_skill else []
    if 1 < metrics["num_groups"] < metrics["num_scored"] and metrics["ci95_over"] == "clips":
        remarks.append(
            f"There are only {metrics['num_groups']} groups, so the interval was drawn over "
            "clips. Clips of one group resemble each other: it is likely too narrow."
        )
    if low == high and metrics["task"] != "regression":
        # Rule of three: Hanley and Lippman-Hand, JAMA 249 (1983).
        over = metrics["ci95_over"]
        units = metrics["num_groups"] if over == "groups" else metrics["num_scored"]
        remarks.append(
            f"Every resample scores the same, so the interval has no width. With {units} {over} "
            f"seen, up to {min(100, round(300 / units))}% of new {over} may still turn out "
            "otherwise (rule of three)."
        )
    return remarks


def _videos(count: int) -> str:
    return f"{count} video" if count == 1 else f"{count} videos"


def plotly_text(name: str, *, chars: int | None = None) -> str:
    """A name as Plotly shows it, cut to a number of characters."""
    # Plotly reads a few tags (<b>, <a>, ...) in labels; a class name is never markup. Cut
    # first: half an entity would show.
    short = name if chars is None or len(name) <= chars else name[: chars - 1] + "…"
    return html.escape(short, quote=False)


def _confusion_figure(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str]
) -> dict[str, Any]:
    """The heatmap without its colours: hits and errors apart, so that each gets its own.

    A cell is empty (None) where no video fell; `shares` are of the row's videos.
    """
    counts = np.asarray(confusion)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.round(counts / np.maximum(support, 1), 4)
    hit = np.eye(len(class_names), dtype=bool)
    empty = counts == 0
    return {
        "names": [plotly_text(name) for name in class_names],
        "labels": [plotly_text(name, chars=_LABEL_CHARS) for name in class_names],
        "short_labels": [plotly_text(name, chars=_SHORT_LABEL_CHARS) for name in class_names],
        # Numbers, not names: Plotly would take two names that look alike for one category.
        "ticks": list(range(len(class_names))),
        "hits": _blanked(shares, empty | ~hit),
        "errors": _blanked(shares, empty | hit),
        "counts": counts.tolist(),
        "write_counts": len(class_names) <= _MAX_COUNTS,
    }


def _blanked(
    shares: npt.NDArray[np.float64], blank: npt.NDArray[np.bool_]
) -> list[list[float | None]]:
    return [
        [None if empty else float(share) for share, empty in zip(row, row_blank, strict=True)]
        for row, row_blank in zip(shares, blank, strict=True)
    ]


def _most_confused(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    counts = np.asarray(confusion)
    support = counts.sum(axis=1)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MAX_EXAMPLES]
    pairs = [(int(flat) // len(class_names), int(flat) % len(class_names)) for flat in order]
    return [
        {
            "true": class_names[true],
            "predicted": class_names[predicted],
            "count": int(wrong[true, predicted]),
            "support": int(support[true]),
        }
        for true, predicted in pairs
        if wrong[true, predicted]
    ]


def _history_figures(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Curves over epochs; an epoch without a figure leaves a gap."""
    epochs = [row.get("epoch", number) for number, row in enumerate(history)]
    figures = []
    titles = {"loss": "Loss", "top1": "Top-1", "map": "mAP", "r2": "R²"}
    for quantity, title in titles.items():
        curves = [
            {
                "name": name,
                "role": role,
                "y": [_finite(row.get(f"{role}_{quantity}")) for row in history],
            }
            for role, name in (("train", "training"), ("val", "validation"))
        ]
        curves = [curve for curve in curves if any(y is not None for y in curve["y"])]
        if curves:
            figures.append({"id": quantity, "title": title, "x": epochs, "curves": curves})
    return figures


def _finite(value: Any) -> float | None:
    # A history read back from CSV holds text, and an empty text where there was nothing.
    if value is None or value == "":
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _film_strip(mistake: Mistake, class_names: Sequence[str]) -> dict[str, Any]:
    prediction = mistake.prediction
    scores = dict(zip(class_names, prediction.scores, strict=True))
    return {
        "prediction": prediction,
        "true_score": scores.get(str(prediction.true)),
        "frames": [_data_url(frame) for frame in _checked_frames(mistake)],
    }


def _checked_frames(mistake: Mistake) -> npt.NDArray[np.uint8]:
    frames = mistake.frames
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            f"The frames of {mistake.prediction.video!r} are {frames.dtype} {frames.shape}. "
            "Give (N, H, W, 3) uint8."
        )
    return frames


def _data_url(frame_hwc: npt.NDArray[np.uint8]) -> str:
    import cv2

    height, width = frame_hwc.shape[:2]
    if height > STRIP_HEIGHT:
        size = (max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT)
        resized = cv2.resize(frame_hwc, size, interpolation=cv2.INTER_AREA)
    else:
        resized = frame_hwc
    bgr = cv2.cvtColor(resized, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
