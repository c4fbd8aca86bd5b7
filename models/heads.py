"""From a clip's vector to logits."""

from torch import nn

from cliptide.models.norms import VECTOR_NORMS


def linear_head(dim: int, num_outputs: int, dropout: float) -> nn.Module:
    """Dropout and one fully connected layer: y = W h + b."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, num_outputs))


def mlp_head(dim: int, num_outputs: int, dropout: float) -> nn.Module:
    """A hidden layer of the same size in front of the fully connected one."""
    last = linear_head(dim, num_outputs, dropout)
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), *last.children())


HEADS = {"linear": linear_head, "mlp": mlp_head}


def with_norm(head: nn.Module, *, norm: str, dim: int) -> nn.Module:
    """Put a normalisation of the clip's vector (B, dim) in front of a head; `none` puts none."""
    return head if norm == "none" else nn.Sequential(VECTOR_NORMS[norm](dim), head)
