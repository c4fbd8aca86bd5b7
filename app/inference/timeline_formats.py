"""Timelines as other programs take them: SubRip subtitles and rows of CSV. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from cliptide.app.inference.prediction import Segment
from cliptide.app.inference.timeline import Timeline

CSV_COLUMNS = ("video", "start_s", "end_s", "label", "score")


def clock(seconds: float, *, digits: int = 1) -> str:
    """A time in a video: `0:07.5`, `12:30.0`, `1:02:03.0`."""
    scale = 10**digits
    whole, part = divmod(round(seconds * scale), scale)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{part:0{digits}d}" if digits else ""
    if hours:
        return f"{hours}:{minutes:02d}:{whole:02d}{tail}"
    return f"{minutes}:{whole:02d}{tail}"


def to_srt(segments: Sequence[Segment]) -> str:
    """Subtitles in the SubRip form: what is seen, and how sure that is.

    Segments that overlap share their subtitles: each stretch shows all that holds then.
    """
    edges = sorted({edge for segment in segments for edge in (segment.start_s, segment.end_s)})
    blocks: list[str] = []
    for start_s, end_s in pairwise(edges):
        shown = [s for s in segments if s.start_s < end_s and s.end_s > start_s]
        if shown and round(end_s * 1000) > round(start_s * 1000):
            text = "\n".join(f"{s.label} ({100 * s.score:.0f} %)" for s in shown)
            blocks.append(
                f"{len(blocks) + 1}\n{_srt_time(start_s)} --> {_srt_time(end_s)}\n{text}\n"
            )
    return "\n".join(blocks)


def _srt_time(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{whole:02d},{thousandths:03d}"


def csv_rows(timeline: Timeline) -> list[tuple[str, ...]]:
    """Rows under `csv_columns`, one a segment; of a regression one a point."""
    if timeline.task == "regression":
        return [
            (timeline.video, f"{time_s:.3f}", *(f"{value:.6g}" for value in row))
            for time_s, row in zip(timeline.times_s, timeline.scores, strict=True)
        ]
    return [
        (timeline.video, f"{s.start_s:.3f}", f"{s.end_s:.3f}", s.label, f"{s.score:.4f}")
        for s in timeline.segments
    ]


def csv_columns(timeline: Timeline) -> tuple[str, ...]:
    """The header above `csv_rows`."""
    if timeline.task == "regression":
        return ("video", "time_s", *timeline.class_names)
    return CSV_COLUMNS
