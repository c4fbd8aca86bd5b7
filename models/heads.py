"""From a clip's vector to logits, or to numbers in the user's units."""

import torch
from torch import Tensor, nn

from cliptide.configs.tasks import Task
from cliptide.models.norms import VECTOR_NORMS


def linear_head(dim: int, num_outputs: int, dropout: float) -> nn.Sequential:
    """Dropout and one fully connected layer: y = W h + b."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_outputs))


def mlp_head(dim: int, num_outputs: int, dropout: float) -> nn.Sequential:
    """A hidden layer of the same size in front of the fully connected one."""
    last = linear_head(dim, num_outputs, dropout)
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), *last.children())


HEADS = {"linear": linear_head, "mlp": mlp_head}


class TargetScale(nn.Module):
    """From standardised numbers to the user's units: y * std + mean of each target.

    The network so learns numbers around 0 whatever the units, and a model file holds all that is
    needed to predict.

    Args:
        num_targets: K.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, num_targets: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_targets))
        self.register_buffer("std", torch.ones(num_targets))

    def set_from(self, targets: Tensor) -> None:
        """Take mean and spread from training targets (N, K); one without spread keeps 1."""
        spread = targets.double().std(dim=0, correction=0)
        mean = targets.double().mean(dim=0)
        self.mean.copy_(mean)
        # Rounding gives equal numbers a spread of about 1e-16 of their size.
        self.std.copy_(torch.where(spread > 1e-9 * mean.abs(), spread, torch.ones(())))

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, K) -> (B, K) float32."""
        # Half precision has three digits: too few for 1234.5.
        return outputs.float() * self.std + self.mean


def head_for(
    kind: str,
    dim: int,
    num_outputs: int,
    *,
    dropout: float,
    norm: str = "none",
    task: Task = "single",
) -> nn.Sequential:
    """Build the head of a task: logits for classes and labels, numbers for regression.

    Args:
        kind: One of `HEADS`.
        dim: Size of the clip's vector.
        num_outputs: K.
        dropout: Share dropped in front of the fully connected layer.
        norm: Normalisation of the clip's vector: `none`, or one of `VECTOR_NORMS`.
        task: What the outputs are for.
    """
    head = HEADS[kind](dim, num_outputs, dropout)
    if norm != "none":
        head.insert(0, VECTOR_NORMS[norm](dim))
    return head.append(TargetScale(num_outputs)) if task == "regression" else head
