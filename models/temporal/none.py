"""No temporal part: with the mean as summary, the baseline that a recurrent model must beat."""

from typing import Any

import torch
from torch import Tensor

from cliptide.models.temporal.base import Temporal


class NoTemporal(Temporal):
    """Hands each frame's feature on as it is."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """See `Temporal.forward`."""
        steps = torch.arange(features.shape[1], device=features.device)
        real = steps[None, :, None] < lengths.to(features.device)[:, None, None]
        return torch.where(real, features, features.new_zeros(()))

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`."""
        return None

    def step(self, feature: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.step`."""
        return feature, state
