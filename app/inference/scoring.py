"""Scores of videos: every clip through the network, the mean over the clips of a video."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptide.app.inference.engine import DIVERGED
from cliptide.app.inference.probing import REORDERED, Probe
from cliptide.app.inference.temperature import scaled
from cliptide.configs.errors import CliptideError
from cliptide.configs.tasks import Task
from cliptide.datasets.loaders import Batch
from cliptide.datasets.looks import Looks
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
        missing: Streams that it lacks, of several.
        error: Why it could not be read, or "".
        looks: What it looks like; None when it could not be read, or is no picture.
        tried: (K,) scores under each condition of a probe that fits it, not calibrated.
        order_change: The most that any score, not calibrated, differs when frames are shuffled or
            reversed; None where that was not tried.
    """

    index: int
    scores: NDArray[np.float64] | None
    frames_used: int = 0
    duration_s: float = 0.0
    missing: tuple[str, ...] = ()
    error: str = ""
    looks: Looks | None = None
    tried: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    order_change: float | None = None


def scores_of(outputs: Tensor, *, task: Task, temperature: float = 1.0) -> NDArray[np.float64]:
    """Turn outputs of the network (B, K) into scores (B, K): probabilities, or numbers."""
    scores = _SCORES[task](outputs.double() if outputs.device.type != "mps" else outputs)
    return scaled(scores.cpu().numpy().astype(np.float64), temperature)


def score_videos(
    network: Recognizer,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    task: Task = "single",
    temperature: float = 1.0,
    probe: Probe | None = None,
) -> Iterator[VideoScores]:
    """Score each sample of the batches once, in their order.

    Args:
        network: In evaluation mode, on `device`.
        batches: From `datasets.loaders`; all views of a video lie in one batch.
        device: Where the network is.
        task: What its outputs mean.
        temperature: For a single label, see `scaled`.
        probe: What else to try.

    Raises:
        CliptideError: A score is not a number: the network itself is broken, not a video.
    """
    for batch in batches:
        means: dict[str, dict[int, NDArray[np.float64]]] = {}
        if len(batch.clips):
            with torch.inference_mode():
                moved = batch.to(device)
                if probe is None:
                    tried = {_AS_IT_IS: network(moved.clips, moved.lengths)}
                    of_some: dict[str, tuple[Tensor, Tensor]] = {}
                else:
                    outputs, tried = probe.outputs(network, moved)
                    tried[_AS_IT_IS] = outputs
                    of_some = probe.stream_outputs(network, moved)
            means = {
                name: _means(logits, batch.indices, task=task) for name, logits in tried.items()
            } | {
                name: _means(logits, batch.indices[rows], task=task)
                for name, (logits, rows) in of_some.items()
            }
        for sample in batch.samples:
            tried_here = {
                name: of_video[sample.index]
                for name, of_video in means.items()
                if sample.index in of_video
            }
            raw = tried_here.pop(_AS_IT_IS, None)
            changes = [
                np.abs(tried_here[name] - raw).max()
                for name in REORDERED
                if raw is not None and name in tried_here
            ]
            yield VideoScores(
                index=sample.index,
                scores=None if raw is None else scaled(raw, temperature),
                frames_used=sample.frames_used,
                duration_s=sample.duration_s,
                missing=tuple(sample.missing),
                error=sample.error,
                looks=sample.looks,
                tried=tried_here,
                order_change=float(max(changes)) if changes else None,
            )


_AS_IT_IS = ""


def _means(logits: Tensor, indices: Tensor, *, task: Task) -> dict[int, NDArray[np.float64]]:
    """The mean of the scores over each video's clips."""
    rows = scores_of(logits, task=task)
    if not np.isfinite(rows).all():
        raise CliptideError(DIVERGED)
    owners = indices.numpy()
    return {int(index): rows[owners == index].mean(axis=0) for index in np.unique(owners)}
