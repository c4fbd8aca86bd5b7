"""From open videos to frames fitted for a network. No torch: exported models read so too."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.fitting import Fit, place, set_in_frame
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule, choose_indices, segment_bounds
from cliptide.datasets.video import TimedFrame, Video


def times_in(video: Video, record: SampleRecord) -> tuple[int, NDArray[np.float64], float]:
    """Find a record's clip in its open video.

    Returns:
        Its first frame as an index into the video, its time stamps (N,) and its length, seconds.

    Raises:
        VideoError: No frame lies in it.
    """
    first, last = segment_bounds(
        video.pts_s, start_s=record.start_s, end_s=record.end_s, name=record.name
    )
    shown_until_s = video.pts_s[last] if last < video.num_frames else video.duration_s
    pts_s = video.pts_s[first:last]
    return first, pts_s, float(shown_until_s - pts_s[0])


def read_fitted(
    video: Video, indices: Sequence[int], *, size: tuple[int, int], fit: Fit
) -> NDArray[np.uint8]:
    """Read frames (N, height, width, 3) uint8 RGB, fitted into `size` as `fit` says."""
    if fit == "resize":  # needs no look at how large the video is
        return video.frames_at(indices, size=size)
    placement = place(fit, video_size=(video.height, video.width), size=size)
    frames = video.frames_at(indices, size=placement.size, crop=placement.crop)
    return set_in_frame(frames, placement, size=size)


def used_fps(pts_s: NDArray[np.float64], duration_s: float) -> float:
    """Frames per second at which a clip's chosen frames (n,) were taken; 0 where unknown."""
    if len(pts_s) > 1 and pts_s[-1] > pts_s[0]:
        return float((len(pts_s) - 1) / (pts_s[-1] - pts_s[0]))
    return 1 / duration_s if duration_s > 0 else 0.0


@dataclass(frozen=True)
class Views:
    """The clips that a rule takes of a sample.

    Attributes:
        clips: Each (T, *step), of pictures (T, height, width, 3) uint8 RGB; no two are of the same
            steps.
        frames_used: Different steps of the sample in them.
        duration_s: Length of the sample, or of its part, seconds.
        missing: Why, of each of several streams that it lacks; they are masked.
    """

    clips: tuple[NDArray[Any], ...]
    frames_used: int
    duration_s: float
    missing: Mapping[str, str] = field(default_factory=dict)


def different_views(
    pts_s: NDArray[np.float64], rule: SamplingRule, *, num_views: int
) -> list[list[int]]:
    """Frame indices of each view that is no repetition of one before.

    Every view of a short video is the whole video: scoring it once gives the same mean.
    """
    views = [
        choose_indices(pts_s, rule, view=view, num_views=num_views) for view in range(num_views)
    ]
    return [indices for at, indices in enumerate(views) if indices not in views[:at]]


def frames_at_rate(
    video: Video, *, rate_fps: float, size: tuple[int, int], fit: Fit
) -> Iterator[TimedFrame]:
    """Go through a video at a rate, in constant memory: the frame on show every 1 / rate seconds.

    Args:
        video: Open; a video with fewer frames gives each of them once.
        rate_fps: Frames a second.
        size: (height, width) of the frames.
        fit: How the picture is fitted into them.

    Yields:
        Frames with their numbers and times, rising.

    Raises:
        VideoError: A frame cannot be decoded; all before it have been given.
    """
    placement = place(fit, video_size=(video.height, video.width), size=size)
    frames = video.frames(every_s=1 / rate_fps, size=placement.size, crop=placement.crop)
    for frame in frames:
        picture = set_in_frame(frame.picture[None], placement, size=size)[0]
        yield TimedFrame(frame.index, frame.time_s, picture)
