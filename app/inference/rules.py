"""How a model file wants clips to be read."""

from typing import cast, get_args

from cliptide.configs.errors import ModelFileError
from cliptide.datasets.fitting import Fit
from cliptide.datasets.sampling import SamplingKind, SamplingRule
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
