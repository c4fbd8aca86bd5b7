"""The model file: weights and everything needed to use them, in one .safetensors file.

The JSON in the file's metadata rebuilds the network; loading runs no code and needs nothing else.
"""

import json
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from cliptide.configs.errors import InputError, ModelFileError
from cliptide.configs.schema import ModelConfig
from cliptide.models.baselines import PREFIX, FrameBaselines
from cliptide.models.build import build_recognizer
from cliptide.models.info import METADATA_KEY, ModelInfo, parse_info
from cliptide.models.late import LateHead
from cliptide.models.recognizer import Recognizer


def save_model(
    path: Path, network: nn.Module, info: ModelInfo, *, baselines: FrameBaselines | None = None
) -> None:
    """Write the model file; a crash meanwhile leaves the old file as it was.

    Of a joint map it holds what was read and not where that lay, nor where flow was kept.
    """
    info = replace(info, streams=info.streams.for_file())
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
        elif path.is_dir():
            hint = (
                " It is a folder without a model: give a model.safetensors, or an exported model."
            )
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
    return parse_info(metadata[METADATA_KEY], path=path)


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
            streams=info.streams,
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

    What late fusion's streams weigh is not taken along: it was fitted to what they knew there.

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
    if isinstance(network.head, LateHead):
        network.head.weigh_alike()
    return fresh
