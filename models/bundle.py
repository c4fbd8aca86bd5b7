"""The model file: weights and everything needed to use them, in one .safetensors file.

The JSON in the file's metadata rebuilds the network; loading runs no code and needs nothing else.
"""

import json
import textwrap
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from cliptide.configs.errors import InputError, ModelFileError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.tasks import TASKS, Task
from cliptide.models.baselines import PREFIX, FrameBaselines
from cliptide.models.build import build_recognizer
from cliptide.models.recognizer import Recognizer

FORMAT_VERSION = 2
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
        context_s: Seconds a clip of that many frames spans at that rate.
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
    format_version: int = FORMAT_VERSION


def save_model(
    path: Path, network: nn.Module, info: ModelInfo, *, baselines: FrameBaselines | None = None
) -> None:
    """Write the model file; a crash meanwhile leaves the old file as it was."""
    # Buffers can share memory or be strided; safetensors stores neither.
    state = network.state_dict() | (baselines.tensors() if baselines else {})
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    scratch = path.with_name(path.name + ".part")
    # Not save_file, which makes a file that its owner alone may read.
    scratch.write_bytes(save(tensors, metadata={METADATA_KEY: json.dumps(asdict(info))}))
    scratch.replace(path)


def read_info(path: Path) -> ModelInfo:
    """Read a model file's description without its weights.

    Raises:
        ModelFileError: The file is missing, is no model, is truncated, or is of a newer format.
    """
    if not path.is_file():
        hint = ""
        if (path / "model.safetensors").is_file():
            hint = f" It is a run folder: give {path / 'model.safetensors'}."
        raise ModelFileError(f"There is no model file {path}.{hint or ' Check the path.'}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path} is no model file or is truncated ({error}). "
            "Give a model.safetensors written by cliptide train, or copy it again."
        ) from error
    if METADATA_KEY not in metadata:
        raise ModelFileError(
            f"{path} holds tensors but was not written by cliptide. "
            "Give a model.safetensors from a run folder; "
            "encoder weights go to --model.encoder_weights."
        )
    try:
        raw = json.loads(metadata[METADATA_KEY])
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
        values["thresholds"] = tuple(values.get("thresholds", ()))
        info = ModelInfo(**values)
        if info.temperature is not None and not info.temperature > 0:
            raise ValueError(f"the temperature is {info.temperature}")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"The description in {path} is damaged ({error!r}). Copy the file again or retrain."
        ) from error
    if info.task not in TASKS:
        raise ModelFileError(
            f"{path} is for the task {info.task!r}, which this cliptide does not have. Upgrade "
            "with: pip install --upgrade cliptide"
        )
    return info


def load_model(path: Path) -> tuple[Recognizer, ModelInfo]:
    """Rebuild a network from its file, on the CPU and in evaluation mode.

    Raises:
        ModelFileError: See `read_info`; or the weights do not fit their own description.
    """
    info = read_info(path)
    try:
        config = ModelConfig(**info.model)
        network = build_recognizer(
            config,
            num_classes=len(info.class_names),
            load_weights=False,
            task=info.task,
            size=info.size,
        )
        tensors = read_tensors(path)
        network.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(PREFIX)})
    except (KeyError, TypeError, RuntimeError, InputError) as error:
        # torch lists every tensor, each in a line of its own.
        cause = textwrap.shorten(str(error), 200, placeholder=" ...")
        raise ModelFileError(
            f"The weights in {path} do not fit their description ({cause}). Retrain the model."
        ) from error
    return network.eval(), info


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a model file."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def read_baselines(path: Path) -> FrameBaselines | None:
    """Read the baselines that a model file brings along; None where it brings none."""
    return FrameBaselines.from_tensors(read_tensors(path))


def start_from(network: Recognizer, path: Path, *, same_classes: bool) -> list[str]:
    """Copy a model file's weights into a network, for fine-tuning.

    Args:
        network: The network to start.
        path: The model file.
        same_classes: Whether the head is taken along too.

    Returns:
        Names of the parts that were left as they were (the head for other classes).

    Raises:
        ModelFileError: See `read_info`; or the file's network differs from `network` in more than
            the head.
    """
    read_info(path)
    own, given = network.state_dict(), read_tensors(path)
    fresh = [] if same_classes else [key for key in own if key.startswith("head.")]
    unfit = [
        key
        for key in own
        if key not in fresh and (key not in given or given[key].shape != own[key].shape)
    ]
    if unfit:
        raise ModelFileError(
            f"The network of {path} differs from the one configured, first at {unfit[0]}. "
            "Leave the model.* keys out: --init takes them from the file."
        )
    network.load_state_dict({key: given[key] for key in own if key not in fresh}, strict=False)
    return fresh
