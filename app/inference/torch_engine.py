"""A network run by PyTorch, behind the protocol of `engine`."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from cliptide.app.inference.engine import Bools, Floats, Frames, Ints, State
from cliptide.datasets.streams.samples import channels_first
from cliptide.models.info import ModelInfo
from cliptide.models.recognizer import Recognizer
from cliptide.models.stepping import Stepper


class TorchEngine:
    """See `engine.Engine`.

    Args:
        network: The network; it is moved to `device` and set to evaluation.
        info: What the model file says.
        device: Where to compute.
    """

    def __init__(self, network: Recognizer, info: ModelInfo, *, device: torch.device) -> None:
        self.network, self.info = network.to(device).eval(), info
        self.device = device
        self.can_step = network.can_step
        self.can_encode = network.encoder.can_step

    @cached_property
    def _stepper(self) -> Stepper:
        return Stepper(self.network, size=self.info.step_size)

    @torch.inference_mode()
    def score_clips(self, clips: Sequence[Frames]) -> Floats:
        """See `engine.Engine.score_clips`."""
        lengths = torch.tensor([len(clip) for clip in clips])
        given = [torch.from_numpy(channels_first(clip)) for clip in clips]
        padded = given[0].new_zeros(len(clips), int(lengths.max()), *given[0].shape[1:])
        for row, clip in zip(padded, given, strict=True):
            row[: len(clip)] = clip
        return _array(self.network(padded.to(self.device), lengths))

    @torch.inference_mode()
    def encode(self, frames: Frames, state: State | None) -> tuple[Floats, State]:
        """See `engine.Engine.encode`."""
        given = torch.from_numpy(channels_first(frames)).to(self.device)
        lengths = torch.tensor([len(frames)])
        encoded, state = self.network.encoder.advance(given, lengths, state)
        takes_maps = self.network.temporal.takes == "maps"
        return _array(encoded.maps if takes_maps else encoded.pooled), state

    @torch.inference_mode()
    def score_features(self, features: Floats, lengths: Ints) -> Floats:
        """See `engine.Engine.score_features`."""
        given = torch.from_numpy(features).to(self.device)
        return _array(self.network(given, torch.from_numpy(lengths), encoded=True))

    @torch.inference_mode()
    def step(self, features: Floats, begin: Bools, state: State | None) -> tuple[Floats, State]:
        """See `engine.Engine.step`."""
        before = self._stepper.initial(len(features)) if state is None else state
        given = torch.from_numpy(features).to(self.device)
        outputs, *after = self._stepper(given, torch.from_numpy(begin).to(self.device), *before)
        return _array(outputs), tuple(after)


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.float().cpu().numpy().astype(np.float32, copy=False)
    return array
