"""From traced graphs to ONNX files that say of themselves what cliptide must know."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from cliptide.app.export.parity import Arrays, Runner
from cliptide.app.export.tracing import Traced, first_line
from cliptide.configs.errors import CliptideError

# What ONNX Runtime has had since 1.17.
OPSET = 20
# Protobuf ends at 2 GiB: more weights than this lie in a file beside the graph.
MOST_INSIDE = 1_900_000_000


def write_onnx(traced: Traced, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a graph as an ONNX file.

    Args:
        traced: The graph.
        path: The file.
        metadata: Texts to be kept in it by name.
    """
    graph = traced.graph
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                traced.program,
                graph.example,
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        cause = first_line(error.__cause__ or error)
        raise CliptideError(
            f"The graph {graph.name!r} cannot be written as ONNX: {cause} --format torch may be."
        ) from error
    assert program is not None
    model = program.model
    _name_axes(model, traced)
    _forget_sources(model)
    model.metadata_props.update(metadata)
    weights = sum(value.const_value.nbytes for value in _weights(model))
    program.save(path, external_data=weights > MOST_INSIDE)


def _weights(model: Any) -> Iterable[Any]:
    return model.graph.initializers.values()  # type: ignore[no-any-return]


def _name_axes(model: Any, traced: Traced) -> None:
    """Call open sizes of inputs and outputs by their axes, and those between them not at all."""
    import onnx_ir

    ports = [*model.graph.inputs, *model.graph.outputs]
    for value, shape in zip(ports, (*traced.input_shapes, *traced.output_shapes), strict=True):
        value.shape = onnx_ir.Shape(shape)
    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.outputs:
            is_open = value.shape is not None and not all(isinstance(n, int) for n in value.shape)
            if is_open and value not in ports:
                value.shape = None


def _forget_sources(model: Any) -> None:
    """Drop the lines of code that each node came from: they name folders of this machine."""
    import onnx_ir

    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def onnx_runner(path: Path) -> Runner:
    """What runs an ONNX file on the CPU, with its inputs and outputs in their order."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        path.as_posix(), options, providers=["CPUExecutionProvider"]
    )
    names = [given.name for given in session.get_inputs()]

    def run(arrays: Arrays) -> Arrays:
        found: Arrays = session.run(None, dict(zip(names, arrays, strict=True)))
        return found

    return run
