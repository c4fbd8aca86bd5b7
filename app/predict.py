"""`cliptide predict`: files, folders and globs in; a table, JSON and CSV out."""

import glob
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cliptide.app.evaluation.predictions import VideoPrediction, write_predictions
from cliptide.app.inference.recognise import FailedVideo, Prediction, load
from cliptide.app.inference.terminal import log, track, warn
from cliptide.app.results import percent
from cliptide.configs.errors import InputError
from cliptide.datasets.catalog import find_videos
from cliptide.datasets.loaders import worker_count

SHOWN_CLASSES = 3


def expand_sources(sources: Sequence[str]) -> list[str]:
    """Turn files, folders (with all below them) and globs into files, each once, in order.

    Raises:
        InputError: A folder holds no video, or a glob matches nothing.
    """
    found: list[str] = []
    for source in sources:
        if Path(source).is_dir():
            videos = [str(path) for path in find_videos(source)]
            if not videos:
                raise InputError(
                    f"The folder {source} holds no videos. Give one that does, or a file."
                )
            found += videos
        elif glob.has_magic(source) and not Path(source).exists():
            matches = sorted(
                path
                for path in glob.iglob(source, recursive=True)  # noqa: PTH207 - absolute patterns too
                if Path(path).is_file()
            )
            if not matches:
                raise InputError(
                    f"The pattern {source} matches no file. Check it; ** goes into folders."
                )
            found += matches
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def predict_sources(
    model: str,
    sources: Sequence[str],
    *,
    json_to: str | None = None,
    csv_to: Path | None = None,
    clips: int = 3,
    workers: int | str = "auto",
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Predict and write; an unreadable video costs only itself.

    Returns:
        The exit code: 1 when a video could not be read, after all others are done.

    Raises:
        InputError: Model, sources or an output file are wrong.
    """
    files = [Path(path) for path in (json_to, csv_to) if path is not None and str(path) != "-"]
    for path in files:
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists. Give another name, or --overwrite to replace it.")
        if not path.parent.is_dir():
            raise InputError(f"The folder {path.parent} is not there. Make it, or write elsewhere.")
    if clips < 1:
        raise InputError(f"eval.clips is {clips}. Use 1 or more.")
    videos = expand_sources(sources)
    recognizer = load(model, device=device)
    results: list[Prediction | FailedVideo] = []
    predictions = recognizer.predict_many(
        videos, clips=clips, workers=worker_count(workers, num_samples=len(videos))
    )
    for result in track(predictions, total=len(videos), what="Predicting", unit="videos"):
        results.append(result)
    if csv_to is not None:
        write_predictions(csv_to, [_row(result) for result in results], recognizer.class_names)
    if json_to is not None:
        text = json.dumps([result.to_json() for result in results], indent=2, ensure_ascii=False)
        if json_to == "-":
            print(text)
        else:
            Path(json_to).write_text(text + "\n", encoding="utf-8")
    if json_to != "-":
        Console(highlight=False).print(_table(results))
    for path in files:
        log(f"Written: {path}")
    failed = [result for result in results if isinstance(result, FailedVideo)]
    for failure in failed:
        warn(f"Not read: {failure.error}")
    if failed:
        print(
            f"cliptide: {len(failed)} of {len(results)} videos could not be read.", file=sys.stderr
        )
    return 1 if failed else 0


def _row(result: Prediction | FailedVideo) -> VideoPrediction:
    if isinstance(result, FailedVideo):
        return VideoPrediction(result.video, None, None, (), 0, error=result.error)
    return VideoPrediction(
        result.video, None, result.label, tuple(result.scores.values()), result.frames_used
    )


def _table(results: Sequence[Prediction | FailedVideo]) -> Table:
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("label")
    table.add_column("score", justify="right")
    table.add_column("next", style="dim")
    table.add_column("seconds", justify="right")
    for result in results:
        if isinstance(result, FailedVideo):
            table.add_row(result.video, "could not be read", style="yellow")
            continue
        others = ", ".join(f"{name} {percent(p)}" for name, p in result.top(SHOWN_CLASSES)[1:])
        table.add_row(
            result.video, result.label, percent(result.score), others, f"{result.duration_s:.1f}"
        )
    return table
