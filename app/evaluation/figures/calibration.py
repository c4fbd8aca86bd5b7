"""Whether scores can be taken at their word: 80 % of the answers scored 0.8 are to be right.

Scores are calibrated by one temperature (Guo et al., "On Calibration of Modern Neural Networks",
ICML 2017), which leaves every answer as it is: p ∝ p_raw^(1/T), of the mean scores of a video.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptide.app.evaluation.figures.bootstrap import Unit, interval_of_mean
from cliptide.app.evaluation.figures.quality import Floats
from cliptide.app.inference.temperature import scaled

Flags = npt.NDArray[np.bool_]

NUM_BINS = 15
COVERAGE_POINTS = 100
TEMPERATURES = (0.05, 20.0)
# Of the right answers, this share stays above the suggested threshold.
KEPT_RIGHT = 0.95
# Scores that are this much above or below the share of right answers are worth a word, and those
# that are surely within the other are good.
TOLD_GAP = 0.03
GOOD_GAP = 0.05
# With fewer videos the bootstrap has too few units to say anything.
MIN_VIDEOS = 10


def fit_temperature(scores: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Find the temperature with the least negative log-likelihood on validation videos.

    The targets are smoothed by 1 / (N + 2) as in Platt, "Probabilistic Outputs for Support Vector
    Machines", 1999: with every video right, the likelihood alone would drive T to 0.

    Args:
        scores: (N, K), each row sums to 1; they may be 0 and 1.
        labels: (N), the true class of each.

    Returns:
        0.05 to 20: above 1 for scores that were too sure. 1 where nothing speaks for another,
        as without videos.
    """
    num_videos, num_classes = scores.shape
    if not num_videos or num_classes < 2:
        return 1.0
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    # A zero of float32 has lost its logarithm; the smallest number that it could be stands in.
    smallest = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(scores.astype(np.float64), smallest))
    smoothing = 1 / (num_videos + 2)
    targets = np.full(scores.shape, smoothing / (num_classes - 1))
    targets[np.arange(num_videos), labels] = 1 - smoothing

    def loss(log_temperature: float) -> float:
        logs = log_softmax(logits / math.exp(log_temperature), axis=1)
        return -float((targets * logs).sum() / num_videos)

    # The loss is convex in 1 / T, so that the bounded search finds its one minimum.
    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    log_temperature = float(found.x)
    return math.exp(log_temperature) if loss(log_temperature) < loss(0.0) - 1e-12 else 1.0


def suggest_threshold(scores: Floats, labels: npt.NDArray[np.int64]) -> float:
    """The score below which an answer is better kept back, which keeps 95 % of the right ones.

    The convention of a true positive rate of 95 % (Hendrycks and Gimpel, "A Baseline for
    Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017).

    Args:
        scores: (N, K).
        labels: (N), the true class of each.

    Returns:
        0..1; answers with this score or more are kept. 0 where there is no right answer.
    """
    if not len(scores):
        return 0.0
    return _threshold(scores.max(axis=1), scores.argmax(axis=1) == labels)


def single_calibration(
    scores: Floats,
    true: npt.NDArray[np.int64],
    right: Flags,
    *,
    units: Sequence[Unit],
    seed: int,
    temperature: float | None,
    nothing_below: float | None,
) -> dict[str, Any] | None:
    """Compute how far scores of one class a video can be taken at their word.

    Args:
        scores: (N, K), of the temperature given.
        true: (N), the true class of each video.
        right: (N), whether the answer is the true class.
        units: (N), what the bootstrap draws as a whole.
        seed: Of the bootstrap.
        temperature: With which the scores were made from the network's; None for none.
        nothing_below: The threshold that validation chose; None for none.

    Returns:
        None without videos, else

        - `ece`: expected calibration error of the answers over 15 equal bins, the mean absolute
          distance (Naeini et al. 2015); `brier`: squared error summed over the classes (Brier
          1950); `nll`: mean negative log-likelihood, natural logarithm.
        - `mean_score` of the answers; `gap`: by how much it is above top-1, with `gap_ci95`.
        - `verdict`: `over` or `under` (confident) where the gap is surely not 0 and more than
          0.03; `good` where it is surely within 0.05 and the bins are no further off than
          chance explains; else, and with fewer than ten videos, `unclear`.
        - `bins`: [{low, high, num, score, accuracy}], those that hold an answer.
        - `temperature`; `uncalibrated`: None without one, else {ece, brier, nll, mean_score} of
          the scores before it.
        - `coverage`: [{threshold, coverage, accuracy}]: which share of the videos gets an answer
          where those below a threshold get none, and how many of these are right.
        - `nothing_below`: {threshold, from, kept_right, kept_wrong}: the shares of the right and
          of the wrong answers that reach it; None where there are none.
    """
    if not len(scores):
        return None
    top = scores.max(axis=1)
    uncalibrated = None
    if temperature is not None:
        raw = scaled(scores, 1 / temperature)
        uncalibrated = _errors(raw, true) | _reliability(raw.max(axis=1), right)
        uncalibrated = {key: uncalibrated[key] for key in ("ece", "brier", "nll", "mean_score")}
    threshold = _threshold(top, right) if nothing_below is None else nothing_below
    kept = top >= threshold
    return {
        **_errors(scores, true),
        **_judged(top, right, units=units, seed=seed),
        "temperature": temperature,
        "uncalibrated": uncalibrated,
        "coverage": coverage_curve(top, right),
        "nothing_below": {
            "threshold": threshold,
            "from": "these videos" if nothing_below is None else "validation",
            "kept_right": float(kept[right].mean()) if right.any() else None,
            "kept_wrong": float(kept[~right].mean()) if not right.all() else None,
        },
    }


def multi_calibration(
    scores: Floats, true: Flags, *, units: Sequence[Unit], seed: int
) -> dict[str, Any] | None:
    """Compute how far scores of several labels can be taken at their word.

    All labels of all videos are put together as questions whose likelier answer, yes or no, has
    a score of 0.5 to 1. The labels' thresholds play no part: they weigh what an answer costs.

    Args:
        scores: (N, K), 0..1.
        true: (N, K), whether a video has a label.
        units: (N), what the bootstrap draws as a whole.
        seed: Of the bootstrap.

    Returns:
        None without videos or labels, else `ece`, `nll`, `mean_score`, `gap`, `gap_ci95` and
        `bins` as `single_calibration`; `brier`: mean of (score - truth)^2; `yes`: {num,
        mean_score, gap, gap_ci95} of the answers that are yes, None without any. `verdict`: that
        of the yes where it is `over` or `under`, for most questions are an easy no; else that of
        all answers, and `good` only where both are.
    """
    if not scores.size:
        return None
    pairs = np.stack([1 - scores.ravel(), scores.ravel()], axis=1)
    right = (scores >= 0.5) == true
    errors = _errors(pairs, true.ravel().astype(np.int64))
    each = [unit for unit in units for _ in range(scores.shape[1])]
    of_all = _judged(pairs.max(axis=1), right.ravel(), units=each, seed=seed)
    yes = scores.ravel() >= 0.5
    of_yes: dict[str, Any] | None = None
    if yes.any():
        units_of_yes = [unit for unit, is_yes in zip(each, yes, strict=True) if is_yes]
        of_yes = _judged(scores.ravel()[yes], right.ravel()[yes], units=units_of_yes, seed=seed)
        if of_yes["verdict"] in ("over", "under") or of_all["verdict"] == "good":
            of_all["verdict"] = of_yes["verdict"]
        of_yes = {key: of_yes[key] for key in ("mean_score", "gap", "gap_ci95")}
        of_yes["num"] = int(yes.sum())
    return {
        **errors,
        # Over yes and no, the sum counts each difference twice.
        "brier": errors["brier"] / 2,
        **of_all,
        "yes": of_yes,
    }


def coverage_curve(top: Floats, right: Flags) -> list[dict[str, float]]:
    """What is answered, and how well, where scores below a threshold get no answer.

    Args:
        top: (N), the score of each answer; N is at least 1.
        right: (N), whether it is right.

    Returns:
        At most 100 {threshold, coverage, accuracy}, from all answers to few; answers with one
        score are taken or left together.
    """
    order = np.argsort(-top, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(top[order]) != 0, True))
    kept = ends + 1
    wanted = np.linspace(len(top), 1, COVERAGE_POINTS)
    chosen = np.unique(np.searchsorted(kept, wanted))[::-1]
    num_right = np.cumsum(right[order])[ends]
    return [
        {
            "threshold": float(top[order[ends[point]]]),
            "coverage": float(kept[point] / len(top)),
            "accuracy": float(num_right[point] / kept[point]),
        }
        for point in chosen
    ]


def _threshold(top: Floats, right: Flags) -> float:
    if not right.any():
        return 0.0
    lowest = np.sort(top[right])
    # The slack is for a share of 5 % that is a little less as a float.
    found = float(lowest[math.floor((1 - KEPT_RIGHT) * len(lowest) + 1e-9)])
    # A little lower: predictions.csv rounds the very score that it stands on.
    return min(found, math.floor(found * 1e6) / 1e6)


def _errors(scores: Floats, true: npt.NDArray[np.int64]) -> dict[str, float]:
    hit = np.zeros(scores.shape)
    hit[np.arange(len(true)), true] = 1
    # The least that scikit-learn's log_loss takes a probability for, too.
    likelihood = np.maximum(scores[np.arange(len(true)), true], np.finfo(np.float64).eps)
    return {
        "brier": float(((scores - hit) ** 2).sum(axis=1).mean()),
        "nll": float(-np.log(np.minimum(likelihood, 1.0)).mean()) + 0.0,
    }


def _judged(top: Floats, right: Flags, *, units: Sequence[Unit], seed: int) -> dict[str, Any]:
    found = _reliability(top, right)
    gap_ci95 = interval_of_mean(top - right, units, seed=seed)
    gap = found["mean_score"] - float(right.mean())
    return {
        **found,
        "gap": gap,
        "gap_ci95": gap_ci95,
        "verdict": _verdict(gap, gap_ci95, found, num_units=len(set(units))),
    }


def _reliability(top: Floats, right: Flags) -> dict[str, Any]:
    edges = np.linspace(0, 1, NUM_BINS + 1)
    # A score on an edge belongs to the bin below, as in Guo et al.
    place = np.clip(np.searchsorted(edges, top) - 1, 0, NUM_BINS - 1)
    num = np.bincount(place, minlength=NUM_BINS)
    held = np.flatnonzero(num)
    score = np.bincount(place, weights=top, minlength=NUM_BINS)[held] / num[held]
    accuracy = np.bincount(place, weights=right, minlength=NUM_BINS)[held] / num[held]
    return {
        "ece": float((num[held] * np.abs(score - accuracy)).sum() / len(top)),
        "mean_score": float(top.mean()),
        "bins": [
            {
                "low": float(edges[bin_]),
                "high": float(edges[bin_ + 1]),
                "num": int(num[bin_]),
                "score": float(mean_score),
                "accuracy": float(share),
            }
            for bin_, mean_score, share in zip(held, score, accuracy, strict=True)
        ],
    }


def _verdict(
    gap: float, interval: list[float] | None, found: dict[str, Any], *, num_units: int
) -> str:
    if interval is None or num_units < MIN_VIDEOS:
        return "unclear"
    low, high = interval
    if low > 0 and gap > TOLD_GAP:
        return "over"
    if high < 0 and gap < -TOLD_GAP:
        return "under"
    within = low >= -GOOD_GAP and high <= GOOD_GAP
    return "good" if within and found["ece"] <= TOLD_GAP + _chance_ece(found["bins"]) else "unclear"


def _chance_ece(bins: Sequence[dict[str, Any]]) -> float:
    """The error to expect of perfect scores: the mean distance of a binomial share, E|Z| = √(2/π).

    Without it, few videos a bin would make any model look badly calibrated.
    """
    total: int = sum(each["num"] for each in bins)
    spread = [
        math.sqrt(each["num"] * max(0.0, each["score"] * (1 - each["score"]))) for each in bins
    ]
    return math.sqrt(2 / math.pi) * sum(spread) / total
