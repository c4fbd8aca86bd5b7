"""Intervals by drawing the scored videos anew, whole groups at a time.

Clips of one group resemble each other: drawing them singly would make an interval too narrow
(cluster bootstrap: Davison and Hinkley, "Bootstrap Methods", 1997, section 3.8).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
# With fewer groups the bootstrap over groups has too few units to say anything.
MIN_GROUPS = 10
# Resamples weighed at once, and numbers drawn at once: more take more memory and no less time.
_AT_ONCE = 50
_DRAWN_AT_ONCE = 100_000

Unit = str | int


def over_groups(groups: Sequence[str]) -> bool:
    """Whether there are groups enough to draw; a group for every clip says no more than clips."""
    return MIN_GROUPS <= num_groups(groups) < len(groups)


def num_groups(groups: Sequence[str]) -> int:
    """How many known groups there are."""
    return len(set(groups) - {""})


def units_of(groups: Sequence[str]) -> list[Unit]:
    """What is drawn as a whole: each clip's group, or the clip's own number."""
    whole = over_groups(groups)
    return [group if whole and group else number for number, group in enumerate(groups)]


def interval_of_mean(
    values: npt.NDArray[np.float64] | npt.NDArray[np.bool_], units: Sequence[Unit], *, seed: int
) -> list[float] | None:
    """95 % percentile interval of a mean over clips; None without clips."""
    if not len(values):
        return None
    unit_of_clip = _numbered(units)
    sizes = np.bincount(unit_of_clip)
    sums = np.bincount(unit_of_clip, weights=values)
    rng = np.random.default_rng(seed)
    size = len(sizes)
    means = []
    # Many short slices have an interval each: a loop over every resample takes too long.
    at_once = min(RESAMPLES, max(1, _DRAWN_AT_ONCE // size))
    for first in range(0, RESAMPLES, at_once):
        drawn = rng.integers(size, size=(min(at_once, RESAMPLES - first), size))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return _interval(np.concatenate(means))


def interval_of_map(
    true: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float64],
    units: Sequence[Unit],
    *,
    seed: int,
) -> list[float] | None:
    """95 % percentile interval of mAP; None where no clip has a label.

    Args:
        true: (N, K), whether a clip has a label.
        scores: (N, K), higher for likelier.
        units: What is drawn as a whole.
        seed: Of the draws.
    """
    if not true.any():
        return None
    return _interval(_drawn_maps(true, [scores], units, seed=seed)[0])


def interval_of_map_difference(
    true: npt.NDArray[np.bool_],
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    units: Sequence[Unit],
    *,
    seed: int,
) -> list[float] | None:
    """95 % percentile interval of the mAP of `second` minus that of `first` on the same draws.

    Args:
        true: (N, K), whether a clip has a label.
        first: (N, K) scores of one model.
        second: (N, K) scores of another.
        units: What is drawn as a whole.
        seed: Of the draws.

    Returns:
        None where no clip has a label.
    """
    if not true.any():
        return None
    maps = _drawn_maps(true, [first, second], units, seed=seed)
    return _interval(maps[1] - maps[0])


def _drawn_maps(
    true: npt.NDArray[np.bool_],
    scores: Sequence[npt.NDArray[np.float64]],
    units: Sequence[Unit],
    *,
    seed: int,
) -> list[npt.NDArray[np.float64]]:
    """For each model the mAP in every resample, the same ones for all, in which a label occurs."""
    unit_of_clip = _numbered(units)
    size = int(unit_of_clip.max()) + 1
    draws = list(_draws(size, seed=seed))
    figures: list[list[npt.NDArray[np.float64]]] = [[] for _ in scores]
    for first in range(0, RESAMPLES, _AT_ONCE):
        counts = np.stack([np.bincount(d, minlength=size) for d in draws[first : first + _AT_ONCE]])
        weights = counts[:, unit_of_clip].astype(np.float64)
        for model, found in zip(scores, figures, strict=True):
            each = [
                weighted_average_precisions(true[:, label], model[:, label], weights)
                for label in range(true.shape[1])
                if true[:, label].any()
            ]
            precisions = np.stack(each)
            known = ~np.isnan(precisions)
            total = np.where(known, precisions, 0.0).sum(axis=0)
            # A resample in which no label occurs has no figure.
            found.append((total / np.maximum(known.sum(axis=0), 1))[known.any(axis=0)])
    return [np.concatenate(found) for found in figures]


def weighted_average_precisions(
    true: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The average precision of one label under many weightings of the clips at once.

    The same sum over distinct scores as scikit-learn's average_precision_score, which is too
    slow to be called for each resample and label.

    Args:
        true: (N,).
        scores: (N,).
        weights: (R, N), how often each clip was drawn.

    Returns:
        (R,); NaN where no clip with the label was drawn.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    ends = np.append(sorted_scores[1:] != sorted_scores[:-1], True)
    drawn = np.cumsum(weights[:, order], axis=1)[:, ends]
    hits = np.cumsum(weights[:, order] * true[order], axis=1)[:, ends]
    total = hits[:, -1:]
    precision = hits / np.maximum(drawn, 1)
    steps = np.diff(hits, axis=1, prepend=0.0)
    # 0 / 0 is the NaN that is promised.
    with np.errstate(invalid="ignore"):
        found: npt.NDArray[np.float64] = ((steps * precision).sum(axis=1)) / total[:, 0]
    return found


def _numbered(units: Sequence[Unit]) -> npt.NDArray[np.int64]:
    numbers: dict[Unit, int] = {}
    return np.array([numbers.setdefault(unit, len(numbers)) for unit in units], dtype=np.int64)


def _draws(size: int, *, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for _ in range(RESAMPLES):
        yield rng.integers(size, size=size)


def _interval(figures: npt.NDArray[np.float64]) -> list[float]:
    low, high = np.percentile(figures, [2.5, 97.5])
    return [float(low), float(high)]
