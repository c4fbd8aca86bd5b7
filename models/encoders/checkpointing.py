"""Less memory for a longer step: activations are computed again where the gradient needs them.

    forward    images -> [a . . b] -> [. . c] -> [. . d]     . = forgotten, a b c d = kept
    backward   of each segment, last first: once more through it, then its gradient

Chen et al. (2016), "Training Deep Nets with Sublinear Memory Cost". What counts is the sum of
the segments' inputs and the largest segment: segments are as short as cuts allow.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from cliptide.models.encoders.shift import ShiftPass, current_pass, in_pass

SEGMENT_LAYERS = 4  # convolution, norm, activation and one more: shorter ones keep all there is
IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)

Segment = Callable[[Any], Any]


def in_segments(segments: Sequence[Segment], images: Tensor, *, norms_of: nn.Module) -> Tensor:
    """Go through segments one behind the other, keeping their inputs alone for the gradient.

    Args:
        segments: Each takes what the one before gives, and leaves it as it is.
        images: What the first takes.
        norms_of: Holds the batch-norms of all segments: they see each batch twice, and take it
            into their statistics once.

    Returns:
        What the last gives; it, its gradient and the statistics are as without segments.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _computed_again(norms_of, clips.again() if clips else None)

    clips = current_pass()
    out: Any = images
    for segment in segments:
        out = checkpoint(segment, out, use_reentrant=False, context_fn=contexts)
    maps: Tensor = out
    return maps


@contextmanager
def _computed_again(network: nn.Module, clips: ShiftPass | None) -> Iterator[None]:
    with _statistics_held(network), in_pass(clips):
        yield


@contextmanager
def _statistics_held(network: nn.Module) -> Iterator[None]:
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counter) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counter


def graph_segments(network: fx.GraphModule) -> list[Segment]:
    """Cut a network that torch.fx has traced into segments, in training or evaluation as it is.

    A cut lies where a single value crosses it, such as between residual blocks, and where no one
    behind it writes into that value in place: it is needed once more.

    Args:
        network: Takes one input, and returns a dictionary with one value.

    Returns:
        Functions of one value; parameters and buffers are the network's own.
    """
    nodes = list(network.graph.nodes)
    (result,) = nodes[-1].args[0].values()
    nodes = nodes[: nodes.index(result) + 1]
    place = {node: at for at, node in enumerate(nodes)}
    last_use = {
        node: max((place[user] for user in node.users if user in place), default=-1)
        for node in nodes
    }
    interpreter = fx.Interpreter(network)
    segments: list[Segment] = []
    given, inside, alive, num_layers = nodes[0], [], {nodes[0]}, 0
    for at, node in enumerate(nodes[1:], start=1):
        inside.append(node)
        num_layers += len(_layers(network, node)) or 1
        alive = {other for other in (*alive, node) if last_use[other] > at}
        is_cut = num_layers >= SEGMENT_LAYERS and alive == {node}
        if node is result or (is_cut and not any(_writes(network, u, node) for u in node.users)):
            segments.append(_segment(interpreter, given, inside))
            given, inside, num_layers = node, [], 0
    return segments


def _segment(interpreter: fx.Interpreter, given: fx.Node, inside: list[fx.Node]) -> Segment:
    def run(value: Any) -> Any:
        interpreter.env = {given: value}
        try:
            for node in inside:
                value = interpreter.env[node] = interpreter.run_node(node)
        finally:
            interpreter.env = {}  # it would keep what is to be forgotten
        return value

    return run


def _layers(network: nn.Module, node: fx.Node) -> list[nn.Module]:
    """The layers of a node: tracing leaves some modules whole, such as convolution and norm."""
    if node.op != "call_module":
        return []
    module = network.get_submodule(str(node.target))
    return [layer for layer in module.modules() if not any(layer.children())]


def _writes(network: nn.Module, node: fx.Node, value: fx.Node) -> bool:
    """Whether a node may change a value that it is given, in place."""
    if node.op == "call_module":
        return bool(getattr(_layers(network, node)[0], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    in_place = node.target in IN_PLACE and node.args[0] is value
    return in_place or bool(node.kwargs.get("inplace", False))
