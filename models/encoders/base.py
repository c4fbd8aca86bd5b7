"""The contract of every encoder.

    frames of whole clips (N, 3, H, W) uint8, packed without padding, with lengths
        -> maps (N, C, h, w) and pooled (N, D), both float32

Encoders know where one clip ends and the next begins (`lengths`), because later ones look at
neighbouring frames; those carry what they have seen in an explicit state when stepping.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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


class Encoder(nn.Module, ABC):
    """Base of the encoders: normalises uint8 frames and leaves the network to its children.

    Attributes:
        dim: D, the size of the pooled vector.
        mean: RGB mean of the normalisation, on a scale from 0 to 1.
        std: RGB standard deviation of the normalisation, likewise.
    """

    dim: int

    def __init__(
        self,
        *,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        # Buffers follow the module to its device, but are known from the config: not saved.
        self.register_buffer(
            "_scale", 1 / (255 * torch.tensor(std).view(3, 1, 1)), persistent=False
        )
        self.register_buffer(
            "_offset", -(torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1), persistent=False
        )

    def normalise(self, frames: Tensor) -> Tensor:
        """Turn (N, 3, H, W) uint8 RGB into float32 of about zero mean and unit variance."""
        scale, offset = self.get_buffer("_scale"), self.get_buffer("_offset")
        return torch.addcmul(offset, frames.to(scale.dtype), scale)

    def forward(self, frames: Tensor, lengths: Tensor) -> EncodedFrames:
        """Encode the frames of whole clips.

        Args:
            frames: (N, 3, H, W) uint8 RGB: the real frames of all clips, one clip after another.
            lengths: (B,) int64, frames of each clip; they sum to N.

        Returns:
            Maps (N, C, h, w) and pooled (N, D).
        """
        return self.encode(self.normalise(frames), lengths)

    @abstractmethod
    def encode(self, images: Tensor, lengths: Tensor) -> EncodedFrames:
        """Encode normalised images (N, 3, H, W) of clips with the given lengths."""

    def initial_state(self, batch_size: int) -> Any:
        """What B streams have seen before their first frame; None where one frame alone counts."""
        return None

    def step(self, frames: Tensor, state: Any) -> tuple[EncodedFrames, Any]:
        """Encode one frame of each of B streams: (B, 3, H, W) uint8 and the state so far."""
        ones = torch.ones(len(frames), dtype=torch.int64, device=frames.device)
        return self(frames, ones), state
