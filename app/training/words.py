"""What a run's parts are called in the report."""

from collections.abc import Sequence

from cliptide.configs.schema import ModelConfig
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
