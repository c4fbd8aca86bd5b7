"""What each stream of a sample shows, one above the other, for a person to look at."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.stream import Stream


def drawn_sample(
    record: SampleRecord,
    streams: Sequence[Stream],
    times_s: NDArray[np.float64],
    *,
    height: int,
) -> NDArray[np.uint8]:
    """Draw what is on at moments.

    Args:
        record: The sample.
        streams: Those that it has, one or more; the first one's pictures give the width.
        times_s: (n,) the moments, rising, seconds or what else the sample's time is counted in.
        height: Of each stream's pictures, pixels.

    Returns:
        (n, height * streams, width, 3) uint8 RGB.

    Raises:
        SampleError: It cannot be read.
    """
    parts = []
    for stream in streams:
        with stream.open(record) as track:
            parts.append(stream.shown(track, times_s, height=height))
    width = parts[0].shape[2]
    for place, part in enumerate(parts[1:], start=1):
        same = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in part]
        parts[place] = np.stack(same).astype(np.uint8)
    return np.concatenate(parts, axis=1)
