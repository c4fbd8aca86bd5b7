"""Whether an exported graph gives PyTorch's numbers, for any batch, any length and any size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptide.app.export.graphs import OTHER_SIZE, Graph
from cliptide.app.export.tracing import Traced, first_line
from cliptide.datasets.catalog.wording import counted

# The most that a number may differ, as a share of itself where it is more than 1.
TOLERANCE = 1e-4
BATCHES = (1, 2, 5)
# A long clip costs time, and its second hundred frames say no more.
MOST_FRAMES = 24

Arrays = Sequence[NDArray[np.generic]]
Runner = Callable[[Arrays], Arrays]
# What each is, and what computes how far the numbers differ.
Cases = Iterator[tuple[str, Callable[[], float]]]


@dataclass(frozen=True)
class Parity:
    """How far a graph's outputs lie from PyTorch's.

    Attributes:
        graph: Its name.
        cases: What was tried, such as `batch 2, frames 8 and 2`.
        worst: The greatest difference of any number in any case, see `TOLERANCE`; not a number
            where a graph gave none.
        worst_case: Where that was.
        error: Why the graph could not be run there; empty where it could.
    """

    graph: str
    cases: tuple[str, ...]
    worst: float
    worst_case: str
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is within the tolerance."""
        return self.worst <= TOLERANCE


def check(traced: Traced, run: Runner, *, frames: int, seed: int = 0) -> Parity:
    """Compare a graph's file with the module that it was made of.

    Args:
        traced: The graph; its module is the reference.
        run: Runs the file: inputs in, outputs out, in the order of the graph's.
        frames: T of the model's clips.
        seed: Of the inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    cases: list[str] = []
    worst, worst_case = 0.0, ""
    num_frames = min(frames, MOST_FRAMES)
    name = traced.graph.name
    walk = _stepping if traced.graph.num_states else _at_once
    for case, compare in walk(traced, run, num_frames, generator):
        cases.append(case)
        try:
            difference = compare()
        except Exception as error:  # each runtime has its own
            return Parity(name, tuple(cases), float("nan"), case, first_line(error))
        if not difference <= worst:  # also where it is no number
            worst, worst_case = difference, case
        if np.isnan(worst):
            break
    return Parity(name, tuple(cases), worst, worst_case)


def _at_once(traced: Traced, run: Runner, frames: int, generator: torch.Generator) -> Cases:
    graph = traced.graph
    if len(graph.inputs) == 1:  # frames without a state
        for batch in BATCHES:
            yield f"batch {batch}", partial(_compare, graph, run, _like(graph, batch, generator))
        for size in _other_sizes(traced):
            given = _like(graph, 2, generator, size=size)
            yield f"batch 2, size {size[0]}x{size[1]}", partial(_compare, graph, run, given)
        return
    lengths = [[1], [2], [frames], [2 * frames + 1], [frames, 2], [2, 1, frames, 1, frames]]
    for counts in lengths:
        given = _like(graph, len(counts), generator, time=max(counts))
        case = f"batch {len(counts)}, frames {', '.join(map(str, counts))}"
        yield case, partial(_compare, graph, run, given, torch.tensor(counts))
    for size in _other_sizes(traced):
        given = _like(graph, 2, generator, time=3, size=size)
        case = f"batch 2, frames 3, 1, size {size[0]}x{size[1]}"
        yield case, partial(_compare, graph, run, given, torch.tensor([3, 1]))


def _stepping(traced: Traced, run: Runner, frames: int, generator: torch.Generator) -> Cases:
    """Streams of 2T frames, some of which begin anew on the way."""
    for batch in BATCHES:
        case = f"batch {batch}, a stream of {counted(2 * frames, 'frame')}"
        yield case, partial(_compare_streams, traced.graph, run, batch, 2 * frames, generator)


def _compare_streams(
    graph: Graph, run: Runner, batch: int, frames: int, generator: torch.Generator
) -> float:
    ours = theirs = [
        # Whatever stands in a state, `begin` makes it new.
        torch.full((batch, *part.shape[1:]), 7.0)
        for part in graph.example[len(graph.example) - graph.num_states :]
    ]
    worst = 0.0
    for number in range(frames):
        given = _like(graph, batch, generator)
        begin = (torch.rand(batch, generator=generator) < 0.2) | torch.tensor(number == 0)
        with torch.no_grad():
            wanted = graph.module(given, begin, *ours)
        found = run([tensor.numpy() for tensor in (given, begin, *theirs)])
        worst = max(worst, _difference(wanted, found), key=_nan_last)
        ours, theirs = list(wanted[1:]), [torch.from_numpy(part) for part in found[1:]]
    return worst


def _nan_last(value: float) -> float:
    return np.inf if np.isnan(value) else value


def _other_sizes(traced: Traced) -> list[tuple[int, int]]:
    """Another size of the frames, where the graph takes others."""
    shape = traced.input_shapes[0]
    if shape[-2:] != ("height", "width"):
        return []
    height, width = traced.graph.example[0].shape[-2:]
    return [(height + OTHER_SIZE, width + 2 * OTHER_SIZE)]


def _like(
    graph: Graph,
    batch: int,
    generator: torch.Generator,
    *,
    time: int | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Noise of the type and shape of a graph's first input, but for the sizes given."""
    example = graph.example[0]
    shape = [batch, *example.shape[1:]]
    if time is not None:
        shape[1] = time
    if size is not None:
        shape[-2:] = size
    if example.dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if example.dtype == torch.int64:
        most = int(example.max()) + 1
        return torch.randint(0, most, shape, dtype=torch.int64, generator=generator)
    # Features are what an encoder gave, or near it: a norm of noise alone would blow it up.
    noise = torch.randn(shape, generator=generator)
    given = example.mean() + example.std() * noise
    flags = given[..., graph.flags]
    if flags.numel():  # some streams are missing at some steps, but never all
        flags[:] = torch.rand(flags.shape, generator=generator) < 0.7
        flags[..., 0] = 1.0
    return given


def _compare(graph: Graph, run: Runner, *given: Tensor) -> float:
    with torch.no_grad():
        wanted = graph.module(*given)
    return _difference(wanted, run([tensor.numpy() for tensor in given]))


def _difference(wanted: Sequence[Tensor], found: Arrays) -> float:
    worst = 0.0
    for tensor, other in zip(wanted, found, strict=True):
        ours = tensor.double().numpy()
        if ours.shape != other.shape:
            return float("nan")
        scale = np.maximum(1.0, np.abs(ours))
        worst = max(worst, float((np.abs(ours - other) / scale).max()), key=_nan_last)
    return worst
