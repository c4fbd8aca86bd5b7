"""The contract of every encoder.

    forward   steps of whole clips (N, *step), packed without padding, with lengths (B,)
                  -> maps (N, C, h, w) and pooled (N, D), both float32
    advance   the same with a state, for clips that go on -> ..., state
    step      one step of each of B streams (B, *step) -> ..., state

A step is a picture (3, H, W) uint8, or a window of sound, rows or tokens. Encoders know where one
clip ends and the next begins (`lengths`), because temporal shift and frame differences look at
the frame before; what they have seen goes in and out as a state.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError
from cliptide.models.encoders.packed import previous_frames
from cliptide.models.encoders.shift import ShiftPass, TemporalShift, in_pass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class EncodedFrames(NamedTuple):
    """What an encoder makes of N frames.

    Attributes:
        maps: (N, C, h, w) float, the last feature maps.
        pooled: (N, D) float, one vector a frame.
    """

    maps: Tensor
    pooled: Tensor


class EncoderState(NamedTuple):
    """What an encoder has seen of B clips.

    Attributes:
        frame: (B, 3, H, W) float, the last frame, normalised; None without frame differences.
        shifts: (B, c, h, w) float of each temporal shift, in the order of the layers.
    """

    frame: Tensor | None
    shifts: tuple[Tensor, ...]


class Encoder(nn.Module, ABC):
    """Base of all encoders.

    Attributes:
        dim: D, the size of the pooled vector.
        channels: C, the number of feature maps.
        checkpointing: Whether training computes activations again in the backward pass in place
            of keeping them (see `checkpointing.py`), where the encoder heeds it.
        mean: RGB mean of the normalisation of pictures, on a scale from 0 to 1.
        std: RGB standard deviation of it, likewise.
    """

    dim: int
    channels: int
    checkpointing: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def can_step(self) -> bool:
        """False where it needs steps that are still to come."""
        return True

    @property
    def sees_single_frames(self) -> bool:
        """Whether what it makes of a step depends on no other."""
        return True

    def forward(self, steps: Tensor, lengths: Tensor) -> EncodedFrames:
        """Encode the steps of whole clips.

        Args:
            steps: (N, *step): the real steps of all clips, one clip after another; pictures
                (N, 3, H, W) are uint8 RGB.
            lengths: (B,) int64, steps of each clip; they sum to N.

        Returns:
            Maps (N, C, h, w) and pooled (N, D).
        """
        return self.advance(steps, lengths, None)[0]

    @abstractmethod
    def advance(
        self, steps: Tensor, lengths: Tensor, state: EncoderState | None
    ) -> tuple[EncodedFrames, EncoderState]:
        """Encode the next steps of clips.

        Args:
            steps: As for `forward`.
            lengths: (B,) int64, 0 where a clip has ended before.
            state: What the call before returned; None at the clips' beginning.

        Returns:
            What `forward` gives, and the state behind each clip's last step.
        """

    def step(self, steps: Tensor, state: EncoderState | None) -> tuple[EncodedFrames, EncoderState]:
        """Encode one step of each of B streams, (B, *step), and the state so far."""
        ones = torch.ones(steps.shape[0], dtype=torch.int64, device=steps.device)
        return self.advance(steps, ones, state)

    @abstractmethod
    def blank(self, count: int, *, size: tuple[int, int]) -> Tensor:
        """Steps (count, *step) of nothing, on the CPU; pictures are of `size` (height, width)."""


class WindowEncoder(Encoder):
    """Base of the encoders of windows of sound, rows and tokens: each step is seen alone.

    Args:
        shape: Of a step.
    """

    step_type = torch.float32

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def advance(
        self, steps: Tensor, lengths: Tensor, state: EncoderState | None
    ) -> tuple[EncodedFrames, EncoderState]:
        """See `Encoder.advance`; nothing is carried."""
        del lengths, state
        return self.encode(steps), EncoderState(None, ())

    @abstractmethod
    def encode(self, steps: Tensor) -> EncodedFrames:
        """Encode steps (N, *step)."""

    def blank(self, count: int, *, size: tuple[int, int]) -> Tensor:
        """See `Encoder.blank`."""
        del size
        return torch.zeros(count, *self.shape, dtype=self.step_type)


class PictureEncoder(Encoder):
    """Base of the encoders of pictures: normalises uint8 frames, leaves the network to children.

    Args:
        mean: RGB mean of the normalisation, on a scale from 0 to 1.
        std: RGB standard deviation of the normalisation, likewise.
        frame_differences: Whether the network is given three more channels: each frame's
            difference from the one before, zero at a clip's first.
    """

    def __init__(
        self,
        *,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        frame_differences: bool = False,
    ) -> None:
        super().__init__()
        self.mean, self.std, self.frame_differences = mean, std, frame_differences
        # Buffers follow the module to its device, but are known from the config: not saved.
        self.register_buffer(
            "_scale", 1 / (255 * torch.tensor(std).view(3, 1, 1)), persistent=False
        )
        self.register_buffer(
            "_offset", -(torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1), persistent=False
        )

    @property
    def in_channels(self) -> int:
        """Channels of the images that the network is given."""
        return 6 if self.frame_differences else 3

    @property
    def can_step(self) -> bool:
        """False where a temporal shift takes channels from the next frame."""
        return not any(shift.both for shift in self._shifts())

    @property
    def sees_single_frames(self) -> bool:
        """Whether what it makes of a frame depends on no other."""
        return not self.frame_differences and not self._shifts()

    def _shifts(self) -> list[TemporalShift]:
        return [module for module in self.modules() if isinstance(module, TemporalShift)]

    def normalise(self, frames: Tensor) -> Tensor:
        """Turn (N, 3, H, W) uint8 RGB into float32 of about zero mean and unit variance."""
        scale, offset = self.get_buffer("_scale"), self.get_buffer("_offset")
        return torch.addcmul(offset, frames.to(scale.dtype), scale)

    def advance(
        self, steps: Tensor, lengths: Tensor, state: EncoderState | None
    ) -> tuple[EncodedFrames, EncoderState]:
        """See `Encoder.advance`; steps are frames (N, 3, H, W) uint8 RGB."""
        images, last = self.normalise(steps), None
        if self.frame_differences:
            previous, last = previous_frames(images, lengths, state.frame if state else None)
            images = torch.cat([images, images - previous], dim=1)
        if images.device.type == "cpu":
            # oneDNN's convolutions are up to twice as fast where the channels of a pixel lie
            # together (benchmarks/layout.py).
            images = images.contiguous(memory_format=torch.channels_last)
        shifts = self._shifts()
        seen = state.shifts if state else (None,) * len(shifts)
        this = ShiftPass(lengths, dict(zip(shifts, seen, strict=True)))
        with in_pass(this):
            encoded = self.encode(images)
        return encoded, EncoderState(last, tuple(this.shown[shift] for shift in shifts))

    @abstractmethod
    def encode(self, images: Tensor) -> EncodedFrames:
        """Encode normalised images (N, `in_channels`, H, W)."""

    def blank(self, count: int, *, size: tuple[int, int]) -> Tensor:
        """Black frames; see `Encoder.blank`."""
        return torch.zeros(count, 3, *size, dtype=torch.uint8)


def widen_first_convolution(network: nn.Module, *, name: str) -> None:
    """Give a network of 3-channel images three more channels, for frame differences.

    The new weights are zero: a pretrained network begins as what it was, and learns from there
    what the differences are good for.

    Raises:
        ConfigError: The network does not begin with a convolution over 3 channels.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            # A kind of its own (timm has some) pads or scales in ways that a plain one does not.
            plain = type(module) is nn.Conv2d
            if module.in_channels != 3 or module.groups != 1 or not plain:
                break
            wide = nn.Conv2d(
                6,
                module.out_channels,
                kernel_size=module.kernel_size,  # type: ignore[arg-type]
                stride=module.stride,  # type: ignore[arg-type]
                padding=module.padding,  # type: ignore[arg-type]
                dilation=module.dilation,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            with torch.no_grad():
                wide.weight.zero_()
                wide.weight[:, :3] = module.weight
                if module.bias is not None and wide.bias is not None:
                    wide.bias.copy_(module.bias)
            parent, _, child = path.rpartition(".")
            setattr(network.get_submodule(parent), child, wide)
            return
    raise ConfigError(
        f"{name} does not begin with a plain convolution over RGB, so it cannot take frame "
        "differences (model.motion frames). Use model.motion features, or another encoder such as "
        "resnet18."
    )
