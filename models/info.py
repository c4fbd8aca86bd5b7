"""What a model says of itself, as its file carries it. No torch: exported models say it too."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cliptide.configs.errors import ConfigError, ModelFileError
from cliptide.configs.streams import Streams
from cliptide.configs.tasks import TASKS, Task

FORMAT_VERSION = 3
PLAIN_VERSION = 2  # of models of videos, which releases before streams read too
METADATA_KEY = "cliptide"


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes:
        model: The network's config, as a dict.
        class_names: Labels, or names of the targets, in the order of the outputs.
        size: (height, width) of the frames fed to the network.
        mean: RGB mean of the normalisation (0 to 1), which happens inside the network.
        std: RGB standard deviation, likewise.
        sampling: The rule that chose the frames: `uniform`, `rate` or `dense`.
        frames: The frame budget of a clip.
        rate_fps: Frames used per second of video in training (median), the rate to stream at.
        context_s: Seconds that the frames used of a training clip span at that rate: the median, or
            the 90th percentile of a model trained with lead-ins.
        split_fingerprint: Which clips the model was trained, validated and tested on.
        stride: Steps from frame to frame, for `dense`; files without it mean 1.
        run: The other sections of the run's config (data, eval, seed), for the same split again.
        metrics: Figures on validation and test as they become known.
        versions: Library versions at training.
        task: The kind of label.
        fit: How a picture is fitted into `size`; files without it mean `resize`.
        thresholds: For task multi, the score from which on each label is given; files without
            it mean 0.5.
        temperature: For task single, what a video's scores are made calibrated with: each is
            raised to the power 1 / temperature, and their sum made 1 again. Fitted on validation
            (Guo et al., "On Calibration of Modern Neural Networks", 2017); None where the scores
            are as the network gives them.
        nothing_below: For task single, the highest score under which an answer is better taken
            for "nothing of these": 95 % of the right answers on validation are above it; None
            where that is not known.
        streams: What samples consist of and how they are read; files without it mean pictures.
        format_version: Version of this description.
    """

    model: dict[str, Any]
    class_names: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    sampling: str
    frames: int
    rate_fps: float
    context_s: float
    split_fingerprint: str
    stride: int = 1
    run: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    fit: str = "resize"
    task: Task = "single"
    thresholds: tuple[float, ...] = ()
    temperature: float | None = None
    nothing_below: float | None = None
    streams: Streams = field(default_factory=Streams)
    format_version: int = PLAIN_VERSION

    @property
    def step_size(self) -> tuple[int, int]:
        """(height, width) of a step that is a picture: `size`, or that of a patch."""
        return self.streams.picture_size(self.size)


def parse_info(text: str, *, path: Path) -> ModelInfo:
    """Read the description that a model file carries.

    Args:
        text: The JSON under `METADATA_KEY`.
        path: The file, for the messages.

    Raises:
        ModelFileError: It is damaged, of a newer format, or for an unknown task.
    """
    try:
        raw = json.loads(text)
        version = int(raw["format_version"])
        if version > FORMAT_VERSION:
            raise ModelFileError(
                f"{path} is of format {version}; this cliptide reads up to {FORMAT_VERSION}. "
                "Upgrade with: pip install --upgrade cliptide"
            )
        known = {f.name for f in fields(ModelInfo)}
        values = {key: value for key, value in raw.items() if key in known}
        for key in ("class_names", "size", "mean", "std"):
            values[key] = tuple(values[key])
        values["streams"] = Streams.from_dict(values.get("streams", {}))
        values["thresholds"] = tuple(values.get("thresholds", ()))
        info = ModelInfo(**values)
        if info.temperature is not None and not info.temperature > 0:
            raise ValueError(f"the temperature is {info.temperature}")
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise ModelFileError(
            f"The description in {path} is damaged ({error!r}). Copy the file again or retrain."
        ) from error
    if info.task not in TASKS:
        raise ModelFileError(
            f"{path} is for the task {info.task!r}, which this cliptide does not have. Upgrade "
            "with: pip install --upgrade cliptide"
        )
    return info
