"""Data sets of pictures, from the few things that differ between tests."""

from typing import Any

import numpy as np

from cliptide.datasets.kept import KeptRows
from cliptide.datasets.processes import worker_context
from cliptide.datasets.streams.pictures import PictureStream


def picture_options(
    *,
    size: tuple[int, int],
    fit: Any = "resize",
    augment: str | None = None,
    flip: bool = False,
    kept: KeptRows | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Options of a `ClipDataset` that reads frames; with `augment` for training."""
    stream = PictureStream(size=size, fit=fit, augment=augment, flip=flip)
    return {
        "streams": [stream],
        "training": augment is not None,
        "kept": [] if kept is None else [kept],
        **others,
    }


def kept_frames(count: int, size: tuple[int, int], *, budget_bytes: int) -> KeptRows:
    """Memory for the frames of so many clips."""
    return KeptRows(
        count,
        row_shape=(*size, 3),
        row_type=np.uint8,
        budget_bytes=budget_bytes,
        context=worker_context(),
    )


def num_kept(kept: KeptRows, count: int) -> int:
    """How many of so many samples are kept by now."""
    return sum(kept.get(index) is not None for index in range(count))
