"""What each scored clip is like, and what was answered under other conditions: clips.csv.

    video,duration_s,width,height,brightness,motion,<one column a condition>

A condition's column holds an answer as predictions.csv writes it under `predicted`: a class,
labels `a|b`, or numbers `1.5|2`. The conditions that were tried have a column; see `CONDITIONS`.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cliptide.configs.errors import DataError

# The model itself on the same frames in another order, then linear classifiers on the features
# that its encoder makes of each frame alone.
ORDERS = ("shuffled", "reversed", "one_frame")
BASELINES = ("single_frame", "mean_pool")
CONDITIONS = (*ORDERS, *BASELINES)

_HEAD = ("video", "duration_s", "width", "height", "brightness", "motion")


@dataclass(frozen=True)
class ClipFacts:
    """One scored clip beside its prediction.

    Attributes:
        video: The name of the clip, as in predictions.csv.
        duration_s: Length of the clip, seconds.
        width: Of the video as it is shown, pixels.
        height: Likewise.
        brightness: Mean luma of the frames looked at, 0 (black) to 1 (white).
        motion: Mean absolute change of luma between consecutive frames looked at, 0 to 1.
        answers: What was answered under each condition tried.
    """

    video: str
    duration_s: float
    width: int
    height: int
    brightness: float
    motion: float
    answers: Mapping[str, str] = field(default_factory=dict)


def write_clip_facts(path: str | Path, facts: Sequence[ClipFacts]) -> None:
    """Write one CSV line a clip that could be read.

    Args:
        path: The file to write; replaced if it exists.
        facts: The clips, all with the same conditions.
    """
    conditions = [name for name in CONDITIONS if facts and name in facts[0].answers]
    with Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_HEAD, *conditions])
        for clip in facts:
            numbers = (clip.duration_s, clip.width, clip.height, clip.brightness, clip.motion)
            answers = [clip.answers[name] for name in conditions]
            writer.writerow([clip.video, *(f"{number:.6g}" for number in numbers), *answers])


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
    conditions = header[len(_HEAD) :]
    if tuple(header[: len(_HEAD)]) != _HEAD or not set(conditions) <= set(CONDITIONS):
        raise DataError(
            f"{path} starts with the columns {','.join(header)!r}. A clips.csv has "
            f"{','.join(_HEAD)} and any of {','.join(CONDITIONS)}. Evaluate again."
        )
    facts = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            duration_s, width, height, brightness, motion = map(float, line[1 : len(_HEAD)])
            answers = dict(zip(conditions, line[len(_HEAD) :], strict=True))
        except ValueError as cause:
            raise DataError(
                f"{path}: record {number} is damaged: {cause}. Evaluate again."
            ) from cause
        facts.append(
            ClipFacts(line[0], duration_s, int(width), int(height), brightness, motion, answers)
        )
    return facts
