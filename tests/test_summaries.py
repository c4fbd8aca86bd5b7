"""Summaries over time: padding never counts, and stepping gives the same numbers."""

import pytest
import torch
from torch import Tensor

from cliptide.configs.schema import ModelConfig
from cliptide.models.build import SUMMARIES
from cliptide.models.summaries import (
    AttentionOverSteps,
    LastStep,
    MaxOfSteps,
    MeanOfSteps,
    Summary,
)

DIM = 4
LENGTHS = {"length 1": [1], "short": [3, 3], "padded": [2, 5, 1, 4], "long": [300, 200]}

every_summary = pytest.mark.parametrize("name", SUMMARIES)
every_length = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())


def build(name: str) -> Summary:
    torch.manual_seed(0)
    return SUMMARIES[name](ModelConfig(), DIM)


def make_steps(lengths: list[int], *, padding: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    steps = torch.full((len(lengths), max(lengths) + 1, DIM), padding)
    for clip, length in zip(steps, lengths, strict=True):
        clip[:length] = torch.randn(length, DIM, generator=generator)
    return steps


@every_summary
@every_length
def test_padding_never_reaches_a_result_or_a_gradient(name: str, lengths: list[int]) -> None:
    summary, true = build(name), torch.tensor(lengths)
    results, of_steps, of_weights = [], [], []
    for padding in (0.0, 1e6, torch.nan, torch.inf):
        steps = make_steps(lengths, padding=padding).requires_grad_()
        summary.zero_grad()
        result = summary(steps, true)
        (result**2).sum().backward()
        results.append(result.detach())
        of_steps.append(steps.grad)
        of_weights.append([p.grad.clone() for p in summary.parameters() if p.grad is not None])
    assert results[0].shape == (len(lengths), DIM)
    assert of_steps[0] is not None
    for result, gradient, weights in zip(results, of_steps, of_weights, strict=True):
        assert torch.equal(result, results[0])
        assert gradient is not None
        assert torch.equal(gradient, of_steps[0])
        assert all(map(torch.equal, weights, of_weights[0]))
    for gradient, length in zip(of_steps[0], lengths, strict=True):
        assert not gradient[length:].any()
        assert gradient.any()


@every_summary
@every_length
def test_a_batch_equals_each_clip_alone(name: str, lengths: list[int]) -> None:
    summary, steps = build(name), make_steps(lengths, padding=torch.nan)
    together = summary(steps, torch.tensor(lengths))
    for clip, result, length in zip(steps, together, lengths, strict=True):
        alone = summary(clip[None, :length], torch.tensor([length]))[0]
        torch.testing.assert_close(result, alone, atol=1e-5, rtol=0)


@every_summary
@every_length
def test_stepping_equals_one_pass_at_every_step(name: str, lengths: list[int]) -> None:
    summary, length = build(name), min(lengths)
    steps = make_steps([length, length], padding=0.0)
    state = summary.initial_state(steps[:, 0])
    for so_far in range(1, length + 1):
        stepped, state = summary.step(steps[:, so_far - 1], state)
        whole = summary(steps, torch.tensor([so_far, so_far]))
        torch.testing.assert_close(stepped, whole, atol=1e-5, rtol=0)


@every_summary
def test_a_state_is_never_changed_in_place(name: str) -> None:
    summary, steps = build(name), make_steps([3], padding=0.0)
    _, state = summary.step(steps[:, 0], summary.initial_state(steps[:, 0]))
    first, _ = summary.step(steps[:, 1], state)
    summary.step(1000 * steps[:, 2], state)
    again, _ = summary.step(steps[:, 1], state)
    assert torch.equal(first, again)


def test_last_is_the_last_real_step_not_the_end_of_the_axis() -> None:
    steps = torch.arange(24.0).reshape(2, 3, 4)
    last = LastStep()(steps, torch.tensor([1, 3]))
    assert torch.equal(last, torch.stack([steps[0, 0], steps[1, 2]]))


def test_last_of_two_directions_is_the_end_of_each() -> None:
    steps = torch.arange(24.0).reshape(2, 3, 4)
    last = LastStep(bidirectional=True)(steps, torch.tensor([2, 3]))
    assert last.tolist() == [[4.0, 5.0, 2.0, 3.0], [20.0, 21.0, 14.0, 15.0]]


def test_mean_divides_by_the_real_steps() -> None:
    steps = torch.tensor([[[1.0], [2.0], [6.0]], [[4.0], [100.0], [100.0]]])
    assert MeanOfSteps()(steps, torch.tensor([3, 1])).tolist() == [[3.0], [4.0]]


def test_max_of_negative_steps_is_not_the_zero_of_the_padding() -> None:
    steps = torch.tensor([[[-3.0], [-2.0], [0.0]]])
    assert MaxOfSteps()(steps, torch.tensor([2])).tolist() == [[-2.0]]


def test_attention_is_a_softmax_over_the_real_steps() -> None:
    summary = AttentionOverSteps(DIM)
    steps = make_steps([3], padding=torch.nan)
    weights = torch.softmax(summary.score(steps[0, :3]), dim=0)
    by_hand = (weights * steps[0, :3]).sum(dim=0)
    torch.testing.assert_close(summary(steps, torch.tensor([3]))[0], by_hand)


def test_attention_stays_finite_on_a_long_stream_with_large_scores() -> None:
    summary = AttentionOverSteps(1)
    with torch.no_grad():
        summary.score[0].weight.fill_(1.0)
        summary.score[2].weight.fill_(1e4)
        state = summary.initial_state(torch.zeros(1, 1))
        for number in range(500):
            result, state = summary.step(torch.tensor([[float(number % 3)]]), state)
            assert result.isfinite().all()
    assert result.item() == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SUMMARIES)
def test_long_streams_in_half_precision_give_what_one_pass_gives(
    name: str, dtype: torch.dtype
) -> None:
    """In bfloat16 256 + 1 is 256: a counter of that type would never get further."""
    torch.manual_seed(0)
    summary = SUMMARIES[name](ModelConfig(), DIM)
    steps = (torch.randn(2, 600, DIM) + 1).to(dtype)
    exact = summary(steps.float(), torch.tensor([600, 600]))
    with torch.no_grad(), torch.autocast("cpu", dtype):
        state = summary.initial_state(steps[:, 0])
        for start in range(0, 600, 3):
            result, state = summary.advance(
                steps[:, start : start + 3], torch.tensor([3, 3]), state
            )
    assert result.dtype == dtype
    torch.testing.assert_close(result.float(), exact, atol=0.02, rtol=0.01)
