"""The figures of an evaluation, from the predictions alone.

Every figure is over the scored videos: those that could be read and whose true label the model
has an output for. All others are counted (`num_failed`, `num_unlabelled`, `unknown_labels`),
so that `num_videos` is always the sum of everything. A figure that is undefined is None, never
a NaN and never a 0 that nobody measured.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cliptide.app.evaluation.clip_facts import ClipFacts
from cliptide.app.evaluation.figures.bootstrap import num_groups, over_groups, units_of
from cliptide.app.evaluation.figures.multi_metrics import multi_metrics
from cliptide.app.evaluation.figures.order import compare_conditions
from cliptide.app.evaluation.figures.quality import QUALITIES, qualities
from cliptide.app.evaluation.figures.regression_metrics import regression_metrics
from cliptide.app.evaluation.figures.single_metrics import single_metrics
from cliptide.app.evaluation.figures.slices import group_figures, slice_figures
from cliptide.app.evaluation.predictions import VideoPrediction, is_labelled
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import classes_of

# What a model file keeps of a task's figures.
HEADLINES: dict[Task, tuple[str, ...]] = {
    "single": ("top1", "macro_f1", "ci95", "num_videos"),
    "multi": ("map", "macro_f1", "ci95", "num_videos"),
    "regression": ("mae", "r2", "ci95", "num_videos"),
}


def compute_metrics(
    rows: Sequence[VideoPrediction],
    class_names: Sequence[str],
    *,
    split: str,
    seed: int = 0,
    task: Task = "single",
    thresholds: Sequence[float] = (),
    clips: Sequence[ClipFacts] = (),
    temperature: float | None = None,
    nothing_below: float | None = None,
    nouns: Nouns | None = None,
) -> dict[str, Any]:
    """Compute what `metrics.json` holds.

    Args:
        rows: One prediction a video, failed ones included.
        class_names: The model's classes, labels or targets, in the order of the scores.
        split: Which split the videos are, for the record.
        seed: Of the bootstrap.
        task: What was predicted.
        thresholds: For multi, the score from which on each label is given; 0.5 when left out.
        clips: What the videos are like and what was answered under other conditions, found by
            the video's name; a video may have none.
        temperature: For single, with which the scores were calibrated; None for none.
        nothing_below: For single, the score below which validation says to answer nothing; None
            where it says none, and then these very videos suggest one.
        nouns: What the samples are called; videos when left out.

    Returns:
        A dictionary ready for JSON. For any task:

        - `task`, `split`, `num_videos` (all), `num_failed`, `num_unlabelled` (no true label),
          `unknown_labels` ({label: videos}, labels the model has no class for), `num_scored`.
        - `ci95_over`: `groups` where there are ten or more that hold several clips, else
          `clips`: what is drawn for the 95 % percentile bootstrap interval; `num_groups`.
        - `quality`: what the mean quality of some videos is called, `top1`, `f1` or `mae`; see
          `qualities`. The next three are in it.
        - `groups`: see `group_figures`; `slices`: see `slice_figures`.
        - `nouns`: see `Nouns`; `most_steps`: of a scored video; `missing_streams`: {stream: scored
          videos without it}, those alone that any lacks.
        - `order`, `above`, `streams` and more of `baselines`: see `compare_conditions`.

        For the rest see `single_metrics`, `multi_metrics` and `regression_metrics`.
        With no scored video at all, every figure is None and the counts are 0.

    Raises:
        ValueError: A row has not one score for each class.
    """
    for row in rows:
        if row.scores and len(row.scores) != len(class_names):
            raise ValueError(
                f"{row.video!r} has {len(row.scores)} scores for {len(class_names)} classes. "
                "Give one score for each class."
            )
    readable = [row for row in rows if not row.failed]
    labelled = [row for row in readable if is_labelled(row, task)]
    unknown: Counter[str] = Counter()
    scored = []
    for row in labelled:
        strangers = [n for n in classes_of(str(row.true), task) if n not in class_names]
        unknown.update(strangers)
        if not strangers:
            scored.append(row)
    groups = [row.group for row in scored]
    units = units_of(groups)
    if task == "multi":
        figures = multi_metrics(scored, class_names, thresholds=thresholds, units=units, seed=seed)
    elif task == "regression":
        figures = regression_metrics(scored, class_names, units=units, seed=seed)
    else:
        figures = single_metrics(
            scored,
            class_names,
            units=units,
            seed=seed,
            temperature=temperature,
            nothing_below=nothing_below,
        )
    quality = qualities(
        [str(row.true) for row in scored], [str(row.predicted) for row in scored], task
    )
    compared = compare_conditions(scored, clips, task=task, units=units, seed=seed)
    nouns = nouns or Nouns()
    lacking = {clip.video: clip.missing for clip in clips}
    missing = Counter(name for row in scored for name in lacking.get(row.video, ()))
    return {
        "task": task,
        "split": split,
        "num_videos": len(rows),
        "num_scored": len(scored),
        "num_failed": len(rows) - len(readable),
        "num_unlabelled": len(readable) - len(labelled),
        "unknown_labels": {label: unknown[label] for label in sorted(unknown)},
        "ci95_over": "groups" if over_groups(groups) else "clips",
        "num_groups": num_groups(groups),
        **figures,
        "quality": QUALITIES[task],
        "groups": group_figures(quality, groups),
        "order": compared["order"],
        "baselines": figures["baselines"] | compared["baselines"],
        "above": figures.get("above", {}) | compared["above"],
        "streams": compared["streams"],
        "slices": slice_figures(
            scored, quality, clips, task=task, seed=seed, unit=nouns.slice_unit
        ),
        "nouns": nouns.to_dict(),
        "most_steps": max((row.frames_used for row in scored), default=0),
        "missing_streams": {name: missing[name] for name in sorted(missing)},
    }
