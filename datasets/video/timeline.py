"""When each frame is shown: pure functions from time stamps to seconds. No FFmpeg here.

Two sources, from cheap to costly:

    packet table    stamps of the packets, read without decoding, sorted into display order;
                    believed only when `table_is_clean`
    decoded frames  stamps as the decoder gives them, one for each frame, in display order

Rules of every timeline: one entry a frame, the first at 0, never decreasing. Order comes from
the decoder, never from doubtful stamps: stamps that come a little out of order are sorted and
dealt to the frames as these come; stamps that fall far back begin another recording, set one
usual gap behind the last; a missing stamp is set on the line between its neighbours, or by the
usual gap at the ends; a repeated stamp stays repeated.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# FFmpeg's own guess where a stream names no rate.
DEFAULT_RATE_FPS = 25.0
# B-frames stamped in the wrong order are out by a few frames; a joined recording by far more.
MAX_FALL_S = 1.0
MAX_FALL_FRAMES = 16
# Finer than any clock in use: a time computed as 0.1999999999 means the frame at 0.2.
TOLERANCE_S = 1e-6


class PacketRow(NamedTuple):
    """One packet with content, as the container lists it; stamps in units of the time base."""

    pts: int | None
    dts: int | None
    duration: int
    is_key: bool
    is_discarded: bool
    is_corrupt: bool


class FrameStamp(NamedTuple):
    """One frame's stamps, in units of the time base; duration 0 where it is not known."""

    pts: int | None
    duration: int


def table_is_clean(rows: Sequence[PacketRow], *, has_dts: bool = True) -> bool:
    """Whether each packet has a stamp of its own and nothing hints at damage or a jump in time.

    Args:
        rows: The packets in decode order.
        has_dts: False where the container has no decode stamps and FFmpeg guesses them (Matroska).
    """
    stamps = [row.pts for row in rows]
    if not rows or None in stamps or len(set(stamps)) != len(stamps):
        return False
    if any(row.is_corrupt for row in rows):
        return False
    # Stamps that fall back mark recordings joined end to end: sorting would mix them.
    key_stamps = [row.pts for row in rows if row.is_key]
    if key_stamps != sorted(key_stamps):  # type: ignore[type-var]
        return False
    decode_stamps = [row.dts for row in rows if row.dts is not None]
    return not has_dts or decode_stamps == sorted(decode_stamps)


def presentation_times_s(
    stamps: Sequence[int | None], *, time_base: Fraction, rate_fps: float
) -> NDArray[np.float64]:
    """Turn the frames' stamps, in display order, into seconds.

    Args:
        stamps: Presentation time stamps of N frames; None where there is none.
        time_base: Seconds in one unit of the stamps.
        rate_fps: The stream's nominal rate, used only where stamps tell nothing.

    Returns:
        (N,) float64 seconds, the first 0, never decreasing.
    """
    if not isinstance(stamps, range) and None in stamps:
        known = np.array([i for i, stamp in enumerate(stamps) if stamp is not None], np.int64)
    else:
        known = np.arange(len(stamps))
    if known.size == 0:
        return np.arange(len(stamps), dtype=np.float64) / rate_fps
    present = stamps if known.size == len(stamps) else [s for s in stamps if s is not None]
    known_s = _known_times_s(present, time_base=time_base, rate_fps=rate_fps)  # type: ignore[arg-type]
    if known.size == len(stamps):
        return known_s

    frames = np.arange(len(stamps), dtype=np.float64)
    step_s = _usual_gap_s(np.diff(known_s) / np.diff(known), rate_fps=rate_fps)
    times_s: NDArray[np.float64] = np.interp(frames, known, known_s)
    before, after = frames < known[0], frames > known[-1]
    times_s[before] = known_s[0] - step_s * (known[0] - frames[before])
    times_s[after] = known_s[-1] + step_s * (frames[after] - known[-1])
    times_s -= times_s[0]
    return times_s


def _known_times_s(
    stamps: Sequence[int], *, time_base: Fraction, rate_fps: float
) -> NDArray[np.float64]:
    """Sort stamps within each recording, and set recordings that were joined behind each other."""
    ticks = np.array(stamps, np.int64)
    if np.all(ticks[1:] >= ticks[:-1]):
        return _seconds(ticks, time_base)
    fall = max(MAX_FALL_S, MAX_FALL_FRAMES / rate_fps) / float(time_base)
    recordings: list[list[int]] = [[]]
    highest = stamps[0]
    for stamp in stamps:
        if stamp < highest - fall:
            recordings.append([])
            highest = stamp
        recordings[-1].append(stamp)
        highest = max(highest, stamp)

    parts: list[NDArray[np.float64]] = []
    for recording in recordings:
        part_s = _seconds(np.sort(np.array(recording, np.int64)), time_base)
        if parts:
            part_s += parts[-1][-1] + _usual_gap_s(np.diff(part_s), rate_fps=rate_fps)
        parts.append(part_s)
    return np.concatenate(parts)


def _seconds(ticks: NDArray[np.int64], time_base: Fraction) -> NDArray[np.float64]:
    # Integers until the end: the first stamp may be huge and the gaps small.
    seconds: NDArray[np.float64] = (ticks - ticks[0]) * time_base.numerator / time_base.denominator
    return seconds


def _usual_gap_s(gaps_s: NDArray[np.float64], *, rate_fps: float) -> float:
    gap_s = float(np.median(gaps_s)) if gaps_s.size else 0.0
    return gap_s if gap_s > 0 else 1 / rate_fps


def average_rate_fps(times_s: NDArray[np.float64], *, rate_fps: float) -> float:
    """Return frames a second between the first frame and the last; `rate_fps` for one instant."""
    span_s = float(times_s[-1] - times_s[0])
    return (len(times_s) - 1) / span_s if span_s > 0 else rate_fps


def end_s(
    times_s: NDArray[np.float64], *, last_duration: int, time_base: Fraction, fps: float
) -> float:
    """Return when the last frame's display ends, in seconds; one average gap where unknown."""
    last_s = float(last_duration * time_base) if last_duration > 0 else 1 / fps
    return float(times_s[-1]) + last_s
