"""The optimisation's keys; see `schema`."""

from dataclasses import dataclass
from typing import Literal

from cliptide.configs.checks import check_types, require
from cliptide.configs.errors import ConfigError

# The parts of the network that can have penalties of their own.
PARTS = ("encoder", "temporal", "head")


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation.

    Args:
        epochs: Passes over the training clips at most.
        batch_size: Clips in a step.
        optimizer: AdamW, or SGD with Nesterov momentum 0.9.
        lr: Peak learning rate.
        weight_decay: Decoupled weight decay (plain L2 for SGD); biases and norms are spared.
        warmup_epochs: Epochs of linear warm-up before the cosine decay to zero.
        label_smoothing: Share of the target spread over all classes.
        class_weights: Weigh the loss against imbalance; balanced is total / (classes x count), of
            several labels absent / present; effective takes effective numbers of clips (Cui et al.
            2019).
        clip_grad: Largest norm of the gradient; 0 switches clipping off.
        precision: Number format; auto takes bf16 where the hardware has it.
        patience: Epochs without a better validation score before stopping; 0 never stops early.
        choose: The epoch that is kept: the best on validation, or the last, for validation splits
            of so few clips that they rank epochs by chance.
        accumulate: Batches in a step: their gradients are averaged over the clips before one step.
        ema: Decay of the moving average of the weights, such as 0.999; the average is validated
            and saved. 0 keeps none.
        unfreeze_after: Epochs after which an encoder frozen by model.freeze learns too, its
            batch-norms included; 0 never.
        encoder_lr: Factor on the encoder's learning rate.
        weight_decay_encoder: weight_decay of the encoder alone.
        weight_decay_temporal: weight_decay of what lies between encoder and head.
        weight_decay_head: weight_decay of the head.
        l1: L1 penalty, decoupled; drives weights to exactly 0, by lr x l1 a step; biases and norms
            are spared.
        l1_encoder: l1 of the encoder alone.
        l1_temporal: l1 of what lies between encoder and head.
        l1_head: l1 of the head.
        chunk: Back-propagate through so many frames at a time, carrying the state on: clips too
            long for memory. 0 takes clips whole.
        checkpointing: Compute the encoder's activations again in the backward pass in place of
            keeping them: less memory, a longer step.
        mixup: Blend the clips of a batch in pairs; alpha of the Beta distribution, 0 never.
        cutmix: Paste a box of one clip into another; alpha of the Beta distribution, 0 never.
            With mixup, each batch takes one of them.
        lead_in: Share of the clips that are shown behind the end of another clip, for models that
            are to run on streams, where nothing tells when an action begins.
        modality_dropout: Share of the clips in which each of several streams is left out, never
            all of them, so that none is leant on alone.
        loss: What is minimised; auto is cross_entropy for classes (binary for several labels) and
            mse for numbers. focal for classes, l1 and huber for numbers.
        focal_gamma: How much the loss focal turns from what is easy; 0 is cross_entropy.
        class_beta: For class_weights effective; nearer to 1 weighs rare classes more.
    """

    epochs: int = 30
    batch_size: int = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced", "effective"] = "none"
    clip_grad: float = 1.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    patience: int = 0
    choose: Literal["best", "last"] = "best"
    accumulate: int = 1
    ema: float = 0.0
    unfreeze_after: int = 0
    encoder_lr: float = 1.0
    weight_decay_encoder: float | None = None
    weight_decay_temporal: float | None = None
    weight_decay_head: float | None = None
    l1: float = 0.0
    l1_encoder: float | None = None
    l1_temporal: float | None = None
    l1_head: float | None = None
    chunk: int = 0
    checkpointing: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0
    lead_in: float = 0.0
    modality_dropout: float = 0.0
    loss: Literal["auto", "cross_entropy", "focal", "mse", "l1", "huber"] = "auto"
    focal_gamma: float = 2.0
    class_beta: float = 0.999

    def __post_init__(self) -> None:
        check_types(self, section="train")
        require(self.epochs, self.epochs >= 1, "train.epochs", "1 or more")
        require(self.batch_size, self.batch_size >= 1, "train.batch_size", "1 or more")
        require(self.lr, self.lr > 0, "train.lr", "a rate above 0")
        require(self.weight_decay, self.weight_decay >= 0, "train.weight_decay", "0 or more")
        require(self.warmup_epochs, self.warmup_epochs >= 0, "train.warmup_epochs", "0 or more")
        require(
            self.label_smoothing,
            0 <= self.label_smoothing < 1,
            "train.label_smoothing",
            "a share from 0 to below 1",
        )
        require(self.clip_grad, self.clip_grad >= 0, "train.clip_grad", "0 or more")
        require(self.patience, self.patience >= 0, "train.patience", "0 or more")
        if self.patience and self.choose == "last":
            raise ConfigError(
                f"train.patience is {self.patience} and train.choose is last, but stopping early "
                "keeps the best epoch. Set train.choose best, or train.patience 0."
            )
        require(self.accumulate, self.accumulate >= 1, "train.accumulate", "1 or more")
        require(self.ema, 0 <= self.ema < 1, "train.ema", "0, or a decay below 1 such as 0.999")
        require(
            self.unfreeze_after,
            0 <= self.unfreeze_after < self.epochs,
            "train.unfreeze_after",
            f"fewer than the {self.epochs} of train.epochs, or 0 to keep the encoder frozen",
        )
        require(self.encoder_lr, self.encoder_lr > 0, "train.encoder_lr", "a factor above 0")
        for key in ("l1", *(f"{kind}_{part}" for kind in ("weight_decay", "l1") for part in PARTS)):
            value = getattr(self, key)
            require(value, value is None or value >= 0, f"train.{key}", "0 or more")
        require(
            self.chunk,
            self.chunk == 0 or self.chunk >= 2,
            "train.chunk",
            "2 frames or more, or 0 to take clips whole",
        )
        for key in ("mixup", "cutmix"):
            value = getattr(self, key)
            require(value, value >= 0, f"train.{key}", "0, or an alpha above 0 such as 0.2")
        require(self.lead_in, 0 <= self.lead_in <= 1, "train.lead_in", "a share from 0 to 1")
        require(
            self.modality_dropout,
            0 <= self.modality_dropout < 1,
            "train.modality_dropout",
            "a share from 0 to below 1",
        )
        if self.lead_in and self.chunk:
            raise ConfigError(
                f"train.lead_in is {self.lead_in} and train.chunk is {self.chunk}, but after each "
                "chunk the network is judged by the clip's own label. Set one of them to 0."
            )
        require(self.focal_gamma, self.focal_gamma >= 0, "train.focal_gamma", "0 or more")
        require(
            self.class_beta, 0 <= self.class_beta < 1, "train.class_beta", "0 to below 1, as 0.999"
        )

    def penalty(self, kind: Literal["weight_decay", "l1"], part: str) -> float:
        """The penalty of a part of the network, one of `PARTS`."""
        own: float | None = getattr(self, f"{kind}_{part}")
        general: float = getattr(self, kind)
        return general if own is None else own
