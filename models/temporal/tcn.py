"""A temporal convolutional network: causal, dilated, residual.

    x_0 = W x                                                            where the sizes differ
    y   = relu(conv_d(LayerNorm(x_l)))      x_{l+1} = x_l + relu(conv_d(y))      d = 2^l
    out = LayerNorm(x_L)

Bai, Kolter & Koltun (2018), section 3, after Lea et al. (2017): each block has two convolutions
over the present and the past of dilation d, with dropout behind each; a layer norm of each step,
which streams, takes the place of their weight norm. With kernels of k steps and L blocks an output
has seen 1 + 2 (k - 1) (2^L - 1) steps: 5, 13, 29, 61 for k = 3 and L = 1 to 4.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from cliptide.models.temporal.base import Temporal, without_padding


class CausalConvolution(nn.Module):
    """A convolution over time that looks back alone, with what it must remember as its state.

    Args:
        dim: Size of a step, in and out.
        kernel: Steps that it looks at.
        dilation: From one of them to the next.
    """

    def __init__(self, dim: int, *, kernel: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, dim, kernel, dilation=dilation)
        self.past = (kernel - 1) * dilation

    def forward(self, steps: Tensor, lengths: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Steps (B, T, dim) and the last inputs (B, past, dim) -> (B, T, dim), new last inputs."""
        known = torch.cat([state.to(steps.dtype), steps], dim=1)
        outputs: Tensor = self.convolution(known.transpose(1, 2)).transpose(1, 2)
        # Behind the last real step of each clip; where there is none here, the state stays.
        places = torch.arange(self.past, device=steps.device) + lengths.to(steps.device)[:, None]
        return outputs, known.gather(1, places[..., None].expand(-1, -1, known.shape[2]))


class ConvolutionalTemporal(Temporal):
    """The blocks one on another.

    Args:
        input_dim: D, the size of a feature.
        hidden: Size of a step within and of the output.
        kernel: Steps in a convolution.
        layers: Number of blocks, of two convolutions each.
        dropout: Share dropped behind each convolution in training.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        hidden: int,
        kernel: int = 3,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.dropout = hidden, dropout
        self.enter = nn.Identity() if input_dim == hidden else nn.Linear(input_dim, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.convolutions = nn.ModuleList(
            CausalConvolution(hidden, kernel=kernel, dilation=2 ** (number // 2))
            for number in range(2 * layers)
        )
        self.leave = nn.LayerNorm(hidden)

    def initial_state(self, feature: Tensor) -> Any:
        """See `Temporal.initial_state`: of each convolution its last inputs (B, past, hidden)."""
        return tuple(
            feature.new_zeros(feature.shape[0], convolution.past, self.dim)
            for convolution in self._convolutions()
        )

    def _convolutions(self) -> list[CausalConvolution]:
        return [part for part in self.convolutions if isinstance(part, CausalConvolution)]

    def advance(self, features: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `Temporal.advance`."""
        # Padding stands behind the real steps, where no causal convolution looks; but a padded
        # NaN would reach the gradients of the weights.
        steps, states = self.enter(without_padding(features, lengths)), []
        parts = list(zip(self._convolutions(), state, strict=True))
        for number, norm in enumerate(self.norms):
            within = norm(steps)
            for convolution, before in parts[2 * number : 2 * number + 2]:
                within, after = convolution(within, lengths, before)
                within = dropout(relu(within), self.dropout, self.training)
                states.append(after)
            steps = steps + within
        return without_padding(self.leave(steps), lengths), tuple(states)
