"""`cliptide compare`: from the folders of evaluated runs to a page and a CSV file."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cliptide.app.evaluation.compare import Comparison, compare_runs
from cliptide.app.evaluation.matching import EvaluatedRun
from cliptide.app.evaluation.metrics_file import read_metrics
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.app.evaluation.report.folder import file_sha256
from cliptide.app.evaluation.run_folder import COMPARISON_FILES, claim_run_folder
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.checks import nearest
from cliptide.configs.errors import DataError, InputError
from cliptide.configs.schema import RunConfig


@dataclass(frozen=True)
class ComparedRuns:
    """What a comparison found, and where it lies.

    Attributes:
        comparison: The figures.
        out: The folder with compare.html and differences.csv.
    """

    comparison: Comparison
    out: Path

    @property
    def page(self) -> Path:
        """The page's file."""
        return self.out / "compare.html"

    @property
    def table(self) -> Path:
        """The CSV file of the videos on which the runs differ."""
        return self.out / "differences.csv"


def compare(
    runs: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> ComparedRuns:
    """Compare evaluated runs on the videos that they have in common, and write a page.

    Args:
        runs: Folders with metrics.json and predictions.csv; the first is the reference.
        out: Folder to write to; `runs/compare-<n>` by default.
        overwrite: Whether an earlier comparison in `out` may be replaced.
        seed: Of the bootstrap.

    Raises:
        InputError: A folder is no evaluated run, the runs cannot be compared, or `out` cannot be
            written to.
    """
    from cliptide.app.evaluation.report.compare_page import write_page

    RunConfig(seed=seed)  # checks it
    read = read_runs([Path(run) for run in runs])
    comparison = compare_runs(read, seed=seed)
    folder = claim_run_folder(
        "compare",
        out=None if out is None else Path(out),
        overwrite=overwrite,
        training=False,
        replaces=COMPARISON_FILES,
    )
    compared = ComparedRuns(comparison, folder)
    write_differences(compared.table, comparison)
    write_page(compared.page, comparison, folders=[run.folder for run in read])
    return compared


def read_runs(folders: Sequence[Path]) -> list[EvaluatedRun]:
    """Read the folders of two or more runs, each under its shortest distinguishing name.

    Raises:
        InputError: There are fewer than two, one is there twice, or one is no evaluated run.
    """
    if len(folders) < 2:
        given = f": {folders[0]}" if folders else ""
        raise InputError(
            f"Only {len(folders)} RUN was given{given}. Name two or more: cliptide compare RUN RUN"
        )
    seen: dict[Path, Path] = {}
    for folder in folders:
        _require_folder(folder)
        before = seen.setdefault(folder.resolve(), folder)
        if before is not folder:
            raise InputError(
                f"{before} and {folder} are one RUN. Name each folder once."
                if before != folder
                else f"The RUN {folder} was given twice. Name each folder once."
            )
    names = short_names(list(seen))
    return [
        replace(read_run(folder), name=name) for folder, name in zip(folders, names, strict=True)
    ]


def short_names(folders: Sequence[Path]) -> list[str]:
    """For each folder as few of its last parts as no other folder ends with."""
    names = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        parts = folder.parts
        count = next(
            (n for n in range(1, len(parts)) if all(o[-n:] != parts[-n:] for o in others)),
            len(parts),
        )
        names.append("/".join(parts[-count:]))
    return names


def _require_folder(folder: Path) -> None:
    if folder.is_file():
        raise InputError(f"{folder} is a file. Give the folder of the run: {folder.parent}")
    if not folder.is_dir():
        there = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        near = [str(folder.parent / name) for name in nearest(folder.name, there)]
        mend = f"Nearest: {', '.join(near)}." if near else "Give the folder of an evaluated run."
        raise InputError(f"There is no folder {folder}. {mend}")
    missing = [
        name for name in ("metrics.json", "predictions.csv") if not (folder / name).is_file()
    ]
    if missing:
        runs = sorted(path.parent.name for path in folder.glob("*/metrics.json"))
        mend = (
            f"Give a run inside it, such as {folder / runs[0]}."
            if runs
            else "Give a folder that cliptide train or evaluate wrote."
        )
        raise InputError(f"{folder} is no evaluated run: it lacks {' and '.join(missing)}. {mend}")


def read_run(folder: Path) -> EvaluatedRun:
    """Read metrics.json and predictions.csv of a run, which is called after its folder.

    Raises:
        DataError: One of them cannot be read or is damaged.
    """
    metrics = read_metrics(folder / "metrics.json")
    task = metrics["task"]
    path = folder / "predictions.csv"
    try:
        rows, class_names = read_predictions(path, task=task)
    except UnicodeError as error:
        raise _damaged(path, str(error)) from error
    if not rows:
        raise _damaged(path, f"it holds no {Nouns.of_metrics(metrics).sample}")
    fingerprints = metrics.get("folds", {}).get("split_fingerprints")
    fingerprints = [metrics.get("split_fingerprint")] if fingerprints is None else fingerprints
    return EvaluatedRun(
        name=folder.resolve().name,
        folder=folder,
        task=task,
        class_names=tuple(class_names),
        rows=tuple(rows),
        split=str(metrics.get("split", "test")),
        fingerprints=tuple(str(one) for one in fingerprints if one),
        num_torn=int(metrics.get("torn_groups") or 0),
        num_copies=int(metrics.get("copies") or 0),
        same_split=metrics.get("same_split") is not False,
        nouns=Nouns.of_metrics(metrics),
        changed=metrics.get("predictions_sha256") not in (None, file_sha256(path)),
    )


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path} is damaged: {why}. Evaluate again to write the file anew.")


def write_differences(path: Path, comparison: Comparison) -> None:
    """Write a line for each video on which the runs differ.

    Args:
        path: The file: `video,true,group`, and of each run `<run>: predicted`, and `score` and
            `right`, or the `error` of numbers.
        comparison: What was found.
    """
    regression = comparison.task == "regression"
    columns = ("predicted", "error") if regression else ("predicted", "score", "right")
    # File names need not be UTF-8: surrogateescape writes the bytes they had back again.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        heads = [f"{run.name}: {column}" for run in comparison.runs for column in columns]
        writer.writerow(["video", "true", "group", *heads])
        for video in comparison.videos:
            cells: list[str] = []
            for answer in video.answers:
                cells.append(answer.predicted)
                if regression:
                    cells.append(f"{answer.error:.6g}")
                else:
                    cells += [f"{answer.score:.6g}", "yes" if answer.right else "no"]
            writer.writerow([video.video, video.true, video.group, *cells])
