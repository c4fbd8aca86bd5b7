"""The encoder of rows of numbers: what is missing stays out, and it can be traced."""

import pytest
import torch
from torch import Tensor

from cliptide.configs.streams import JointMap
from cliptide.datasets.streams.joint_map import coco17
from cliptide.models.encoders.rows import RowsEncoder

NAN = float("nan")
CHAIN = JointMap(("hip", "knee", "foot"), 2, bones=((0, 1), (1, 2)))


def encoder_of(window: int = 9, num_values: int = 6, joints: JointMap | None = None) -> RowsEncoder:
    torch.manual_seed(0)
    return RowsEncoder((window, num_values), dim=16, joints=joints)


def steps_of(*shape: int, missing: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    steps = torch.randn(*shape, generator=generator)
    steps[torch.rand(*shape, generator=generator) < missing] = NAN
    return steps


def channels(encoder: RowsEncoder, steps: Tensor) -> Tensor:
    """What the first convolution is given, (N, channels, window)."""
    given: list[Tensor] = []
    handle = encoder.features[0].register_forward_pre_hook(
        lambda _, inputs: given.append(inputs[0])
    )
    encoder.eval().encode(steps)
    handle.remove()
    return given[0]


@pytest.mark.parametrize("window", [1, 2, 3, 9])
@pytest.mark.parametrize("joints", [CHAIN, None])
def test_shapes_are_the_contracts(window: int, joints: JointMap | None) -> None:
    encoder = encoder_of(window, joints=joints)
    maps, pooled = encoder(steps_of(5, window, 6, missing=0.2), torch.tensor([2, 3]))
    assert maps.shape == (5, encoder.channels, 1, window)
    assert pooled.shape == (5, encoder.dim) == (5, 16)
    assert maps.dtype == pooled.dtype == torch.float32
    assert encoder(encoder.blank(2, size=(1, 1)), torch.tensor([2])).pooled.isfinite().all()


@pytest.mark.parametrize("joints", [CHAIN, None])
@pytest.mark.parametrize("missing", [0.3, 1.0])
def test_nan_reaches_no_result_and_no_gradient(joints: JointMap | None, missing: float) -> None:
    encoder = encoder_of(joints=joints)
    steps = steps_of(4, 9, 6, missing=missing).requires_grad_()
    maps, pooled = encoder(steps, torch.tensor([4]))
    (pooled.square().sum() + maps.square().sum()).backward()
    assert maps.isfinite().all()
    assert pooled.isfinite().all()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    for name, buffer in encoder.named_buffers():
        assert buffer.isfinite().all(), name
    assert steps.grad is not None
    assert steps.grad.isfinite().all()


def test_a_missing_number_is_the_mean_and_is_told_apart_from_it() -> None:
    encoder = encoder_of(window=1, num_values=2)
    encoder.standardise_by(torch.tensor([10.0, -4.0]), torch.tensor([2.0, 8.0]))
    given = channels(encoder, torch.tensor([[[14.0, NAN]], [[10.0, -4.0]]]))
    assert given[:, :, 0].tolist() == [[2, 0, 1, 0], [0, 0, 1, 1]]


def test_bones_are_differences_on_one_scale_an_axis_and_0_where_an_end_is_missing() -> None:
    encoder = encoder_of(window=1, joints=CHAIN)
    # x of the three joints spreads by 1, 2 and 3, y by 10 each.
    encoder.standardise_by(torch.zeros(6), torch.tensor([1.0, 10, 2, 10, 3, 10]))
    given = channels(encoder, torch.tensor([[[0.0, 0, 4, 20, 4, NAN]]]))
    assert given[0, 12:, 0].tolist() == [2, 2, 0, 0]


def test_bones_do_not_change_with_where_somebody_stands() -> None:
    encoder = encoder_of(joints=CHAIN)
    steps = steps_of(3, 9, 6)
    there, elsewhere = (channels(encoder, moved)[:, 12:] for moved in (steps, steps + 5))
    torch.testing.assert_close(there, elsewhere, rtol=1e-4, atol=1e-5)


def test_columns_that_never_change_or_never_are_there_are_not_stretched() -> None:
    encoder = encoder_of(num_values=4)
    centre, spread = torch.tensor([5.0, 1e6, NAN, 0]), torch.tensor([0.0, 1e-3, NAN, 2])
    encoder.standardise_by(centre, spread)
    assert encoder.get_buffer("spread").tolist() == [1, 1, 1, 2]
    assert encoder.get_buffer("centre").tolist() == [5, 1e6, 0, 0]


def test_what_it_is_standardised_by_is_part_of_its_weights() -> None:
    encoder, other = encoder_of(), encoder_of()
    encoder.standardise_by(torch.arange(6.0), torch.arange(1.0, 7.0))
    assert {"centre", "spread"} <= set(encoder.state_dict())
    other.load_state_dict(encoder.state_dict())
    steps = steps_of(2, 9, 6)
    torch.testing.assert_close(other.eval().encode(steps), encoder.eval().encode(steps))


def test_the_order_of_rows_in_a_window_is_seen() -> None:
    encoder, steps = encoder_of().eval(), steps_of(2, 9, 6)
    turned = encoder.encode(steps.flip(1)).pooled
    assert (turned - encoder.encode(steps).pooled).abs().max() > 1e-3


@pytest.mark.parametrize("window", [1, 9])
def test_a_traced_program_gives_the_same_numbers_for_any_count(window: int) -> None:
    encoder = encoder_of(window, 34, coco17()).eval()
    count = torch.export.Dim("count", min=1, max=64)
    program = torch.export.export(
        encoder,
        (steps_of(3, window, 34), torch.tensor([3])),
        dynamic_shapes={"steps": {0: count}, "lengths": None},
    ).module()
    for number in (1, 5):
        steps, lengths = steps_of(number, window, 34, missing=0.2), torch.tensor([number])
        torch.testing.assert_close(program(steps, lengths), encoder(steps, lengths))
