"""One frame at a time, for many streams at once, with the state as a flat tuple of tensors.

    FrameEncoder   frames (B, 3, H, W), begin (B,), state...   -> features (B, ...), state...
    Stepper        features (B, ...), begin (B,), state...     -> logits (B, K), state...

`begin` says of each stream whether it begins with this frame, whatever its state holds. So a
caller starts with zeros and never needs to know what a fresh state is like, and one stream of a
batch may begin anew while others go on. Every tensor of a state has the streams as its first
axis. This is what live streams run on, and what is exported for other programs.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError
from cliptide.models.encoders.base import EncoderState, PictureEncoder
from cliptide.models.recognizer import Recognizer
from cliptide.models.temporal.base import CANNOT_STEP


class FrameEncoder(nn.Module):
    """A network's encoder on one frame of each of B streams.

    Args:
        network: In evaluation mode.
        size: (height, width) of the frames.

    Attributes:
        state_names: Of the tensors of the state; empty where the encoder sees single frames, which
            then needs no `begin` either.

    Raises:
        ConfigError: The encoder needs frames that are still to come.
    """

    def __init__(self, network: Recognizer, *, size: tuple[int, int]) -> None:
        super().__init__()
        if not network.encoder.can_step:
            raise ConfigError(CANNOT_STEP)
        self.encoder, self.takes = network.encoder, network.temporal.takes
        with torch.inference_mode():
            seen = self.encoder.step(_blank(network, size), None)[1]
        self._has_frame = seen.frame is not None
        shown = [*([seen.frame] if seen.frame is not None else []), *seen.shifts]
        self._shapes = [tuple(tensor.shape[1:]) for tensor in shown]
        names = [f"shift_{number}" for number in range(len(seen.shifts))]
        self.state_names = (*(["frame"] if self._has_frame else []), *names)

    def initial(self, batch: int) -> tuple[Tensor, ...]:
        """A state to begin with, together with a `begin` that is true."""
        device = next(self.encoder.parameters()).device
        return tuple(torch.zeros(batch, *shape, device=device) for shape in self._shapes)

    def forward(
        self, frames: Tensor, begin: Tensor | None = None, *state: Tensor
    ) -> tuple[Tensor, ...]:
        """Encode.

        Args:
            frames: (B, *step), pictures (B, 3, H, W) uint8 RGB.
            begin: (B,) bool; None where there is no state.
            state: What the call before returned.

        Returns:
            Features (B, D) or maps (B, C, h, w), and the new state.
        """
        before = None
        if self.state_names:
            assert begin is not None
            frame, shifts = None, state
            if self._has_frame:
                # A stream that begins is taken to have stood still.
                assert isinstance(self.encoder, PictureEncoder)
                images = self.encoder.normalise(frames)
                frame, shifts = _where(begin, images, state[0]), state[1:]
            fresh = tuple(_where(begin, torch.zeros_like(shown), shown) for shown in shifts)
            before = EncoderState(frame, fresh)
        encoded, after = self.encoder.step(frames, before)
        shown = [*([after.frame] if after.frame is not None else []), *after.shifts]
        features = encoded.maps if self.takes == "maps" else encoded.pooled
        return features, *shown


class Stepper(nn.Module):
    """What comes behind the encoder, on one encoded frame of each of B streams.

    Args:
        network: In evaluation mode.
        size: (height, width) of the frames.

    Attributes:
        state_names: Of the tensors of the state.

    Raises:
        ConfigError: The model needs frames that are still to come.
    """

    def __init__(self, network: Recognizer, *, size: tuple[int, int]) -> None:
        super().__init__()
        if not network.temporal.can_step:
            raise ConfigError(CANNOT_STEP)
        self.motion, self.temporal = network.motion, network.temporal
        self.summary, self.head = network.summary, network.head
        with torch.inference_mode():
            encoded, _ = network.encoder.advance(
                _blank(network, size), torch.ones(1, dtype=torch.int64), None
            )
            feature = encoded.maps if self.temporal.takes == "maps" else encoded.pooled
            given = self._given(feature, feature)
            two, three = (self._fresh(given.expand(n, *given.shape[1:])) for n in (2, 3))
        self.feature_shape = tuple(feature.shape[1:])
        # torch's recurrent layers have the batch as their second axis.
        self._axes = [
            next(axis for axis, (a, b) in enumerate(zip(x.shape, y.shape, strict=True)) if a != b)
            for x, y in zip(_leaves(two), _leaves(three), strict=True)
        ]
        self._shapes = [
            tuple(leaf.movedim(axis, 0).shape[1:])
            for leaf, axis in zip(_leaves(two), self._axes, strict=True)
        ]
        count = {"temporal": len(list(_leaves(two[0]))), "summary": len(list(_leaves(two[1])))}
        names = [f"{part}_{number}" for part in count for number in range(count[part])]
        if self.motion is not None:
            names.insert(0, "feature")
            self._shapes.insert(0, self.feature_shape)
        self.state_names = tuple(names)

    def initial(self, batch: int) -> tuple[Tensor, ...]:
        """A state to begin with, together with a `begin` that is true."""
        device = next(self.head.parameters()).device
        return tuple(torch.zeros(batch, *shape, device=device) for shape in self._shapes)

    def forward(self, features: Tensor, begin: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Take one step.

        Args:
            features: (B, D) or (B, C, h, w) float32, what the encoder made of a frame.
            begin: (B,) bool.
            state: What the call before returned.

        Returns:
            Logits (B, K) of what each stream has shown so far, and the new state.
        """
        given, carried = features, list(state)
        if self.motion is not None:
            given = self._given(features, _where(begin, features, carried.pop(0)))
        fresh = self._fresh(given)
        before = iter(
            [
                _where(begin, leaf.movedim(axis, 0), kept).movedim(0, axis).contiguous()
                for leaf, kept, axis in zip(_leaves(fresh), carried, self._axes, strict=True)
            ]
        )
        temporal, summary = _rebuilt(fresh, before)
        ones = torch.ones(features.shape[0], dtype=torch.int64, device=features.device)
        steps, temporal = self.temporal.advance(given[:, None], ones, temporal)
        vector, summary = self.summary.advance(steps, ones, summary)
        after = [
            leaf.movedim(axis, 0)
            for leaf, axis in zip(_leaves((temporal, summary)), self._axes, strict=True)
        ]
        return self.head(vector), *([features] if self.motion is not None else []), *after

    def _given(self, features: Tensor, previous: Tensor) -> Tensor:
        """What the temporal part is given of features and those before them."""
        return features if self.motion is None else self.motion.beside(features, previous)

    def _fresh(self, given: Tensor) -> tuple[Any, Any]:
        step = given.new_zeros(given.shape[0], self.temporal.dim)
        return self.temporal.initial_state(given), self.summary.initial_state(step)


def _blank(network: Recognizer, size: tuple[int, int]) -> Tensor:
    return network.encoder.blank(1, size=size).to(next(network.head.parameters()).device)


def _where(begin: Tensor, fresh: Tensor, kept: Tensor) -> Tensor:
    """Rows of `fresh` where a stream begins, of `kept` where it goes on."""
    return torch.where(begin.view(-1, *[1] * (fresh.ndim - 1)), fresh, kept.to(fresh.dtype))


def _leaves(state: Any) -> Iterator[Tensor]:
    """The tensors of nested tuples, in order; None has none."""
    if isinstance(state, Tensor):
        yield state
    elif state is not None:
        for part in state:
            yield from _leaves(part)


def _rebuilt(like: Any, leaves: Iterator[Tensor]) -> Any:
    """Nested tuples as in `like`, with other tensors."""
    if isinstance(like, Tensor):
        return next(leaves)
    if like is None:
        return None
    return tuple(_rebuilt(part, leaves) for part in like)
