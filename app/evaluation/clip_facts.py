"""What each scored clip is like, and what was answered under other conditions: clips.csv.

    video,duration_s,width,height,brightness,motion[,order_change][,missing],<a column a condition>

A condition's column holds an answer as predictions.csv writes it under `predicted`: a class,
labels `a|b`, or numbers `1.5|2`. The conditions that were tried have a column; see `CONDITIONS`.
`missing` names the streams that a sample lacks, `rgb|audio`; there where any sample lacks one.
Without a stream, or with it alone, a sample is answered that has it and another; the cells of all
others are empty. Files of cliptide before it left them empty hold there what was answered with
everything, which is passed over.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.configs.streams import JOINABLE, ONLY, WITHOUT
from cliptide.datasets.labels import SEPARATOR, names_in

# The model itself on the same frames in another order, then linear classifiers on the features
# that its encoder makes of each frame alone.
ORDERS = ("shuffled", "reversed", "one_frame")
BASELINES = ("single_frame", "mean_pool")
# The model without one of several streams, and with one alone.
_STREAM_OF = {f"{kind}{name}": name for name in JOINABLE for kind in (WITHOUT, ONLY)}
CONDITIONS = (*ORDERS, *BASELINES, *_STREAM_OF)

_CHANGE, _MISSING = "order_change", "missing"
_HEAD = ("video", "duration_s", "width", "height", "brightness", "motion")


@dataclass(frozen=True)
class ClipFacts:
    """One scored clip beside its prediction.

    Attributes:
        video: The name of the clip, as in predictions.csv.
        duration_s: Length of the clip, seconds.
        width: Of the video as it is shown, pixels; None of what is no picture, and so are the next.
        height: Likewise.
        brightness: Mean luma of the frames looked at, 0 (black) to 1 (white).
        motion: Mean absolute change of luma between consecutive frames looked at, 0 to 1.
        answers: What was answered under each condition tried that fits the clip.
        order_change: The most that a score (0..1; of a regression a number) changes when frames
            are shuffled or reversed; None where that was not tried.
        missing: Streams that it lacks, of several.
    """

    video: str
    duration_s: float
    width: int | None
    height: int | None
    brightness: float | None
    motion: float | None
    answers: Mapping[str, str] = field(default_factory=dict)
    order_change: float | None = None
    missing: tuple[str, ...] = ()


def write_clip_facts(path: str | Path, facts: Sequence[ClipFacts]) -> None:
    """Write one CSV line a clip that could be read.

    Args:
        path: The file to write; replaced if it exists.
        facts: The clips; a condition that was not tried on all of them that it fits has no
            column.
    """
    streams = {_STREAM_OF[name] for clip in facts for name in clip.answers if name in _STREAM_OF}
    conditions = []
    for name in CONDITIONS:
        asked = [clip for clip in facts if _fits(name, clip.missing, streams)]
        if asked and all(name in clip.answers for clip in asked):
            conditions.append(name)
    has_change = bool(facts) and all(clip.order_change is not None for clip in facts)
    has_missing = any(clip.missing for clip in facts)
    with Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        more = [*([_CHANGE] if has_change else []), *([_MISSING] if has_missing else [])]
        writer.writerow([*_HEAD, *more, *conditions])
        for clip in facts:
            numbers: list[float | None] = [
                clip.duration_s,
                clip.width,
                clip.height,
                clip.brightness,
                clip.motion,
            ]
            if has_change and clip.order_change is not None:
                numbers.append(clip.order_change)
            missing = [SEPARATOR.join(clip.missing)] if has_missing else []
            answers = [
                clip.answers[name] if _fits(name, clip.missing, streams) else ""
                for name in conditions
            ]
            writer.writerow([clip.video, *map(_number_text, numbers), *missing, *answers])


def _fits(condition: str, missing: Collection[str], streams: Collection[str]) -> bool:
    """Whether a clip is asked under a condition: of a stream, where it has that and another.

    Args:
        condition: One of `CONDITIONS`.
        missing: Streams that the clip lacks.
        streams: All that were tried.
    """
    if condition not in _STREAM_OF:
        return True
    here = set(streams) - set(missing)
    return _STREAM_OF[condition] in here and len(here) > 1


def written_number(number: float) -> float:
    """A number as it is read back from clips.csv."""
    return float(_number_text(number))


def _number_text(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _number(text: str) -> float | None:
    return float(text) if text else None


def read_clip_facts(path: str | Path) -> list[ClipFacts]:
    """Read what `write_clip_facts` wrote.

    Raises:
        DataError: The file cannot be read, has other columns, or holds a value that fits none.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}. Evaluate again.") from error
    header = lines[0] if lines else []
    rest = header[len(_HEAD) :]
    has_change = rest[:1] == [_CHANGE]
    conditions = rest[1:] if has_change else rest
    has_missing = conditions[:1] == [_MISSING]
    conditions = conditions[1:] if has_missing else conditions
    if tuple(header[: len(_HEAD)]) != _HEAD or not set(conditions) <= set(CONDITIONS):
        raise DataError(
            f"{path} starts with the columns {','.join(header)!r}. A clips.csv has "
            f"{','.join(_HEAD)} and any of {','.join(CONDITIONS)}. Evaluate again."
        )
    streams = {_STREAM_OF[name] for name in conditions if name in _STREAM_OF}
    facts = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            duration_s = float(line[1])
            width, height, brightness, motion = map(_number, line[2 : len(_HEAD)])
            cells = line[len(_HEAD) :]
            change = float(cells.pop(0)) if has_change else None
            missing = names_in(cells.pop(0)) if has_missing else ()
            answers = {
                name: cell
                for name, cell in zip(conditions, cells, strict=True)
                if _fits(name, missing, streams)
            }
        except (ValueError, IndexError) as cause:
            raise DataError(
                f"{path}: record {number} is damaged: {cause}. Evaluate again."
            ) from cause
        facts.append(
            ClipFacts(
                line[0],
                duration_s,
                None if width is None else int(width),
                None if height is None else int(height),
                brightness,
                motion,
                answers,
                change,
                missing,
            )
        )
    return facts
