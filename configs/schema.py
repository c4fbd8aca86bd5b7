"""Every key of a run, typed. A key here is a flag on the command line and a line in config.yaml.

Plain frozen dataclasses; the docstrings are the help texts. What one field alone can get wrong
is checked at construction, from wherever it comes (flag, file, Python or a model file), so a
wrong value never travels.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from cliptide.configs.checks import check_types, require
from cliptide.configs.errors import ConfigError
from cliptide.configs.sizes import parse_size
from cliptide.configs.streams import JOINABLE, DataKind, StepsConfig, StreamName
from cliptide.configs.training import TrainConfig


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
        augment: Augmentation of training clips; strong masks stretches of time in sound too.
        flip: Mirror half of the training clips; switch off where labels have a left and a right.
        fold: The fold to test on: an official one (lists of UCF101 or HMDB51), or of data.folds.
        group_regex: Regular expression that finds the group in a file's path; its first bracket.
        kind: Layout of DATA on disk (folder to manifest: of videos), or what a sample is: frames
            (folders of images), images, audio, arrays or text; auto tells both where that is safe.
        streams: What is read of each sample: rgb, flow, audio, arrays, several with commas; auto
            is what the kind says: rgb of videos and images.
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
    kind: DataKind = "auto"
    streams: str = "auto"
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
        require(self.frames, self.frames >= 1, "data.frames", "1 or more")
        require(self.rate_fps, self.rate_fps > 0, "data.rate_fps", "a rate above 0")
        require(self.stride, self.stride >= 1, "data.stride", "1 or more")
        require(self.fold, self.fold >= 1, "data.fold", "1 or more")
        for key in ("val_share", "test_share"):
            value = getattr(self, key)
            require(value, 0 < value < 0.9, f"data.{key}", "a share between 0 and 0.9")
        workers = 0 if self.workers == "auto" else self.workers
        require(self.workers, workers >= 0, "data.workers", "auto, 0 or more")
        require(self.folds, self.folds == 0 or self.folds >= 2, "data.folds", "0, or 2 or more")
        within = not self.folds or self.fold <= self.folds
        require(self.fold, within, "data.fold", f"1 to {self.folds}, as data.folds is {self.folds}")
        self.stream_names()

    def stream_names(self) -> tuple[StreamName, ...]:
        """The streams asked for; none where that is left to the data.

        Raises:
            ConfigError: One is unknown, twice, or cannot be joined.
        """
        if self.streams == "auto":
            return ()
        names = [name.strip() for name in self.streams.split(",")]
        known = get_args(StreamName)
        for name in names:
            allowed = JOINABLE if len(names) > 1 else known
            if name not in allowed or names.count(name) > 1:
                raise ConfigError(
                    f"data.streams is {self.streams!r}. Use auto, or some of "
                    f"{', '.join(JOINABLE)} with commas between them, each once."
                )
        return tuple(name for name in names)  # type: ignore[misc]


# Temporal parts whose layers hand on vectors and can read a clip from its end.
RECURRENT = ("rnn", "lstm", "gru", "mingru", "minlstm")


@dataclass(frozen=True)
class ModelConfig:
    """The network: encoder per frame, temporal part, summary over time, head.

    Args:
        encoder: Network for single frames: tiny, any torchvision classification network by name,
            or timm/NAME for any network of timm. Sound, arrays and text have encoders of their own.
        width: Scale of the filter counts of tiny.
        pretrained: Start the encoder from the library's ImageNet weights (downloaded once).
        encoder_weights: File with weights (.safetensors, .pt, .pth) in place of a download.
        freeze: Keep the encoder of pictures as it is and train the rest.
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
        step_dim: Size of what the encoders of sound, arrays and text make of a step.
        fusion: How several streams become one: early joins their features before the temporal
            part, gated weighs them by what they hold, late gives each its own temporal part and
            head and weighs their answers by validation.
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
    step_dim: int = 128
    fusion: Literal["early", "gated", "late"] = "early"

    def __post_init__(self) -> None:
        check_types(self, section="model")
        require(self.width, self.width > 0, "model.width", "a scale above 0")
        require(self.hidden, self.hidden >= 1, "model.hidden", "1 or more")
        require(self.layers, self.layers >= 1, "model.layers", "1 or more")
        require(self.step_dim, self.step_dim >= 1, "model.step_dim", "1 or more")
        require(self.dropout, 0 <= self.dropout < 1, "model.dropout", "a share from 0 to below 1")
        for key in ("bidirectional", "residual", "variational"):
            if getattr(self, key) and self.temporal not in RECURRENT:
                raise ConfigError(
                    f"model.{key} is true but model.temporal is {self.temporal}. "
                    f"Choose {', '.join(RECURRENT[:-1])} or {RECURRENT[-1]}, or leave {key} out."
                )
        if self.temporal in ("convlstm", "convgru"):
            odd = self.kernel >= 1 and self.kernel % 2 == 1
            require(self.kernel, odd, "model.kernel", f"1, 3, 5, ... with {self.temporal}")
        least = 2 if self.temporal == "tcn" else 1
        require(self.kernel, self.kernel >= least, "model.kernel", f"{least} or more")
        if self.freeze and self.motion in ("frames", "both"):
            raise ConfigError(
                f"model.motion is {self.motion} and model.freeze is true, but a frozen encoder "
                "cannot learn what differences of frames mean. Use model.motion features."
            )


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
        require(self.clips, self.clips >= 1, "eval.clips", "1 or more")


@dataclass(frozen=True)
class RunConfig:
    """A whole run.

    Args:
        data: The data and how clips are taken from it.
        model: The network.
        train: The optimisation.
        eval: The evaluation.
        steps: What a step is in sequences other than whole pictures.
        seed: Seed of everything random.
        device: Where to compute: auto, cpu, cuda, cuda:1 or mps.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    steps: StepsConfig = field(default_factory=StepsConfig)
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        check_types(self)
        # What torch's and Lightning's generators take.
        require(self.seed, 0 <= self.seed < 2**32, "seed", "a number from 0 to 4294967295")
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
    "steps": StepsConfig,
}
