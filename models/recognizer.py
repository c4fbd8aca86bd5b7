"""The network: encoder, motion, temporal part, summary over time and head in one.

clips (B, T, *step), lengths (B,)                       a step: a picture (3, H, W) uint8, a window
  -> real steps (N, *step), N = sum of lengths          padding is not encoded at all
  -> encoder  (N, D) or maps (N, C, h, w)
  -> differences of consecutive features beside them, where asked
  -> features (B, T, D) or (B, T, C, h, w)
  -> temporal (B, T, E) -> summary (B, E) -> head (B, K) logits

A whole clip, a chunk of it and a single frame go the same way, with the same numbers: what one
call has seen goes into the next as a state.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError
from cliptide.configs.streams import Streams
from cliptide.models.encoders.base import Encoder, EncoderState, PictureEncoder
from cliptide.models.encoders.joined import JoinedEncoder
from cliptide.models.heads import TargetScale
from cliptide.models.motion import FeatureDifferences, MotionState
from cliptide.models.summaries import Summary
from cliptide.models.temporal.base import CANNOT_STEP, Temporal, real_steps, without_padding


class StreamState(NamedTuple):
    """All that clips carry from chunk to chunk, or streams from frame to frame."""

    encoder: EncoderState | None
    motion: MotionState | None
    temporal: Any
    summary: Any


class Recognizer(nn.Module):
    """Action recogniser over clips, chunks of clips, and streams one frame at a time.

    Args:
        encoder: The CNN for frames.
        motion: What puts differences beside the features, or None.
        temporal: What carries features over time.
        summary: What turns the steps into one vector.
        head: From that vector to logits, or to numbers.
        freeze_encoder: The encoder of pictures learns nothing and its batch-norms keep their
            statistics; encoders of other streams beside it learn.
        streams: What samples consist of; None means pictures.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        motion: FeatureDifferences | None = None,
        temporal: Temporal,
        summary: Summary,
        head: nn.Module,
        freeze_encoder: bool = False,
        streams: Streams | None = None,
    ) -> None:
        super().__init__()
        self.streams = streams or Streams()
        self.encoder, self.motion, self.temporal = encoder, motion, temporal
        self.summary, self.head = summary, head
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            for frozen in self.picture_encoders:
                frozen.requires_grad_(False)
                frozen.eval()

    @property
    def can_step(self) -> bool:
        """Whether the model can run on a stream frame by frame."""
        return self.temporal.can_step and self.encoder.can_step

    @property
    def stream_encoders(self) -> dict[str, Encoder]:
        """The encoder of each stream, by the stream's name."""
        several = isinstance(self.encoder, JoinedEncoder)
        encoders = self.encoder.streams if several else [self.encoder]
        return dict(zip(self.streams.names, encoders, strict=True))  # type: ignore[arg-type]

    @property
    def picture_encoders(self) -> list[Encoder]:
        """Those encoders that look at pictures, flow among them: what `freeze_encoder` is about."""
        encoders = self.stream_encoders.values()
        return [encoder for encoder in encoders if isinstance(encoder, PictureEncoder)]

    @property
    def target_scale(self) -> TargetScale:
        """The units of the targets, of a network for regression."""
        scales = self.target_scales
        assert scales, "the network is for another task"
        return scales[0]

    @property
    def target_scales(self) -> list[TargetScale]:
        """Those of each head, of which late fusion has one a stream."""
        return [module for module in self.head.modules() if isinstance(module, TargetScale)]

    def train(self, mode: bool = True) -> "Recognizer":
        """Switch to training; a frozen encoder stays in evaluation mode.

        Otherwise its batch-norm statistics would drift although its weights do not change.
        """
        super().train(mode)
        if self.freeze_encoder:
            for frozen in self.picture_encoders:
                frozen.eval()
        return self

    def unfreeze(self) -> None:
        """Let a frozen encoder learn from now on."""
        self.freeze_encoder = False
        for frozen in self.picture_encoders:
            frozen.requires_grad_(True)
        self.train(self.training)

    def encode(
        self, clips: Tensor, lengths: Tensor, state: EncoderState | None = None
    ) -> tuple[Tensor, EncoderState]:
        """Encode the real steps: clips (B, T, *step) -> (N, D) or maps (N, C, h, w).

        Whatever the network is trained on may be kept of a frozen encoder, and scored later with
        `encoded` (see `forward`).
        """
        if torch.compiler.is_compiling():
            # A graph has a place for every frame, real or not.
            real_frames = torch.flatten(clips, 0, 1)
        else:
            real_frames = clips[real_steps(clips.shape[1], lengths, clips.device)]
        learns = any(weight.requires_grad for weight in self.encoder.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
            frames, seen = self.encoder.advance(real_frames, lengths, state)
        return frames.maps if self.temporal.takes == "maps" else frames.pooled, seen

    def features(
        self,
        clips: Tensor,
        lengths: Tensor,
        state: StreamState | None = None,
        *,
        encoded: bool = False,
    ) -> tuple[Tensor, EncoderState | None, MotionState | None]:
        """What the temporal part is given: (B, T, ...), zero at the padding.

        Also gives the states of encoder and motion.
        """
        _check_lengths(clips, lengths, least=0 if state else 1)
        pictures = isinstance(self.encoder, PictureEncoder) and not encoded
        if pictures and clips.dtype != torch.uint8:
            raise ValueError(f"clips are {clips.dtype}. Give uint8 RGB: the encoder normalises.")
        if encoded and self.motion is None:
            return without_padding(clips, lengths), None, None
        in_graph = torch.compiler.is_compiling()
        real = real_steps(clips.shape[1], lengths, clips.device)
        seen, moved = None, None
        if encoded:
            packed = torch.flatten(clips, 0, 1) if in_graph else clips[real]
        else:
            packed, seen = self.encode(clips, lengths, state.encoder if state else None)
        if self.motion is not None:
            packed, moved = self.motion(packed, lengths, state.motion if state else None)
        if in_graph:
            padded = torch.unflatten(packed, 0, clips.shape[:2])
            return without_padding(padded, lengths), seen, moved
        features = packed.new_zeros(*real.shape, *packed.shape[1:])
        return features.index_put((real,), packed), seen, moved

    def forward(self, clips: Tensor, lengths: Tensor, *, encoded: bool = False) -> Tensor:
        """Score clips.

        Args:
            clips: (B, T, *step), pictures (B, T, 3, H, W) uint8 RGB, padded at the end of T.
            lengths: (B,) int64, real steps of each clip, 1..T.
            encoded: Whether `clips` holds what `encode` made of the frames in their place.

        Returns:
            (B, K) float32 logits, or targets in the user's units for regression; of late fusion
            in training (B, S, K), of each stream.

        Raises:
            ValueError: The clips are not uint8, or a length lies outside 1..T.
        """
        return self._advance(clips, lengths, None, encoded=encoded)[0]

    def advance(
        self,
        clips: Tensor,
        lengths: Tensor,
        state: StreamState | None = None,
        *,
        encoded: bool = False,
    ) -> tuple[Tensor, StreamState]:
        """Score what was seen so far, after the next frames of B clips.

        After the last chunk, the logits equal those of `forward` on the whole clips.

        Args:
            clips: (B, T, 3, H, W) uint8 RGB, the next frames, padded at the end of T.
            lengths: (B,) int64, real frames of each clip here, 0..T: clips may have ended before,
                but each needs a frame in the first chunk.
            state: What the chunk before returned; None at the beginning.
            encoded: See `forward`.

        Returns:
            Logits (B, K) of what was seen so far, and the new state.

        Raises:
            ConfigError: The model needs frames that are still to come.
        """
        if not self.can_step:
            raise ConfigError(CANNOT_STEP)
        return self._advance(clips, lengths, state, encoded=encoded)

    def step(self, frame: Tensor, state: StreamState | None = None) -> tuple[Tensor, StreamState]:
        """Take in one step (B, *step) of each of B streams; see `advance`."""
        ones = torch.ones(len(frame), dtype=torch.int64)
        return self.advance(frame[:, None], ones, state)

    def _advance(
        self, clips: Tensor, lengths: Tensor, state: StreamState | None, *, encoded: bool
    ) -> tuple[Tensor, StreamState]:
        features, seen, moved = self.features(clips, lengths, state, encoded=encoded)
        temporal = state.temporal if state else self.temporal.initial_state(features[:, 0])
        steps, temporal = self.temporal.advance(features, lengths, temporal)
        summary = state.summary if state else self.summary.initial_state(steps[:, 0])
        vector, summary = self.summary.advance(steps, lengths, summary)
        logits: Tensor = self.head(vector)
        return logits, StreamState(seen, moved, temporal, summary)


def _check_lengths(clips: Tensor, lengths: Tensor, *, least: int) -> None:
    # A graph that is being exported cannot branch on values.
    if torch.compiler.is_compiling() or not len(lengths):
        return
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < least or longest > clips.shape[1]:
        wrong = shortest if shortest < least else longest
        raise ValueError(
            f"lengths has {wrong}. Give {least} to {clips.shape[1]}, the frames of a clip."
        )
