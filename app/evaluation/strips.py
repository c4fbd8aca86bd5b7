"""Film strips: a few frames of a video as one picture, and what drove the answer to it."""

import base64
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cliptide.app.evaluation.report.stored import Explanation, Strip
from cliptide.app.inference.explain import explain
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.rules import sampling_rule
from cliptide.app.inference.terminal import warn
from cliptide.configs.errors import SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import choose_indices
from cliptide.datasets.streams.samples import channels_first, joined, read_sample
from cliptide.datasets.streams.stream import Steps, Stream

STRIP_HEIGHT = 120
STRIP_FRAMES = 12
_CAM_HEIGHT = 40
# Red, green, blue of what drove the answer.
_CAM_COLOUR = (255, 96, 32)

# From scores (T, K) over time to those of the answer and of the truth, each (T).
Curves = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def film_strip(
    recognizer: NetworkRecognizer,
    record: SampleRecord,
    *,
    explain_output: int | None = None,
    curves: Curves | None = None,
) -> Strip | None:
    """Read the frames that the network is given of a video.

    Args:
        recognizer: Says which frames, and explains.
        record: The clip.
        explain_output: The output whose drivers are wanted; None explains nothing.
        curves: Picks what is shown of the scores over time; wanted with `explain_output`.

    Returns:
        The strip; None, with a warning, where the video could not be read this time.
    """
    rule = sampling_rule(recognizer.info)
    explanation = None
    try:
        read = read_sample(
            record, recognizer.streams, choose=lambda pts_s: [choose_indices(pts_s, rule)]
        )
        times_s = read.pts_s[read.chosen[0]]
        spread = np.linspace(0, len(times_s) - 1, min(STRIP_FRAMES, len(times_s)))
        shown = [int(place) for place in np.round(spread)]
        frames = _pictures(recognizer.streams, record, times_s[shown], present=read.views[0])
        if explain_output is not None and curves is not None:
            clip = joined(read.views[0], recognizer.streams)
            explanation = _explanation(
                recognizer,
                clip,
                output=explain_output,
                curves=curves,
                times_s=times_s - read.pts_s[0],
                shown=shown,
            )
    except SampleError as error:  # it could be read a moment ago
        warn(f"No film strip of {record.name}: {error}")
        return None
    return Strip(
        video=record.name,
        frames=jpeg_url(frames),
        count=len(frames),
        width=frames.shape[2],
        height=frames.shape[1],
        times_s=tuple(round(float(times_s[place] - read.pts_s[0]), 3) for place in shown),
        explanation=explanation,
    )


def _pictures(
    streams: Sequence[Stream],
    record: SampleRecord,
    times_s: NDArray[np.float64],
    *,
    present: Sequence[Steps | None],
) -> NDArray[np.uint8]:
    """What each stream shows at moments, one above the other: (n, height, width, 3) uint8."""
    parts = []
    for stream, steps in zip(streams, present, strict=True):
        if steps is not None:
            with stream.open(record) as track:
                parts.append(stream.shown(track, times_s, height=STRIP_HEIGHT))
    width = parts[0].shape[2]
    for place, part in enumerate(parts[1:], start=1):
        same = [cv2.resize(p, (width, STRIP_HEIGHT), interpolation=cv2.INTER_AREA) for p in part]
        parts[place] = np.stack(same).astype(np.uint8)
    return np.concatenate(parts, axis=1)


def _explanation(
    recognizer: NetworkRecognizer,
    clip: Steps,
    *,
    output: int,
    curves: Curves,
    times_s: NDArray[np.float64],
    shown: Sequence[int],
) -> Explanation:
    tensor = torch.from_numpy(np.ascontiguousarray(channels_first(clip)))
    drivers = explain(
        recognizer.network,
        tensor.to(recognizer.device),
        output=output,
        task=recognizer.task,
        temperature=recognizer.info.temperature or 1.0,
    )
    predicted, true = curves(drivers.over_time)
    return Explanation(
        times_s=_rounded(times_s[drivers.moments], 3),
        predicted=_rounded(predicted, 4),
        true=_rounded(true, 4),
        occlusion=_rounded(drivers.occlusion, 4),
        # Of several streams above each other it would lie over all of them.
        cam=None
        if drivers.cam is None or len(recognizer.streams) > 1
        else _cam_url(drivers.cam[list(shown)]),
        output=recognizer.class_names[output],
    )


def _rounded(values: NDArray[np.float64], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)


def jpeg_url(frames: NDArray[np.uint8]) -> str:
    """Frames (N, H, W, 3) uint8 RGB side by side, as the data URL of a JPEG."""
    side_by_side = np.concatenate(list(frames), axis=1)
    bgr = cv2.cvtColor(side_by_side, cv2.COLOR_RGB2BGR)
    return _url("jpeg", cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 78])[1])


def _cam_url(cam: NDArray[np.float64]) -> str:
    """Maps (N, h, w) 0..1 side by side as the data URL of a PNG, opaque where they are high."""
    size = (max(1, round(_CAM_HEIGHT * cam.shape[2] / cam.shape[1])), _CAM_HEIGHT)
    # Enlarged one by one, or a browser would blend the edges of neighbours.
    tiles = [cv2.resize(tile, size, interpolation=cv2.INTER_CUBIC) for tile in cam]
    alpha = np.clip(np.concatenate(tiles, axis=1), 0, 1)
    bgra = np.empty((*alpha.shape, 4), dtype=np.uint8)
    bgra[..., :3] = _CAM_COLOUR[::-1]
    bgra[..., 3] = np.round(alpha * 190)
    return _url("png", cv2.imencode(".png", bgra)[1])


def _url(kind: str, data: NDArray[np.uint8]) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data.tobytes()).decode("ascii")
