"""Steps one behind the other in a graph that is exported, whatever their number.

Python's loops leave so many copies of their body in a graph as there were steps when it was made.
torch's `scan` keeps one, which ONNX calls Scan.
"""

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]


def each_step(step: Callable[[Tensor, State], State], given: Tensor, start: State) -> State:
    """Go through steps while a graph is traced.

    Args:
        step: From what is given for a step (B, ...) and the state before it to the state behind
            it. It reads nothing but them and weights.
        given: (B, T, ...), T at least 1.
        start: The state before the first step, tensors (B, ...).

    Returns:
        The states behind each step, tensors (B, T, ...).
    """
    if isinstance(given.shape[1], int) and given.shape[1] == 1:
        return tuple(part[:, None] for part in step(given[:, 0], start))
    # A prototype of torch, private so far; here alone.
    from torch._higher_order_ops.scan import scan

    def body(state: State, given_now: Tensor) -> tuple[State, State]:
        state = step(given_now, state)
        return state, tuple(part.clone() for part in state)  # `scan` wants no two the same

    # Its first axis is the one that it goes along; and of a tensor that is given to it twice, as
    # zeros are, it would make one state.
    start = tuple(part.clone() for part in start)
    _, states = scan(body, start, torch.transpose(given, 0, 1).contiguous())
    return tuple(torch.transpose(part, 0, 1) for part in states)
