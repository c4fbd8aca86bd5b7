"""Predictions and timelines as a notebook shows them: film strip, bars, and what happens when."""

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.drawing import drawn_sample
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.prediction import Prediction, Segment
from cliptide.app.inference.rules import streams_of
from cliptide.app.inference.timeline import Timeline
from cliptide.configs.errors import SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.stream import Stream

FRAMES = 6
FRAME_HEIGHT = 96  # pixels
SHOWN_CLASSES = 5
LANES = 8
# Told apart by people who see colours differently (Okabe & Ito, "Color Universal Design", 2008),
# and on light and dark ground.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a")
_STYLE = "font-family:system-ui,sans-serif;font-size:13px;max-width:720px"


def prediction_html(prediction: Prediction) -> str:
    """A film strip and the highest scores, or the numbers of a regression."""
    if prediction.task == "regression":
        heading = ", ".join(f"{name} {value:.4g}" for name, value in prediction.values.items())
        bars = ""
    else:
        heading = ", ".join(prediction.labels) or "none of the labels"
        names = [name for name, _ in prediction.top(len(prediction.scores))]
        shown = names[: max(SHOWN_CLASSES, len(prediction.labels))]
        bars = "".join(
            _bar(name, prediction.scores[name], strong=name in prediction.labels) for name in shown
        )
    info = prediction.info
    nouns = Nouns() if info is None else Nouns.of_streams(info.streams)
    told = ", ".join(filter(None, [prediction.video, nouns.length(prediction.duration_s)]))
    strip = ""
    if info is not None and prediction.sample is not None:
        strip = _film_strip(prediction.sample, streams_of(info), nouns)
    return (
        f'<div style="{_STYLE}"><b>{html.escape(heading)}</b> '
        f'<span style="opacity:.65">{html.escape(told)}</span>{strip}{bars}</div>'
    )


def _bar(name: str, score: float, *, strong: bool) -> str:
    weight = "600" if strong else "400"
    return (
        f'<div style="display:flex;align-items:center;gap:8px;font-weight:{weight}">'
        f'<span style="width:180px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">'
        f"{html.escape(name)}</span>"
        '<span style="flex:1;background:rgba(128,128,128,.2);height:10px;border-radius:5px">'
        f'<span style="display:block;width:{100 * score:.1f}%;background:{COLOURS[0]};height:10px;'
        f'border-radius:5px"></span></span><span style="width:56px;text-align:right">{score:.1%}'
        "</span></div>"
    )


def _film_strip(record: SampleRecord, streams: Sequence[Stream], nouns: Nouns) -> str:
    """Steps of the sample beside each other; words where it cannot be read any more."""
    try:
        times_s, here = _moments(record, streams)
        frames = drawn_sample(record, here, times_s, height=FRAME_HEIGHT)
    except SampleError as error:
        return f'<div style="opacity:.65">No pictures: {html.escape(str(error))}</div>'
    images = "".join(
        f'<img alt="{", ".join(filter(None, [nouns.sample, nouns.moment(float(time_s))]))}" '
        f'style="height:{FRAME_HEIGHT * len(here)}px;border-radius:3px" '
        f'src="data:image/jpeg;base64,{_jpeg(frame)}">'
        for frame, time_s in zip(frames, times_s, strict=True)
    )
    return f'<div style="display:flex;gap:3px;overflow-x:auto;margin:6px 0">{images}</div>'


def _moments(
    record: SampleRecord, streams: Sequence[Stream]
) -> tuple[NDArray[np.float64], list[Stream]]:
    """A few moments on the clock of the first stream that the sample has, and all that it has.

    Raises:
        SampleError: It has none.
    """
    times_s = np.zeros(0)
    here: list[Stream] = []
    errors: list[SampleError] = []
    for stream in streams:
        try:
            with stream.open(record) as track:
                count = len(track.pts_s)
                if not here:
                    few = min(FRAMES, count)
                    times_s = track.pts_s[[(2 * i + 1) * count // (2 * few) for i in range(few)]]
                here.append(stream)
        except SampleError as error:
            errors.append(error)
    if not here:
        raise errors[0]
    return times_s, here


def _jpeg(frame: np.ndarray) -> str:
    encoded = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return base64.b64encode(encoded.tobytes()).decode("ascii")


def timeline_html(timeline: Timeline) -> str:
    """A lane for each label that occurs, the longest first, and when it does."""
    lasting = timeline.seconds_of()
    lanes = "".join(
        _lane(label, COLOURS[number % len(COLOURS)], timeline)
        for number, label in enumerate(list(lasting)[:LANES])
    )
    more = len(lasting) - LANES
    rest = f'<div style="opacity:.65">and {more} more labels</div>' if more > 0 else ""
    nothing = "" if lasting else '<div style="opacity:.65">no segment</div>'
    return (
        f'<div style="{_STYLE}"><b>{html.escape(timeline.video)}</b> '
        f'<span style="opacity:.65">{timeline.duration_s:.1f} s</span>{lanes}{rest}{nothing}</div>'
    )


def _lane(label: str, colour: str, timeline: Timeline) -> str:
    segments = "".join(
        _block(segment, colour, timeline.duration_s)
        for segment in timeline.segments
        if segment.label == label
    )
    return (
        '<div style="display:flex;align-items:center;gap:8px;margin:3px 0">'
        '<span style="width:180px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">'
        f"{html.escape(label)}</span>"
        '<span style="flex:1;position:relative;height:16px;background:rgba(128,128,128,.15);'
        f'border-radius:3px">{segments}</span></div>'
    )


def _block(segment: Segment, colour: str, duration_s: float) -> str:
    left = 100 * segment.start_s / max(duration_s, 1e-9)
    width = 100 * (segment.end_s - segment.start_s) / max(duration_s, 1e-9)
    words = f"{segment.label} {segment.start_s:.1f}-{segment.end_s:.1f} s, {segment.score:.0%}"
    return (
        f'<span title="{html.escape(words, quote=True)}" style="position:absolute;left:{left:.2f}%;'
        f'width:{width:.2f}%;height:16px;background:{colour};border-radius:3px"></span>'
    )
