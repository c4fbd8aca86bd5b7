"""Film strips as the page shows them: frames, and what drove the answer laid under them.

A strip shows `count` frames at equal widths, whatever the times between them. What belongs to a
time is placed between the frames around it, so that a curve's point stands under its frame.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.stored import ConfusedPair, Explanation, Strip
from cliptide.app.evaluation.report.words import percent
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task

# The box that curves are drawn in; it is stretched to the strip's width.
_WIDE, _HIGH, _LOW = 1000, 100, 40
# What fills the box of the bars at least, of all there is to lose: less is noise and shall look
# like it.
_LEAST_FULL = 0.03


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
    strip: Strip,
    rows: Mapping[str, VideoPrediction],
    class_names: Sequence[str],
    *,
    task: Task,
    nouns: Nouns,
) -> dict[str, Any]:
    """What the template shows of a strip.

    Args:
        strip: The frames.
        rows: The predictions by the name of their video.
        class_names: In the order of the scores.
        task: What was predicted.
        nouns: What samples and moments are called.
    """
    row = rows.get(strip.video)
    scores = dict(zip(class_names, row.scores, strict=True)) if row and row.scores else {}
    times = list(strip.times_s)
    explanation = strip.explanation
    if explanation and task == "single" and row and explanation.output not in ("", row.predicted):
        explanation = None  # it is of the answer that stood there before the file was edited
    return {
        "strip": strip,
        "row": row,
        "true_score": scores.get(str(row.true)) if row else None,
        "moments": [nouns.moment(time) for time in times],
        "span": nouns.span(times[0], times[-1]),
        # A single step has no curve.
        "explained": _explained(explanation, times, task=task)
        if explanation and len(explanation.times_s) > 1
        else None,
        "cam": explanation.cam if explanation else None,
    }


def shown_mistakes(
    strips: Sequence[Strip],
    rows: Mapping[str, VideoPrediction],
    class_names: Sequence[str],
    *,
    task: Task,
    nouns: Nouns,
) -> list[dict[str, Any]]:
    """The strips whose answer is wrong still: in an edited file it may be right, or gone."""

    def wrong(row: VideoPrediction | None) -> bool:
        return row is not None and not row.failed and (task == "regression" or not row.correct)

    return [
        shown_strip(strip, rows, class_names, task=task, nouns=nouns)
        for strip in strips
        if wrong(rows.get(strip.video))
    ]


def _explained(explanation: Explanation, times_s: Sequence[float], *, task: Task) -> dict[str, Any]:
    xs = [place_of(time, times_s) for time in explanation.times_s]
    ends = (0.0, 1.0)
    if task == "regression":
        values = [*explanation.predicted, *explanation.true] or [0.0]
        ends = (min(values), max(values))
    most = max((abs(value) for value in explanation.occlusion), default=0.0)
    full = max(most, _LEAST_FULL * (ends[1] - ends[0])) or 1.0
    width = 0.8 * _WIDE / max(len(xs), len(times_s), 1)
    return {
        "predicted": _line(xs, explanation.predicted, ends),
        "true": _line(xs, explanation.true, ends),
        "ends": [_end(end, task) for end in ends],
        "output": explanation.output,
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
        "full": _full(full, task),
        # For the words beside the curves while the strip plays.
        "data": {
            "kind": task,
            "names": _names(explanation.output, task),
            "x": [round(x, 4) for x in xs],
            "time": [round(time, 2) for time in explanation.times_s],
            "predicted": [round(value, 4) for value in explanation.predicted],
            "true": [round(value, 4) for value in explanation.true],
            "occlusion": [round(value, 4) for value in explanation.occlusion],
        },
    }


def _names(output: str, task: Task) -> tuple[str, str]:
    """What the two curves are called while the strip plays."""
    if task == "single":
        return "predicted", "true"
    if task == "multi":
        return (
            f"\N{LEFT SINGLE QUOTATION MARK}{output}\N{RIGHT SINGLE QUOTATION MARK}"
            if output
            else "score"
        ), "should be"
    return output or "value", "true value"


def _end(value: float, task: Task) -> str:
    return f"{value:.3g}" if task == "regression" else percent(value)


def _full(value: float, task: Task) -> str:
    """What a bar of full height stands for."""
    return f"{value:.2g}" if task == "regression" else f"{100 * value:.2g} points"


def _line(xs: Sequence[float], values: Sequence[float], ends: tuple[float, float]) -> str:
    low, high = ends
    shares = [(value - low) / (high - low) if high > low else 0.5 for value in values]
    # A little air above and below: a line on the border is half cut off.
    return " ".join(
        f"{x * _WIDE:.1f},{4 + (1 - min(max(share, 0), 1)) * (_HIGH - 8):.1f}"
        for x, share in zip(xs, shares, strict=True)
    )


def shown_pairs(
    pairs: Sequence[ConfusedPair],
    rows: Mapping[str, VideoPrediction],
    class_names: Sequence[str],
    *,
    nouns: Nouns,
) -> list[dict[str, Any]]:
    """The confused pairs with their frames: a video taken for the other class, and one of that.

    Where predictions.csv was edited, a pair whose video is no longer taken so is left out.
    """
    shown = []
    for pair in pairs:
        answers = [
            (row.true, row.predicted) if (row := rows.get(strip.video)) else (None, None)
            for strip in pair.strips
        ]
        if (pair.true, pair.predicted) not in answers:
            continue
        strips = [
            shown_strip(strip, rows, class_names, task="single", nouns=nouns)
            for strip, (true, predicted) in zip(pair.strips, answers, strict=True)
            if (true, predicted) == (pair.true, pair.predicted) or true == pair.predicted
        ]
        shown.append({"true": pair.true, "predicted": pair.predicted, "strips": strips})
    return shown
