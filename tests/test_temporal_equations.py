"""Each temporal part computes what its module says, beside the suite that all of them pass."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from cliptide.models.temporal.convolutional import ConvRecurrentTemporal
from cliptide.models.temporal.minimal import GATES, MinimalTemporal
from cliptide.models.temporal.none import NoTemporal
from cliptide.models.temporal.recurrent import CELLS, RecurrentTemporal
from cliptide.models.temporal.stack import StackedTemporal
from cliptide.models.temporal.tcn import ConvolutionalTemporal

NUM_STEPS = 6
LENGTHS = torch.tensor([NUM_STEPS])


def test_a_mingru_is_that_of_its_equation() -> None:
    temporal, x = MinimalTemporal("mingru", input_dim=5, hidden=4), torch.randn(1, NUM_STEPS, 5)
    h, expected = torch.zeros(1, 4), []
    for step in x.unbind(1):
        update, new = temporal.gates[0](step).chunk(2, dim=1)
        z = torch.sigmoid(update)
        h = (1 - z) * h + z * new
        expected.append(h)
    torch.testing.assert_close(temporal(x, LENGTHS), torch.stack(expected, dim=1))


def test_a_minlstm_is_that_of_its_equation() -> None:
    temporal, x = MinimalTemporal("minlstm", input_dim=5, hidden=4), torch.randn(1, NUM_STEPS, 5)
    h, expected = torch.zeros(1, 4), []
    for step in x.unbind(1):
        forget, let_in, new = temporal.gates[0](step).chunk(3, dim=1)
        f, i = torch.sigmoid(forget), torch.sigmoid(let_in)
        h = f / (f + i) * h + i / (f + i) * new
        expected.append(h)
    torch.testing.assert_close(temporal(x, LENGTHS), torch.stack(expected, dim=1))


def test_a_minlstm_whose_gates_are_both_shut_stays_finite() -> None:
    temporal = MinimalTemporal("minlstm", input_dim=1, hidden=1)
    with torch.no_grad():
        temporal.gates[0].weight.fill_(-1.0)
    x = torch.full((1, NUM_STEPS, 1), 1e4, requires_grad=True)
    temporal(x, LENGTHS).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("cell", GATES)
def test_minimal_layers_begin_by_remembering(cell: str) -> None:
    """More of a state is kept than of one with gates half open: the bias is 1 towards keeping."""
    temporal = MinimalTemporal(cell, input_dim=3, hidden=2)
    nothing, full = torch.zeros(1, 1, 3), (torch.ones(1, 2),)
    kept, _ = temporal.advance(nothing, torch.tensor([1]), full)
    one = torch.sigmoid(torch.tensor(1.0))
    share = one if cell == "mingru" else one / (one + 0.5)
    torch.testing.assert_close(kept, share.expand(1, 1, 2))


def test_the_backward_direction_of_a_minimal_layer_begins_at_the_last_real_step() -> None:
    temporal = MinimalTemporal("mingru", input_dim=5, hidden=4, bidirectional=True)
    backward = MinimalTemporal("mingru", input_dim=5, hidden=4)
    backward.gates[0].load_state_dict(temporal.gates[1].state_dict())
    x = torch.randn(2, NUM_STEPS, 5)
    both = temporal(x, torch.tensor([4, NUM_STEPS]))
    for clip, output, length in zip(x, both, [4, NUM_STEPS], strict=True):
        own = backward(clip[None, :length].flip(1), torch.tensor([length])).flip(1)[0]
        torch.testing.assert_close(output[:length, 4:], own)


def test_a_convlstm_on_single_pixels_is_torchs_lstm() -> None:
    temporal = ConvRecurrentTemporal("convlstm", channels=5, hidden=4, kernel=3)
    (cell,) = temporal.cells
    own = nn.LSTM(5, 4, batch_first=True)
    # torch's gates are i, f, g, o; here i, f, o, g.
    order = torch.tensor([0, 1, 3, 2])

    def gates(weight: Tensor) -> Tensor:
        return weight.unflatten(0, (4, 4))[order].flatten(0, 1)

    with torch.no_grad():
        nn.init.normal_(cell.of_state.weight)
        own.weight_ih_l0.copy_(gates(cell.of_input.weight[:, :, 1, 1]))
        own.weight_hh_l0.copy_(gates(cell.of_state.weight[:, :, 1, 1]))
        own.bias_ih_l0.copy_(gates(cell.of_input.bias))
        own.bias_hh_l0.zero_()
    x = torch.randn(1, NUM_STEPS, 5)
    _, ((h, c),) = temporal.advance(
        x[..., None, None], LENGTHS, temporal.initial_state(x[:, 0, :, None, None])
    )
    _, (own_h, own_c) = own(x)
    torch.testing.assert_close(h[..., 0, 0], own_h[0])
    torch.testing.assert_close(c[..., 0, 0], own_c[0])


def test_a_convgru_is_that_of_its_equation() -> None:
    temporal = ConvRecurrentTemporal("convgru", channels=5, hidden=4, kernel=3)
    (cell,) = temporal.cells
    nn.init.normal_(cell.of_state.weight)
    nn.init.normal_(cell.of_kept.weight)
    x, h = torch.randn(1, NUM_STEPS, 5, 3, 2), torch.zeros(1, 4, 3, 2)
    _, ((ended,),) = temporal.advance(x, LENGTHS, temporal.initial_state(x[:, 0]))
    of_z, of_r, of_g = cell.of_input.weight.chunk(3)
    to_z, to_r = cell.of_state.weight.chunk(2)
    for step in x.unbind(1):
        z = torch.sigmoid(conv2d(step, of_z, padding=1) + conv2d(h, to_z, padding=1))
        r = torch.sigmoid(conv2d(step, of_r, padding=1) + conv2d(h, to_r, padding=1))
        kept = conv2d(r * h, cell.of_kept.weight, padding=1)
        g = torch.tanh(conv2d(step, of_g, padding=1) + kept)
        h = (1 - z) * h + z * g
    torch.testing.assert_close(ended, h)


@pytest.mark.parametrize("cell", ["convlstm", "convgru"])
def test_recurrent_convolutions_begin_by_keeping_the_norm(cell: str) -> None:
    temporal = ConvRecurrentTemporal(cell, channels=5, hidden=4, kernel=5)
    (part,) = temporal.cells
    maps = torch.randn(1, 4, 6, 7)
    kernels = part.of_state.weight.split(4) + (
        part.of_kept.weight.split(4) if cell == "convgru" else ()
    )
    for kernel in kernels:
        torch.testing.assert_close(conv2d(maps, kernel, padding=2).norm(), maps.norm())


@pytest.mark.parametrize("cell", ["convlstm", "convgru"])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 3), (7, 7)])
def test_maps_of_any_size_become_vectors(cell: str, size: tuple[int, int]) -> None:
    temporal = ConvRecurrentTemporal(cell, channels=5, hidden=4, layers=2)
    vectors = temporal(torch.randn(1, NUM_STEPS, 5, *size), LENGTHS)
    assert vectors.shape == (1, NUM_STEPS, 4)


@pytest.mark.parametrize("cell", ["convlstm", "convgru"])
def test_the_output_knows_where(cell: str) -> None:
    """The same maps turned left to right are another vector: no average has erased the place."""
    temporal = ConvRecurrentTemporal(cell, channels=5, hidden=4, kernel=1)
    maps = torch.randn(1, NUM_STEPS, 5, 4, 4)
    there, mirrored = temporal(maps, LENGTHS), temporal(maps.flip(-1), LENGTHS)
    assert (there - mirrored).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("kernel", "layers", "seen"), [(2, 1, 3), (3, 1, 5), (3, 2, 13), (2, 3, 15)]
)
def test_a_tcn_sees_as_far_back_as_its_module_says_and_never_ahead(
    kernel: int, layers: int, seen: int
) -> None:
    temporal = ConvolutionalTemporal(input_dim=5, hidden=16, kernel=kernel, layers=layers)
    x = torch.randn(1, 20, 5, requires_grad=True)
    temporal(x, torch.tensor([20]))[0, 16].pow(3).sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().amax(dim=1).nonzero()[:, 0].tolist()
    assert reached == list(range(17 - seen, 17))


def test_a_residual_stack_is_that_of_its_equation() -> None:
    stack = StackedTemporal(
        lambda size: RecurrentTemporal("gru", input_dim=size, hidden=4),
        input_dim=5,
        hidden=4,
        layers=2,
        residual=True,
        dropout=0.5,
    ).eval()
    x = torch.randn(1, NUM_STEPS, 5)
    steps = stack.enter(x)
    for norm, layer in zip(stack.norms, stack.layers, strict=True):
        steps = steps + layer(norm(steps), LENGTHS)
    torch.testing.assert_close(stack(x, LENGTHS), stack.leave(steps))


def test_a_residual_stack_projects_only_where_sizes_differ() -> None:
    def parts(*, input_dim: int, bidirectional: bool) -> list[type[nn.Module]]:
        stack = StackedTemporal(
            lambda size: MinimalTemporal(
                "mingru", input_dim=size, hidden=4, bidirectional=bidirectional
            ),
            input_dim=input_dim,
            hidden=4,
            residual=True,
        )
        assert stack.dim == 4
        return [type(stack.enter), type(stack.back[0])]

    assert parts(input_dim=4, bidirectional=False) == [nn.Identity, nn.Identity]
    assert parts(input_dim=5, bidirectional=True) == [nn.Linear, nn.Linear]


@pytest.mark.parametrize("cell", CELLS)
def test_a_chain_of_single_layers_is_torchs_own_stack(cell: str) -> None:
    """Which is why the plain form may be left to torch."""
    together = RecurrentTemporal(cell, input_dim=5, hidden=4, layers=2)
    chain = StackedTemporal(
        lambda size: RecurrentTemporal(cell, input_dim=size, hidden=4),
        input_dim=5,
        hidden=4,
        layers=2,
    )
    for number, layer in enumerate(chain.layers):
        for name, parameter in layer.rnn.named_parameters():
            own = name.replace("l0", f"l{number}")
            parameter.data.copy_(together.rnn.get_parameter(own))
    x, lengths = torch.randn(2, NUM_STEPS, 5), torch.tensor([4, NUM_STEPS])
    torch.testing.assert_close(chain(x, lengths), together(x, lengths))


def test_variational_dropout_drops_the_same_units_at_all_steps_of_a_clip() -> None:
    stack = StackedTemporal(
        NoTemporal, input_dim=50, hidden=50, dropout=0.5, variational=True
    ).train()
    dropped = stack(torch.ones(3, NUM_STEPS, 50), torch.full((3,), NUM_STEPS))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert not torch.equal(dropped[0], dropped[1]), "each clip has a mask of its own"


def test_plain_dropout_drops_other_units_at_each_step() -> None:
    stack = StackedTemporal(NoTemporal, input_dim=50, hidden=50, layers=2, dropout=0.5).train()
    dropped = stack(torch.ones(1, NUM_STEPS, 50), LENGTHS)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(dropped[:, 0], dropped[:, 1])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [[NUM_STEPS] * 2, [3, NUM_STEPS]], ids=["plain", "packed"])
def test_recurrent_dropout_takes_the_same_units_from_the_recurrent_matrix_at_all_steps(
    cell: str, lengths: list[int]
) -> None:
    temporal = RecurrentTemporal(cell, input_dim=5, hidden=8, recurrent_dropout=0.5).train()
    x, true = torch.randn(2, NUM_STEPS, 5), torch.tensor(lengths)
    torch.manual_seed(3)
    dropped = temporal(x, true)
    torch.manual_seed(3)
    kept = nn.functional.dropout(torch.ones(8), 0.5)
    assert 0 < int(kept.count_nonzero()) < 8
    by_hand = RecurrentTemporal(cell, input_dim=5, hidden=8).eval()
    by_hand.load_state_dict(temporal.state_dict())
    by_hand.rnn.weight_hh_l0.data *= kept
    torch.testing.assert_close(dropped, by_hand(x, true))
    dropped.square().sum().backward()
    reached = temporal.rnn.weight_hh_l0.grad.abs().sum(dim=0) > 0
    assert torch.equal(reached, kept > 0), "a dropped unit teaches its weights nothing"
    temporal.eval()
    assert not torch.allclose(temporal(x, true), dropped)
