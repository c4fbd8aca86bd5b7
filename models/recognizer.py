"""The network: encoder, temporal part, summary over time and head in one.

clips (B, T, 3, H, W) uint8, lengths (B,)
  -> real frames (N, 3, H, W), N = sum of lengths       padding is not encoded at all
  -> encoder  (N, D)
  -> features (B, T, D)
  -> temporal (B, T, E) -> summary (B, E) -> head (B, K) logits
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cliptide.models.encoders.base import Encoder
from cliptide.models.heads import TargetScale
from cliptide.models.summaries import Summary, real_steps
from cliptide.models.temporal.base import Temporal


class StreamState(NamedTuple):
    """All a stream carries from frame to frame."""

    encoder: Any
    temporal: Any
    summary: Any


class Recognizer(nn.Module):
    """Action recogniser over clips, and over streams one frame at a time.

    Args:
        encoder: The CNN for frames.
        temporal: What carries features over time.
        summary: What turns the steps into one vector.
        head: From that vector to logits, or to numbers.
        freeze_encoder: The encoder learns nothing and its batch-norms keep their statistics.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        temporal: Temporal,
        summary: Summary,
        head: nn.Module,
        freeze_encoder: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.temporal, self.summary, self.head = encoder, temporal, summary, head
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            encoder.requires_grad_(False)
            encoder.eval()

    @property
    def can_step(self) -> bool:
        """Whether the model can run on a stream frame by frame."""
        return self.temporal.can_step

    @property
    def target_scale(self) -> TargetScale:
        """The units of the targets, of a network for regression."""
        last = next(reversed(list(self.head.children())))
        assert isinstance(last, TargetScale)
        return last

    def train(self, mode: bool = True) -> "Recognizer":
        """Switch to training; a frozen encoder stays in evaluation mode.

        Otherwise its batch-norm statistics would drift although its weights do not change.
        """
        super().train(mode)
        if self.freeze_encoder:
            self.encoder.eval()
        return self

    def features(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """Encode the real frames: clips (B, T, 3, H, W) uint8 -> (B, T, D), zero at the padding."""
        _check_clips(clips, lengths)
        real = real_steps(clips.shape[1], lengths, clips.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_encoder):
            pooled: Tensor = self.encoder(clips[real], lengths).pooled
        features = pooled.new_zeros(*real.shape, pooled.shape[1])
        return features.masked_scatter(real[..., None], pooled)

    def forward(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """Score clips.

        Args:
            clips: (B, T, 3, H, W) uint8 RGB, padded at the end of T.
            lengths: (B,) int64, real frames of each clip, 1..T.

        Returns:
            (B, K) float32 logits, or targets in the user's units for regression.

        Raises:
            ValueError: The clips are not uint8, or a length lies outside 1..T.
        """
        steps = self.temporal(self.features(clips, lengths), lengths)
        logits: Tensor = self.head(self.summary(steps, lengths))
        return logits

    def initial_state(self, batch_size: int = 1) -> StreamState:
        """The state of B streams that have seen no frame yet."""
        device = next(self.parameters()).device
        feature = torch.zeros(batch_size, self.encoder.dim, device=device)
        step = torch.zeros(batch_size, self.temporal.dim, device=device)
        return StreamState(
            self.encoder.initial_state(batch_size),
            self.temporal.initial_state(feature),
            self.summary.initial_state(step),
        )

    def step(self, frame: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Take in one frame of each of B streams.

        After the frames of a clip, the logits equal those of `forward` on that clip.

        Args:
            frame: (B, 3, H, W) uint8 RGB.
            state: What `initial_state` or the step before returned.

        Returns:
            Logits (B, K) of what was seen so far, and the new state.

        Raises:
            ConfigError: The model is bidirectional.
        """
        encoded, encoder_state = self.encoder.step(frame, state.encoder)
        output, temporal_state = self.temporal.step(encoded.pooled, state.temporal)
        vector, summary_state = self.summary.step(output, state.summary)
        logits: Tensor = self.head(vector)
        return logits, StreamState(encoder_state, temporal_state, summary_state)


def _check_clips(clips: Tensor, lengths: Tensor) -> None:
    if clips.dtype != torch.uint8:
        raise ValueError(f"clips are {clips.dtype}. Give uint8 RGB: the encoder normalises.")
    # A graph that is being exported cannot branch on values.
    if torch.compiler.is_compiling() or not len(lengths):
        return
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > clips.shape[1]:
        wrong = shortest if shortest < 1 else longest
        raise ValueError(f"lengths has {wrong}. Give 1 to {clips.shape[1]}, the frames of a clip.")
