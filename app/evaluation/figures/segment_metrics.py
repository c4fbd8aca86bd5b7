"""How well segments found agree with segments annotated. Pure.

F1 at an IoU     a found segment is right when it overlaps an annotated one of its label, which
                 no other found one has taken, by that intersection over union (Lea et al.
                 2017, section 4.1: the segmental overlap F1)
mAP at an IoU    average precision of each label, found segments ranked by score (Heilbron et
                 al. 2015, ActivityNet), the mean over the labels that are annotated
frame accuracy   share of moments at which the labels found are the labels annotated, those
                 where nothing happens included
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptide.app.evaluation.figures.bootstrap import RESAMPLES
from cliptide.app.inference.prediction import Segment

IOUS = (0.1, 0.25, 0.5)
MOMENT_S = 0.1
# An interval over fewer videos says nothing.
LEAST_VIDEOS = 5


@dataclass(frozen=True)
class VideoSegments:
    """One video's segments.

    Attributes:
        duration_s: Its length, seconds.
        true: Annotated; their scores do not count.
        found: By the model.
    """

    duration_s: float
    true: tuple[Segment, ...]
    found: tuple[Segment, ...]


def iou(one: Segment, other: Segment) -> float:
    """Intersection over union of two stretches of time, 0..1."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    if shared <= 0:
        return 0.0
    return shared / (max(one.end_s, other.end_s) - min(one.start_s, other.start_s))


def matches(video: VideoSegments, *, at_iou: float) -> list[bool]:
    """Of each found segment, by falling score, whether it is right; see the module."""
    taken: set[int] = set()
    right = []
    for found in sorted(video.found, key=lambda segment: -segment.score):
        best = max(
            (
                (iou(found, true), -number)
                for number, true in enumerate(video.true)
                if true.label == found.label and number not in taken
            ),
            default=(0.0, 0),
        )
        # Rounded: 0.5 of 1 s, told in thousandths, shall not fail by the last digit.
        is_right = best[0] > 0 and round(best[0], 9) >= at_iou
        if is_right:
            taken.add(-best[1])
        right.append(is_right)
    return right


def _counts(videos: Sequence[VideoSegments], *, at_iou: float) -> NDArray[np.float64]:
    """Of each video (N, 3): right, found, annotated."""
    rows = [
        (sum(matches(video, at_iou=at_iou)), len(video.found), len(video.true)) for video in videos
    ]
    return np.array(rows, np.float64).reshape(-1, 3)


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of summed counts (..., 3): 2 right / (found + annotated); 1 where there is nothing."""
    total = counts[..., 1] + counts[..., 2]
    f1: NDArray[np.float64] = np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), 1.0)
    return f1


def mean_average_precision(videos: Sequence[VideoSegments], *, at_iou: float) -> float | None:
    """See the module; None where nothing is annotated."""
    labels = sorted({segment.label for video in videos for segment in video.true})
    if not labels:
        return None
    return float(np.mean([_average_precision(videos, label, at_iou=at_iou) for label in labels]))


def _average_precision(videos: Sequence[VideoSegments], label: str, *, at_iou: float) -> float:
    ranked: list[tuple[float, bool]] = []
    count = 0
    for video in videos:
        found = tuple(segment for segment in video.found if segment.label == label)
        true = tuple(segment for segment in video.true if segment.label == label)
        count += len(true)
        of_label = VideoSegments(video.duration_s, true, found)
        scores = sorted((segment.score for segment in found), reverse=True)
        ranked += zip(scores, matches(of_label, at_iou=at_iou), strict=True)
    ranked.sort(key=lambda pair: -pair[0])
    right = np.array([is_right for _, is_right in ranked], np.float64)
    hits = right.cumsum()
    precision = hits / np.arange(1, len(right) + 1)
    # The best precision at that recall or any higher one, as PASCAL VOC and ActivityNet have it.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * right).sum() / count)


def _moments(video: VideoSegments) -> tuple[int, int, int, int]:
    """Moments: all, agreeing, with something annotated, agreeing among those."""
    times_s = np.arange(MOMENT_S / 2, video.duration_s, MOMENT_S)
    labels = sorted({segment.label for segment in (*video.true, *video.found)})
    agree = np.ones(len(times_s), bool)
    something = np.zeros(len(times_s), bool)
    for label in labels:
        true, found = (_held(part, label, times_s) for part in (video.true, video.found))
        agree &= true == found
        something |= true
    return len(times_s), int(agree.sum()), int(something.sum()), int((agree & something).sum())


def _held(
    segments: Sequence[Segment], label: str, times_s: NDArray[np.float64]
) -> NDArray[np.bool_]:
    held = np.zeros(len(times_s), bool)
    for segment in segments:
        if segment.label == label:
            held |= (times_s >= segment.start_s) & (times_s < segment.end_s)
    return held


def segment_metrics(videos: Sequence[VideoSegments], *, seed: int) -> dict[str, Any]:
    """All figures of videos, with 95 % intervals over videos where there are five or more.

    Args:
        videos: One or more.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(videos), size=(RESAMPLES, len(videos)))
    moments = np.array([_moments(video) for video in videos], np.float64)

    def interval(figures: NDArray[np.float64]) -> list[float] | None:
        if len(videos) < LEAST_VIDEOS:
            return None
        low, high = np.nanpercentile(figures, [2.5, 97.5])
        return [float(low), float(high)]

    f1: dict[str, Mapping[str, Any]] = {}
    for at in IOUS:
        counts = _counts(videos, at_iou=at)
        right, found, true = counts.sum(axis=0)
        f1[f"{at:g}"] = {
            "f1": float(_f1(counts.sum(axis=0))),
            "ci95": interval(_f1(counts[draws].sum(axis=1))),
            "precision": float(right / found) if found else None,
            "recall": float(right / true) if true else None,
        }
    drawn = moments[draws].sum(axis=1)
    total, agreeing, something, agreeing_there = moments.sum(axis=0)
    precisions = {f"{at:g}": mean_average_precision(videos, at_iou=at) for at in IOUS}
    known = [value for value in precisions.values() if value is not None]
    return {
        "num_videos": len(videos),
        "num_segments": sum(len(video.true) for video in videos),
        "num_found": sum(len(video.found) for video in videos),
        "duration_s": float(sum(video.duration_s for video in videos)),
        "segment_f1": f1,
        "map": precisions | {"mean": float(np.mean(known)) if known else None},
        "frame_accuracy": {
            "accuracy": float(agreeing / max(total, 1)),
            "ci95": interval(drawn[:, 1] / np.maximum(drawn[:, 0], 1)),
            "where_something_happens": float(agreeing_there / something) if something else None,
        },
        "per_class": _per_class(videos),
    }


def _per_class(videos: Sequence[VideoSegments]) -> dict[str, dict[str, Any]]:
    labels = sorted({s.label for video in videos for s in (*video.true, *video.found)})
    figures = {}
    for label in labels:
        of_label = [
            VideoSegments(
                video.duration_s,
                tuple(s for s in video.true if s.label == label),
                tuple(s for s in video.found if s.label == label),
            )
            for video in videos
        ]
        counts = _counts(of_label, at_iou=0.5).sum(axis=0)
        figures[label] = {
            "f1": float(_f1(counts)),
            "num_segments": int(counts[2]),
            "num_found": int(counts[1]),
        }
    return figures
