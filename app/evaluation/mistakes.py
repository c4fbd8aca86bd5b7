"""The mistakes worth looking at first, and frames of them."""

from collections.abc import Sequence

import numpy as np

from cliptide.app.evaluation.predictions import (
    VideoPrediction,
    is_labelled,
    most_confident_mistakes,
)
from cliptide.app.evaluation.report.page import STRIP_HEIGHT, Mistake
from cliptide.app.inference.terminal import warn
from cliptide.configs.errors import VideoError
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import encode_label, numbers_in
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import segment_bounds, uniform_indices
from cliptide.datasets.video import open_video

SHOWN_MISTAKES = 8
STRIP_FRAMES = 6


def worst(
    rows: Sequence[VideoPrediction], *, class_names: Sequence[str], task: Task, limit: int
) -> list[VideoPrediction]:
    """Choose the predictions that are furthest from the truth.

    Args:
        rows: Any predictions; failed ones and those without a true label are passed over.
        class_names: In the order of the scores.
        task: What was predicted.
        limit: How many to give at most.

    Returns:
        For a single label the most confident wrong ones; for several labels those with the
        largest difference between a score and the truth among those that are not all right; for
        numbers those with the largest error, in units of each target's spread.
    """
    if task == "single":
        return most_confident_mistakes(rows, limit=limit)
    known = [row for row in rows if not row.failed and is_labelled(row, task)]
    if not known:
        return []
    said = np.array([row.scores for row in known], dtype=np.float64)
    if task == "regression":
        true = np.array([numbers_in(str(row.true)) for row in known], dtype=np.float64)
        spread = true.std(axis=0)
        errors = (np.abs(said - true) / np.where(spread > 0, spread, 1.0)).max(axis=1)
        candidates = list(range(len(known)))
    else:
        index = {name: place for place, name in enumerate(class_names)}
        true = np.array(
            [encode_label(str(row.true), task=task, class_index=index) for row in known]
        )
        errors = np.abs(said - true).max(axis=1)
        candidates = [place for place, row in enumerate(known) if not row.correct]
    return [known[place] for place in sorted(candidates, key=lambda p: -errors[p])[:limit]]


def film_strips(
    rows: Sequence[VideoPrediction],
    records: Sequence[SampleRecord],
    *,
    class_names: Sequence[str],
    task: Task,
) -> list[Mistake]:
    """Read a few frames of the worst mistakes.

    Args:
        rows: Predictions.
        records: Their clips.
        class_names: In the order of the scores.
        task: What was predicted.
    """
    by_name = {record.name: record for record in records}
    strips = []
    for row in worst(rows, class_names=class_names, task=task, limit=SHOWN_MISTAKES):
        record = by_name[row.video]
        try:
            with open_video(record.source) as video:
                first, last = segment_bounds(
                    video.pts_s, start_s=record.start_s, end_s=record.end_s, name=record.name
                )
                indices = uniform_indices(num_frames=last - first, clip_frames=STRIP_FRAMES)
                size = (STRIP_HEIGHT, max(2, round(STRIP_HEIGHT * video.width / video.height)))
                frames = video.frames_at([first + i for i in indices], size=size)
        except VideoError as error:  # it could be read a moment ago
            warn(f"No film strip of {row.video}: {error}")
            continue
        strips.append(Mistake(row, frames))
    return strips
