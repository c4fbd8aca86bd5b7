"""Kinds of clips that a model is worse at, and how much its groups differ."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.clip_facts import ClipFacts
from cliptide.app.evaluation.figures.bootstrap import interval_of_mean, units_of
from cliptide.app.evaluation.figures.quality import Floats
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.configs.tasks import Task

MAX_BINS = 4
MIN_VIDEOS = 5
# More sizes than these are told by their shorter side.
MAX_SIZES = 6
# By how much of all clips a cut may miss its quantile to be a round number.
ROUNDING = 0.05
# Up to as many pairs of clips, Mann and Whitney's test may count all orders.
MOST_COUNTED = 1000
# The chance of calling any slice weak where none is.
ALPHA = 0.05

# How a dimension falls apart: the name of each slice and the places of its videos.
_Parts = list[tuple[str, npt.NDArray[np.int64]]]

_QUANTITIES: dict[str, Callable[[ClipFacts], float | None]] = {
    "duration": lambda clip: clip.duration_s,
    "brightness": lambda clip: clip.brightness,
    "motion": lambda clip: clip.motion,
}


def group_figures(quality: Floats, groups: Sequence[str]) -> dict[str, Any] | None:
    """How much groups differ.

    Args:
        quality: (N), of each video.
        groups: (N), empty where unknown.

    Returns:
        None with fewer than two known groups, else `count`, `mean` and `sd` (n - 1) over the
        groups' mean qualities; `min` and `max`: [group, quality, videos] of the extreme ones.
    """
    parts = _by_value(groups)
    if len(parts) < 2:
        return None
    means = [float(quality[places].mean()) for _, places in parts]
    extremes = [int(np.argmin(means)), int(np.argmax(means))]
    low, high = ([parts[at][0], means[at], len(parts[at][1])] for at in extremes)
    return {
        "count": len(parts),
        "mean": float(np.mean(means)),
        "sd": float(np.std(means, ddof=1)),
        "min": low,
        "max": high,
    }


def slice_figures(
    scored: Sequence[VideoPrediction],
    quality: Floats,
    clips: Sequence[ClipFacts],
    *,
    task: Task,
    seed: int,
    unit: str = " s",
) -> dict[str, list[dict[str, Any]]]:
    """Compare kinds of clips.

    Args:
        scored: Predictions with a true label, of videos that could be read.
        quality: (N), of each of them.
        clips: What the clips are like, found by the video's name.
        task: What was predicted.
        seed: Of the bootstrap.
        unit: Of durations, as it stands behind a number.

    Returns:
        {dimension: [{name, num, value, ci95, weak}]}; a dimension that does not fall apart into
        two slices is left out, as are groups of one clip each.

        - `duration`, `brightness`, `motion`: up to four parts of about as many clips, five at
          least; `resolution`: each size with five clips, the others as `others`, or with more
          than six of them parts by the shorter side; `group`: each, the weakest first.
        - `value`: mean quality; `ci95`: for single Wilson's interval (1927), else the bootstrap;
          over groups where the slice has ten or more, by the bootstrap for any task.
        - `weak`: worse than the dimension's other clips, by Fisher's exact test of how many are
          wrong, or for several labels how many are below the median (Mood 1950); for numbers by
          Mann and Whitney's test. Over all slices together, the chance that any is called so
          where none differs is at most 5 % (Bonferroni's correction over the dimensions, Holm's
          within each), for clips that do not depend on each other.
    """
    dimensions = {
        name: parts
        for name, parts in _dimensions(scored, clips, unit=unit).items()
        if len(parts) > 1
    }
    figures: dict[str, list[dict[str, Any]]] = {}
    for dimension, parts in dimensions.items():
        weak = weak_parts(
            quality, [places for _, places in parts], task=task, alpha=ALPHA / len(dimensions)
        )
        slices: list[dict[str, Any]] = [
            {
                "name": name,
                "num": len(places),
                "value": float(quality[places].mean()),
                "ci95": _interval(
                    quality[places],
                    # The clips of one group are all there is to draw from it.
                    [""] * len(places)
                    if dimension == "group"
                    else [scored[place].group for place in places],
                    task=task,
                    seed=seed,
                ),
                "weak": is_weak,
            }
            for (name, places), is_weak in zip(parts, weak, strict=True)
        ]
        if dimension == "group":
            sign = -1 if task == "regression" else 1
            slices.sort(key=lambda entry: sign * entry["value"])
        figures[dimension] = slices
    return figures


def weak_parts(
    quality: Floats, parts: Sequence[npt.NDArray[np.int64]], *, task: Task, alpha: float
) -> list[bool]:
    """Which parts of some clips are worse than the others, by Holm's correction.

    Args:
        quality: Of each clip.
        parts: The places of each part's clips; no clip is in two.
        task: Of a regression, less is better.
        alpha: The chance of calling any part weak where none differs.
    """
    loss = quality if task == "regression" else -quality
    whole = np.concatenate(parts)
    bad = loss > np.median(loss[whole])
    if not bad[whole].any():
        bad = loss >= loss[whole].max()
    # Beside many ties the ranks' normal curve is far too sure of a few clips.
    tied = 2 * len(np.unique(loss[whole])) <= len(whole)
    tests = []
    for places in parts:
        rest = np.setdiff1d(whole, places)
        if tied:
            p_value, behind = _more_bad(bad[places], bad[rest])
        else:
            p_value, behind = _higher(loss[places], loss[rest])
        # The tests may say one thing and means another: weak is what both call so.
        tests.append((p_value, behind and bool(loss[places].mean() > loss[rest].mean())))
    # Holm 1979: the least p against alpha / m, the next against alpha / (m - 1), until one fails.
    weak = [False] * len(parts)
    for rank, at in enumerate(sorted(range(len(parts)), key=lambda part: tests[part][0])):
        p_value, is_worse = tests[at]
        if p_value > alpha / (len(parts) - rank):
            break
        weak[at] = is_worse
    return weak


def _more_bad(part: npt.NDArray[np.bool_], rest: npt.NDArray[np.bool_]) -> tuple[float, bool]:
    """The p-value of any difference by Fisher's exact test, and whether it is for the worse."""
    counts = (int(part.sum()), int((~part).sum()), int(rest.sum()), int((~rest).sum()))
    return _fisher(*counts), bool(part.mean() > rest.mean())


def _higher(part: Floats, rest: Floats) -> tuple[float, bool]:
    """The same by Mann and Whitney's test."""
    from scipy.stats import mannwhitneyu

    pairs = len(part) * len(rest)
    # Exact counting takes seconds beside thousands of clips, where the normal curve is as good.
    method = "asymptotic" if pairs > MOST_COUNTED else "auto"
    found = mannwhitneyu(part, rest, method=method)
    return float(found.pvalue), bool(found.statistic > pairs / 2)


# Many groups have the same counts, and the test takes a millisecond.
@lru_cache(maxsize=4096)
def _fisher(bad: int, good: int, rest_bad: int, rest_good: int) -> float:
    from scipy.stats import fisher_exact

    return float(fisher_exact([[bad, good], [rest_bad, rest_good]]).pvalue)


def _interval(
    quality: Floats, groups: Sequence[str], *, task: Task, seed: int
) -> list[float] | None:
    units = units_of(groups)
    # Five right answers of five do not make a model that is never wrong, as drawing them would.
    if task == "single" and units == list(range(len(units))):
        from scipy.stats import binomtest

        share = binomtest(int(quality.sum()), len(quality)).proportion_ci(method="wilson")
        return [float(share.low), float(share.high)]
    return interval_of_mean(quality, units, seed=seed)


def _dimensions(
    scored: Sequence[VideoPrediction], clips: Sequence[ClipFacts], *, unit: str
) -> dict[str, _Parts]:
    facts = {clip.video: clip for clip in clips}
    known = [(place, facts[row.video]) for place, row in enumerate(scored) if row.video in facts]
    at = np.array([place for place, _ in known], dtype=np.int64)
    parts: dict[str, _Parts] = {}
    for name, value_of in _QUANTITIES.items():
        values = np.array([value_of(clip) for _, clip in known], dtype=np.float64)
        finite = np.isfinite(values)
        parts[name] = _bins(values[finite], at[finite], unit if name == "duration" else "")
    sizes = [""] * len(scored)
    pixels = {}
    for place, clip in known:
        if clip.width is not None and clip.height is not None:
            sizes[place] = f"{clip.width}x{clip.height}"
            pixels[sizes[place]] = clip.width * clip.height
    parts["resolution"] = _common(sorted(_by_value(sizes), key=lambda part: pixels[part[0]]))
    if len(parts["resolution"]) > MAX_SIZES:  # crops of all sizes, of which none says anything
        sides = [(place, clip.width, clip.height) for place, clip in known]
        shorts = [(place, min(w, h)) for place, w, h in sides if w is not None and h is not None]
        short = np.array([side for _, side in shorts], dtype=np.float64)
        shown = np.array([place for place, _ in shorts], dtype=np.int64)
        parts["resolution"] = _bins(short, shown, " px short side")
    groups = _by_value([row.group for row in scored])
    singly = all(len(places) == 1 for _, places in groups)
    parts["group"] = [] if singly else groups
    order = ("duration", "resolution", "brightness", "motion", "group")
    return {name: parts[name] for name in order}


def _by_value(texts: Sequence[str]) -> _Parts:
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        if text:
            places.setdefault(text, []).append(place)
    return [(text, np.array(at, dtype=np.int64)) for text, at in sorted(places.items())]


def _common(parts: _Parts) -> _Parts:
    common = [part for part in parts if len(part[1]) >= MIN_VIDEOS]
    rare = [places for _, places in parts if len(places) < MIN_VIDEOS]
    return [*common, ("others", np.sort(np.concatenate(rare)))] if rare else common


def _bins(values: Floats, at: npt.NDArray[np.int64], unit: str) -> _Parts:
    """Part values at about their quantiles: ties stay together, each part has five at least."""
    values_sorted = np.sort(values)
    total = len(values)
    num_bins = min(MAX_BINS, total // MIN_VIDEOS)
    cuts: list[float] = []
    used = 0
    for number in range(1, num_bins):
        cut = _round_cut(values_sorted, number * total / num_bins)
        below = int(np.searchsorted(values_sorted, cut))
        if below - used >= MIN_VIDEOS and total - below >= MIN_VIDEOS:
            cuts.append(cut)
            used = below
    if not cuts:
        return []
    texts = [f"{cut:.9g}" for cut in cuts]
    names = [
        f"under {texts[0]}{unit}",
        *(f"{low} to {high}{unit}" for low, high in pairwise(texts)),
        f"{texts[-1]}{unit} or more",
    ]
    place = np.searchsorted(cuts, values, side="right")
    return [(name, at[place == number]) for number, name in enumerate(names)]


def _round_cut(values_sorted: Floats, wanted: float) -> float:
    """A number with few digits that has about as many values below it as wanted."""
    distinct, below = np.unique(values_sorted, return_index=True)
    nearest = int(np.abs(below - wanted).argmin())
    if nearest == 0:
        return float(distinct[0])
    middle = float(distinct[nearest - 1] + distinct[nearest]) / 2
    for digits in range(2, 9):
        cut = float(f"{middle:.{digits}g}")
        missed = abs(int(np.searchsorted(values_sorted, cut)) - int(below[nearest]))
        if missed <= ROUNDING * len(values_sorted):
            return cut
    return float(distinct[nearest])
