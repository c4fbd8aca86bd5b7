"""What a run's parts are called in the report, and what is said of its config."""

from collections.abc import Sequence

from cliptide.configs.schema import ModelConfig, RunConfig
from cliptide.configs.streams import PICTURES

_ENCODERS = {
    "audio": "CNN over log-mel windows",
    "arrays": "1-D convolution over rows",
    "rows": "1-D convolution over rows of pixels",
    "text": "embedding, 1-D convolution",
}


def encoder_words(names: Sequence[str], config: ModelConfig) -> str:
    """What encodes each stream: the network's name for pictures."""
    picture = config.encoder + (", frozen" if config.freeze else "")
    told = [picture if name in PICTURES else _ENCODERS[name] for name in names]
    if len(names) == 1:
        return told[0]
    pairs = ", ".join(f"{name}: {what}" for name, what in zip(names, told, strict=True))
    return f"{pairs}; fusion {config.fusion}"


def idle_keys(config: RunConfig, names: Sequence[str]) -> list[str]:
    """Notes on keys that do nothing for these streams, as where a recipe was for several."""
    if len(names) > 1:
        return []
    dropout, fusion = config.train.modality_dropout, config.model.fusion
    idle = [f"train.modality_dropout {dropout}"] if dropout else []
    idle += [f"model.fusion {fusion}"] if fusion != "early" else []
    return [f"Note: {key} does nothing, as {names[0]} is the only stream." for key in idle]


def workers_words(count: int) -> str:
    """How many processes load data."""
    return f"{count or 'no'} loader {'process' if count == 1 else 'processes'}"
