"""The same clips with their frames in another order, and to models that know no order.

What comes of it says whether a model uses time. Each frame goes through the encoder once, where
the encoder looks at nothing but the frame; one that looks at its neighbours sees every order anew.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptide.configs.streams import ONLY, WITHOUT
from cliptide.datasets.loaders import Batch
from cliptide.models.baselines import FrameBaselines, pooled_views
from cliptide.models.encoders.joined import without_streams
from cliptide.models.recognizer import Recognizer

# On a CPU, more frames at once only miss its caches.
_FRAMES_AT_ONCE = 64

_DRAWS: dict[str, Callable[[np.random.Generator, int], NDArray[np.int64]]] = {
    "shuffled": lambda rng, count: rng.permutation(count),
    "reversed": lambda rng, count: np.arange(count - 1, -1, -1),
}
REORDERED = tuple(_DRAWS)


@dataclass(frozen=True)
class Probe:
    """What to try beside the clips as they are.

    Attributes:
        seed: Of the shuffling; what is drawn depends on it and the sample alone.
        baselines: Linear models on the features of single frames; None where there are none.
    """

    seed: int
    baselines: FrameBaselines | None = None

    def outputs(self, network: Recognizer, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the network on a batch as it is and on all that is tried.

        Args:
            network: In evaluation mode.
            batch: Clips of frames, on its device.

        Returns:
            (B, K) outputs for the clips as they are, and under each condition.
        """
        clips, lengths = batch.clips, batch.lengths
        encoded = network.encoder.sees_single_frames
        if encoded:
            clips = _padded(network.encode(clips, lengths)[0], batch)
        as_they_are = network(clips, lengths, encoded=encoded)
        rows = torch.arange(len(clips), device=clips.device)[:, None]
        tried = {
            name: network(clips[rows, order.to(clips.device)], lengths, encoded=encoded)
            for name, order in self._orders(batch).items()
        }
        middle = clips[rows, (lengths // 2)[:, None].to(clips.device)]
        tried["one_frame"] = network(middle, torch.ones_like(lengths), encoded=encoded)
        if self.baselines is not None:
            alone = clips if encoded else encoded_alone(network, batch)
            tried |= self.baselines.outputs(pooled_views(_vectors(alone), lengths))
        return as_they_are, tried

    def stream_outputs(self, network: Recognizer, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Run the network without each of several streams, and with each alone.

        A clip that lacks the stream, or has no other, tells nothing of it and is left out: without
        it the clip would be as it is, or nothing.

        Args:
            network: In evaluation mode.
            batch: Joined clips, on its device.

        Returns:
            Under each condition the outputs (N, K) and the rows (N,) int64 of the batch that they
            are of; empty of a model of one stream, and without conditions that fit no clip.
        """
        names = network.streams.names
        if len(names) < 2:
            return {}
        here = (batch.clips[:, 0, : len(names)] > 0).cpu()
        several = here.sum(dim=1) > 1
        found = {}
        for place, name in enumerate(names):
            rows = torch.nonzero(here[:, place] & several).flatten()
            if not len(rows):
                continue
            clips, lengths = batch.clips[rows.to(batch.clips.device)], batch.lengths[rows]
            only = torch.zeros(len(rows), len(names), dtype=torch.bool, device=clips.device)
            only[:, place] = True
            for kind, leave in ((WITHOUT, ~only), (ONLY, only)):
                found[kind + name] = network(without_streams(clips, leave), lengths), rows
        return found

    def _orders(self, batch: Batch) -> dict[str, Tensor]:
        """(B, T) where each step's frame is taken from; padding stays where it is."""
        steps = batch.clips.shape[1]
        orders = {name: torch.arange(steps).repeat(len(batch.clips), 1) for name in _DRAWS}
        seen: dict[int, int] = {}
        for row, (index, length) in enumerate(zip(batch.indices, batch.lengths, strict=True)):
            sample, count = int(index), int(length)
            view = seen[sample] = seen.get(sample, -1) + 1
            rng = np.random.default_rng((self.seed, sample, view))
            for name, draw in _DRAWS.items():
                orders[name][row, :count] = torch.from_numpy(draw(rng, count))
        return orders


def encoded_alone(network: Recognizer, batch: Batch) -> Tensor:
    """Encode each frame as a clip of its own: (B, T, D), zero at the padding."""
    if batch.encoded:
        return _vectors(batch.clips)
    real = batch.clips[_real(batch)]
    parts = [
        network.encode(part[:, None], torch.ones(len(part), dtype=torch.int64))[0]
        for part in torch.split(real, _FRAMES_AT_ONCE)
    ]
    return _vectors(_padded(torch.cat(parts), batch))


def _real(batch: Batch) -> Tensor:
    steps = torch.arange(batch.clips.shape[1])
    return (steps < batch.lengths[:, None]).to(batch.clips.device)


def _padded(packed: Tensor, batch: Batch) -> Tensor:
    real = _real(batch)
    return packed.new_zeros(*real.shape, *packed.shape[1:]).index_put((real,), packed)


def _vectors(features: Tensor) -> Tensor:
    """(B, T, D) float32 of features that may be maps (B, T, C, h, w), or of half precision."""
    return (features.mean(dim=(3, 4)) if features.dim() == 5 else features).float()
