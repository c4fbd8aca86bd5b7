"""Encoders of several streams of one sample, side by side, over joined steps.

    step       here (S) | stream 1 | stream 2 | ...       (N, F) float32, joined by `datasets`

    early      [norm(x_1) here_1; norm(x_2) here_2; ...; here]       features joined
    gated      sum_s g_s * h_s,  h_s = here_s tanh(W_s norm(x_s)),  g = 2 sigmoid(V [h_1; h_2; ...])
    late       [x_1 here_1; x_2 here_2; ...; here]                   parted again by `models.late`

`gated` is the gated multimodal unit (Arevalo et al. 2017, "Gated Multimodal Units for Information
Fusion", section 3, for any number of streams): each number of each stream has a gate of its own
that sees all streams. Two things are ours. Norms keep a stream of large features from being all
that is seen, and tanh from being full before training has begun. Gates are doubled, so that they
begin about 1, as if there were none: halved features learn more slowly.

A stream that a sample lacks is not encoded and counts for nothing; batch norms do not see it.
"""

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from cliptide.models.encoders.base import EncodedFrames, Encoder, EncoderState
from cliptide.models.norms import lonely_norms_held

Fusion = Literal["early", "gated", "late"]


class JoinedEncoder(Encoder):
    """See the module.

    Args:
        encoders: One a stream; none may carry a state.
        shapes: Of a step of each stream.
        fusion: How features become one vector.
        gated_dim: Size of that vector for `gated`.

    Attributes:
        dims: D of each stream's own features, for what parts them again.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        shapes: Sequence[tuple[int, ...]],
        *,
        fusion: Fusion,
        gated_dim: int,
    ) -> None:
        super().__init__()
        self.streams = nn.ModuleList(encoders)
        self.shapes, self.fusion = tuple(shapes), fusion
        self.dims = tuple(encoder.dim for encoder in encoders)
        count = len(encoders)
        self.dim = sum(self.dims) + count
        pictures = next((e for e in encoders if e.mean != Encoder.mean), encoders[0])
        self.mean, self.std = pictures.mean, pictures.std
        if fusion != "late":
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in self.dims)
        if fusion == "gated":
            self.dim = gated_dim
            self.project = nn.ModuleList(nn.Linear(dim, gated_dim) for dim in self.dims)
            self.gate = nn.Linear(count * gated_dim, count * gated_dim)
        self.channels = self.dim

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers in a step of each stream."""
        return tuple(math.prod(shape) for shape in self.shapes)

    def advance(
        self, steps: Tensor, lengths: Tensor, state: EncoderState | None
    ) -> tuple[EncodedFrames, EncoderState]:
        """See `Encoder.advance`; steps (N, F) float32, and nothing is carried."""
        del lengths, state
        given, *parts = torch.split(steps, [len(self.shapes), *self.sizes], dim=1)
        here = (given > 0).to(steps.dtype)
        vectors = [
            self._encode(place, torch.unflatten(part, 1, shape), here[:, place])
            for place, (part, shape) in enumerate(zip(parts, self.shapes, strict=True))
        ]
        fused = self._fused(vectors, here)
        # Steps of several streams have no place that maps could show: one point stands for all.
        return EncodedFrames(fused[..., None, None], fused), EncoderState(None, ())

    def _encode(self, place: int, steps: Tensor, here: Tensor) -> Tensor:
        """One stream's vectors (N, D) where it is there; zero elsewhere."""
        encoder = cast(Encoder, self.streams[place])
        ones = here.new_ones(here.shape[0], dtype=torch.int64)
        rows = here > 0
        if torch.compiler.is_compiling() or bool(rows.all()):
            everywhere: Tensor = encoder(steps, ones).pooled
            return everywhere * here[:, None]
        if not rows.any():
            return steps.new_zeros(len(steps), encoder.dim)
        # A backward pass that computes again would find the norms of a lonely step let go.
        checkpointing = encoder.checkpointing
        encoder.checkpointing = checkpointing and int(rows.sum()) > 1
        with lonely_norms_held(encoder, ones[rows]):
            found: Tensor = encoder(steps[rows], ones[rows]).pooled
        encoder.checkpointing = checkpointing
        return found.new_zeros(len(steps), encoder.dim).index_put((rows,), found)

    def _fused(self, vectors: Sequence[Tensor], here: Tensor) -> Tensor:
        masks = here.to(vectors[0].dtype)
        if self.fusion != "late":
            vectors = [norm(vector) for norm, vector in zip(self.norms, vectors, strict=True)]
        if self.fusion == "gated":
            return self._gated(vectors, masks)
        masked = [vector * mask[:, None] for vector, mask in zip(vectors, masks.T, strict=True)]
        return torch.cat([*masked, masks], dim=1)

    def _gated(self, vectors: Sequence[Tensor], masks: Tensor) -> Tensor:
        held = torch.stack(
            [
                torch.tanh(project(vector))
                for project, vector in zip(self.project, vectors, strict=True)
            ],
            dim=1,
        )  # (N, S, D)
        held = held * masks[..., None]
        gates = 2 * torch.sigmoid(self.gate(held.flatten(1)).view_as(held))
        return (gates * held).sum(dim=1)

    def blank(self, count: int, *, size: tuple[int, int]) -> Tensor:
        """Steps of nothing, with every stream there; see `Encoder.blank`."""
        del size
        steps = torch.zeros(count, len(self.shapes) + sum(self.sizes))
        steps[:, : len(self.shapes)] = 1.0
        return steps


def without_streams(steps: Tensor, leave: Tensor) -> Tensor:
    """Joined steps in which streams are taken for missing.

    Args:
        steps: (B, T, F) float32 joined steps.
        leave: (B, S) bool, what stays where it is there.
    """
    count = leave.shape[1]
    kept = torch.where(leave[:, None], steps[..., :count], 0.0)
    return torch.cat([kept, steps[..., count:]], dim=2)


def drop_streams(steps: Tensor, *, num_streams: int, share: float) -> Tensor:
    """Leave each stream of each clip out with a chance of `share`, never all that a clip has.

    Modality dropout (Neverova et al. 2015, "ModDrop", section 4.2); what is drawn comes from
    torch's own generator.

    Args:
        steps: (B, T, F) float32 joined steps.
        num_streams: S.
        share: 0 to below 1.
    """
    here = (steps[:, 0, :num_streams] > 0).cpu()
    leave = torch.rand(here.shape) >= share
    # Where nothing would be left, one that is there stays, whichever is drawn highest.
    kept = torch.rand(here.shape).masked_fill(~here, -1.0).argmax(dim=1)
    rescue = torch.zeros_like(leave)
    rescue[torch.arange(len(leave)), kept] = True
    leave = torch.where((leave & here).any(dim=1, keepdim=True), leave, rescue)
    return without_streams(steps, leave.to(steps.device))
