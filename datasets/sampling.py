"""Which frames of a clip are read. Pure: time stamps and a rule in, frame indices out.

No rule ever repeats a frame to fill a clip up: a short video gives fewer frames, and their
number is the clip's true length.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import VideoError
from cliptide.datasets.video.timeline import TOLERANCE_S

SamplingKind = Literal["uniform", "rate", "dense"]


@dataclass(frozen=True)
class SamplingRule:
    """How the frames of a clip are chosen.

    Attributes:
        kind: `uniform` (spread over the whole clip), `rate` (at a fixed rate) or `dense` (in a
            row).
        frames: T, frames in a clip at most.
        rate_fps: Frames per second, for `rate`.
        stride: Steps from frame to frame, for `dense`.
    """

    kind: SamplingKind
    frames: int
    rate_fps: float = 8.0
    stride: int = 1


def segment_bounds(
    pts_s: NDArray[np.float64], *, start_s: float, end_s: float | None, name: str
) -> tuple[int, int]:
    """The frames shown from `start_s` up to but without `end_s`: first index and one past the last.

    Args:
        pts_s: (N,) presentation times, seconds, never decreasing, the first at 0.
        start_s: Where the segment begins, seconds.
        end_s: Where it ends, seconds; None or beyond the end means the video's end.
        name: What to call the clip in an error.

    Raises:
        VideoError: No frame lies in the segment.
    """
    first, last = 0, len(pts_s)
    if start_s > 0:
        first = int(np.searchsorted(pts_s, start_s - TOLERANCE_S, side="left"))
    if end_s is not None:
        last = int(np.searchsorted(pts_s, end_s - TOLERANCE_S, side="left"))
    if first >= last:
        end = "its end" if end_s is None else f"{end_s:g} s"
        raise VideoError(
            f"{name} has no frame from {start_s:g} s to {end}; "
            f"its last frame is at {pts_s[-1]:.2f} s. Correct start_s and end_s."
        )
    return first, last


def uniform_indices(
    *,
    num_frames: int,
    clip_frames: int,
    view: int = 0,
    num_views: int = 1,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Cut the video into equal stretches and take one frame of each.

    This is the segment sampling of TSN (Wang et al. 2016, Temporal Segment Networks, section 3.1)
    with T segments: a random frame of each in training, the middle one in evaluation.

    Args:
        num_frames: Frames of the video, 1 or more.
        clip_frames: T, the frames wanted.
        view: Which of several evenly shifted choices, 0..num_views-1.
        num_views: How many there are; one alone takes the middle of each stretch.
        rng: Draws a frame of each stretch at random instead (training).

    Returns:
        min(T, num_frames) rising indices, none twice.
    """
    if num_frames <= clip_frames:
        return list(range(num_frames))
    # Whole numbers throughout: stretches share no frame, and rounding cannot move one.
    if rng is not None:
        edges = np.arange(clip_frames + 1) * num_frames // clip_frames
        return [int(index) for index in rng.integers(edges[:-1], edges[1:])]
    places = 2 * (np.arange(clip_frames) * num_views + view) + 1
    return [int(index) for index in places * num_frames // (2 * num_views * clip_frames)]


def rate_indices(
    pts_s: NDArray[np.float64],
    *,
    rate_fps: float,
    clip_frames: int,
    view: int = 0,
    num_views: int = 1,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Take the frame on show every 1 / rate seconds, in a window of T / rate seconds.

    Args:
        pts_s: (N,) presentation times, seconds, never decreasing.
        rate_fps: Frames per second wanted. A video with fewer gives each of its frames once.
        clip_frames: T, frames at most.
        view: Which of several windows spread evenly over the video, 0..num_views-1.
        num_views: How many there are; one alone takes the middle.
        rng: Places the window at random instead (training).

    Returns:
        Up to T rising indices, none twice.
    """
    frame_s = (pts_s[-1] - pts_s[0]) / (len(pts_s) - 1) if len(pts_s) > 1 else 0.0
    duration_s = float(pts_s[-1] - pts_s[0] + frame_s)
    slack_s = max(0.0, duration_s - clip_frames / rate_fps)
    place = rng.random() if rng is not None else (view + 0.5) / num_views
    times = pts_s[0] + place * slack_s + np.arange(clip_frames) / rate_fps
    times = times[times < pts_s[0] + duration_s - TOLERANCE_S] + TOLERANCE_S
    shown = np.searchsorted(pts_s, times, side="right") - 1
    return [int(index) for index in np.unique(np.maximum(shown, 0))] or [0]


def dense_indices(
    *,
    num_frames: int,
    clip_frames: int,
    stride: int,
    view: int = 0,
    num_views: int = 1,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Take every stride-th frame of a window, as 3D networks do.

    The T x tau sampling of SlowFast (Feichtenhofer et al. 2019, section 4), without repeats.

    Args:
        num_frames: Frames of the video, 1 or more.
        clip_frames: T, the frames wanted.
        stride: Steps from frame to frame, 1 or more.
        view: Which of several windows spread evenly over the video, 0..num_views-1.
        num_views: How many there are; one alone takes the middle.
        rng: Places the window at random instead (training).

    Returns:
        Rising indices `stride` apart: T, or as many as a shorter video has at that stride.
    """
    count = min(clip_frames, (num_frames - 1) // stride + 1)
    last_start = num_frames - 1 - (count - 1) * stride
    if rng is not None:
        start = int(rng.integers(last_start + 1))
    else:
        start = last_start * (2 * view + 1) // (2 * num_views)
    return list(range(start, start + (count - 1) * stride + 1, stride))


def choose_indices(
    pts_s: NDArray[np.float64],
    rule: SamplingRule,
    *,
    view: int = 0,
    num_views: int = 1,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Apply a rule to a clip whose frames are shown at `pts_s` (N,), seconds."""
    if rule.kind == "rate":
        return rate_indices(
            pts_s,
            rate_fps=rule.rate_fps,
            clip_frames=rule.frames,
            view=view,
            num_views=num_views,
            rng=rng,
        )
    if rule.kind == "dense":
        return dense_indices(
            num_frames=len(pts_s),
            clip_frames=rule.frames,
            stride=rule.stride,
            view=view,
            num_views=num_views,
            rng=rng,
        )
    return uniform_indices(
        num_frames=len(pts_s), clip_frames=rule.frames, view=view, num_views=num_views, rng=rng
    )
