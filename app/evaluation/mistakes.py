"""The mistakes worth looking at first, and the classes most often confused."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cliptide.app.evaluation.predictions import (
    VideoPrediction,
    is_labelled,
    most_confident_mistakes,
)
from cliptide.app.evaluation.report.stored import ConfusedPair, Strip
from cliptide.app.evaluation.strips import Curves, film_strip
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import track
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import encode_label, numbers_in
from cliptide.datasets.records import SampleRecord

SHOWN_MISTAKES = 8
SHOWN_PAIRS = 5


def worst(
    rows: Sequence[VideoPrediction], *, class_names: Sequence[str], task: Task, limit: int
) -> list[tuple[VideoPrediction, int]]:
    """Choose the predictions that are furthest from the truth.

    Args:
        rows: Any predictions; failed ones and those without a true label are passed over.
        class_names: In the order of the scores.
        task: What was predicted.
        limit: How many to give at most.

    Returns:
        Predictions and the output that is to blame. For a single label the most confident wrong
        ones and what they said; for several labels those with the largest difference between a
        score and the truth among those that are not all right; for numbers those with the
        largest error, in units of each target's spread.
    """
    if task == "single":
        index = {name: place for place, name in enumerate(class_names)}
        wrong = most_confident_mistakes(rows, limit=limit)
        return [(row, index[str(row.predicted)]) for row in wrong]
    known = [row for row in rows if not row.failed and is_labelled(row, task)]
    if not known:
        return []
    said = np.array([row.scores for row in known], dtype=np.float64)
    true = _truth(known, class_names=class_names, task=task)
    errors = np.abs(said - true)
    candidates = list(range(len(known)))
    if task == "regression":
        spread = true.std(axis=0)
        errors = errors / np.where(spread > 0, spread, 1.0)
    else:
        candidates = [place for place, row in enumerate(known) if not row.correct]
    ranked = sorted(candidates, key=lambda place: -errors[place].max())
    return [(known[place], int(errors[place].argmax())) for place in ranked[:limit]]


def _truth(
    rows: Sequence[VideoPrediction], *, class_names: Sequence[str], task: Task
) -> NDArray[np.float64]:
    """(N, K) what the scores should be."""
    if task == "regression":
        return np.array([numbers_in(str(row.true)) for row in rows], dtype=np.float64)
    index = {name: place for place, name in enumerate(class_names)}
    return np.array([encode_label(str(row.true), task=task, class_index=index) for row in rows])


def mistake_strips(
    recognizer: NetworkRecognizer,
    rows: Sequence[VideoPrediction],
    records: Sequence[SampleRecord],
) -> tuple[Strip, ...]:
    """Read frames of the worst mistakes, and find what drove the answers.

    Args:
        recognizer: The model that made them.
        rows: Predictions.
        records: Their clips.
    """
    by_name = {record.name: record for record in records}
    names, task = recognizer.class_names, recognizer.task
    shown = worst(rows, class_names=names, task=task, limit=SHOWN_MISTAKES)
    strips = []
    unit = Nouns.of_streams(recognizer.info.streams).samples
    for row, output in track(shown, total=len(shown), what="Explaining mistakes", unit=unit):
        curves = _curves(row, output, class_names=names, task=task)
        strip = film_strip(
            recognizer,
            by_name[row.video],
            explain_output=output,
            curves=curves,
        )
        if strip is not None:
            strips.append(strip)
    return tuple(strips)


def pooled_strips(
    rows: Sequence[VideoPrediction],
    strips: Sequence[Strip],
    *,
    class_names: Sequence[str],
    task: Task,
) -> tuple[Strip, ...]:
    """Choose the worst mistakes among those that several evaluations show."""
    by_name = {strip.video: strip for strip in strips}
    candidates = [row for row in rows if row.video in by_name]
    shown = worst(candidates, class_names=class_names, task=task, limit=SHOWN_MISTAKES)
    return tuple(by_name[row.video] for row, _ in shown)


def pooled_pairs(
    rows: Sequence[VideoPrediction], pairs: Sequence[ConfusedPair]
) -> tuple[ConfusedPair, ...]:
    """Choose the most confused of all classes among the pairs that several evaluations show."""
    known = {(pair.true, pair.predicted): pair for pair in reversed(pairs)}
    ranked = [known[both] for both in _most_confused(rows) if both in known]
    return tuple(ranked[:SHOWN_PAIRS])


def _most_confused(rows: Sequence[VideoPrediction]) -> list[tuple[str, str]]:
    """(true, predicted) of wrong answers, the most frequent first."""
    wrong = [row for row in rows if row.true and not row.failed and not row.correct]
    counts = Counter((str(row.true), str(row.predicted)) for row in wrong)
    return sorted(counts, key=lambda both: (-counts[both], both))


def _curves(row: VideoPrediction, output: int, *, class_names: Sequence[str], task: Task) -> Curves:
    if task == "single" and row.true in class_names:
        true = list(class_names).index(str(row.true))
        return lambda over_time: (over_time[:, output], over_time[:, true])
    wanted = 0.0  # a class that the model does not know has no score
    if task != "single":
        wanted = float(_truth([row], class_names=class_names, task=task)[0, output])
    return lambda over_time: (over_time[:, output], np.full(len(over_time), wanted))


def confused_pairs(
    recognizer: NetworkRecognizer,
    rows: Sequence[VideoPrediction],
    records: Sequence[SampleRecord],
) -> tuple[ConfusedPair, ...]:
    """Find the pairs of classes most often confused, with a video of each."""
    if recognizer.task != "single":
        return ()
    by_name = {record.name: record for record in records}
    pairs = []
    for true, predicted in _most_confused(rows)[:SHOWN_PAIRS]:
        taken = [row for row in rows if (row.true, row.predicted) == (true, predicted)]
        really = [row for row in rows if row.true == predicted and not row.failed]
        # The surest of each; where one of the other class was recognised, that one.
        examples = [max(taken, key=_surety)]
        if really:
            examples.append(max(really, key=lambda row: (row.correct, _surety(row))))
        strips = [film_strip(recognizer, by_name[row.video]) for row in examples]
        pairs.append(ConfusedPair(true, predicted, tuple(s for s in strips if s is not None)))
    return tuple(pairs)


def _surety(row: VideoPrediction) -> float:
    return row.score or 0.0
