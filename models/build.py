"""The one place in `models` that reads a config."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import nn

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.tasks import Task
from cliptide.models.encoders.base import Encoder
from cliptide.models.encoders.tiny import TinyEncoder
from cliptide.models.heads import head_for
from cliptide.models.recognizer import Recognizer
from cliptide.models.summaries import (
    AttentionOverSteps,
    LastStep,
    MaxOfSteps,
    MeanOfSteps,
    Summary,
)
from cliptide.models.temporal.base import Temporal
from cliptide.models.temporal.none import NoTemporal
from cliptide.models.temporal.recurrent import CELLS, RecurrentTemporal


def _recurrent(config: ModelConfig, input_dim: int) -> Temporal:
    return RecurrentTemporal(
        config.temporal,
        input_dim=input_dim,
        hidden=config.hidden,
        layers=config.layers,
        bidirectional=config.bidirectional,
        dropout=config.dropout,
    )


# Encoders of our own; every other name is looked up in torchvision.
ENCODERS: dict[str, Callable[[ModelConfig], Encoder]] = {
    "tiny": lambda config: TinyEncoder(width=config.width),
}
TEMPORALS: dict[str, Callable[[ModelConfig, int], Temporal]] = {
    "none": lambda config, dim: NoTemporal(dim),
    **dict.fromkeys(CELLS, _recurrent),
}
SUMMARIES: dict[str, Callable[[ModelConfig, int], Summary]] = {
    "last": lambda config, dim: LastStep(bidirectional=config.bidirectional),
    "mean": lambda config, dim: MeanOfSteps(),
    "max": lambda config, dim: MaxOfSteps(),
    "attention": lambda config, dim: AttentionOverSteps(dim),
}


def build_encoder(config: ModelConfig, *, load_weights: bool) -> Encoder:
    """Build the encoder, with its pretrained weights if the config asks and `load_weights` allows.

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
            "Use tiny or the name of any torchvision classification network."
        )
    if config.width != 1.0:
        raise ConfigError(
            f"model.width is {config.width}, but only {', '.join(ENCODERS)} can be scaled. "
            f"Leave model.width out for {config.encoder}."
        )
    weights = None
    if load_weights and config.encoder_weights:
        weights = read_weights(Path(config.encoder_weights))
    elif load_weights and config.pretrained:
        weights = download_weights(config.encoder)
    return VisionEncoder(config.encoder, weights=weights)


def build_temporal(config: ModelConfig, *, input_dim: int) -> Temporal:
    """Build the temporal part for features of size `input_dim`."""
    return TEMPORALS[config.temporal](config, input_dim)


def build_recognizer(
    config: ModelConfig, *, num_classes: int, load_weights: bool = True, task: Task = "single"
) -> Recognizer:
    """Build the whole network.

    Args:
        config: The network's description.
        num_classes: K, the number of outputs: classes, labels or targets.
        load_weights: Whether to load the encoder's pretrained weights; False when the whole
            network's weights follow from a model file.
        task: What the outputs are for.
    """
    encoder = build_encoder(config, load_weights=load_weights)
    temporal = build_temporal(config, input_dim=encoder.dim)
    return Recognizer(
        encoder=encoder,
        temporal=temporal,
        summary=SUMMARIES[config.summary](config, temporal.dim),
        head=head_for(config.head, temporal.dim, num_classes, dropout=config.dropout, task=task),
        freeze_encoder=config.freeze,
    )


def check_frame_size(network: nn.Module, *, encoder: str, size: tuple[int, int]) -> None:
    """Pass one black frame through the network, so that a size it cannot take is said at once.

    Raises:
        ConfigError: The encoder cannot take frames of this size.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            black = torch.zeros(1, 1, 3, *size, dtype=torch.uint8)
            network(black, torch.ones(1, dtype=torch.int64))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"The encoder {encoder} cannot take frames of {size[0]}x{size[1]} ({error}). "
            "Choose another data.size; 224 suits every torchvision network."
        ) from error
    finally:
        network.train(was_training)
