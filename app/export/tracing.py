"""From a graph's module to a program of torch.export that holds for any open size."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from cliptide.app.export.graphs import NEXT, Graph, Port
from cliptide.configs.errors import CliptideError

# Without these a graph is of no use; frames of other sizes, not every network takes.
MUST_BE_OPEN = ("batch", "time")

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class Traced:
    """A graph as a program.

    Attributes:
        graph: What was traced.
        program: What came of it.
        input_shapes: Sizes, and names of the axes that are open.
        output_shapes: Likewise.
    """

    graph: Graph
    program: ExportedProgram
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]

    @property
    def has_fixed_size(self) -> bool:
        """Whether frames or maps, which might have had any size, are of one alone."""
        return any(
            isinstance(size, int) and axis is not None
            for port, shape in zip(self.graph.inputs, self.input_shapes, strict=True)
            for axis, size in zip(port.axes, shape, strict=True)
        )


def trace(graph: Graph) -> Traced:
    """Trace a graph.

    Raises:
        CliptideError: torch cannot, or only for one number of clips or frames.
    """
    dynamic: list[Any] = [
        {number: Dim.AUTO for number, axis in enumerate(port.axes) if axis} for port in graph.inputs
    ]
    if graph.num_states:  # what FrameEncoder and Stepper take as *state
        plain = len(dynamic) - graph.num_states
        dynamic = [*dynamic[:plain], tuple(dynamic[plain:])]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Not strict: temporal shifts find their pass in a context variable.
            program = torch.export.export(
                graph.module, graph.example, dynamic_shapes=tuple(dynamic), strict=False
            )
    except Exception as error:  # whatever a network does that a graph cannot
        raise CliptideError(
            f"torch.export cannot trace the graph {graph.name!r}: {first_line(error)} "
            "Another model.encoder may be traced, such as tiny or resnet18."
        ) from error
    inputs, outputs = _values(program)
    shapes = [_shape(port, value) for port, value in zip(graph.inputs, inputs, strict=True)]
    stuck = {
        axis
        for port, shape in zip(graph.inputs, shapes, strict=True)
        for axis, size in zip(port.axes, shape, strict=True)
        if axis in MUST_BE_OPEN and isinstance(size, int)
    }
    if stuck:
        raise CliptideError(
            f"The graph {graph.name!r} would hold for one size alone of: "
            f"{', '.join(sorted(stuck))}. Its network computes with it in Python; another "
            "model.encoder may not, such as tiny or resnet18."
        )
    return Traced(
        graph,
        program,
        tuple(shapes),
        tuple(_shape(port, value) for port, value in zip(graph.outputs, outputs, strict=True)),
    )


def _values(program: ExportedProgram) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a program, as tensors without content."""
    values = {
        node.name: node.meta.get("val") for node in program.graph.nodes if node.op != "output"
    }
    signature = program.graph_signature
    return (
        [values[name] for name in signature.user_inputs if isinstance(name, str)],
        [values[name] for name in signature.user_outputs if isinstance(name, str)],
    )


def _shape(port: Port, value: Any) -> Shape:
    return tuple(
        size if isinstance(size, int) or axis is None else axis
        for axis, size in zip(port.axes, value.shape, strict=True)
    )


def first_line(error: BaseException) -> str:
    """What an error says first, as a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


def describe(traced: Traced) -> dict[str, Any]:
    """A graph's inputs, outputs and state, for graphs.json and the file itself."""
    graph = traced.graph
    with torch.no_grad():
        made = graph.module(*graph.example)
    state = graph.inputs[len(graph.inputs) - graph.num_states :]
    return {
        "graph": graph.name,
        "inputs": _ports(graph.inputs, graph.example, traced.input_shapes),
        "outputs": _ports(graph.outputs, made, traced.output_shapes),
        # What goes in, and what comes out and goes in with the next frame.
        "state": {port.name: NEXT + port.name for port in state},
    }


def _ports(
    ports: Sequence[Port], tensors: Sequence[Tensor], shapes: Sequence[Shape]
) -> list[dict[str, Any]]:
    return [
        {
            "name": port.name,
            "type": str(tensor.dtype).removeprefix("torch."),
            "shape": list(shape),
        }
        for port, tensor, shape in zip(ports, tensors, shapes, strict=True)
    ]
