"""`cliptide predict`: files, folders and globs in; a table, JSON and CSV out."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cliptide.app.evaluation.predictions import VideoPrediction, write_predictions
from cliptide.app.inference.loading import load
from cliptide.app.inference.nouns import SECONDS, Nouns
from cliptide.app.inference.prediction import FailedVideo, Prediction
from cliptide.app.inference.terminal import log, result_console, track, warn
from cliptide.app.inference.timeline import missing_notes
from cliptide.app.outputs import STDOUT, require_different, require_writable, write_json
from cliptide.app.results import percent
from cliptide.app.sources import expand_sources, in_tables
from cliptide.configs.errors import InputError
from cliptide.configs.schema import DataConfig, EvalConfig
from cliptide.datasets.in_order import thread_count
from cliptide.datasets.labels import SEPARATOR, joined_names

SHOWN_CLASSES = 3
UNLIMITED = 10_000  # columns


def predict_sources(
    model: str,
    sources: Sequence[str],
    *,
    json_to: str | None = None,
    csv_to: Path | None = None,
    clips: int | None = None,
    workers: int | str = "auto",
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Predict and write; an unreadable video costs only itself.

    Args:
        model: A model file.
        sources: Files, folders and globs.
        json_to: File to write JSON to; `-` writes it to stdout in place of the table.
        csv_to: File to write CSV to.
        clips: Clips taken from each video; their scores are averaged. As in training when None.
        workers: Threads that decode, or `auto` for one a core.
        device: Where to compute.
        overwrite: Whether files that exist may be replaced.

    Returns:
        The exit code: 1 when a video could not be read, after all others are done.

    Raises:
        InputError: Model, sources or an output file are wrong.
    """
    if clips is not None:
        EvalConfig(clips=clips)
    DataConfig(workers=workers)  # type: ignore[arg-type]
    if csv_to is not None and str(csv_to) == STDOUT:
        raise InputError("--csv - is no file. Give its name; --json - writes JSON to stdout.")
    files = [Path(path) for path in (json_to, csv_to) if path is not None and str(path) != STDOUT]
    require_different(files)
    for path in files:
        require_writable(path, overwrite=overwrite)
    recognizer = load(model, device=device)
    videos = expand_sources(sources, samples=recognizer.info.streams.samples)
    nouns = Nouns.of_streams(recognizer.info.streams)
    what = nouns.samples
    given = in_tables(videos) if recognizer.info.streams.samples == "text" else videos
    whole = [one for one in given if not isinstance(one, FailedVideo)]
    predictions = recognizer.predict_many(whole, clips=clips, workers=thread_count(workers))
    read = iter(list(track(predictions, total=len(whole), what="Predicting", unit=what)))
    results = [one if isinstance(one, FailedVideo) else next(read) for one in given]
    if csv_to is not None:
        rows = [_row(result) for result in results]
        write_predictions(csv_to, rows, recognizer.class_names, task=recognizer.task)
    if json_to is not None:
        write_json(json_to, [result.to_json() for result in results])
    if json_to != STDOUT:
        _show(results)
    for path in files:
        log(f"Written: {path}")
    answered = [result for result in results if isinstance(result, Prediction)]
    for note in missing_notes(answered, nouns):
        log(note)
    failed = [result for result in results if isinstance(result, FailedVideo)]
    for failure in failed:
        warn(f"Not read: {failure.error}")
    if failed:
        print(
            f"cliptide: {len(failed)} of {len(results)} {what} could not be read.", file=sys.stderr
        )
    return 1 if failed else 0


def _row(result: Prediction | FailedVideo) -> VideoPrediction:
    if isinstance(result, FailedVideo):
        return VideoPrediction(result.video, None, None, (), 0, error=result.error)
    numbers = tuple((result.scores or result.values).values())
    return VideoPrediction(result.video, None, _answer(result), numbers, result.frames_used)


def _answer(result: Prediction) -> str:
    """The labels, or the numbers, as CSV files have them."""
    if result.task == "regression":
        return SEPARATOR.join(f"{value:.9g}" for value in result.values.values())
    return joined_names(result.labels)


def _show(results: Sequence[Prediction | FailedVideo]) -> None:
    """A table on a terminal; else a line a video for `cut` and `grep`: video, label and score.

    Several labels and their scores stand in one order with `|` between them, as numbers do.
    """
    console = result_console()
    if console.is_terminal:
        table = _table(results, next_best=True)
        options = console.options.update(width=UNLIMITED)
        if console.measure(table, options=options).maximum > console.width:
            # Rather whole names of videos than the next best classes.
            table = _table(results, next_best=False)
        console.print(table)
        return
    for result in results:
        if isinstance(result, FailedVideo):
            print(f"{result.video}\t\t")
        elif result.task == "regression":
            print(f"{result.video}\t{_answer(result)}")
        else:
            labels = sorted(result.labels)
            scores = SEPARATOR.join(f"{result.scores[label]:.4f}" for label in labels)
            print(f"{result.video}\t{_answer(result)}\t{scores}")


def _table(results: Sequence[Prediction | FailedVideo], *, next_best: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    folder = _shared_folder([result.video for result in results])
    read = [result for result in results if isinstance(result, Prediction)]
    info = read[0].info if read else None
    nouns = Nouns() if info is None else Nouns.of_streams(info.streams)
    table.add_column(f"{nouns.sample} in {folder}" if folder else nouns.sample, overflow="fold")
    task = read[0].task if read else "single"
    if task == "regression":
        for name in read[0].values:
            table.add_column(name, justify="right")
    else:
        table.add_column("label" if task == "single" else "labels", overflow="fold")
        table.add_column("score", justify="right", no_wrap=True)
        if next_best:
            table.add_column("next best", style="dim", overflow="fold")
    if nouns.units:
        table.add_column(nouns.units, justify="right", no_wrap=True)
    for result in results:
        name = result.video[len(folder) :]
        if isinstance(result, FailedVideo):
            table.add_row(name, "could not be read", style="yellow")
            continue
        length = f"{result.duration_s:.{1 if nouns.unit == SECONDS else 0}f}"
        cells = _cells(result, next_best=next_best)
        table.add_row(name, *cells, *([length] if nouns.units else []))
    return table


def _cells(result: Prediction, *, next_best: bool) -> list[str]:
    if result.task == "regression":
        return [f"{value:.4g}" for value in result.values.values()]
    ranked = result.top(len(result.scores))
    others = [f"{label} {percent(p)}" for label, p in ranked if label not in result.labels]
    shown = others[: max(1, SHOWN_CLASSES - len(result.labels))]
    return [
        ", ".join(result.labels) or "none",
        ", ".join(percent(result.scores[label]) for label in result.labels) or "-",
        *([", ".join(shown)] if next_best else []),
    ]


def _shared_folder(videos: Sequence[str]) -> str:
    """The folder that all videos lie in, with its slash; empty for none or a single video."""
    parents = {str(Path(video).parent) for video in videos}
    if len(videos) < 2 or len({Path(parent).is_absolute() for parent in parents}) > 1:
        return ""
    try:
        shared = os.path.commonpath(parents)
    except ValueError:  # two drives on Windows
        return ""
    whole = shared if shared.endswith(os.sep) else shared + os.sep
    return whole if shared and all(video.startswith(whole) for video in videos) else ""
