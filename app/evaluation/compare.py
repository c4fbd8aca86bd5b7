"""Evaluated runs compared on the videos that they have in common; the first is the reference.

A gain is how much better a run is than the reference: its top-1 or mAP minus the reference's,
or the reference's mean absolute error minus its own. Above 0 is better, whatever the task.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.compare_words import notes_on, verdict_words, warnings_on
from cliptide.app.evaluation.figures.bootstrap import (
    Unit,
    interval_of_map_difference,
    interval_of_mean,
    num_groups,
    over_groups,
    units_of,
)
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.figures.paired import (
    PairedTest,
    holm,
    mcnemar,
    wilcoxon,
)
from cliptide.app.evaluation.matching import EvaluatedRun, Matched, match, nouns_of
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import names_in, numbers_in

# Of each task: the keys of the figures and what they are called; the first is what gains are in.
FIGURES: dict[Task, dict[str, str]] = {
    "single": {
        "top1": "top-1",
        "top5": "top-5",
        "macro_f1": "macro F1",
        "balanced_accuracy": "balanced accuracy",
        "ece": "calibration error",
    },
    "multi": {"map": "mAP", "micro_f1": "micro F1", "macro_f1": "macro F1"},
    "regression": {"mae": "mean absolute error", "rmse": "root mean squared error", "r2": "R2"},
}
# Of each task: where the figures of a class stand, and which of them is compared.
_OF_A_CLASS: dict[Task, tuple[str, str]] = {
    "single": ("per_class", "recall"),
    "multi": ("per_class", "ap"),
    "regression": ("per_target", "mae"),
}
# Of each task: what its outputs are called, one of them, and the figure of it that is compared.
CLASS_WORDS: dict[Task, tuple[str, str, str]] = {
    "single": ("classes", "class", "recall"),
    "multi": ("labels", "label", "average precision"),
    "regression": ("targets", "target", "mean absolute error"),
}
SIGNIFICANT = 0.05

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "none", "unclear"]


@dataclass(frozen=True)
class RunFigures:
    """One run on the common videos.

    Attributes:
        name: The run.
        figures: By the keys of `FIGURES`; None where undefined.
        ci95: 95 % interval of the first figure.
        num_videos: All its videos.
        num_beyond: Those of them that some other run lacks.
    """

    name: str
    figures: Mapping[str, float | None]
    ci95: tuple[float, float] | None
    num_videos: int
    num_beyond: int


@dataclass(frozen=True)
class Difference:
    """One run against the reference.

    Attributes:
        name: The run.
        gain: How much better it is; below 0 it is worse. None where the figure is undefined.
        ci95: Paired 95 % bootstrap interval of the gain.
        test: Its paired test.
        p: The test's p-value after Holm's correction over all the runs compared.
        verdict: `better` and `worse` where interval and test both say so, `none` where neither
            does, `unclear` where they disagree.
        words: The verdict as a sentence.
    """

    name: str
    gain: float | None
    ci95: tuple[float, float] | None
    test: PairedTest
    p: float
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Answer:
    """What one run said of a video.

    Attributes:
        predicted: The class, the labels or the numbers.
        score: Of the likeliest class or label; None for numbers.
        right: Whether all of it is right; None for numbers.
        error: The mean absolute error over the targets; None for other tasks.
    """

    predicted: str
    score: float | None
    right: bool | None
    error: float | None


@dataclass(frozen=True)
class VideoDifference:
    """A video on which the runs differ.

    Attributes:
        video: Its name.
        true: Its true label.
        group: Its group; may be empty.
        answers: One a run.
        gap: How far the runs are apart: in the score of the true class, in the mean error of the
            labels' scores, or in the absolute error.
    """

    video: str
    true: str
    group: str
    answers: tuple[Answer, ...]
    gap: float


@dataclass(frozen=True)
class ClassDifference:
    """A class, label or target in each run.

    Attributes:
        name: The class.
        num_videos: Common videos that have it.
        figures: Its recall, average precision or mean absolute error in each run.
        gains: How much better each run but the first is; None where undefined.
    """

    name: str
    num_videos: int
    figures: tuple[float | None, ...]
    gains: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs side by side.

    Attributes:
        task: What was predicted.
        runs: Each run, the reference first.
        num_common: Videos that every run scored: all figures are over them.
        num_unscored: Common by name, but not read or not labelled in some run.
        ci95_over: What the bootstrap drew, `groups` or `clips`.
        num_groups: Known groups among the common videos.
        differences: Each run but the first against the first.
        videos: Those right in one run and wrong in another (of numbers: all whose errors
            differ), the farthest apart first.
        classes: Every class with a common video, the one that differs most first.
        warnings: Why the comparison may not be fair.
        notes: What else one must know.
        nouns: What the samples are called.
    """

    task: Task
    runs: tuple[RunFigures, ...]
    num_common: int
    num_unscored: int
    ci95_over: str
    num_groups: int
    differences: tuple[Difference, ...]
    videos: tuple[VideoDifference, ...]
    classes: tuple[ClassDifference, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    nouns: Nouns


def compare_runs(runs: Sequence[EvaluatedRun], *, seed: int = 0) -> Comparison:
    """Compare runs on the videos that all of them scored.

    Args:
        runs: Two or more; the first is the reference.
        seed: Of the bootstrap.

    Raises:
        DataError: They cannot be compared; see `match`.
    """
    matched = match(runs)
    first, nouns = runs[0], nouns_of(runs)
    units = units_of(matched.groups)
    all_metrics = [
        compute_metrics(rows, first.class_names, split=first.split, seed=seed, task=first.task)
        for rows in matched.runs
    ]
    figures = [
        _figures(run, rows, metrics, num_beyond=len(run.rows) - matched.num_named)
        for run, rows, metrics in zip(runs, matched.runs, all_metrics, strict=True)
    ]
    num_common = len(matched.groups)
    over = "groups" if over_groups(matched.groups) else "clips"
    return Comparison(
        task=first.task,
        runs=tuple(figures),
        num_common=num_common,
        num_unscored=matched.num_named - num_common,
        ci95_over=over,
        num_groups=num_groups(matched.groups),
        differences=_differences(runs, matched, figures, units, nouns, seed=seed),
        videos=_video_differences(matched, first),
        classes=_class_differences(first, all_metrics, num_common=num_common),
        warnings=tuple(warnings_on(runs, nouns)),
        notes=tuple(
            notes_on(runs, matched, nouns, over=over, num_groups=num_groups(matched.groups))
        ),
        nouns=nouns,
    )


def _figures(
    run: EvaluatedRun,
    rows: Sequence[VideoPrediction],
    metrics: Mapping[str, Any],
    *,
    num_beyond: int,
) -> RunFigures:
    values = {key: metrics[key] for key in FIGURES[run.task] if key != "ece"}
    if run.task == "single":
        values["ece"] = (metrics["calibration"] or {}).get("ece")
    interval = metrics["ci95"]
    ci95 = None if interval is None else (interval[0], interval[1])
    return RunFigures(run.name, values, ci95, len(run.rows), num_beyond)


def _right(rows: Sequence[VideoPrediction], task: Task) -> npt.NDArray[np.bool_]:
    """(N), whether the class is right, or every label."""
    if task == "multi":
        right = [set(names_in(str(r.true))) == set(names_in(str(r.predicted))) for r in rows]
    else:
        right = [row.correct for row in rows]
    return np.array(right, dtype=bool)


def _errors(rows: Sequence[VideoPrediction]) -> Floats:
    """(N), the mean absolute error over the targets."""
    true = np.array([numbers_in(str(row.true)) for row in rows], dtype=np.float64)
    said = np.array([row.scores for row in rows], dtype=np.float64)
    errors: Floats = np.abs(true - said).mean(axis=1)
    return errors


def _labels(rows: Sequence[VideoPrediction], class_names: Sequence[str]) -> npt.NDArray[np.bool_]:
    has = [set(names_in(str(row.true))) for row in rows]
    return np.array([[name in names for name in class_names] for names in has], dtype=bool)


def _scores(rows: Sequence[VideoPrediction]) -> Floats:
    return np.array([row.scores for row in rows], dtype=np.float64)


def _differences(
    runs: Sequence[EvaluatedRun],
    matched: Matched,
    figures: Sequence[RunFigures],
    units: Sequence[Unit],
    nouns: Nouns,
    *,
    seed: int,
) -> tuple[Difference, ...]:
    first, task = runs[0], runs[0].task
    tests, intervals = [], []
    reference = matched.runs[0]
    for rows in matched.runs[1:]:
        if task == "regression":
            before, after = _errors(reference), _errors(rows)
            tests.append(wilcoxon(before, after))
            interval = interval_of_mean(before - after, units, seed=seed)
        else:
            was, now = _right(reference, task), _right(rows, task)
            tests.append(mcnemar(was, now))
            gains = now.astype(np.float64) - was
            interval = interval_of_mean(gains, units, seed=seed)
        if task == "multi":
            true = _labels(reference, first.class_names)
            interval = interval_of_map_difference(
                true, _scores(reference), _scores(rows), units, seed=seed
            )
        intervals.append(None if interval is None else (interval[0], interval[1]))
    main = next(iter(FIGURES[task]))
    differences = []
    corrected = holm([test.p for test in tests])
    for run, test, ci95, p in zip(figures[1:], tests, intervals, corrected, strict=True):
        gain = gain_of(figures[0].figures[main], run.figures[main], task)
        verdict = _verdict(ci95, test, p)
        words = verdict_words(
            verdict,
            run.name,
            first.name,
            task=task,
            gain=gain,
            ci95=ci95,
            test=test,
            p=p,
            corrected=len(tests) > 1,
            nouns=nouns,
        )
        differences.append(Difference(run.name, gain, ci95, test, p, verdict, words))
    return tuple(differences)


def gain_of(before: float | None, after: float | None, task: Task) -> float | None:
    """How much better `after` is than `before`: less where the figure is an error."""
    if before is None or after is None:
        return None
    return before - after if task == "regression" else after - before


def _verdict(ci95: tuple[float, float] | None, test: PairedTest, p: float) -> Verdict:
    by_interval = 0 if ci95 is None else int(ci95[0] > 0) - int(ci95[1] < 0)
    by_test = test.direction if p < SIGNIFICANT else 0
    if by_interval == by_test:
        return "better" if by_test > 0 else "worse" if by_test < 0 else "none"
    return "unclear"


def _video_differences(matched: Matched, first: EvaluatedRun) -> tuple[VideoDifference, ...]:
    task = first.task
    place = {name: number for number, name in enumerate(first.class_names)}
    if task == "regression":
        marks = np.stack([_errors(rows) for rows in matched.runs])
        closeness = marks
    else:
        marks = np.stack([_right(rows, task) for rows in matched.runs]).astype(np.float64)
        closeness = np.stack([_closeness(rows, place, task) for rows in matched.runs])
    differing = np.flatnonzero(np.ptp(marks, axis=0) > 0)
    gaps = np.ptp(closeness, axis=0)
    found = []
    for number in sorted(differing.tolist(), key=lambda number: -gaps[number]):
        rows = [run[number] for run in matched.runs]
        answers = tuple(
            Answer(str(row.predicted), None, None, float(mark))
            if task == "regression"
            else Answer(str(row.predicted), row.score, bool(mark), None)
            for row, mark in zip(rows, marks[:, number], strict=True)
        )
        group, true = matched.groups[number], str(rows[0].true)
        found.append(VideoDifference(rows[0].video, true, group, answers, float(gaps[number])))
    return tuple(found)


def _closeness(
    rows: Sequence[VideoPrediction], place: Mapping[str, int], task: Task
) -> npt.NDArray[np.float64]:
    """(N), the score of the true class, or 1 minus the mean error of the labels' scores."""
    if task == "single":
        return np.array([row.scores[place[str(row.true)]] for row in rows], dtype=np.float64)
    away: Floats = np.abs(_labels(rows, list(place)) - _scores(rows)).mean(axis=1)
    return 1 - away


def _class_differences(
    first: EvaluatedRun, all_metrics: Sequence[Mapping[str, Any]], *, num_common: int
) -> tuple[ClassDifference, ...]:
    table, key = _OF_A_CLASS[first.task]
    found = []
    for name in first.class_names:
        entries = [metrics[table][name] for metrics in all_metrics]
        num_videos = entries[0].get("support", num_common)
        if not num_videos:
            continue
        figures = tuple(entry[key] for entry in entries)
        gains = tuple(gain_of(figures[0], figure, first.task) for figure in figures[1:])
        found.append(ClassDifference(name, num_videos, figures, gains))
    return tuple(sorted(found, key=lambda one: -max(abs(gain or 0.0) for gain in one.gains)))
