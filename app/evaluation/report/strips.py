"""Film strips as the page shows them: frames, and what drove the answer laid under them.

A strip shows `count` frames at equal widths, whatever the times between them. What belongs to a
time is placed between the frames around it, so that a curve's point stands under its frame.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.stored import ConfusedPair, Explanation, Strip

# The box that curves are drawn in; it is stretched to the strip's width.
_WIDE, _HIGH, _LOW = 1000, 100, 40


def place_of(time_s: float, times_s: Sequence[float]) -> float:
    """Where a time lies along a strip, 0..1: the middle of a frame at the frame's own time.

    Args:
        time_s: Seconds.
        times_s: When each frame of the strip is shown, ascending.
    """
    count = len(times_s)
    middles = [(number + 0.5) / count for number in range(count)]
    if count == 1 or time_s <= times_s[0]:
        return middles[0]
    for (before, after), (left, right) in zip(pairwise(times_s), pairwise(middles), strict=True):
        if time_s <= after:
            share = (time_s - before) / (after - before) if after > before else 1.0
            return left + share * (right - left)
    return middles[-1]


def shown_strip(
    strip: Strip, rows: Mapping[str, VideoPrediction], class_names: Sequence[str]
) -> dict[str, Any]:
    """What the template shows of a strip.

    Args:
        strip: The frames.
        rows: The predictions by the name of their video.
        class_names: In the order of the scores.
    """
    row = rows.get(strip.video)
    scores = dict(zip(class_names, row.scores, strict=True)) if row and row.scores else {}
    times = list(strip.times_s)
    return {
        "strip": strip,
        "row": row,
        "true_score": scores.get(str(row.true)) if row else None,
        "times": [f"{time:.1f}" for time in times],
        "explained": _explained(strip.explanation, times) if strip.explanation else None,
        "cam": strip.explanation.cam if strip.explanation else None,
    }


def _explained(explanation: Explanation, times_s: Sequence[float]) -> dict[str, Any]:
    xs = [place_of(time, times_s) for time in explanation.times_s]
    most = max((abs(value) for value in explanation.occlusion), default=0.0)
    # Ten points fill the box at least: less is noise and shall look like it.
    full = max(most, 0.1)
    width = 0.8 * _WIDE / max(len(xs), len(times_s), 1)
    return {
        "predicted": _line(xs, explanation.predicted),
        "true": _line(xs, explanation.true),
        "occlusion": [
            {
                "x": round(x * _WIDE - width / 2, 1),
                "y": round(_LOW / 2 - max(value, 0) / full * _LOW / 2, 1),
                "width": round(width, 1),
                "height": round(max(abs(value) / full * _LOW / 2, 0.6), 1),
                "lost": value >= 0,
            }
            for x, value in zip(xs, explanation.occlusion, strict=True)
        ],
        "most": max(explanation.occlusion, default=0.0),
        # For the words beside the curves while the strip plays.
        "data": {
            "x": [round(x, 4) for x in xs],
            "time": [round(time, 2) for time in explanation.times_s],
            "predicted": [round(value, 4) for value in explanation.predicted],
            "true": [round(value, 4) for value in explanation.true],
            "occlusion": [round(value, 4) for value in explanation.occlusion],
        },
    }


def _line(xs: Sequence[float], values: Sequence[float]) -> str:
    # A little air above and below: a line on the border is half cut off.
    return " ".join(
        f"{x * _WIDE:.1f},{4 + (1 - min(max(value, 0), 1)) * (_HIGH - 8):.1f}"
        for x, value in zip(xs, values, strict=True)
    )


def shown_pairs(
    pairs: Sequence[ConfusedPair],
    rows: Mapping[str, VideoPrediction],
    class_names: Sequence[str],
) -> list[dict[str, Any]]:
    """The confused pairs with their frames: a video taken for the other class, and one of that."""
    return [
        {
            "true": pair.true,
            "predicted": pair.predicted,
            "strips": [shown_strip(strip, rows, class_names) for strip in pair.strips],
        }
        for pair in pairs
    ]
