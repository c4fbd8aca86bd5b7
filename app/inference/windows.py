"""Scores along a video: windows as long as the clips a model learnt, each frame encoded once.

    frames at the model's rate    0 1 2 3 4 5 6 7 8 9 ...
    windows of 6, one every 2     [0 . . . . 5]
                                      [2 . . . . 7]
                                          [4 . . . . 9]       each says what happens in its middle

Nothing but the features of a window or so is kept, so memory does not grow with the video.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cliptide.app.inference.engine import DIVERGED, Engine, Floats, scores_of
from cliptide.app.inference.stream import context_frames
from cliptide.configs.errors import CliptideError
from cliptide.datasets.video import TimedFrame

WINDOWS_IN_CONTEXT = 8
# Where the encoder looks ahead, every window costs a whole clip.
WINDOWS_IN_CONTEXT_ENCODED_ANEW = 4
FRAMES_AT_ONCE = 16
WINDOWS_AT_ONCE = 32
WINDOWS_AT_ONCE_ENCODED_ANEW = 8  # a whole clip each, as for `predict`

Item = TypeVar("Item")


class Point(NamedTuple):
    """What a window says.

    Attributes:
        time_s: The middle of what it shows, seconds.
        scores: (K,) float64, before calibration.
    """

    time_s: float
    scores: NDArray[np.float64]


class _Step(NamedTuple):
    time_s: float
    step: NDArray[Any]  # a frame's features, or itself where the encoder looks ahead


class _Window(NamedTuple):
    time_s: float
    steps: NDArray[Any]


def scored_windows(engine: Engine, frames: Iterable[TimedFrame]) -> Iterator[Point]:
    """Score windows along a video.

    Args:
        engine: Runs the network.
        frames: At the model's rate and size, rising.

    Yields:
        A point for each window, rising; of a video shorter than a window one for the whole.

    Raises:
        CliptideError: The network gives no numbers.
    """
    context = context_frames(engine)
    count, at_once = WINDOWS_IN_CONTEXT, WINDOWS_AT_ONCE
    if not engine.can_encode:
        count, at_once = WINDOWS_IN_CONTEXT_ENCODED_ANEW, WINDOWS_AT_ONCE_ENCODED_ANEW
    windows = _windows(
        _steps(engine, frames),
        context=context,
        every=max(1, context // count),
        longest_s=context / engine.info.rate_fps,
    )
    for together in _batches(windows, at_once):
        outputs = _score(engine, [window.steps for window in together])
        if not np.isfinite(outputs).all():
            raise CliptideError(DIVERGED)
        rows = scores_of(outputs, task=engine.info.task)
        for window, row in zip(together, rows, strict=True):
            yield Point(window.time_s, row)


def _steps(engine: Engine, frames: Iterable[TimedFrame]) -> Iterator[_Step]:
    """Time and features of each frame; the frame itself where the encoder looks ahead."""
    state = None
    for together in _batches(frames, FRAMES_AT_ONCE):
        pictures = np.stack([frame.picture for frame in together])
        steps: NDArray[Any] = pictures
        if engine.can_encode:
            steps, state = engine.encode(pictures, state)
        for frame, step in zip(together, steps, strict=True):
            yield _Step(frame.time_s, step)


def _windows(
    steps: Iterable[_Step], *, context: int, every: int, longest_s: float
) -> Iterator[_Window]:
    """Windows of `context` steps; of fewer where frames are further apart than the model's rate."""
    held: deque[_Step] = deque(maxlen=context)
    since = None  # steps since the last window; None before the first
    is_full = False
    for step in steps:
        held.append(step)
        while held[0].time_s < step.time_s - longest_s:
            held.popleft()
            is_full = True
        is_full = is_full or len(held) == context
        if since is not None:
            since += 1
        if is_full and (since is None or since >= every):
            yield _window(held)
            since = 0
    # The end of the video, where no window ends with it.
    if held and since != 0:
        yield _window(held)


def _window(steps: Iterable[_Step]) -> _Window:
    times_s, stacked = zip(*steps, strict=True)
    return _Window((times_s[0] + times_s[-1]) / 2, np.stack(stacked))


def _score(engine: Engine, windows: list[NDArray[Any]]) -> Floats:
    if not engine.can_encode:
        return engine.score_clips(windows)
    lengths = np.array([len(window) for window in windows], np.int64)
    padded = np.zeros((len(windows), int(lengths.max()), *windows[0].shape[1:]), windows[0].dtype)
    for row, window in zip(padded, windows, strict=True):
        row[: len(window)] = window
    return engine.score_features(padded, lengths)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while together := list(islice(iterator, size)):
        yield together
