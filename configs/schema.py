"""Every key of a run, typed. A key here is a flag on the command line and a line in config.yaml.

Plain frozen dataclasses; the docstrings are the help texts. What one field alone can get wrong
is checked at construction, from wherever it comes (flag, file, Python or a model file), so a
wrong value never travels.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from cliptide.configs.checks import check_types
from cliptide.configs.errors import ConfigError


def parse_size(text: str | int) -> tuple[int, int]:
    """Read a frame size, `112` or `128x171` (height first).

    Returns:
        (height, width) in pixels, both at least 2.

    Raises:
        ConfigError: The text is no size or a side is too small.
    """
    sides = str(text).lower().split("x")
    try:
        height, width = (int(sides[0]), int(sides[-1])) if len(sides) <= 2 else (0, 0)
    except ValueError:
        height = width = 0
    if min(height, width) < 2:
        raise ConfigError(
            f"data.size is {str(text)!r}, which is no frame size. "
            "Give the height and width in pixels, such as 112 or 128x171, each at least 2."
        )
    return height, width


def _require(value: float | str, ok: bool, key: str, mend: str) -> None:
    if not ok:
        raise ConfigError(f"{key} is {value}. Use {mend}.")


@dataclass(frozen=True)
class DataConfig:
    """The data and how clips are taken from it.

    Args:
        frames: Frames in a clip (T); a shorter video gives fewer.
        size: Frame size fed to the network, 112 or 128x171 (height first).
        sampling: How frames are chosen: uniform over the clip (one of each of T equal segments), at
            a fixed rate, or dense: T in a row, every stride-th.
        rate_fps: Frames per second for sampling rate.
        stride: Steps from frame to frame for sampling dense; 1 takes every frame.
        augment: Augmentation of training clips.
        flip: Mirror half of the training clips; switch off where labels have a left and a right.
        fold: The fold to test on: an official one (lists of UCF101 or HMDB51), or of data.folds.
        group_regex: Regular expression that finds the group in a file's path; its first bracket.
        kind: Layout of DATA on disk.
        val_share: Share of the training clips held out for validation, by whole groups.
        test_share: Share of the clips held out for testing where DATA has no split of its own.
        workers: Processes that load clips, or auto.
        keep: Keep decoded training clips in memory where they fit; of an encoder that learns
            nothing (model.freeze, without augmentation), the features of every frame.
        fit: How a picture is fitted into size: resize stretches it, crop takes its middle,
            letterbox keeps all of it between black bars, pad also never enlarges it.
        bucket: Make batches of clips of like length, so that less padding is computed on; opens
            every training video once before the first epoch.
        folds: Deal all clips into so many folds by whole groups and test on fold data.fold; 0 takes
            the split of DATA, or makes one. cliptide train --folds trains every fold.
        task: What labels mean: one class, several (a|b in a manifest) or numbers to predict; auto
            takes several where a label holds |.
    """

    frames: int = 16
    size: str | int = "112"
    sampling: Literal["uniform", "rate", "dense"] = "uniform"
    rate_fps: float = 8.0
    stride: int = 1
    augment: Literal["none", "light", "strong"] = "light"
    flip: bool = True
    fold: int = 1
    group_regex: str | None = None
    kind: Literal["auto", "folder", "split-folders", "ucf101", "hmdb51", "kinetics", "manifest"] = (
        "auto"
    )
    val_share: float = 0.15
    test_share: float = 0.2
    workers: int | Literal["auto"] = "auto"
    keep: Literal["auto", "never"] = "auto"
    fit: Literal["resize", "crop", "letterbox", "pad"] = "resize"
    bucket: bool = False
    folds: int = 0
    task: Literal["auto", "single", "multi", "regression"] = "auto"

    def __post_init__(self) -> None:
        check_types(self, section="data")
        parse_size(self.size)
        _require(self.frames, self.frames >= 1, "data.frames", "1 or more")
        _require(self.rate_fps, self.rate_fps > 0, "data.rate_fps", "a rate above 0")
        _require(self.stride, self.stride >= 1, "data.stride", "1 or more")
        _require(self.fold, self.fold >= 1, "data.fold", "1 or more")
        for key in ("val_share", "test_share"):
            value = getattr(self, key)
            _require(value, 0 < value < 0.9, f"data.{key}", "a share between 0 and 0.9")
        workers = 0 if self.workers == "auto" else self.workers
        _require(self.workers, workers >= 0, "data.workers", "auto, 0 or more")
        _require(self.folds, self.folds == 0 or self.folds >= 2, "data.folds", "0, or 2 or more")
        within = not self.folds or self.fold <= self.folds
        _require(
            self.fold, within, "data.fold", f"1 to {self.folds}, as data.folds is {self.folds}"
        )


# Temporal parts whose layers hand on vectors and can read a clip from its end.
RECURRENT = ("rnn", "lstm", "gru", "mingru", "minlstm")


@dataclass(frozen=True)
class ModelConfig:
    """The network: encoder per frame, temporal part, summary over time, head.

    Args:
        encoder: Network for single frames: tiny, any torchvision classification network by name,
            or timm/NAME for any network of timm.
        width: Scale of the filter counts of tiny.
        pretrained: Start the encoder from the library's ImageNet weights (downloaded once).
        encoder_weights: File with weights (.safetensors, .pt, .pth) in place of a download.
        freeze: Keep the encoder as it is and train only what follows.
        temporal: What carries features over time; none leaves it out. mingru and minlstm are for
            long sequences, convlstm and convgru keep the feature maps' space, tcn convolves.
        hidden: Size of the recurrent state.
        layers: Recurrent layers; blocks of tcn, each of which looks twice as far back.
        bidirectional: Read the clip forwards and backwards.
        summary: How the steps become one vector; padded steps never count.
        head: linear, or mlp with one hidden layer.
        dropout: Share dropped between recurrent layers and before the head.
        shift: Temporal shift inside an encoder with residual blocks, or tiny: causal takes
            channels from the frame before, both also from the next and so cannot stream.
        motion: Make motion explicit: differences of consecutive frames as input channels, of
            consecutive features before the temporal part (with a batch norm), or both.
        pool: What tiny makes of its maps: a grid of averages, or the mean, blind to place.
        kernel: Side of the kernels of convlstm and convgru, steps in those of tcn.
        residual: Stack rnn, lstm, gru, mingru or minlstm with a layer norm before each layer and a
            sum around it.
        variational: Drop the same units at all steps of a clip, on what goes into each recurrent
            layer and on the recurrent connection (mingru and minlstm have none to drop).
        norm: Normalisation behind tiny's convolutions; group and layer do not look at the rest of
            the batch, which suits small batches.
        head_norm: Normalisation in front of the head.
    """

    encoder: str = "tiny"
    width: float = 1.0
    pretrained: bool = False
    encoder_weights: str | None = None
    freeze: bool = False
    temporal: Literal[
        "none", "rnn", "lstm", "gru", "mingru", "minlstm", "convlstm", "convgru", "tcn"
    ] = "gru"
    hidden: int = 128
    layers: int = 1
    bidirectional: bool = False
    summary: Literal["last", "mean", "max", "attention"] = "last"
    head: Literal["linear", "mlp"] = "linear"
    dropout: float = 0.2
    shift: Literal["none", "causal", "both"] = "none"
    motion: Literal["none", "frames", "features", "both"] = "none"
    pool: Literal["grid", "mean"] = "grid"
    kernel: int = 3
    residual: bool = False
    variational: bool = False
    norm: Literal["batch", "group", "layer"] = "batch"
    head_norm: Literal["none", "batch", "layer"] = "none"

    def __post_init__(self) -> None:
        check_types(self, section="model")
        _require(self.width, self.width > 0, "model.width", "a scale above 0")
        _require(self.hidden, self.hidden >= 1, "model.hidden", "1 or more")
        _require(self.layers, self.layers >= 1, "model.layers", "1 or more")
        _require(self.dropout, 0 <= self.dropout < 1, "model.dropout", "a share from 0 to below 1")
        for key in ("bidirectional", "residual", "variational"):
            if getattr(self, key) and self.temporal not in RECURRENT:
                raise ConfigError(
                    f"model.{key} is true but model.temporal is {self.temporal}. "
                    f"Choose {', '.join(RECURRENT[:-1])} or {RECURRENT[-1]}, or leave {key} out."
                )
        if self.temporal in ("convlstm", "convgru"):
            odd = self.kernel >= 1 and self.kernel % 2 == 1
            _require(self.kernel, odd, "model.kernel", f"1, 3, 5, ... with {self.temporal}")
        least = 2 if self.temporal == "tcn" else 1
        _require(self.kernel, self.kernel >= least, "model.kernel", f"{least} or more")
        if self.freeze and self.motion in ("frames", "both"):
            raise ConfigError(
                f"model.motion is {self.motion} and model.freeze is true, but a frozen encoder "
                "cannot learn what differences of frames mean. Use model.motion features."
            )


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
    loss: Literal["auto", "cross_entropy", "focal", "mse", "l1", "huber"] = "auto"
    focal_gamma: float = 2.0
    class_beta: float = 0.999

    def __post_init__(self) -> None:
        check_types(self, section="train")
        _require(self.epochs, self.epochs >= 1, "train.epochs", "1 or more")
        _require(self.batch_size, self.batch_size >= 1, "train.batch_size", "1 or more")
        _require(self.lr, self.lr > 0, "train.lr", "a rate above 0")
        _require(self.weight_decay, self.weight_decay >= 0, "train.weight_decay", "0 or more")
        _require(self.warmup_epochs, self.warmup_epochs >= 0, "train.warmup_epochs", "0 or more")
        _require(
            self.label_smoothing,
            0 <= self.label_smoothing < 1,
            "train.label_smoothing",
            "a share from 0 to below 1",
        )
        _require(self.clip_grad, self.clip_grad >= 0, "train.clip_grad", "0 or more")
        _require(self.patience, self.patience >= 0, "train.patience", "0 or more")
        if self.patience and self.choose == "last":
            raise ConfigError(
                f"train.patience is {self.patience} and train.choose is last, but stopping early "
                "keeps the best epoch. Set train.choose best, or train.patience 0."
            )
        _require(self.accumulate, self.accumulate >= 1, "train.accumulate", "1 or more")
        _require(self.ema, 0 <= self.ema < 1, "train.ema", "0, or a decay below 1 such as 0.999")
        _require(
            self.unfreeze_after,
            0 <= self.unfreeze_after < self.epochs,
            "train.unfreeze_after",
            f"fewer than the {self.epochs} of train.epochs, or 0 to keep the encoder frozen",
        )
        _require(self.encoder_lr, self.encoder_lr > 0, "train.encoder_lr", "a factor above 0")
        for key in ("l1", *(f"{kind}_{part}" for kind in ("weight_decay", "l1") for part in PARTS)):
            value = getattr(self, key)
            _require(value, value is None or value >= 0, f"train.{key}", "0 or more")
        _require(
            self.chunk,
            self.chunk == 0 or self.chunk >= 2,
            "train.chunk",
            "2 frames or more, or 0 to take clips whole",
        )
        for key in ("mixup", "cutmix"):
            value = getattr(self, key)
            _require(value, value >= 0, f"train.{key}", "0, or an alpha above 0 such as 0.2")
        _require(self.lead_in, 0 <= self.lead_in <= 1, "train.lead_in", "a share from 0 to 1")
        if self.lead_in and self.chunk:
            raise ConfigError(
                f"train.lead_in is {self.lead_in} and train.chunk is {self.chunk}, but after each "
                "chunk the network is judged by the clip's own label. Set one of them to 0."
            )
        _require(self.focal_gamma, self.focal_gamma >= 0, "train.focal_gamma", "0 or more")
        _require(
            self.class_beta, 0 <= self.class_beta < 1, "train.class_beta", "0 to below 1, as 0.999"
        )

    def penalty(self, kind: Literal["weight_decay", "l1"], part: str) -> float:
        """The penalty of a part of the network, one of `PARTS`."""
        own: float | None = getattr(self, f"{kind}_{part}")
        general: float = getattr(self, kind)
        return general if own is None else own


@dataclass(frozen=True)
class EvalConfig:
    """The evaluation.

    Args:
        clips: Clips taken from each video; their scores are averaged.
        probes: Whether to try the test videos with frames shuffled, reversed and one alone, and
            to train baselines that are blind to order on what the encoder makes of each frame.
    """

    clips: int = 3
    probes: bool = True

    def __post_init__(self) -> None:
        check_types(self, section="eval")
        _require(self.clips, self.clips >= 1, "eval.clips", "1 or more")


@dataclass(frozen=True)
class RunConfig:
    """A whole run.

    Args:
        data: The data and how clips are taken from it.
        model: The network.
        train: The optimisation.
        eval: The evaluation.
        seed: Seed of everything random.
        device: Where to compute: auto, cpu, cuda, cuda:1 or mps.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        check_types(self)
        # What torch's and Lightning's generators take.
        _require(self.seed, 0 <= self.seed < 2**32, "seed", "a number from 0 to 4294967295")
        if self.train.unfreeze_after and not self.model.freeze:
            raise ConfigError(
                f"train.unfreeze_after is {self.train.unfreeze_after}, but the encoder learns from "
                "the start: model.freeze is false. Set model.freeze true, or leave "
                "train.unfreeze_after out."
            )
        if self.model.head_norm == "batch" and self.train.chunk:
            raise ConfigError(
                f"model.head_norm is batch and train.chunk is {self.train.chunk}, but a batch norm "
                "behind chunks would go on counting clips that have ended. Use model.head_norm "
                "layer, or train.chunk 0."
            )
        looks_ahead = self.model.bidirectional or self.model.shift == "both"
        if self.train.lead_in and looks_ahead:
            raise ConfigError(
                f"train.lead_in is {self.train.lead_in}, which is for streams, but a model with "
                "model.bidirectional true or model.shift both looks ahead and cannot step through "
                "one. Set model.bidirectional false and model.shift causal or none."
            )
        if self.model.head_norm == "batch" and self.train.batch_size == 1:
            raise ConfigError(
                "model.head_norm is batch and train.batch_size is 1, but a batch of one clip has "
                "no mean and variance to learn. Use model.head_norm layer, or larger batches."
            )


SECTIONS: dict[str, type[Any]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "eval": EvalConfig,
}
