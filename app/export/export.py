"""A model file as graphs that other programs run, each held against PyTorch before it counts."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cliptide.app.export.cost import Cost, cost_on
from cliptide.app.export.graphs import graphs_of, size_to_trace
from cliptide.app.export.onnx_files import onnx_runner, write_onnx
from cliptide.app.export.packages import require_packages
from cliptide.app.export.parity import TOLERANCE, Parity, Runner, check
from cliptide.app.export.quantise import quantize_file
from cliptide.app.export.torch_files import torch_runner, write_torch
from cliptide.app.export.tracing import Traced, describe, trace
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.onnx_engine import GRAPH_KEY, GRAPHS, is_onnx
from cliptide.app.inference.terminal import log
from cliptide.configs.errors import CliptideError, InputError
from cliptide.configs.streams import Streams
from cliptide.models.bundle import load_model
from cliptide.models.info import METADATA_KEY

GRAPHS_FILE = "graphs.json"

Format = Literal["onnx", "torch"]


@dataclass(frozen=True)
class FileFormat:
    """How graphs are written and run.

    Attributes:
        suffix: Of the files.
        write: Writes a graph.
        runner: Runs what was written.
    """

    suffix: str
    write: Callable[..., None]
    runner: Callable[[Path], Runner]


FORMATS: dict[str, FileFormat] = {
    "onnx": FileFormat(".onnx", write_onnx, onnx_runner),
    "torch": FileFormat(".pt2", write_torch, torch_runner),
}


@dataclass(frozen=True)
class Quantized:
    """What 8 bits changed.

    Attributes:
        sizes: Bytes of each file before.
        worst: How far each graph now lies from PyTorch.
        cost: What it does to the answers on a data set; None where none was given.
    """

    sizes: Mapping[str, int]
    worst: Mapping[str, float]
    cost: Cost | None


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        folder: Where it lies.
        graphs: Each graph's name, inputs, outputs and state, as graphs.json has them.
        parities: How far each lies from PyTorch.
        sizes: Bytes of each file.
        missing: Why graphs are missing; empty where none is.
        quantized: What 8 bits changed; None where nothing was quantised.
    """

    folder: Path
    graphs: tuple[Mapping[str, Any], ...]
    parities: tuple[Parity, ...]
    sizes: Mapping[str, int]
    missing: str
    quantized: Quantized | None = None


def export(
    model: str | os.PathLike[str],
    *,
    format: Format = "onnx",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    quantize: str | None = None,
    data: str | os.PathLike[str] | None = None,
) -> Exported:
    """Export a model, and check that what was written gives PyTorch's numbers.

    Args:
        model: A model file.
        format: `onnx`, or `torch` for torch.export.
        out: Folder to write to; `<model>-<format>` beside the model by default.
        overwrite: Whether an earlier export in it may be replaced.
        quantize: `int8` keeps weights in 8 bits, see `quantise`; ONNX alone.
        data: A data set, whose test split says what that costs.

    Raises:
        InputError: The model or an option is wrong, or a package is missing.
        CliptideError: The model cannot be exported, or what came of it gives other numbers;
            nothing is left of it.
    """
    model = Path(model)
    files = _format(format, quantize, data)
    if is_onnx(model):
        raise InputError(f"{model} is an export. Give the model.safetensors that it was made of.")
    folder = _folder(model, format, out=out, quantize=quantize)
    network, info = load_model(model)
    _require_free(folder, overwrite=overwrite)
    described, parities, traced_graphs = [], [], []
    # On the disk that it is for: a folder that is there may be the mount of another.
    beside = folder if folder.is_dir() else folder.parent
    scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=beside))
    try:
        traced_size = size_to_trace(network, info.step_size)
        graphs = graphs_of(network, size=info.step_size, traced_size=traced_size)
        plain = graphs_of(network, size=info.step_size)
        for graph, of_own_size in zip(graphs, plain, strict=True):
            log(f"Exporting {graph.name}")
            traced = trace(graph)
            if traced_size != info.step_size and traced.has_fixed_size:
                traced = trace(of_own_size)
            path = scratch / f"{graph.name}{files.suffix}"
            facts = describe(traced)
            metadata = {METADATA_KEY: json.dumps(asdict(info)), GRAPH_KEY: json.dumps(facts)}
            files.write(traced, path, metadata=metadata)
            parity = check(traced, files.runner(path), frames=info.frames)
            _require_parity(parity)
            described.append(facts)
            parities.append(parity)
            traced_graphs.append(traced)
        quantized = None
        if quantize:
            quantized = _quantize(scratch, traced_graphs, frames=info.frames, data=data)
        text = json.dumps({"model": asdict(info), "graphs": described}, indent=2)
        (scratch / GRAPHS_FILE).write_text(text + "\n", "utf-8")
        sizes = _sizes(scratch)
        _put(scratch, folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    missing = _missing(info.streams, can_step=network.can_step, encoder=network.encoder.can_step)
    return Exported(folder, tuple(described), tuple(parities), sizes, missing, quantized)


def _format(name: str, quantize: str | None, data: str | os.PathLike[str] | None) -> FileFormat:
    if name not in FORMATS:
        raise InputError(f"--format is {name!r}. It is one of: {', '.join(FORMATS)}.")
    if quantize is not None and quantize != "int8":
        raise InputError(f"--quantize is {quantize!r}. It is int8, or left out.")
    if quantize and name != "onnx":
        raise InputError(f"--quantize takes --format onnx, not {name}. Leave one of them out.")
    if data is not None and not quantize:
        raise InputError(
            "--data is what --quantize int8 is measured on. Give both, or leave --data out: "
            "cliptide evaluate scores a model."
        )
    require_packages(name)
    return FORMATS[name]


def _folder(
    model: Path, format: str, *, out: str | os.PathLike[str] | None, quantize: str | None
) -> Path:
    if out is not None:
        return Path(out)
    ending = f"{format}-{quantize}" if quantize else format
    return model.with_name(f"{model.stem}-{ending}")


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file. Give the name of a folder.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / GRAPHS_FILE).is_file():
            raise InputError(
                f"The folder {folder} holds something else than an export. Give another --out."
            )
        if not overwrite:
            raise InputError(
                f"The folder {folder} holds an export. Give another --out, or --overwrite to "
                "replace it."
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made: {error.strerror}. Give another --out."
        ) from error
    written = folder if folder.is_dir() else folder.parent
    if not os.access(written, os.W_OK):
        raise InputError(f"The folder {written} may not be written to. Give another --out.")


def _put(scratch: Path, folder: Path) -> None:
    """Put what was written where it belongs; of what lies there, an export alone is replaced."""
    if not folder.exists():
        scratch.chmod(0o755)  # a temporary folder is for its owner alone
        scratch.rename(folder)
        return
    for path in folder.iterdir():
        if path.is_file() and path.name.partition(".")[0] in GRAPHS:
            path.unlink()
    for path in scratch.iterdir():
        path.replace(folder / path.name)
    scratch.rmdir()


def _require_parity(parity: Parity) -> None:
    if parity.holds:
        return
    what = f"differs from PyTorch by {parity.worst:.2g}, and {TOLERANCE:.0e} is allowed."
    if parity.error:
        what = f"cannot be run: {parity.error}"
    raise CliptideError(
        f"For {parity.worst_case} the exported graph {parity.graph!r} {what} Nothing was written. "
        "Try the versions of constraints.txt, or another model.encoder."
    )


def _missing(streams: Streams, *, can_step: bool, encoder: bool) -> str:
    """Why there are fewer graphs than four; empty where there is no stream to step through."""
    if can_step or not streams.has_seconds:
        return ""
    what = "no graph step" if encoder else "only the graph clip"
    cause = "model.bidirectional true" if encoder else "model.shift both"
    return (
        f"There is {what}: the model looks at {Nouns.of_streams(streams).steps} that are still to "
        f"come ({cause}), so it scores whole clips. Train without that to step through a stream."
    )


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each graph, with weights that lie beside it."""
    sizes: dict[str, int] = {}
    for path in folder.iterdir():
        if path.name != GRAPHS_FILE:
            name = path.name.partition(".")[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes


def _quantize(
    scratch: Path,
    graphs: Sequence[Traced],
    *,
    frames: int,
    data: str | os.PathLike[str] | None,
) -> Quantized:
    before, worst = _sizes(scratch), {}
    with tempfile.TemporaryDirectory(dir=scratch.parent, prefix=".float32-") as folder:
        for path in scratch.iterdir():
            shutil.copy(path, folder)
        for traced in graphs:
            log(f"Quantising {traced.graph.name}")
            path = scratch / f"{traced.graph.name}.onnx"
            quantize_file(path)
            worst[traced.graph.name] = check(traced, onnx_runner(path), frames=frames).worst
        cost = None if data is None else cost_on(Path(data), [Path(folder), scratch])
    return Quantized(before, worst, cost)
