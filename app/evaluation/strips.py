"""Film strips: a few steps of a sample as one picture, and what drove the answer to it."""

import base64
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cliptide.app.evaluation.report.stored import Explanation, Strip
from cliptide.app.inference.drawing import drawn_sample
from cliptide.app.inference.explain import explain
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.rules import sampling_rule
from cliptide.app.inference.terminal import warn
from cliptide.configs.errors import SampleError
from cliptide.configs.streams import PICTURES
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import choose_indices
from cliptide.datasets.streams.audio import AudioStream
from cliptide.datasets.streams.pictures import PatchStream
from cliptide.datasets.streams.samples import channels_first, joined, read_sample
from cliptide.datasets.streams.stream import Steps, Stream
from cliptide.datasets.streams.text import TextStream

STRIP_HEIGHT = 120
STRIP_FRAMES = 12
MOST_TOKENS = 120  # of a text that is told in words
_CAM_HEIGHT = 40
# Red, green, blue of what drove the answer, on pictures and on spectrograms, which glow red.
_CAM_COLOUR, _CAM_COLOUR_OF_SOUND = (255, 96, 32), (64, 240, 190)

# From scores (T, K) over time to those of the answer and of the truth, each (T).
Curves = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


def film_strip(
    recognizer: NetworkRecognizer,
    record: SampleRecord,
    *,
    explain_output: int | None = None,
    curves: Curves | None = None,
) -> Strip | None:
    """Read the steps that the network is given of a sample.

    Args:
        recognizer: Says which steps, and explains.
        record: The clip.
        explain_output: The output whose drivers are wanted; None explains nothing.
        curves: Picks what is shown of the scores over time; wanted with `explain_output`.

    Returns:
        The strip; None, with a warning, where the sample could not be read this time.
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
        present = [
            stream
            for stream, steps in zip(recognizer.streams, read.views[0], strict=True)
            if steps is not None
        ]
        frames = drawn_sample(record, present, times_s[shown], height=STRIP_HEIGHT)
        text = _text(recognizer.streams[0], record)
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
        text=text,
    )


def _text(stream: Stream, record: SampleRecord) -> str:
    """The words of a text as its tokens spell them; nothing of other samples."""
    if not isinstance(stream, TextStream):
        return ""
    tokens = stream.read(record).rows[:MOST_TOKENS].tolist()
    return stream.tokenizer.decode(tokens)


def _explanation(
    recognizer: NetworkRecognizer,
    clip: Steps,
    *,
    output: int,
    curves: Curves,
    times_s: NDArray[np.float64],
    shown: list[int],
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
        cam=_shown_cam(drivers.cam, recognizer.streams, times_s, shown),
        output=recognizer.class_names[output],
    )


def _shown_cam(
    cam: NDArray[np.float64] | None,
    streams: Sequence[Stream],
    times_s: NDArray[np.float64],
    shown: list[int],
) -> str | None:
    """Maps as they lie over what is drawn; None where a step is not drawn as it was encoded."""
    if cam is None:
        return None
    here, stream = cam[shown], streams[0]
    if isinstance(stream, AudioStream):
        # Spectrograms are drawn with the low bands at the bottom, and the middle of a window.
        size = (stream.window, here.shape[1])
        wide = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in here])
        heard = wide[:, ::-1, stream.middle(times_s[shown])]
        return _cam_url(heard, colour=_CAM_COLOUR_OF_SOUND)
    is_drawn = stream.name in PICTURES and not isinstance(stream, PatchStream)
    return _cam_url(here) if is_drawn else None


def _rounded(values: NDArray[np.float64], digits: int) -> tuple[float, ...]:
    return tuple(round(float(value), digits) for value in values)


def jpeg_url(frames: NDArray[np.uint8]) -> str:
    """Frames (N, H, W, 3) uint8 RGB side by side, as the data URL of a JPEG."""
    side_by_side = np.concatenate(list(frames), axis=1)
    bgr = cv2.cvtColor(side_by_side, cv2.COLOR_RGB2BGR)
    return _url("jpeg", cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 78])[1])


def _cam_url(cam: NDArray[np.float64], *, colour: tuple[int, int, int] = _CAM_COLOUR) -> str:
    """Maps (N, h, w) 0..1 side by side as the data URL of a PNG, opaque where they are high."""
    size = (max(1, round(_CAM_HEIGHT * cam.shape[2] / cam.shape[1])), _CAM_HEIGHT)
    # Enlarged one by one, or a browser would blend the edges of neighbours.
    tiles = [cv2.resize(tile, size, interpolation=cv2.INTER_CUBIC) for tile in cam]
    alpha = np.clip(np.concatenate(tiles, axis=1), 0, 1)
    bgra = np.empty((*alpha.shape, 4), dtype=np.uint8)
    bgra[..., :3] = colour[::-1]
    bgra[..., 3] = np.round(alpha * 190)
    return _url("png", cv2.imencode(".png", bgra)[1])


def _url(kind: str, data: NDArray[np.uint8]) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data.tobytes()).decode("ascii")
