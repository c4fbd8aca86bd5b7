"""Whether the order of the frames matters to a model, and whether it is worth its network.

A model that answers the same with the frames shuffled recognises the scene and not the action
(Huang et al., "What Makes a Video a Video", CVPR 2018; Sevilla-Lara et al., "Only Time Can
Tell", WACV 2021). One that is no better than a linear classifier on the mean of its frames'
features has learnt nothing over time that pays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cliptide.app.evaluation.clip_facts import BASELINES, ORDERS, ClipFacts
from cliptide.app.evaluation.figures.bootstrap import Unit, interval_of_mean
from cliptide.app.evaluation.figures.paired import PairedTest, holm, mcnemar, wilcoxon
from cliptide.app.evaluation.figures.quality import Floats, advantage, qualities
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.configs.streams import JOINABLE, ONLY, WITHOUT
from cliptide.configs.tasks import Task
from cliptide.datasets.labels import classes_of, numbers_in

# What order may be worth, as a share of all there is to gain, and still count as nothing.
NEGLIGIBLE = 0.02
# Two numbers of a regression that differ by less of the target's spread are the same answer.
SAME_NUMBER = 1e-3
# Scores that differ by less have been added up in another order, and no more.
SAME_SCORE = 1e-4
# The level of the tests of pairs.
LEVEL = 0.05
# With fewer videos the bootstrap has too few units to say anything.
MIN_VIDEOS = 10


def compare_conditions(
    scored: Sequence[VideoPrediction],
    clips: Sequence[ClipFacts],
    *,
    task: Task,
    units: Sequence[Unit],
    seed: int,
) -> dict[str, Any]:
    """Compare the model with itself on frames in another order, and with simpler models.

    The figures of `order` and `above` are over the same videos: those with an answer under each of
    their conditions that was tried, so that all differences are paired. Those of a stream are over
    the videos that have it and another.

    Args:
        scored: Predictions with a true label, of videos that could be read.
        clips: What was answered under other conditions, found by the video's name.
        task: What was predicted.
        units: What the bootstrap draws as a whole, one for each of `scored`.
        seed: Of the bootstrap.

    Returns:
        - `order`: None where no order was tried, else the mean quality `in_order` and under each
          order tried; `worth` of it, {condition: {by, ci95, p}}, positive where order helps;
          `same_answers`, the share of videos answered alike when shuffled and when reversed;
          and the `verdict`, see below.
        - `baselines`: the mean quality of each simpler model tried.
        - `above`: {baseline: {by, ci95, p}}, positive where the model is better.
        - `streams`: of a model of several, {stream: {num_videos, together, without, alone, worth,
          beside, verdict}}: over how many videos; the mean quality of all streams there, without
          it, and with it alone; {by, ci95, p} of what it is worth beside the others, and of what
          the others are worth beside it; the verdict is `helps`, `nothing`, `harms` or `unclear`,
          see below. A stream that no video has beside another has no entry.

        Of samples of one step there is no order, so neither `order` nor such baselines.

        The verdict is one of

        - `ignores`: no score changes when frames are shuffled or reversed; or what either order
          is worth lies within 2 % (of a regression: of the error of always saying the mean),
          allowing for what so few videos cannot show (rule of three: Hanley and Lippman-Hand,
          JAMA 249, 1983).
        - `uses`: order helps, and the model is above `mean_pool`, where that was tried. Both are
          said where the interval and the exact test of pairs (McNemar's, else Wilcoxon's; by Holm
          over the two orders) agree.
        - `not_above_baseline`: order helps, but it may be no better than `mean_pool`.
        - `worse`: shuffled frames are answered better.
        - `unclear`: anything else, and fewer than ten videos.

        A stream `helps` or `harms` where the interval and the test agree, by Holm over the
        streams, and is worth `nothing` under the second rule of `ignores`.
    """
    by_name = {clip.video: clip for clip in clips}
    asked = [by_name[row.video].answers if row.video in by_name else {} for row in scored]

    def over(tried: Sequence[str]) -> _Paired:
        """All figures of some conditions, over the videos that have an answer under each."""
        places = [n for n, answers in enumerate(asked) if all(name in answers for name in tried)]
        return _paired(
            [scored[place] for place in places],
            {name: [asked[place][name] for place in places] for name in tried},
            task=task,
            units=[units[place] for place in places],
            seed=seed,
        )

    def is_tried(name: str) -> bool:
        return any(name in answers for answers in asked)

    in_time = over([name for name in (*ORDERS, *BASELINES) if is_tried(name)])
    # A video that lacks a stream says nothing of it, but all of the others.
    of_streams = {
        name: over([WITHOUT + name, ONLY + name])
        for name in JOINABLE
        if is_tried(WITHOUT + name) and is_tried(ONLY + name)
    }
    # One step has no order, and is its own mean.
    several = any(row.frames_used > 1 for row in in_time.rows)
    above = {name: in_time.over[name] for name in BASELINES if name in in_time.over and several}
    return {
        "order": _order(in_time, above, by_name, task=task) if several else None,
        "baselines": {name: in_time.means[name] for name in above},
        "above": above,
        "streams": _streams(
            {name: paired for name, paired in of_streams.items() if paired.rows}, task=task
        ),
    }


@dataclass(frozen=True)
class _Paired:
    """The model beside conditions, over the same videos.

    Attributes:
        rows: The videos.
        units: What the bootstrap draws of them.
        said: Their answers under each condition; `in_order` are the model's own.
        means: The mean quality of each.
        over: {by, ci95, p} of what the model is better by; empty without a video.
    """

    rows: Sequence[VideoPrediction]
    units: Sequence[Unit]
    said: Mapping[str, Sequence[str]]
    means: Mapping[str, float]
    over: Mapping[str, dict[str, Any]]

    @property
    def true(self) -> list[str]:
        return [str(row.true) for row in self.rows]


def _paired(
    rows: Sequence[VideoPrediction],
    answers: Mapping[str, Sequence[str]],
    *,
    task: Task,
    units: Sequence[Unit],
    seed: int,
) -> _Paired:
    if not rows:
        return _Paired(rows, units, answers, {}, {})
    said = {**answers, "in_order": [str(row.predicted) for row in rows]}
    true = [str(row.true) for row in rows]
    found = {name: qualities(true, texts, task) for name, texts in said.items()}
    return _Paired(
        rows,
        units,
        said,
        {name: float(quality.mean()) for name, quality in found.items()},
        {
            name: difference(advantage(found["in_order"], found[name], task), units, seed=seed)
            | {"p": _paired_test(found["in_order"], found[name], task).p}
            for name in answers
        },
    )


def _order(
    paired: _Paired, above: Mapping[str, Any], by_name: Mapping[str, ClipFacts], *, task: Task
) -> dict[str, Any] | None:
    orders = [name for name in ORDERS if name in paired.over]
    if not orders:
        return None
    said, true = paired.said, paired.true
    same: dict[str, float] = {
        name: float(_same_answers(said["in_order"], said[name], true, task).mean())
        for name in ("shuffled", "reversed")
        if name in orders
    }
    worth = {name: paired.over[name] for name in orders}
    return {
        **{name: paired.means[name] for name in ("in_order", *orders)},
        "worth": worth,
        "same_answers": same,
        "verdict": "unclear"
        if len(paired.rows) < MIN_VIDEOS
        else _verdict(
            worth,
            above,
            change=_most_changed([by_name[row.video] for row in paired.rows]),
            num_units=len(set(paired.units)),
            range_=_range(true, task),
        ),
    }


def _streams(of_streams: Mapping[str, _Paired], *, task: Task) -> dict[str, Any]:
    ps = holm([paired.over[WITHOUT + name]["p"] for name, paired in of_streams.items()])
    return {
        name: {
            "num_videos": len(paired.rows),
            "together": paired.means["in_order"],
            "without": paired.means[WITHOUT + name],
            "alone": paired.means[ONLY + name],
            "worth": paired.over[WITHOUT + name],
            "beside": paired.over[ONLY + name],
            "verdict": _stream_verdict(paired, paired.over[WITHOUT + name], p=p, task=task),
        }
        for (name, paired), p in zip(of_streams.items(), ps, strict=True)
    }


def difference(gains: Floats, units: Sequence[Unit], *, seed: int) -> dict[str, Any]:
    """Mean and 95 % interval of what each video gains, (N,) with N at least 1."""
    return {"by": float(gains.mean()), "ci95": interval_of_mean(gains, units, seed=seed)}


def _paired_test(mine: Floats, other: Floats, task: Task) -> PairedTest:
    if task == "single":
        return mcnemar(other > 0.5, mine > 0.5)
    sign = 1 if task == "regression" else -1
    return wilcoxon(sign * other, sign * mine)


def _most_changed(clips: Sequence[ClipFacts]) -> float | None:
    changes = [clip.order_change for clip in clips]
    known = [change for change in changes if change is not None]
    return max(known) if known and len(known) == len(changes) else None


def _verdict(
    worth: Mapping[str, Any],
    above: Mapping[str, Any],
    *,
    change: float | None,
    num_units: int,
    range_: float,
) -> str:
    orders = [name for name in ("shuffled", "reversed") if name in worth]
    # Either order alone leaves a doubt: a model may need no more than the direction.
    if len(orders) == 2:
        if change is not None and change <= SAME_SCORE * range_:
            return "ignores"
        bound = (NEGLIGIBLE - 3 / num_units) * range_
        intervals = [worth[name]["ci95"] for name in orders]
        if all(-bound <= low and high <= bound for low, high in intervals):
            return "ignores"
    ps = dict(zip(orders, holm([worth[name]["p"] for name in orders]), strict=True))
    if any(worth[name]["ci95"][0] > 0 and ps[name] < LEVEL for name in orders):
        mean_pool = above.get("mean_pool")
        if mean_pool is None or (mean_pool["ci95"][0] > 0 and mean_pool["p"] < LEVEL):
            return "uses"
        return "not_above_baseline"
    if "shuffled" in orders and worth["shuffled"]["ci95"][1] < 0 and ps["shuffled"] < LEVEL:
        return "worse"
    return "unclear"


def _stream_verdict(paired: _Paired, worth: Mapping[str, Any], *, p: float, task: Task) -> str:
    """What a stream does beside the others, of what it is worth and its p after Holm."""
    if len(paired.rows) < MIN_VIDEOS:
        return "unclear"
    bound = (NEGLIGIBLE - 3 / len(set(paired.units))) * _range(paired.true, task)
    low, high = worth["ci95"]
    if low > 0 and p < LEVEL:
        return "helps"
    if high < 0 and p < LEVEL:
        return "harms"
    return "nothing" if -bound <= low and high <= bound else "unclear"


def _range(true: Sequence[str], task: Task) -> float:
    if task != "regression":
        return 1.0
    targets = _numbers(true)
    return float(np.abs(targets - targets.mean(axis=0)).mean())


def _same_answers(
    said: Sequence[str], other: Sequence[str], true: Sequence[str], task: Task
) -> Any:
    if task != "regression":
        pairs = zip(said, other, strict=True)
        same = [set(classes_of(one, task)) == set(classes_of(two, task)) for one, two in pairs]
        return np.array(same)
    # Adding up frames in another order alone moves the last digits.
    slack = SAME_NUMBER * _numbers(true).std(axis=0)
    return np.isclose(_numbers(said), _numbers(other), rtol=1e-6, atol=slack).all(axis=1)


def _numbers(texts: Sequence[str]) -> Floats:
    return np.array([numbers_in(text) for text in texts], dtype=np.float64)
