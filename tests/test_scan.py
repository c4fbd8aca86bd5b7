"""The chunked scan gives the numbers and the gradients of the loop over steps."""

import pytest
import torch
from torch import Tensor

from cliptide.models.temporal.scan import SHORT, linear_scan

STEPS = [1, 2, SHORT, SHORT + 1, 50, 333]


def loop(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    h, steps = start, []
    for of_a, of_b in zip(a.unbind(1), b.unbind(1), strict=True):
        h = of_a * h + of_b
        steps.append(h)
    return torch.stack(steps, dim=1)


def make(num_steps: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(num_steps)
    a = torch.rand(2, num_steps, 3, generator=generator, dtype=dtype)
    b = torch.randn(2, num_steps, 3, generator=generator, dtype=dtype)
    start = torch.randn(2, 3, generator=generator, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (a, b, start)]


@pytest.mark.parametrize("num_steps", STEPS)
def test_the_scan_equals_the_loop(num_steps: int) -> None:
    of_scan, of_loop = make(num_steps), make(num_steps)
    scanned, looped = linear_scan(*of_scan), loop(*of_loop)
    torch.testing.assert_close(scanned, looped, atol=1e-5, rtol=0)
    weights = torch.linspace(-1, 1, scanned.numel()).view_as(scanned)
    (weights * scanned).sum().backward()
    (weights * looped).sum().backward()
    for one, other in zip(of_scan, of_loop, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 2, SHORT, SHORT + 1, 29])
def test_the_gradient_is_that_of_finite_differences(num_steps: int) -> None:
    assert torch.autograd.gradcheck(linear_scan, make(num_steps, torch.float64))


@pytest.mark.parametrize("keep", [0.0, 1e-30, 1.0])
def test_states_that_are_forgotten_or_kept_for_ever_stay_finite(keep: float) -> None:
    """Nothing is divided by a product that has run to zero, and no logarithm of it taken."""
    a = torch.full((1, 500, 1), keep, requires_grad=True)
    b = torch.full((1, 500, 1), -2.0, requires_grad=True)
    h = linear_scan(a, b, torch.ones(1, 1))
    expected = 1.0 - 2 * 500 if keep == 1.0 else -2.0
    assert h[0, -1].item() == pytest.approx(expected)
    h[:, -1].sum().backward()
    assert a.grad is not None and a.grad.isfinite().all()
    assert b.grad is not None and b.grad.isfinite().all()


def test_parts_of_a_larger_tensor_are_taken_as_they_are() -> None:
    """As the gates come out of one matrix product: neither contiguous nor copied."""
    both, start = torch.rand(2, 40, 6), torch.zeros(2, 3)
    a, b = both.split(3, dim=2)
    torch.testing.assert_close(linear_scan(a, b, start), loop(a, b, start), atol=1e-5, rtol=0)


def test_second_derivatives_are_refused() -> None:
    a, b, start = make(5)
    squares = linear_scan(a, b, start).square().sum()
    (first,) = torch.autograd.grad(squares, a, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
