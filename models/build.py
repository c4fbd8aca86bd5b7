"""The one place in `models` that reads a config."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import nn

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import PICTURES, Streams, StreamSpec
from cliptide.configs.tasks import Task
from cliptide.models.encoders.base import Encoder
from cliptide.models.encoders.joined import JoinedEncoder
from cliptide.models.encoders.rows import RowsEncoder
from cliptide.models.encoders.spectrogram import SpectrogramEncoder
from cliptide.models.encoders.tiny import TinyEncoder
from cliptide.models.encoders.tokens import TokenEncoder
from cliptide.models.heads import head_for
from cliptide.models.late import LateHead, SideBySide, SummariesSideBySide
from cliptide.models.motion import FeatureDifferences
from cliptide.models.recognizer import Recognizer
from cliptide.models.summaries import (
    AttentionOverSteps,
    LastStep,
    MaxOfSteps,
    MeanOfSteps,
    Summary,
)
from cliptide.models.temporal.base import Temporal
from cliptide.models.temporal.convolutional import CONV_CELLS, ConvRecurrentTemporal
from cliptide.models.temporal.minimal import GATES, MinimalTemporal
from cliptide.models.temporal.none import NoTemporal
from cliptide.models.temporal.recurrent import CELLS, RecurrentTemporal
from cliptide.models.temporal.stack import StackedTemporal
from cliptide.models.temporal.tcn import ConvolutionalTemporal


def _recurrent(config: ModelConfig, input_dim: int) -> Temporal:
    if config.residual or config.variational:
        return _stacked(config, input_dim)
    # torch's own layers, one on another, are the same as a stack in a chain, and faster.
    return RecurrentTemporal(
        config.temporal,
        input_dim=input_dim,
        hidden=config.hidden,
        layers=config.layers,
        bidirectional=config.bidirectional,
        dropout=config.dropout,
    )


def _stacked(config: ModelConfig, input_dim: int) -> Temporal:
    def make_layer(size: int) -> Temporal:
        if config.temporal in GATES:
            return MinimalTemporal(
                config.temporal,
                input_dim=size,
                hidden=config.hidden,
                bidirectional=config.bidirectional,
            )
        return RecurrentTemporal(
            config.temporal,
            input_dim=size,
            hidden=config.hidden,
            bidirectional=config.bidirectional,
            recurrent_dropout=config.dropout if config.variational else 0.0,
        )

    return StackedTemporal(
        make_layer,
        input_dim=input_dim,
        hidden=config.hidden,
        layers=config.layers,
        residual=config.residual,
        dropout=config.dropout,
        variational=config.variational,
    )


def _on_maps(config: ModelConfig, channels: int) -> Temporal:
    return ConvRecurrentTemporal(
        config.temporal,
        channels=channels,
        hidden=config.hidden,
        kernel=config.kernel,
        layers=config.layers,
        dropout=config.dropout,
    )


def _tcn(config: ModelConfig, input_dim: int) -> Temporal:
    return ConvolutionalTemporal(
        input_dim=input_dim,
        hidden=config.hidden,
        kernel=config.kernel,
        layers=config.layers,
        dropout=config.dropout,
    )


# Encoders of our own; every other name is looked up in torchvision, or behind timm/ in timm.
ENCODERS: dict[str, Callable[[ModelConfig], Encoder]] = {
    "tiny": lambda config: TinyEncoder(
        width=config.width,
        # On maps nobody takes the pooled vector: without weights of its own it costs nothing.
        pool="mean" if config.temporal in ON_MAPS else config.pool,
        shift=config.shift,
        frame_differences=config.motion in ("frames", "both"),
        norm=config.norm,
    ),
}
TEMPORALS: dict[str, Callable[[ModelConfig, int], Temporal]] = {
    "none": lambda config, dim: NoTemporal(dim),
    **dict.fromkeys(CELLS, _recurrent),
    **dict.fromkeys(GATES, _stacked),
    **dict.fromkeys(CONV_CELLS, _on_maps),
    "tcn": _tcn,
}
# These are given feature maps in place of pooled vectors.
ON_MAPS: tuple[str, ...] = tuple(CONV_CELLS)
SUMMARIES: dict[str, Callable[[ModelConfig, int], Summary]] = {
    "last": lambda config, dim: LastStep(bidirectional=config.bidirectional),
    "mean": lambda config, dim: MeanOfSteps(),
    "max": lambda config, dim: MaxOfSteps(),
    "attention": lambda config, dim: AttentionOverSteps(dim),
}


def build_encoder(
    config: ModelConfig, *, load_weights: bool, size: tuple[int, int] | None = None
) -> Encoder:
    """Build the encoder, with its pretrained weights if the config asks and `load_weights` allows.

    Args:
        config: The network's description.
        load_weights: See `build_recognizer`.
        size: (height, width) of the frames, for networks that are built for one size.

    Raises:
        ConfigError: There is no such encoder, or an option does not fit it.
        InputError: The weights cannot be had or do not fit.
    """
    if config.encoder in ENCODERS:
        if config.pretrained or config.encoder_weights:
            raise ConfigError(
                f"The encoder {config.encoder} has no pretrained weights. "
                "Leave out model.pretrained and model.encoder_weights, "
                "or start from a model with --init."
            )
        return ENCODERS[config.encoder](config)
    if config.encoder.startswith("timm/"):
        return _timm_encoder(config, load_weights=load_weights, size=size)
    return _torchvision_encoder(config, load_weights=load_weights)


def _torchvision_encoder(config: ModelConfig, *, load_weights: bool) -> Encoder:
    from cliptide.models.encoders.vision import (  # torchvision takes seconds to import
        VisionEncoder,
        download_weights,
        read_weights,
        vision_names,
    )

    names = [*ENCODERS, *vision_names()]
    if config.encoder not in names:
        near = get_close_matches(config.encoder, names, n=3, cutoff=0.4) or ["tiny", "resnet18"]
        raise ConfigError(
            f"There is no encoder {config.encoder!r}. Nearest: {', '.join(near)}. "
            "Use tiny, the name of any torchvision classification network, or timm/NAME for any "
            "network of timm."
        )
    _refuse_options_of_tiny(config)
    weights = None
    if load_weights and config.encoder_weights:
        weights = read_weights(Path(config.encoder_weights))
    elif load_weights and config.pretrained:
        weights = download_weights(config.encoder)
    return VisionEncoder(
        config.encoder,
        weights=weights,
        shift=config.shift,
        frame_differences=config.motion in ("frames", "both"),
    )


def _timm_encoder(
    config: ModelConfig, *, load_weights: bool, size: tuple[int, int] | None
) -> Encoder:
    from cliptide.models.encoders.timm_encoder import TimmEncoder, check_timm_name
    from cliptide.models.encoders.vision import read_weights

    check_timm_name(config.encoder)
    _refuse_options_of_tiny(config)
    weights = None
    if load_weights and config.encoder_weights:
        weights = read_weights(Path(config.encoder_weights))
    return TimmEncoder(
        config.encoder,
        pretrained=load_weights and config.pretrained and weights is None,
        weights=weights,
        size=size,
        shift=config.shift,
        frame_differences=config.motion in ("frames", "both"),
    )


def _refuse_options_of_tiny(config: ModelConfig) -> None:
    if config.width != 1.0:
        raise ConfigError(
            f"model.width is {config.width}, but only {', '.join(ENCODERS)} can be scaled. "
            f"Leave model.width out for {config.encoder}."
        )
    if config.pool != "grid":
        raise ConfigError(
            f"model.pool is {config.pool}, but only {', '.join(ENCODERS)} pools over a grid. "
            f"Leave model.pool out for {config.encoder}, which always takes the mean."
        )
    if config.norm != "batch":
        raise ConfigError(
            f"model.norm is {config.norm}, but only the norms of {', '.join(ENCODERS)} can be "
            f"chosen. Leave model.norm out for {config.encoder}, which has its own."
        )


def build_temporal(config: ModelConfig, *, input_dim: int) -> Temporal:
    """Build the temporal part for features of size `input_dim`, or maps of so many channels."""
    return TEMPORALS[config.temporal](config, input_dim)


def build_recognizer(
    config: ModelConfig,
    *,
    num_classes: int,
    load_weights: bool = True,
    task: Task = "single",
    size: tuple[int, int] | None = None,
    streams: Streams | None = None,
) -> Recognizer:
    """Build the whole network.

    Args:
        config: The network's description.
        num_classes: K, the number of outputs: classes, labels or targets.
        load_weights: Whether to load the encoder's pretrained weights; False when the whole
            network's weights follow from a model file.
        task: What the outputs are for.
        size: (height, width) of the frames; None takes what the encoder is usually given.
        streams: What samples consist of; None means pictures.

    Raises:
        ConfigError: The config does not fit the streams.
    """
    described = streams or Streams()
    check_fits_streams(config, described)
    on_maps = config.temporal in ON_MAPS
    if described.names == ("rgb",):
        shown = None if size is None else described.picture_size(size)
        encoder = build_encoder(config, load_weights=load_weights, size=shown)
    else:
        assert size is not None, "the steps of other streams than pictures have a size"
        specs = described.specs(size)
        encoders = [
            _encoder_of(spec, config, load_weights=load_weights, size=size) for spec in specs
        ]
        encoder = encoders[0]
        if len(specs) > 1:
            encoder = JoinedEncoder(
                encoders,
                [spec.shape for spec in specs],
                fusion=config.fusion,
                gated_dim=config.step_dim,
            )
    if isinstance(encoder, JoinedEncoder) and config.fusion == "late":
        return _late(config, encoder, described, num_classes=num_classes, task=task)
    dim, motion = (encoder.channels if on_maps else encoder.dim), None
    if config.motion in ("features", "both"):
        motion = FeatureDifferences(dim, maps=on_maps)
        dim = motion.out_channels
    temporal, summary, head = _behind(config, dim, num_classes=num_classes, task=task)
    return Recognizer(
        encoder=encoder,
        motion=motion,
        temporal=temporal,
        summary=summary,
        head=head,
        freeze_encoder=config.freeze,
        streams=described,
    )


def _behind(
    config: ModelConfig, dim: int, *, num_classes: int, task: Task
) -> tuple[Temporal, Summary, nn.Module]:
    """What follows features of size `dim`."""
    temporal = build_temporal(config, input_dim=dim)
    head = head_for(
        config.head,
        temporal.dim,
        num_classes,
        dropout=config.dropout,
        norm=config.head_norm,
        task=task,
    )
    return temporal, SUMMARIES[config.summary](config, temporal.dim), head


def _late(
    config: ModelConfig,
    encoder: JoinedEncoder,
    described: Streams,
    *,
    num_classes: int,
    task: Task,
) -> Recognizer:
    parts = [_behind(config, dim, num_classes=num_classes, task=task) for dim in encoder.dims]
    temporals, summaries, heads = zip(*parts, strict=True)
    dims = [temporal.dim for temporal in temporals]
    return Recognizer(
        encoder=encoder,
        temporal=SideBySide(temporals, encoder.dims),
        summary=SummariesSideBySide(summaries, dims),
        head=LateHead(heads, dims, task=task),
        freeze_encoder=config.freeze,
        streams=described,
    )


def _encoder_of(
    spec: StreamSpec, config: ModelConfig, *, load_weights: bool, size: tuple[int, int]
) -> Encoder:
    if spec.name in PICTURES:
        return build_encoder(config, load_weights=load_weights, size=size)
    if spec.name == "audio":
        return SpectrogramEncoder((spec.shape[0], spec.shape[1]), dim=config.step_dim)
    if spec.name == "text":
        return TokenEncoder((spec.shape[0],), vocabulary=spec.vocabulary, dim=config.step_dim)
    return RowsEncoder((spec.shape[0], spec.shape[1]), dim=config.step_dim, joints=spec.joints)


def check_fits_streams(config: ModelConfig, streams: Streams) -> None:
    """Refuse what the streams cannot have.

    Raises:
        ConfigError: Names the key and the mend.
    """
    names = streams.names
    several = len(names) > 1
    pictures = streams.has_pictures
    what = f"data.streams is {','.join(names)}" if several else f"the samples are {names[0]}"
    if streams.steps.joints is not None and "arrays" not in names:
        raise ConfigError(
            f"steps.joints is {streams.steps.joints}, which names the columns of arrays, but "
            f"{what}. Leave steps.joints out, or name arrays in data.streams."
        )
    if several or not pictures:
        for key, value, off in (
            ("shift", config.shift, "none"),
            ("motion", config.motion, "none"),
            ("freeze", config.freeze, False),
        ):
            fine = value == off or (key == "motion" and value == "features" and not several)
            if not fine:
                whose = "one stream" if value == "features" else "pictures"
                raise ConfigError(
                    f"model.{key} is {str(value).lower()}, which is for {whose} alone, but "
                    f"{what}. Set model.{key} {str(off).lower()}."
                )
        plain = ModelConfig()
        for key in ("encoder", "pretrained", "encoder_weights", "width", "pool", "norm"):
            value = getattr(config, key)
            if not pictures and value != getattr(plain, key):
                raise ConfigError(
                    f"model.{key} is {str(value).lower()}, but {what}, which have an encoder of "
                    f"their own (model.step_dim is its size). Leave model.{key} out."
                )
        if several and config.fusion == "late" and config.head_norm == "batch":
            raise ConfigError(
                "model.head_norm is batch and model.fusion is late, but a batch norm would count "
                "clips that lack a stream. Use model.head_norm layer."
            )
        if config.temporal in ON_MAPS:
            raise ConfigError(
                f"model.temporal is {config.temporal}, which runs over the maps of pictures, but "
                f"{what}. Use gru, lstm or another that runs over vectors."
            )


def check_frame_size(network: Recognizer, *, encoder: str, size: tuple[int, int]) -> None:
    """Pass one black frame through the network, so that a size it cannot take is said at once.

    Raises:
        ConfigError: The encoder cannot take frames of this size.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            black = network.encoder.blank(1, size=size)
            network(black[None], torch.ones(1, dtype=torch.int64))
    except (RuntimeError, AssertionError, ValueError) as error:
        sides = (getattr(each, "image_size", None) for each in network.stream_encoders.values())
        side = next((found for found in sides if found is not None), None)
        if side is not None:
            raise ConfigError(
                f"The encoder {encoder} takes frames of {side}x{side} alone, not "
                f"{size[0]}x{size[1]}. Set data.size {side}."
            ) from error
        raise ConfigError(
            f"The encoder {encoder} cannot take frames of {size[0]}x{size[1]} ({error}). "
            "Choose another data.size; 224 suits nearly every network."
        ) from error
    finally:
        network.train(was_training)
