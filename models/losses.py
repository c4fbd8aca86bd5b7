"""The loss of a single-label classifier. Logits go in: softmax happens inside."""

import torch
from torch import Tensor, nn


def balanced_weights(counts: list[int]) -> Tensor:
    """Weigh each class by total / (classes present x its count).

    Args:
        counts: Training clips of each class.

    Returns:
        (K,) float32 with a mean of 1 over the clips; 0 for a class without clips.
    """
    count = torch.tensor(counts, dtype=torch.float32)
    present = count > 0
    weights = count.sum() / (present.sum() * count.clamp(min=1))
    return torch.where(present, weights, torch.zeros(()))


def classification_loss(
    *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> nn.CrossEntropyLoss:
    """Cross-entropy over logits (B, K) and class indices (B,)."""
    return nn.CrossEntropyLoss(weight=class_weights, label_smoothing=label_smoothing)
