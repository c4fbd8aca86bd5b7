"""Whether the order of the frames matters to a model, and whether it is worth its network.

A model that answers the same with the frames shuffled recognises the scene and not the action
(Huang et al., "What Makes a Video a Video", CVPR 2018; Sevilla-Lara et al., "Only Time Can
Tell", WACV 2021). One that is no better than a linear classifier on the mean of its frames'
features has learnt nothing over time that pays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cliptide.app.evaluation.clip_facts import BASELINES, CONDITIONS, ORDERS, ClipFacts
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

    Every figure is over the same videos: those with an answer under each condition that was
    tried, so that all differences are paired.

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
        - `streams`: of a model of several, {stream: {together, without, alone, worth, beside,
          verdict}}: the mean quality of all, without it, and with it alone; {by, ci95, p} of what
          it is worth beside the others, and of what the others are worth beside it; the verdict
          is `helps`, `nothing`, `harms` or `unclear`, see below.

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
    facts = {clip.video: clip.answers for clip in clips}
    tried = [name for name in CONDITIONS if any(name in answers for answers in facts.values())]
    paired = [
        place
        for place, row in enumerate(scored)
        if all(name in facts.get(row.video, {}) for name in tried)
    ]
    if not (tried and paired):
        return {"order": None, "baselines": {}, "above": {}, "streams": {}}
    rows = [scored[place] for place in paired]
    drawn = [units[place] for place in paired]
    true = [str(row.true) for row in rows]
    said = {name: [facts[row.video][name] for row in rows] for name in tried}
    said["in_order"] = [str(row.predicted) for row in rows]
    found = {name: qualities(true, answers, task) for name, answers in said.items()}
    means = {name: float(quality.mean()) for name, quality in found.items()}
    over = {
        name: difference(advantage(found["in_order"], found[name], task), drawn, seed=seed)
        | {"p": _paired_test(found["in_order"], found[name], task).p}
        for name in tried
    }
    order = None
    # One step has no order, and is its own mean.
    several = any(row.frames_used > 1 for row in rows)
    orders = [name for name in ORDERS if name in tried and several]
    above = {name: over[name] for name in BASELINES if name in over and several}
    if orders:
        same: dict[str, float] = {
            name: float(_same_answers(said["in_order"], said[name], true, task).mean())
            for name in ("shuffled", "reversed")
            if name in tried
        }
        worth = {name: over[name] for name in orders}
        order = {
            **{name: means[name] for name in ("in_order", *orders)},
            "worth": worth,
            "same_answers": same,
            "verdict": "unclear"
            if len(rows) < MIN_VIDEOS
            else _verdict(
                worth,
                above,
                change=_most_changed([by_name[row.video] for row in rows]),
                num_units=len(set(drawn)),
                range_=_range(true, task),
            ),
        }
    names = [name for name in JOINABLE if WITHOUT + name in tried and ONLY + name in tried]
    told = _stream_verdicts(
        [over[WITHOUT + name] for name in names],
        num_videos=len(rows),
        num_units=len(set(drawn)),
        range_=_range(true, task),
    )
    streams = {
        name: {
            "together": means["in_order"],
            "without": means[WITHOUT + name],
            "alone": means[ONLY + name],
            "worth": over[WITHOUT + name],
            "beside": over[ONLY + name],
            "verdict": verdict,
        }
        for name, verdict in zip(names, told, strict=True)
    }
    return {
        "order": order,
        "baselines": {name: means[name] for name in above},
        "above": above,
        "streams": streams,
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


def _stream_verdicts(
    worth: Sequence[Mapping[str, Any]], *, num_videos: int, num_units: int, range_: float
) -> list[str]:
    """What each stream does beside the others, of what all of them are worth."""
    if num_videos < MIN_VIDEOS:
        return ["unclear"] * len(worth)
    bound = (NEGLIGIBLE - 3 / num_units) * range_
    found = []
    for entry, p in zip(worth, holm([entry["p"] for entry in worth]), strict=True):
        low, high = entry["ci95"]
        if low > 0 and p < LEVEL:
            found.append("helps")
        elif high < 0 and p < LEVEL:
            found.append("harms")
        else:
            found.append("nothing" if -bound <= low and high <= bound else "unclear")
    return found


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
