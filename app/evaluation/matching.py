"""Evaluated runs laid side by side: the videos that all of them scored, each under its name."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cliptide.app.evaluation.predictions import VideoPrediction, is_labelled
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.errors import DataError
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import classes_of, names_in, numbers_in

_MOST_NAMES = 5


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun:
    """What the folder of an evaluated run says.

    Attributes:
        name: What the run is called beside the others.
        folder: Where it lies.
        task: What was predicted.
        class_names: The model's classes, labels or targets, in the order of the scores.
        rows: One prediction a video, failed ones included.
        split: What was scored: `test`, `val`, `train` or `all`.
        fingerprints: Of its split, one for each fold; empty where it is not known.
        num_torn: Groups that stand in both its training and its test data.
        num_copies: Test clips that are copies of clips it was trained or chosen with.
        same_split: Whether it is the split of the model's own training, as far as is known.
        changed: Whether its predictions were edited after the evaluation.
        nouns: What its samples are called.
    """

    name: str
    folder: Path
    task: Task
    class_names: tuple[str, ...]
    rows: tuple[VideoPrediction, ...]
    split: str = "test"
    fingerprints: tuple[str, ...] = ()
    num_torn: int = 0
    num_copies: int = 0
    same_split: bool = True
    changed: bool = False
    nouns: Nouns = field(default_factory=Nouns)


@dataclass(frozen=True)
class Matched:
    """The same N videos in the same order in every run.

    Attributes:
        runs: For each run its N rows, their scores in the order of the first run's classes.
        groups: (N) the group of each video; empty where no run knows it.
        num_named: Videos whose name stands in every run, whether scored or not.
    """

    runs: tuple[tuple[VideoPrediction, ...], ...]
    groups: tuple[str, ...]
    num_named: int


def nouns_of(runs: Sequence[EvaluatedRun]) -> Nouns:
    """What the samples of all runs are called: samples, where they are of several kinds."""
    found = {run.nouns.sample for run in runs}
    return runs[0].nouns if len(found) == 1 else Nouns("sample")


def match(runs: Sequence[EvaluatedRun]) -> Matched:
    """Find the videos that every run scored.

    Args:
        runs: Two or more, of one task and with the same classes in any order.

    Raises:
        DataError: Tasks, classes or the true labels of a video differ, a run has a video twice,
            or no video was scored by all.
    """
    first, nouns = runs[0], nouns_of(runs)
    for other in runs[1:]:
        _refuse_other_task(first, other)
        _refuse_other_classes(first, other)
    tables = [_by_name(run) for run in runs]
    names = [name for name in tables[0] if all(name in table for table in tables)]
    if not names:
        raise DataError(
            f"{_listed([run.name for run in runs])} have no {nouns.sample} in common: "
            f"{first.name} scored {_example(first)}, {runs[1].name} {_example(runs[1])}. "
            f"{nouns.samples.capitalize()} are matched by name: evaluate the models on the "
            "same data, by the same path."
        )
    _refuse_other_labels(runs, tables, names)
    known = set(first.class_names)
    scored = [
        name
        for name in names
        if all(_is_scored(table[name], first.task, known) for table in tables)
    ]
    if not scored:
        raise DataError(
            f"{_listed([run.name for run in runs])} have {nouns.counted(len(names))} in common, "
            "but none that all of them could read and that has a true label. Evaluate them on "
            f"readable, labelled {nouns.samples}."
        )
    return Matched(
        runs=tuple(
            tuple(_ordered(table[name], run.class_names, first.class_names) for name in scored)
            for run, table in zip(runs, tables, strict=True)
        ),
        groups=tuple(
            next((table[name].group for table in tables if table[name].group), "")
            for name in scored
        ),
        num_named=len(names),
    )


def _refuse_other_task(first: EvaluatedRun, other: EvaluatedRun) -> None:
    if other.task != first.task:
        raise DataError(
            f"{first.name} is of task {first.task!r}, {other.name} of {other.task!r}. Compare "
            "runs of one task."
        )


def _refuse_other_classes(first: EvaluatedRun, other: EvaluatedRun) -> None:
    missing = [name for name in first.class_names if name not in other.class_names]
    new = [name for name in other.class_names if name not in first.class_names]
    if missing or new:
        parts = [f"lacks {_listed(missing)}"] if missing else []
        parts += [f"has {_listed(new)} more"] if new else []
        what = "targets" if first.task == "regression" else "classes"
        raise DataError(
            f"{other.name} has other {what} than {first.name}: it {' and '.join(parts)}. Compare "
            f"runs with the same {what}."
        )


def _by_name(run: EvaluatedRun) -> Mapping[str, VideoPrediction]:
    name, count = Counter(row.video for row in run.rows).most_common(1)[0] if run.rows else ("", 0)
    if count > 1:
        raise DataError(
            f"{run.name} scored the {run.nouns.sample} {name!r} {count} times, so it cannot be "
            f"matched by name. Compare runs that score each {run.nouns.sample} once, such as the "
            "fold-1 of a cross-validation."
        )
    return {row.video: row for row in run.rows}


def _refuse_other_labels(
    runs: Sequence[EvaluatedRun],
    tables: Sequence[Mapping[str, VideoPrediction]],
    names: Sequence[str],
) -> None:
    task = runs[0].task
    for name in names:
        labelled = [
            (run, table[name])
            for run, table in zip(runs, tables, strict=True)
            if is_labelled(table[name], task)
        ]
        for run, row in labelled[1:]:
            before, one = labelled[0]
            if _meaning(row, task) != _meaning(one, task):
                raise DataError(
                    f"The true label of {name!r} is {one.true!r} in {before.name} but {row.true!r} "
                    f"in {run.name}. Evaluate both models on the same data."
                )


def _meaning(row: VideoPrediction, task: Task) -> object:
    label = str(row.true)
    if task == "regression":
        return numbers_in(label)
    return frozenset(names_in(label)) if task == "multi" else label


def _is_scored(row: VideoPrediction, task: Task, known: set[str]) -> bool:
    return (
        not row.failed
        and is_labelled(row, task)
        and known.issuperset(classes_of(str(row.true), task))
    )


def _ordered(
    row: VideoPrediction, names: tuple[str, ...], wanted: tuple[str, ...]
) -> VideoPrediction:
    if names == wanted:
        return row
    scores = dict(zip(names, row.scores, strict=True))
    return replace(row, scores=tuple(scores[name] for name in wanted))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(repr(name) for name in names[:_MOST_NAMES]) + more


def _example(run: EvaluatedRun) -> str:
    return f"such as {run.rows[0].video!r}" if run.rows else "none"
