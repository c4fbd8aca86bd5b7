"""No temporal part: with the mean as summary, the baseline that a recurrent model must beat."""

from typing import Any

from torch import Tensor

from cliptide.models.temporal.base import Temporal, without_padding


class NoTemporal(Temporal):
    """Hands each frame's feature on as it is."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`."""
        return None

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`."""
        return without_padding(features, lengths), state
