"""The training step: what Lightning's Trainer runs."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from cliptide.configs.schema import TrainConfig
from cliptide.datasets.loaders import Batch
from cliptide.models.losses import classification_loss
from cliptide.models.recognizer import Recognizer


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Split what learns into weights, which decay, and biases and norms, which do not."""
    learning = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]


def warmup_cosine(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """The share of the peak learning rate: a linear rise, then half a cosine to zero.

    Loshchilov & Hutter (2017), with the warm-up of Goyal et al. (2017).
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class ClassifierModule(LightningModule):
    """Single-label training of a recogniser.

    Args:
        network: What learns.
        config: The optimisation.
        seed: Of dropout, drawn anew each epoch so that a resumed run draws the same.
        steps_per_epoch: Batches in an epoch.
        class_weights: (K,) float32 weights of the loss, or None.
    """

    def __init__(
        self,
        network: Recognizer,
        *,
        config: TrainConfig,
        seed: int,
        steps_per_epoch: int,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network, self.config, self.seed = network, config, seed
        self.steps_per_epoch = steps_per_epoch
        self.loss = classification_loss(
            label_smoothing=config.label_smoothing, class_weights=class_weights
        )
        self.validation_loss = classification_loss()

    def configure_optimizers(self) -> Any:
        """AdamW or SGD with warm-up and cosine decay, stepped every batch."""
        config = self.config
        groups = parameter_groups(self.network, weight_decay=config.weight_decay)
        optimizer: torch.optim.Optimizer
        if config.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=config.lr)
        total = config.epochs * self.steps_per_epoch
        warmup = min(round(config.warmup_epochs * self.steps_per_epoch), total // 2)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, warmup_steps=warmup, total_steps=total)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Make what is random inside the network depend on (seed, epoch) alone."""
        torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor] | None:
        """Loss and top-1 of a batch; one of unreadable videos alone is passed over."""
        if not len(batch.lengths):
            return None
        logits = self.network(batch.clips, batch.lengths)
        loss: Tensor = self.loss(logits, batch.labels)
        return {"loss": loss, "top1": self._log_figures("train", batch, logits, loss)}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and top-1 of a validation batch."""
        if len(batch.clips):
            logits = self.network(batch.clips, batch.lengths)
            self._log_figures("val", batch, logits, self.validation_loss(logits, batch.labels))

    def _log_figures(self, split: str, batch: Batch, logits: Tensor, loss: Tensor) -> Tensor:
        top1 = (logits.argmax(dim=1) == batch.labels).float().mean()
        self.log_dict(
            {f"{split}_loss": loss.detach(), f"{split}_top1": top1},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch.labels),
        )
        return top1
