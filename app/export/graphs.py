"""What is exported of a network: up to four graphs, and what goes into and comes out of each.

    encoder   frames (batch, *step)                             -> features
    step      features (batch, ...), begin (batch,), state      -> logits, new state
    window    features (batch, time, ...), lengths (batch,)     -> logits
    clip      clips (batch, time, *step), lengths               -> logits

A step is a picture (3, height, width) uint8, or a window of another sequence.
A network that looks at frames still to come has no `step`. An encoder that does has no `encoder`
and no `window` either; one that looks at frames before has a state, and `begin`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cliptide.models.encoders.base import PictureEncoder
from cliptide.models.encoders.joined import JoinedEncoder
from cliptide.models.recognizer import Recognizer
from cliptide.models.stepping import FrameEncoder, Stepper

# Of an example; not 1, which tracing takes for a constant.
EXAMPLE_BATCH, EXAMPLE_TIME = 3, 4
OTHER_SIZE = 16  # pixels more than the model's frames, to see whether it takes other sizes
MOST_DOUBLINGS = 4  # of a size, until maps have more than one pixel
# Names of the new state: those of the state behind this.
NEXT = "next_"

Axes = tuple[str | None, ...]


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        name: Its name in the exported file.
        axes: Of each axis the name under which its size may differ; None where it is fixed.
    """

    name: str
    axes: Axes


@dataclass(frozen=True)
class Graph:
    """A graph to be exported.

    Attributes:
        name: `encoder`, `step`, `window` or `clip`.
        module: What computes it.
        inputs: In the order of the module's arguments; the state last.
        outputs: In the order of the module's results; the new state last.
        num_states: So many of the last inputs and outputs are the state.
        example: Arguments to trace it with.
        flags: Which numbers of the first input's last axis say what streams of a joined sample
            are there.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    num_states: int
    example: tuple[Tensor, ...]
    flags: slice


class OverClips(nn.Module):
    """A network over whole clips, of frames or of what its encoder made of them.

    Args:
        network: In evaluation mode.
        encoded: Whether it is given encoded frames.
    """

    def __init__(self, network: Recognizer, *, encoded: bool) -> None:
        super().__init__()
        self.network, self.encoded = network, encoded

    def forward(self, clips: Tensor, lengths: Tensor) -> tuple[Tensor]:
        """See `Recognizer.forward`."""
        return (self.network(clips, lengths, encoded=self.encoded),)


def graphs_of(
    network: Recognizer, *, size: tuple[int, int], traced_size: tuple[int, int] | None = None
) -> list[Graph]:
    """The graphs that a network can be exported as.

    Args:
        network: In evaluation mode, on the CPU.
        size: (height, width) of its frames.
        traced_size: Of the examples of graphs in which it is open; see `size_to_trace`.
    """
    open_size = traced_size or size
    shape, kind = _step(network, open_size)
    open_sides: Axes = (None,) * len(shape)
    if isinstance(network.encoder, PictureEncoder):
        other_size = (size[0] + OTHER_SIZE, size[1] + 2 * OTHER_SIZE)
        takes_others = _maps(network, other_size) is not None
        open_sides = (None, *(("height", "width") if takes_others else (None, None)))
    batch, time = EXAMPLE_BATCH, EXAMPLE_TIME
    logits, lengths = Port("logits", ("batch", None)), Port("lengths", ("batch",))
    begin, beginning = Port("begin", ("batch",)), torch.ones(batch, dtype=torch.bool)
    counts = torch.tensor([time, *[time - 1] * (batch - 1)])
    clips = _random_steps(network, (batch, time, *shape), kind)
    maps = network.temporal.takes == "maps"
    of_feature: Axes = (None, "map_height", "map_width") if maps else (None,)
    of_steps, of_features = _flags(network)
    graphs = []
    if network.encoder.can_step:
        encoder = FrameEncoder(network, size=size)
        state = encoder.initial(batch)
        # A state has the size of the frames that it came from.
        sides: Axes = (None, None, None) if state else open_sides
        frames = clips[:, 0, :, : size[0], : size[1]] if state else clips[:, 0]
        carried = [Port(name, ("batch", None, None, None)) for name in encoder.state_names]
        graphs.append(
            _graph(
                "encoder",
                encoder,
                [Port("frames", ("batch", *sides)), *([begin] if state else [])],
                Port("features", ("batch", *of_feature)),
                carried,
                (frames.contiguous(), *([beginning] if state else []), *state),
                of_steps,
            )
        )
        with torch.no_grad():
            feature = encoder(*graphs[0].example)[0]
        if network.can_step:
            stepper = Stepper(network, size=size if encoder.state_names else open_size)
            state = stepper.initial(batch)
            on_maps: Axes = ("batch", None, "map_height", "map_width")
            carried = [
                Port(name, on_maps if part.ndim == 4 else ("batch", *[None] * (part.ndim - 1)))
                for name, part in zip(stepper.state_names, state, strict=True)
            ]
            graphs.append(
                _graph(
                    "step",
                    stepper,
                    [Port("features", ("batch", *of_feature)), begin],
                    logits,
                    carried,
                    (feature, beginning, *state),
                    of_features,
                )
            )
        graphs.append(
            _graph(
                "window",
                OverClips(network, encoded=True),
                [Port("features", ("batch", "time", *of_feature)), lengths],
                logits,
                [],
                (feature[:, None].repeat(1, time, *[1] * (feature.ndim - 1)), counts),
                of_features,
            )
        )
    graphs.append(
        _graph(
            "clip",
            OverClips(network, encoded=False),
            [Port("clips", ("batch", "time", *open_sides)), lengths],
            logits,
            [],
            (clips, counts),
            of_steps,
        )
    )
    return graphs


def _flags(network: Recognizer) -> tuple[slice, slice]:
    """Where joined steps and their features say which streams are there; see `JoinedEncoder`."""
    encoder = network.encoder
    if not isinstance(encoder, JoinedEncoder):
        return slice(0, 0), slice(0, 0)
    count = len(encoder.shapes)
    of_features = slice(0, 0) if encoder.fusion == "gated" else slice(-count, None)
    return slice(0, count), of_features


def _step(network: Recognizer, size: tuple[int, int]) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and type of a step that the network is given."""
    blank = network.encoder.blank(1, size=size)
    return tuple(blank.shape[1:]), blank.dtype


def _random_steps(network: Recognizer, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """Steps (..., *step) to trace a network with: random pictures, tokens or numbers."""
    if kind == torch.uint8:
        return torch.randint(0, 256, shape, dtype=torch.uint8)
    if kind == torch.int64:
        return torch.randint(0, max(1, network.streams.num_tokens), shape, dtype=torch.int64)
    steps = torch.randn(shape)
    count = len(network.streams.names)
    if count > 1:
        steps[..., :count] = 1.0  # every stream is there
    return steps


def size_to_trace(network: Recognizer, size: tuple[int, int]) -> tuple[int, int]:
    """A size whose feature maps are larger than 1 x 1, which tracing would take for constants.

    Args:
        network: In evaluation mode, on the CPU.
        size: (height, width) of its frames; it stays so where no other can be taken.
    """
    wanted = size
    if not isinstance(network.encoder, PictureEncoder):
        return size
    for _ in range(MOST_DOUBLINGS):
        maps = _maps(network, wanted)
        if maps is None:
            break
        if min(maps.shape[2:]) > 1:
            return wanted
        wanted = (2 * wanted[0], 2 * wanted[1])
    return size


def _maps(network: Recognizer, size: tuple[int, int]) -> Tensor | None:
    """The feature maps of a frame of a size; None where the network does not take the size."""
    black = network.encoder.blank(1, size=size)
    try:
        with torch.no_grad():
            maps: Tensor = network.encoder(black, torch.ones(1, dtype=torch.int64)).maps
    except (RuntimeError, AssertionError, ValueError):  # each network refuses in its own way
        return None
    return maps


def _graph(
    name: str,
    module: nn.Module,
    inputs: Sequence[Port],
    output: Port,
    state: Sequence[Port],
    example: tuple[Tensor, ...],
    flags: slice,
) -> Graph:
    return Graph(
        name,
        module.eval(),
        (*inputs, *state),
        (output, *(Port(NEXT + port.name, port.axes) for port in state)),
        len(state),
        example,
        flags,
    )
