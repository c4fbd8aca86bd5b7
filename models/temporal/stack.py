"""Recurrent layers one on another, in a chain or with a sum around each.

    chain       x_{l+1} = cell_l(dropout(x_l))                     dropout between layers alone
    residual    x_0     = W x
                x_{l+1} = x_l + dropout(P_l cell_l(LayerNorm(x_l)))
                out     = LayerNorm(x_L)

The residual form is that of He et al. (2016), "Identity mappings in deep residual networks", with
the layer norm (Ba et al. 2016) in front of the branch, so that deep stacks learn from the start.
W is there where the sizes differ, and P_l brings the two directions of a bidirectional cell back
to one size.

Variational dropout (Gal & Ghahramani 2016, section 4) drops the same units at every step of a
clip: of what goes into each layer here, and of h_{t-1} on its way into the recurrent matrix in
`RecurrentTemporal`. It stands in place of the other dropout.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout

from cliptide.models.temporal.base import Temporal, without_padding


class StackedTemporal(Temporal):
    """Temporal parts of one layer each, one on another.

    Args:
        make_layer: Makes a layer for inputs of a size; all have the same `dim`.
        input_dim: D, the size of a feature.
        hidden: Size of what goes from layer to layer in the residual form.
        layers: Number of layers.
        residual: Layer norm in front of each layer and a sum around it.
        dropout: Share dropped in training.
        variational: One mask for all steps of a clip in a call, on what goes into each layer.
    """

    def __init__(
        self,
        make_layer: Callable[[int], Temporal],
        *,
        input_dim: int,
        hidden: int,
        layers: int = 1,
        residual: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.residual, self.dropout, self.variational = residual, dropout, variational
        self.enter: nn.Module = nn.Identity()
        if residual and input_dim != hidden:
            self.enter = nn.Linear(input_dim, hidden)
        self.layers, self.norms, self.back = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        size = hidden if residual else input_dim
        for _ in range(layers):
            layer = make_layer(size)
            self.layers.append(layer)
            self.norms.append(nn.LayerNorm(size) if residual else nn.Identity())
            fits = not residual or layer.dim == hidden
            self.back.append(nn.Identity() if fits else nn.Linear(layer.dim, hidden))
            size = hidden if residual else layer.dim
        self.leave = nn.LayerNorm(size) if residual else nn.Identity()
        self.dim = size
        self.can_step = all(layer.can_step for layer in self._layers())

    def _layers(self) -> list[Temporal]:
        return [layer for layer in self.layers.children() if isinstance(layer, Temporal)]

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`: one for each layer."""
        # Layers ask for the number of clips, the device and the type, which are the same for all.
        return tuple(layer.initial_state(feature) for layer in self._layers())

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`; masks of dropout are drawn anew in each call."""
        # Before anything that computes: a padded NaN would reach the gradients of its weights.
        steps, states = self.enter(without_padding(features, lengths)), []
        parts = zip(self._layers(), self.norms, self.back, state, strict=True)
        for number, (layer, norm, back, before) in enumerate(parts):
            given = norm(steps)
            if self.variational or (number and not self.residual):
                given = self._drop(given)
            outputs, after = layer.advance(given, lengths, before)
            outputs = back(outputs)
            if self.residual:
                outputs = steps + (outputs if self.variational else self._drop(outputs))
            steps = outputs
            states.append(after)
        return without_padding(self.leave(steps), lengths), tuple(states)

    def _drop(self, steps: Tensor) -> Tensor:
        """Steps (B, T, D) with a share of the values at zero, in training."""
        if not self.variational:
            return dropout(steps, self.dropout, self.training)
        kept = dropout(
            steps.new_ones(steps.shape[0], 1, steps.shape[2]), self.dropout, self.training
        )
        return steps * kept
