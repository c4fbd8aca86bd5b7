"""How a model file wants clips to be read."""

import math
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import ModelFileError
from cliptide.configs.streams import PICTURES
from cliptide.datasets.fitting import Fit
from cliptide.datasets.sampling import SamplingKind, SamplingRule
from cliptide.datasets.streams.build import build_streams
from cliptide.datasets.streams.stream import Stream
from cliptide.models.info import ModelInfo


def sampling_rule(info: ModelInfo) -> SamplingRule:
    """How a model wants frames chosen.

    Raises:
        ModelFileError: The model was trained with a rule that this release does not have.
    """
    kind = next((known for known in get_args(SamplingKind) if known == info.sampling), None)
    if kind is None:
        raise ModelFileError(
            f"The model's sampling is {info.sampling!r}, which this cliptide does not have. "
            "Upgrade with: pip install --upgrade cliptide"
        )
    return SamplingRule(kind, info.frames, info.rate_fps, info.stride)


def streams_of(info: ModelInfo) -> tuple[Stream, ...]:
    """What reads samples as a model wants them."""
    return build_streams(info.streams, size=info.size, fit=picture_fit(info))


def blank_clip(info: ModelInfo, count: int) -> NDArray[Any]:
    """Steps (count, *step) of nothing, as `read_views` gives them, with every stream there."""
    specs = info.streams.specs(info.size)
    if len(specs) > 1:
        values = len(specs) + sum(math.prod(spec.shape) for spec in specs)
        steps = np.zeros((count, values), np.float32)
        steps[:, : len(specs)] = 1
        return steps
    (spec,) = specs
    if spec.name in PICTURES:
        return np.zeros((count, *spec.shape[1:], 3), np.uint8)
    return np.zeros((count, *spec.shape), np.int64 if spec.name == "text" else np.float32)


def picture_fit(info: ModelInfo) -> Fit:
    """How a model wants pictures fitted into its frame size.

    Raises:
        ModelFileError: The model was trained with a fit that this release does not have.
    """
    fit = next((known for known in get_args(Fit) if known == info.fit), None)
    if fit is None:
        raise ModelFileError(
            f"The model fits pictures by {info.fit!r}, which this cliptide does not have. "
            "Upgrade with: pip install --upgrade cliptide"
        )
    return cast(Fit, fit)
