"""The tables a command ends with, on stdout."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import format_seconds, log, result_console, warn

if TYPE_CHECKING:
    from cliptide.app.evaluation.evaluate import Evaluation
    from cliptide.app.evaluation.report.words import Verdict
    from cliptide.app.evaluation.timelines import TimelineEvaluation
    from cliptide.app.training.folds import FoldsResult
    from cliptide.app.training.run import TrainingResult
    from cliptide.app.tuning.loop import TuningResult

MOST_CLASSES = 20


def percent(share: float | None) -> str:
    """A share as a percentage, `-` where there is none."""
    return "-" if share is None else f"{share:.1%}"


def number(value: float | None) -> str:
    """A number in the user's units, `-` where there is none."""
    return "-" if value is None else f"{value:.4g}"


_BASELINES = {
    "mean_pool": "mean over {steps}, no order",
    "single_frame": "a single {step}",
    "majority": "the most frequent class of these",
}

# Of each task: the figure above all, and the others.
_Rows = list[tuple[str, str]]


def _single_rows(metrics: Mapping[str, Any]) -> _Rows:
    nouns = Nouns.of_metrics(metrics)
    top5 = [("top-5", percent(metrics["top5"]))] if metrics["top5"] is not None else []
    return [
        ("top-1", percent(metrics["top1"])),
        *top5,
        ("macro F1", percent(metrics["macro_f1"])),
        ("balanced accuracy", percent(metrics["balanced_accuracy"])),
        *(
            (name.format(steps=nouns.steps, step=nouns.step), percent(metrics["baselines"][key]))
            for key, name in _BASELINES.items()
            if metrics["baselines"].get(key) is not None
        ),
    ]


def _multi_rows(metrics: Mapping[str, Any]) -> _Rows:
    return [
        ("mAP", percent(metrics["map"])),
        ("micro F1", percent(metrics["micro_f1"])),
        ("macro F1", percent(metrics["macro_f1"])),
        (
            f"every label of {Nouns.of_metrics(metrics).one} right",
            percent(metrics["subset_accuracy"]),
        ),
        ("mAP of the same scores for all", percent(metrics["baselines"]["constant"])),
    ]


def _regression_rows(metrics: Mapping[str, Any]) -> _Rows:
    return [
        ("mean absolute error", number(metrics["mae"])),
        ("root mean squared error", number(metrics["rmse"])),
        ("R2", "-" if metrics["r2"] is None else f"{metrics['r2']:.3f}"),
        ("error of always saying the mean", number(metrics["baselines"]["mean"])),
    ]


_ROWS = {"single": _single_rows, "multi": _multi_rows, "regression": _regression_rows}


def _figures_table(metrics: Mapping[str, Any]) -> Table:
    table = Table(show_header=False)
    table.add_column("figure")
    table.add_column("value", justify="right")
    interval, nouns = metrics["ci95"], Nouns.of_metrics(metrics)
    samples = nouns.samples
    first, *others = _ROWS[metrics["task"]](metrics)
    table.add_row(*first, style="bold")
    if interval:
        over = nouns.drawn(metrics["ci95_over"])
        low, high = map(number if metrics["task"] == "regression" else percent, interval)
        table.add_row(f"95 % interval, over {over}", f"{low} to {high}")
    for row in others:
        table.add_row(*row)
    table.add_row(f"{samples} scored", f"{metrics['num_scored']} of {metrics['num_videos']}")
    if metrics["num_failed"]:
        table.add_row(
            f"{samples} that could not be read", str(metrics["num_failed"]), style="yellow"
        )
    if metrics.get("num_quarantined"):
        table.add_row(
            f"{samples} left out of training", str(metrics["num_quarantined"]), style="yellow"
        )
    if metrics.get("torn_groups"):
        table.add_row(
            "LEAKY: groups in train and test", str(metrics["torn_groups"]), style="bold red"
        )
    if metrics.get("copies"):
        table.add_row(
            "LEAKY: test files that were learnt from", str(metrics["copies"]), style="bold red"
        )
    return table


def _classes_table(metrics: Mapping[str, Any]) -> Table:
    table = Table()
    multi, samples = metrics["task"] == "multi", Nouns.of_metrics(metrics).samples
    table.add_column("label" if multi else "class")
    for name in (*(["AP"] if multi else []), "precision", "recall", "F1", samples):
        table.add_column(name, justify="right")
    rows = list(metrics["per_class"].items())
    # Of many classes the weakest are what one wants to see; the report has all of them.
    ranked = sorted(rows, key=lambda row: -1.0 if row[1]["f1"] is None else row[1]["f1"])
    shown = rows if len(rows) <= MOST_CLASSES else ranked[:MOST_CLASSES]
    for name, row in shown:
        table.add_row(
            name,
            *([percent(row["ap"])] if multi else []),
            percent(row["precision"]),
            percent(row["recall"]),
            percent(row["f1"]),
            str(row["support"]),
        )
    if len(rows) > len(shown):
        what = "labels" if multi else "classes"
        table.caption = f"The {len(shown)} weakest of {len(rows)} {what}; all are in the report."
    return table


def _targets_table(metrics: Mapping[str, Any]) -> Table:
    table = Table()
    table.add_column("target")
    for name in ("MAE", "RMSE", "R2", "mean", "spread"):
        table.add_column(name, justify="right")
    for name, row in metrics["per_target"].items():
        keys = ("mae", "rmse", "r2", "true_mean", "true_std")
        table.add_row(name, *(number(row[key]) for key in keys))
    return table


def show_evaluation(evaluation: "Evaluation") -> None:
    """Print figures, classes and where the files are."""
    metrics = evaluation.metrics
    split = metrics["split"]
    samples = Nouns.of_metrics(metrics).samples
    _show_metrics(metrics, on=f"all {samples}" if split == "all" else f"the {split} split")
    failed = next((row for row in evaluation.predictions if row.failed), None)
    if failed is not None:
        result_console().print(f"The first that could not be read: {failed.error}", soft_wrap=True)
    _show_paths({"report": evaluation.report, "predictions": evaluation.out / "predictions.csv"})


def show_training(result: "TrainingResult") -> None:
    """Print figures, classes, the slowest thing, and where model and report are."""
    epoch = result.best["epoch"]
    _show_metrics(result.metrics, on=f"the test split (epoch {epoch}, {result.kept})")
    print(f"Slowest: {result.slowest}")
    paths = {"model": result.model, "report": result.report}
    if result.num_quarantined:
        paths["left out"] = result.out / "quarantine.csv"
    _show_paths(paths)


def show_folds(result: "FoldsResult") -> None:
    """Print pooled figures, classes, the figures of each fold with mean and spread, and paths."""
    from cliptide.app.training.headline import FOLD_FIGURES

    count, nouns = len(result.folds), Nouns.of_metrics(result.metrics)
    figures = FOLD_FIGURES[result.metrics["task"]]
    shown = number if result.metrics["task"] == "regression" else percent
    _show_metrics(result.metrics, on=f"the tested {nouns.records} of all {count} folds together")
    table = Table()
    table.add_column("fold")
    for name in (*figures.values(), nouns.samples, "epoch kept"):
        table.add_column(name, justify="right")
    for fold in result.folds:
        table.add_row(
            str(fold.number),
            *(shown(fold.metrics[figure]) for figure in figures),
            str(fold.metrics["num_scored"]),
            str(fold.metrics["best_epoch"]),
        )
    table.add_section()
    table.add_row("mean", *(shown(result.mean(figure)) for figure in figures), style="bold")
    table.add_row("standard deviation", *(shown(result.sd(figure)) for figure in figures))
    result_console().print(table)
    paths = {"report": result.report, "predictions": result.out / "predictions.csv"}
    _show_paths(paths | {"each fold": result.out / "fold-1 ..."})


def show_tuning(result: "TuningResult") -> None:
    """Print the leaderboard, where the files are, and the command that trains the best config."""
    from cliptide.app.tuning.leaderboard import leaderboard

    result_console().print(leaderboard(result.trials, figure=result.figure))
    _show_paths(
        {
            "study": result.page,
            "trials": result.out / "trials.csv",
            "best config": result.best_config_file,
        }
    )
    print(f"Train it: cliptide train --config {result.best_config_file}")


def _show_metrics(metrics: Mapping[str, Any], *, on: str) -> None:
    console = result_console()
    # Not the table's title, which is wrapped to the table's width.
    console.print(f"Results on {on}", style="bold", soft_wrap=True)
    console.print(_figures_table(metrics))
    if not metrics["num_scored"]:
        sample = Nouns.of_metrics(metrics).sample
        console.print(f"No {sample} could be scored, so there is no figure.", style="bold red")
        return
    regression = metrics["task"] == "regression"
    console.print(_targets_table(metrics) if regression else _classes_table(metrics))
    for verdict in _verdicts(metrics):
        # Not wrapped: the numbers of an interval belong together.
        console.print(f"- {verdict.text}", style=_TONES[verdict.tone], soft_wrap=True)


# What is good or plain needs no colour.
_TONES = {"good": "", "plain": "", "care": "yellow", "bad": "bold red"}


def _verdicts(metrics: Mapping[str, Any]) -> "list[Verdict]":
    """What the figures mean, in the report's own words."""
    from cliptide.app.evaluation.report import words
    from cliptide.app.evaluation.report.remarks import remarks
    from cliptide.app.evaluation.report.stream_words import stream_verdicts

    class_names = list(metrics.get("per_class", {}))
    weak = words.slice_verdict(metrics)
    found = [
        *words.swap_verdicts(metrics, class_names),
        words.order_verdict(metrics),
        *stream_verdicts(metrics),
        words.calibration_verdict(metrics),
        weak if weak is not None and weak.tone == "care" else None,
        *(words.Verdict("plain", remark) for remark in remarks(metrics)),
    ]
    return [verdict for verdict in found if verdict is not None]


def _show_paths(paths: Mapping[str, Any]) -> None:
    width = max(map(len, paths)) + 1
    for name, path in paths.items():
        # print, not rich: a path that is wrapped cannot be copied.
        print(f"{name + ':':<{width}} {path}")


def show_timeline_evaluation(evaluation: "TimelineEvaluation") -> None:
    """Print how well a timeline agrees with annotations, and where the figures are."""
    metrics = evaluation.metrics
    videos = Nouns.of_metrics(metrics).counted(metrics["num_videos"])
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("segments found", "F1", "95 % interval", "precision", "recall", "mAP"):
        table.add_column(name, justify="left" if name == "segments found" else "right")
    for at, figures in metrics["segment_f1"].items():
        table.add_row(
            f"overlapping by {float(at):.0%}",
            percent(figures["f1"]),
            _percents(figures["ci95"]),
            percent(figures["precision"]),
            percent(figures["recall"]),
            percent(metrics["map"][at]),
        )
    console = result_console()
    console.print(table)
    moments = metrics["frame_accuracy"]
    interval = f" ({_percents(moments['ci95'])})" if moments["ci95"] else ""
    console.print(
        f"Right in {percent(moments['accuracy'])}{interval} of all moments, and in "
        f"{percent(moments['where_something_happens'])} of those where something happens: "
        f"{metrics['num_found']} segments found, {metrics['num_segments']} annotated in "
        f"{videos}, {format_seconds(metrics['duration_s'])}."
    )
    for failure in evaluation.failed:
        warn(f"Not read: {failure.error}")
    log(f"Written: {evaluation.out / 'timeline.json'}, segments.csv")


def _percents(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"
