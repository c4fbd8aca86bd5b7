"""All steps of h_t = a_t * h_{t-1} + b_t, many at a time.

Feng et al. (2024), "Were RNNs All We Needed?", section 3: where neither a nor b depends on h, the
steps need not wait for one another. Theirs is a parallel scan in log space; here the steps are cut
into chunks, which three passes go through side by side:

    1. of each chunk, from h = 0:   its end e and the product p of its a       (all chunks at once)
    2. from chunk to chunk:         h at a chunk's start = e + p * h at the start before
    3. of each chunk, from there:   every h                                    (all chunks at once)

About 2 sqrt(3 T) operations on large tensors take the place of T on small ones. Nothing is divided
and no logarithm taken, so that a may be 0 and h negative, and the numbers are those of the loop.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cliptide.models.temporal.unrolled import State, each_step

SHORT = 16  # so few steps are taken one by one


def linear_scan(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Solve h_t = a_t * h_{t-1} + b_t for all t, with gradients of the first order alone.

    Args:
        a: (B, T, H) float32 or float64, T at least 1.
        b: (B, T, H), likewise.
        start: (B, H), the state h before the first step.

    Returns:
        (B, T, H), every h.
    """
    if torch.compiler.is_compiling():
        size = a.shape[2]
        given = torch.cat([a, b], dim=2)

        def step(now: Tensor, state: State) -> State:
            return (now[:, :size] * state[0] + now[:, size:],)

        return each_step(step, given, (start,))[0]
    out: Tensor = _LinearScan.apply(a, b, start)
    return out


class _LinearScan(torch.autograd.Function):
    """The gradient is a scan from the end: g_t = dh_t + a_{t+1} g_{t+1}, da_t = g_t h_{t-1}."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor) -> Tensor:
        h = torch.empty_like(b, memory_format=torch.contiguous_format)
        _scan(a, b, start, h, reverse=False)
        ctx.save_for_backward(a, start, h)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, start, h = ctx.saved_tensors
        g = torch.empty_like(h)
        g[:, -1] = of_h[:, -1]
        _scan(a[:, 1:], of_h[:, :-1], g[:, -1], g[:, :-1], reverse=True)
        of_a = torch.empty_like(h)
        torch.mul(g[:, 0], start, out=of_a[:, 0])
        torch.mul(g[:, 1:], h[:, :-1], out=of_a[:, 1:])
        return of_a, g, a[:, 0] * g[:, 0]


def _scan(a: Tensor, b: Tensor, start: Tensor, out: Tensor, *, reverse: bool) -> None:
    """Write every h (B, T, H) to `out`; `reverse` goes from the last step to the first."""
    steps = b.shape[1]
    size = steps if steps <= SHORT else round(math.sqrt(steps / 3))
    whole = steps - steps % max(1, size)
    parts = [slice(0, whole), slice(whole, steps)]
    for part in reversed(parts) if reverse else parts:
        if part.stop > part.start:
            count = max(1, (part.stop - part.start) // size)
            of_a, of_b, of_out = (torch.unflatten(x[:, part], 1, (count, -1)) for x in (a, b, out))
            _scan_chunks(of_a, of_b, of_out, start, reverse=reverse)
            start = out[:, part.start if reverse else part.stop - 1]


def _scan_chunks(a: Tensor, b: Tensor, out: Tensor, start: Tensor, *, reverse: bool) -> None:
    """The three passes over (B, chunks, steps, H)."""
    a_steps, b_steps, out_steps = a.unbind(2), b.unbind(2), out.unbind(2)
    order = range(a.shape[2])[:: -1 if reverse else 1]
    chunks = range(a.shape[1])[:: -1 if reverse else 1]
    starts = torch.empty_like(out_steps[0], memory_format=torch.contiguous_format)
    starts[:, chunks[0]] = start
    if len(chunks) > 1:
        end, product = b_steps[order[0]].clone(), a_steps[order[0]].clone()
        for step in order[1:]:
            torch.addcmul(b_steps[step], a_steps[step], end, out=end)
            product.mul_(a_steps[step])
        ends, products, begun = end.unbind(1), product.unbind(1), starts.unbind(1)
        for chunk, following in pairwise(chunks):
            torch.addcmul(ends[chunk], products[chunk], begun[chunk], out=begun[following])
    previous = starts
    for step in order:
        torch.addcmul(b_steps[step], a_steps[step], previous, out=out_steps[step])
        previous = out_steps[step]
