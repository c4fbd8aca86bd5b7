"""Scores of videos: every clip through the network, the mean over the clips of a video."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptide.configs.errors import CliptideError
from cliptide.configs.tasks import Task
from cliptide.datasets.loaders import Batch
from cliptide.models.recognizer import Recognizer

_SCORES: dict[Task, Callable[[Tensor], Tensor]] = {
    "single": lambda logits: torch.softmax(logits, dim=1),
    "multi": torch.sigmoid,
    "regression": lambda values: values,
}


@dataclass(frozen=True)
class VideoScores:
    """What the network says of one video.

    Attributes:
        index: The record's place in the data set.
        scores: (K,) float64: probabilities, for a single label summing to 1, or the numbers of a
            regression; None when the video could not be read.
        frames_used: Different frames of the video that were looked at.
        duration_s: Length of the clip, seconds.
        error: Why it could not be read, or "".
    """

    index: int
    scores: NDArray[np.float64] | None
    frames_used: int = 0
    duration_s: float = 0.0
    error: str = ""


def score_videos(
    network: Recognizer,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    task: Task = "single",
) -> Iterator[VideoScores]:
    """Score each sample of the batches once, in their order.

    Args:
        network: In evaluation mode, on `device`.
        batches: From `datasets.loaders`; all views of a video lie in one batch.
        device: Where the network is.
        task: What its outputs mean.

    Raises:
        CliptideError: A score is not a number: the network itself is broken, not a video.
    """
    for batch in batches:
        means: dict[int, NDArray[np.float64]] = {}
        if len(batch.clips):
            with torch.inference_mode():
                moved = batch.to(device)
                logits = network(moved.clips, moved.lengths)
                scores = _SCORES[task](logits.double() if device.type != "mps" else logits)
            rows = scores.cpu().numpy().astype(np.float64)
            if not np.isfinite(rows).all():
                raise CliptideError(
                    "The model's scores are not numbers (NaN): its training diverged. Train "
                    "again with a smaller --train.lr or --train.clip_grad, or --train.precision "
                    "fp32."
                )
            owners = batch.indices.numpy()
            means = {int(index): rows[owners == index].mean(axis=0) for index in np.unique(owners)}
        for sample in batch.samples:
            yield VideoScores(
                index=sample.index,
                scores=means.get(sample.index),
                frames_used=sample.frames_used,
                duration_s=sample.duration_s,
                error=sample.error,
            )
