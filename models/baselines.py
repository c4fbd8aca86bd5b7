"""Linear models on what an encoder makes of each frame alone: what time is worth is told by them.

`single_frame` is given the middle frame of a clip, `mean_pool` the mean over its frames: neither
knows their order. They are fitted when a training ends and lie in the model file, so that every
later evaluation can be compared with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

PREFIX = "baseline."


@dataclass(frozen=True)
class FrameBaselines:
    """Weights of the two.

    Attributes:
        single_frame: (K, D + 1) float32: a row an output, its last column the offset.
        mean_pool: Likewise.
    """

    single_frame: Tensor
    mean_pool: Tensor

    def outputs(self, frames_bd: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each says.

        Args:
            frames_bd: (B, D) features under each name; see `pooled_views`.

        Returns:
            (B, K) logits, or targets of a regression, under each name.
        """
        return {
            "single_frame": _linear(frames_bd["single_frame"], self.single_frame),
            "mean_pool": _linear(frames_bd["mean_pool"], self.mean_pool),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the model file."""
        return {
            f"{PREFIX}single_frame": self.single_frame,
            f"{PREFIX}mean_pool": self.mean_pool,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "FrameBaselines | None":
        """Take them from a model file's tensors; None where it has none."""
        if f"{PREFIX}mean_pool" not in tensors:
            return None
        return cls(tensors[f"{PREFIX}single_frame"], tensors[f"{PREFIX}mean_pool"])


def pooled_views(frames_btd: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """What the baselines are given of clips.

    Args:
        frames_btd: (B, T, D) features of each frame, zero at the padding.
        lengths: (B,) int64, real frames of each clip.
    """
    counts = lengths.to(frames_btd.device)
    rows = torch.arange(len(counts), device=frames_btd.device)
    return {
        "single_frame": frames_btd[rows, counts // 2],
        "mean_pool": frames_btd.sum(dim=1) / counts[:, None],
    }


def _linear(features_bd: Tensor, weight: Tensor) -> Tensor:
    weight = weight.to(features_bd)
    return torch.nn.functional.linear(features_bd, weight[:, :-1], weight[:, -1])
