"""From one sample rate to another, by FFmpeg's resampler, in pieces."""

import math
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# A sample is made of its neighbours, 16 on either side at the lower of the rates; that is a
# thousand a second at least.
MARGIN_S = 0.1


def resampled(
    pieces: Iterator[Samples], *, rate: int, sample_rate: int, wanted: int | None
) -> Samples:
    """Resample pieces of mono sound that follow each other.

    Sample k of what comes out is at the moment k / `sample_rate` of what goes in, and there is one
    for each moment before its end.

    Args:
        pieces: (n,) float32 each; no more of them are taken than are needed.
        rate: Their samples a second.
        sample_rate: Samples a second that come out.
        wanted: How many samples at most; None for all.

    Returns:
        (n,) float32.
    """
    done: list[Samples] = []
    num_in, enough = 0, math.inf
    if wanted is not None:
        enough = (wanted / sample_rate + MARGIN_S) * rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)

    def put(samples: Samples, at: int) -> None:
        if rate == sample_rate:
            done.append(samples)
            return
        frame = AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        done.extend(np.array(each.to_ndarray()[0]) for each in resampler.resample(frame))

    waiting: list[Samples] = []
    num_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        num_waiting += len(piece)
        # Calls cost more than samples: some thousand at a time.
        if num_waiting >= rate:
            put(np.concatenate(waiting), num_in)
            num_in, waiting, num_waiting = num_in + num_waiting, [], 0
        if num_in + num_waiting >= enough:
            break
    # Silence behind the end pushes out what the resampler holds, and is cut off again.
    num_real = num_in + num_waiting
    put(np.concatenate([*waiting, np.zeros(math.ceil(MARGIN_S * rate), np.float32)]), num_in)
    if rate != sample_rate:
        done.extend(np.array(each.to_ndarray()[0]) for each in resampler.resample(None))
    count = -(-num_real * sample_rate // rate)
    return np.concatenate(done)[: count if wanted is None else min(count, wanted)]
