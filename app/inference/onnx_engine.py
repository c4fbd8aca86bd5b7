"""A network run by ONNX Runtime, from what `cliptide export --format onnx` writes. No torch."""

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cliptide.app.inference.engine import Bools, Floats, Frames, Ints, State
from cliptide.configs.errors import DeviceError, InputError, ModelFileError
from cliptide.datasets.processes import usable_cores
from cliptide.datasets.streams.samples import channels_first
from cliptide.models.info import METADATA_KEY, ModelInfo, parse_info

GRAPHS = ("encoder", "step", "window", "clip")
SUFFIX = ".onnx"
# Under this name each file describes its graph, in JSON.
GRAPH_KEY = "cliptide_graph"
# Sizes without the batch; that of an axis which is open is its name.
Shape = tuple[int | str, ...]
# More frames at once only miss a CPU's caches.
_FRAMES_AT_ONCE = 64


def is_onnx(path: Path) -> bool:
    """Whether a path looks like the folder of an export to ONNX, or a file in it."""
    return path.suffix == SUFFIX or (path / f"clip{SUFFIX}").is_file()


def open_onnx(path: str | os.PathLike[str], *, device: str = "auto") -> "OnnxEngine":
    """Open an exported model.

    Args:
        path: The folder that was exported to, or a file in it.
        device: `auto`, `cpu` or `cuda`; auto takes a GPU where ONNX Runtime has one.

    Raises:
        InputError: ONNX Runtime is not installed.
        ModelFileError: There is no such model, or it was not exported by cliptide.
        DeviceError: ONNX Runtime cannot compute there.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"There is no exported model {path}. Check the path.")
    folder = path if path.is_dir() else path.parent
    if not any((folder / f"{name}{SUFFIX}").is_file() for name in GRAPHS):
        raise ModelFileError(
            f"{folder} holds none of {', '.join(name + SUFFIX for name in GRAPHS)}. Give a folder "
            "that cliptide export --format onnx wrote."
        )
    return OnnxEngine(folder, providers=_providers(device))


def _providers(device: str) -> list[str]:
    runtime = _runtime()
    there = runtime.get_available_providers()
    gpu, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    if device == "cpu" or (device == "auto" and gpu not in there):
        return [cpu]
    if device in ("auto", "cuda"):
        if gpu in there:
            return [gpu, cpu]
        raise DeviceError(
            f"The device is {device!r}, and this ONNX Runtime computes on the CPU alone. Use "
            "--device cpu, or install onnxruntime-gpu in place of onnxruntime."
        )
    raise DeviceError(
        f"An exported model does not run on {device!r}. It is one of: auto, cpu, cuda."
    )


def _runtime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError(
            "An ONNX model needs ONNX Runtime. Install it with: pip install onnxruntime"
        ) from error
    return onnxruntime


def num_threads() -> int:
    """Threads to compute with: what OMP_NUM_THREADS says, as for PyTorch, or one a core."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else usable_cores()


class OnnxEngine:
    """See `engine.Engine`.

    Args:
        folder: What `cliptide export --format onnx` wrote.
        providers: What ONNX Runtime computes with, the first that can.

    Attributes:
        providers: Likewise.
    """

    def __init__(self, folder: Path, *, providers: Sequence[str] = ("CPUExecutionProvider",)):
        self.folder, self.providers = folder, list(providers)
        self._sessions: dict[str, Any] = {}
        there = [name for name in GRAPHS if self._path(name).is_file()]
        # Each file carries it; the first is opened for frames anyway.
        text = self._metadata(there[0])[METADATA_KEY]
        self.info: ModelInfo = parse_info(text, path=self._path(there[0]))
        self.can_step = "encoder" in there and "step" in there
        self.can_encode = "encoder" in there
        # What it makes of a frame then depends on no other.
        self._encodes_alone = self.can_encode and not self._encoder_state

    def _path(self, graph: str) -> Path:
        return self.folder / f"{graph}{SUFFIX}"

    def _session(self, graph: str) -> Any:
        if graph not in self._sessions:
            runtime = _runtime()
            options = runtime.SessionOptions()
            options.intra_op_num_threads = num_threads()
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            # Weights in 8 bits (--quantize) become 32 bits once, not at every call.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
            # Threads that wait by spinning take the cores of those that decode.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            path = self._path(graph)
            if not path.is_file():
                raise ModelFileError(
                    f"There is no {path}. Copy all that cliptide export wrote, or export again."
                )
            try:
                self._sessions[graph] = runtime.InferenceSession(
                    os.fspath(path), options, providers=self.providers
                )
            except Exception as error:  # ONNX Runtime has a class of its own for each cause
                text = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise ModelFileError(
                    f"{path} is no ONNX model that can be run ({text}). Export the model again, "
                    "or copy the folder whole."
                ) from error
        return self._sessions[graph]

    def _metadata(self, graph: str) -> dict[str, str]:
        found: dict[str, str] = self._session(graph).get_modelmeta().custom_metadata_map
        if METADATA_KEY not in found or GRAPH_KEY not in found:
            raise ModelFileError(
                f"{self._path(graph)} was not written by cliptide export. Give a folder that it "
                "wrote."
            )
        return found

    def _description(self, graph: str) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(self._metadata(graph)[GRAPH_KEY])
        return described

    @cached_property
    def _encoder_state(self) -> dict[str, Shape]:
        return _state_shapes(self._description("encoder"))

    @cached_property
    def _step_state(self) -> dict[str, Shape]:
        return _state_shapes(self._description("step"))

    def _run(self, graph: str, given: dict[str, Any]) -> list[Any]:
        outputs: list[Any] = self._session(graph).run(None, given)
        return outputs

    def score_clips(self, clips: Sequence[Frames]) -> Floats:
        """See `engine.Engine.score_clips`."""
        lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        if self._encodes_alone:
            # Padding is not encoded at all.
            features, _ = self.encode(np.concatenate(clips), None)
            return self.score_features(_padded(features, lengths), lengths)
        padded = _padded(np.concatenate([_channels_first(clip) for clip in clips]), lengths)
        outputs: Floats = self._run("clip", {"clips": padded, "lengths": lengths})[0]
        return outputs

    def encode(self, frames: Frames, state: State | None) -> tuple[Floats, State]:
        """See `engine.Engine.encode`."""
        given = _channels_first(frames)
        if self._encodes_alone:
            parts = [
                self._run("encoder", {"frames": given[at : at + _FRAMES_AT_ONCE]})[0]
                for at in range(0, len(given), _FRAMES_AT_ONCE)
            ]
            return np.concatenate(parts), ()
        shapes = self._encoder_state
        begins = state is None
        state = state or _zeros(shapes, given[:1])
        rows = []
        for number in range(len(given)):
            begin = np.array([begins and number == 0])
            named = dict(zip(shapes, state, strict=True))
            feature, *state = self._run(
                "encoder", {"frames": given[number : number + 1], "begin": begin, **named}
            )
            rows.append(feature)
        return np.concatenate(rows), tuple(state)

    def score_features(self, features: Floats, lengths: Ints) -> Floats:
        """See `engine.Engine.score_features`."""
        outputs: Floats = self._run("window", {"features": features, "lengths": lengths})[0]
        return outputs

    def step(self, features: Floats, begin: Bools, state: State | None) -> tuple[Floats, State]:
        """See `engine.Engine.step`."""
        shapes = self._step_state
        state = state or _zeros(shapes, features)
        outputs, *after = self._run(
            "step",
            {"features": features, "begin": begin, **dict(zip(shapes, state, strict=True))},
        )
        return outputs, tuple(after)


def _state_shapes(description: dict[str, Any]) -> dict[str, Shape]:
    """Of each tensor of a graph's state its name and its shape without the batch."""
    names = description["state"]
    return {
        port["name"]: tuple(port["shape"][1:])
        for port in description["inputs"]
        if port["name"] in names
    }


def _zeros(shapes: dict[str, Shape], given: Any) -> list[Floats]:
    """A state for the streams of `given` (B, ...), whose maps it has the size of."""
    sizes = dict(zip(("map_height", "map_width"), given.shape[2:], strict=False))
    return [
        np.zeros((len(given), *(sizes[n] if isinstance(n, str) else n for n in shape)), np.float32)
        for shape in shapes.values()
    ]


def _channels_first(frames: Frames) -> Frames:
    """Steps as the network has them, one behind the other in memory."""
    return np.ascontiguousarray(channels_first(frames))


def _padded(packed: Any, lengths: Ints) -> Any:
    """The frames (N, ...) of all clips as (B, T, ...), zero behind each clip's last."""
    padded = np.zeros((len(lengths), int(lengths.max()), *packed.shape[1:]), packed.dtype)
    start = 0
    for row, length in zip(padded, lengths, strict=True):
        row[:length] = packed[start : start + length]
        start += length
    return padded
