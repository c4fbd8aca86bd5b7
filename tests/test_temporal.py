"""What carries features over time: one suite that every temporal part must pass."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import ON_MAPS, TEMPORALS, build_temporal
from cliptide.models.temporal.base import Temporal, from_the_end, real_steps
from cliptide.models.temporal.recurrent import CELLS, RecurrentTemporal

INPUT_DIM = 5
MAP_SIZE = (3, 2)
PARTS: dict[str, dict[str, Any]] = {
    **{name: {"temporal": name} for name in TEMPORALS},
    "rnn 2 layers": {"temporal": "rnn", "layers": 2},
    "lstm 2 layers": {"temporal": "lstm", "layers": 2},
    "gru 3 layers": {"temporal": "gru", "layers": 3},
    "mingru 2 layers": {"temporal": "mingru", "layers": 2},
    "minlstm 2 layers": {"temporal": "minlstm", "layers": 2},
    "convlstm 2 layers": {"temporal": "convlstm", "layers": 2, "kernel": 1},
    "convgru 2 layers": {"temporal": "convgru", "layers": 2, "kernel": 5},
    "tcn 3 layers": {"temporal": "tcn", "layers": 3, "kernel": 2},
    "rnn residual": {"temporal": "rnn", "residual": True},
    "lstm residual 2 layers": {"temporal": "lstm", "layers": 2, "residual": True},
    "mingru residual 2 layers": {"temporal": "mingru", "layers": 2, "residual": True},
    "gru variational 2 layers": {"temporal": "gru", "layers": 2, "variational": True},
    "minlstm residual variational": {
        "temporal": "minlstm",
        "residual": True,
        "variational": True,
    },
    "lstm bidirectional": {"temporal": "lstm", "bidirectional": True},
    "gru bidirectional 2 layers": {"temporal": "gru", "layers": 2, "bidirectional": True},
    "mingru bidirectional 2 layers": {"temporal": "mingru", "layers": 2, "bidirectional": True},
    "gru bidirectional residual 2 layers": {
        "temporal": "gru",
        "layers": 2,
        "bidirectional": True,
        "residual": True,
    },
    "minlstm bidirectional residual": {
        "temporal": "minlstm",
        "bidirectional": True,
        "residual": True,
    },
}
LENGTHS = {"length 1": [1], "short": [3, 3], "padded": [2, 5, 1, 4], "long": [200, 150]}

every_part = pytest.mark.parametrize("part", PARTS)
every_part_that_steps = pytest.mark.parametrize(
    "part", [name for name, keys in PARTS.items() if not keys.get("bidirectional")]
)
without_gradients = pytest.mark.usefixtures("no_gradients")
every_length = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())


@pytest.fixture
def no_gradients() -> Iterator[None]:
    """Steps are faster without."""
    with torch.no_grad():
        yield


def build(part: str) -> Temporal:
    torch.manual_seed(0)
    config = ModelConfig(hidden=4, dropout=0.5, **PARTS[part])
    return build_temporal(config, input_dim=INPUT_DIM).eval()


def make_features(part: str, lengths: list[int], *, padding: float) -> Tensor:
    """(B, T, D), or (B, T, D, h, w) for a part that takes maps.

    With `padding` behind each clip's end, and one step of it behind the longest.
    """
    generator = torch.Generator().manual_seed(1)
    shape = (INPUT_DIM, *(MAP_SIZE if PARTS[part]["temporal"] in ON_MAPS else ()))
    features = torch.full((len(lengths), max(lengths) + 1, *shape), padding)
    for clip, length in zip(features, lengths, strict=True):
        clip[:length] = torch.randn(length, *shape, generator=generator)
    return features


def step_through(temporal: Temporal, features: Tensor) -> Iterator[Tensor]:
    """The outputs (B, dim) of (B, T, D) features taken one step at a time."""
    state = temporal.initial_state(features[:, 0])
    for feature in features.unbind(dim=1):
        output, state = temporal.step(feature, state)
        yield output


def gradients(
    temporal: Temporal, features: Tensor, run: Callable[[Tensor], Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Gradients of a number made of the outputs: of the features, and of each parameter by name.

    The outputs are weighed: the plain sum of squares behind a layer norm never changes.
    """
    features = features.clone().requires_grad_()
    temporal.zero_grad()
    weights = torch.linspace(0.5, 1.5, temporal.dim)
    ((weights * run(features)) ** 2).sum().backward()
    assert features.grad is not None
    return features.grad, {n: p.grad for n, p in temporal.named_parameters() if p.grad is not None}


@every_part
@every_length
@without_gradients
class TestForward:
    def test_gives_one_output_a_step_and_zeros_at_the_padding(
        self, part: str, lengths: list[int]
    ) -> None:
        temporal = build(part)
        outputs = temporal(make_features(part, lengths, padding=7.0), torch.tensor(lengths))
        assert outputs.shape == (len(lengths), max(lengths) + 1, temporal.dim)
        assert outputs.dtype == torch.float32
        for output, length in zip(outputs, lengths, strict=True):
            assert not output[length:].any()
            assert output[:length].abs().amax(dim=1).all()

    def test_padding_never_reaches_a_result(self, part: str, lengths: list[int]) -> None:
        temporal, true = build(part), torch.tensor(lengths)
        clean = temporal(make_features(part, lengths, padding=0.0), true)
        soiled = temporal(make_features(part, lengths, padding=torch.nan), true)
        assert torch.equal(soiled, clean)

    def test_a_batch_equals_each_clip_alone(self, part: str, lengths: list[int]) -> None:
        temporal, features = build(part), make_features(part, lengths, padding=torch.nan)
        together = temporal(features, torch.tensor(lengths))
        for clip, output, length in zip(features, together, lengths, strict=True):
            alone = temporal(clip[None, :length], torch.tensor([length]))[0]
            torch.testing.assert_close(output[:length], alone, atol=1e-5, rtol=0)

    def test_no_state_leaks_from_one_call_to_the_next(self, part: str, lengths: list[int]) -> None:
        temporal, true = build(part), torch.tensor(lengths)
        features = make_features(part, lengths, padding=0.0)
        before = temporal(features, true)
        temporal(1000 * torch.randn_like(features), true)
        assert torch.equal(temporal(features, true), before)


@every_part_that_steps
@every_length
@without_gradients
class TestStep:
    def test_stepping_frame_by_frame_equals_one_pass(self, part: str, lengths: list[int]) -> None:
        temporal, features = build(part), make_features(part, lengths, padding=0.0)
        whole = temporal(features, torch.tensor(lengths))
        stepped = torch.stack(list(step_through(temporal, features)), dim=1)
        for one, other, length in zip(stepped, whole, lengths, strict=True):
            torch.testing.assert_close(one[:length], other[:length], atol=1e-5, rtol=0)

    @pytest.mark.parametrize("size", [1, 3, 50])
    def test_chunks_with_carried_state_equal_one_pass(
        self, part: str, lengths: list[int], size: int
    ) -> None:
        """Also for the clips of a batch that end before the last chunk."""
        temporal, features = build(part), make_features(part, lengths, padding=torch.nan)
        whole = temporal(features, torch.tensor(lengths))
        state, outputs = temporal.initial_state(features[:, 0]), []
        for start in range(0, features.shape[1], size):
            chunk = features[:, start : start + size]
            left = (torch.tensor(lengths) - start).clamp(0, chunk.shape[1])
            output, state = temporal.advance(chunk, left, state)
            outputs.append(output)
        torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-5, rtol=0)

    def test_a_clip_that_has_ended_keeps_its_state(self, part: str, lengths: list[int]) -> None:
        temporal, features = build(part), make_features(part, lengths, padding=0.0)
        _, state = temporal.step(features[:, 0], temporal.initial_state(features[:, 0]))
        ended = torch.zeros(len(lengths), dtype=torch.int64)
        output, after = temporal.advance(torch.full_like(features, torch.nan), ended, state)
        assert not output.any()
        expected, _ = temporal.step(features[:, 0], state)
        assert torch.equal(temporal.step(features[:, 0], after)[0], expected)

    def test_a_state_is_never_changed_in_place(self, part: str, lengths: list[int]) -> None:
        temporal, features = build(part), make_features(part, lengths, padding=0.0)
        _, state = temporal.step(features[:, 0], temporal.initial_state(features[:, 0]))
        first, _ = temporal.step(features[:, 1], state)
        temporal.step(1000 * features[:, 0], state)
        again, _ = temporal.step(features[:, 1], state)
        assert torch.equal(first, again)

    def test_a_fresh_state_knows_nothing_of_the_stream_before(
        self, part: str, lengths: list[int]
    ) -> None:
        temporal, features = build(part), make_features(part, lengths, padding=0.0)[:, :5]
        before = list(step_through(temporal, features))
        list(step_through(temporal, 1000 * features))
        after = list(step_through(temporal, features))
        assert all(map(torch.equal, before, after))


@every_part
@every_length
class TestGradient:
    def test_padding_never_reaches_a_gradient(self, part: str, lengths: list[int]) -> None:
        temporal, true = build(part), torch.tensor(lengths)

        def run(features: Tensor) -> Tensor:
            return temporal(features, true)

        soiled = make_features(part, lengths, padding=torch.nan)
        of_clean, of_weights = gradients(temporal, make_features(part, lengths, padding=0.0), run)
        of_soiled, of_weights_soiled = gradients(temporal, soiled, run)
        assert torch.equal(of_soiled, of_clean)
        assert not of_soiled[soiled.isnan()].any()
        assert (
            of_weights.keys()
            == of_weights_soiled.keys()
            == dict(temporal.named_parameters()).keys()
        )
        for name, gradient in of_weights.items():
            assert torch.equal(of_weights_soiled[name], gradient), name
            assert gradient.isfinite().all(), name

    def test_every_real_step_gets_a_gradient(self, part: str, lengths: list[int]) -> None:
        temporal, true = build(part), torch.tensor(lengths)
        features = make_features(part, lengths, padding=0.0)
        of_features, _ = gradients(temporal, features, lambda given: temporal(given, true))
        for clip, length in zip(of_features, lengths, strict=True):
            assert clip[:length].abs().flatten(1).amax(dim=1).all()


@every_part_that_steps
@every_length
def test_stepping_gives_the_gradient_of_one_pass(part: str, lengths: list[int]) -> None:
    temporal = build(part)
    length = min(*lengths, 30)
    features = make_features(part, [length], padding=0.0)[:, :length]
    of_whole, _ = gradients(temporal, features, lambda f: temporal(f, torch.tensor([length])))
    of_steps, _ = gradients(
        temporal, features, lambda f: torch.stack([*step_through(temporal, f)], dim=1)
    )
    torch.testing.assert_close(of_steps, of_whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("part", [name for name in PARTS if "bidirectional" in name])
def test_a_bidirectional_part_refuses_to_step_and_says_what_to_do(part: str) -> None:
    temporal = build(part)
    assert not temporal.can_step
    with pytest.raises(ConfigError, match="frames that are still to come") as caught:
        next(step_through(temporal, make_features(part, [2], padding=0.0)))
    assert "model.bidirectional false" in str(caught.value)


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_parts_are_those_of_torch(cell: str) -> None:
    """The numbers are torch's own cell on the bare clip, in one direction and in two."""
    for bidirectional in (False, True):
        temporal = RecurrentTemporal(
            cell, input_dim=INPUT_DIM, hidden=4, layers=2, bidirectional=bidirectional
        ).eval()
        own = CELLS[cell](INPUT_DIM, 4, num_layers=2, bidirectional=bidirectional, batch_first=True)
        own.load_state_dict(temporal.rnn.state_dict())
        clip = torch.randn(1, 6, INPUT_DIM)
        torch.testing.assert_close(temporal(clip, torch.tensor([6])), own(clip)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_weights_begin_orthogonal_and_an_lstm_remembering(cell: str) -> None:
    """Forget gates start at a bias of 1, everything else at 0; each gate's weights keep norms."""
    temporal = RecurrentTemporal(cell, input_dim=3, hidden=4, layers=2, bidirectional=True)
    for name, parameter in temporal.rnn.named_parameters():
        if name.startswith("bias"):
            expected = torch.zeros_like(parameter)
            if cell == "lstm" and name.startswith("bias_ih"):
                expected[4:8] = 1.0
            assert torch.equal(parameter, expected), name
        elif name.startswith("weight_hh"):
            for gate in parameter.reshape(-1, 4, 4):
                torch.testing.assert_close(gate @ gate.T, torch.eye(4), atol=1e-5, rtol=0)


@every_part_that_steps
def test_chunks_of_a_padded_batch_give_the_gradient_of_one_pass(part: str) -> None:
    """With the gradient carried on too, the weights learn the same from 2, 5, 1 and 4 steps."""
    temporal, lengths = build(part), torch.tensor([2, 5, 1, 4])
    features = make_features(part, lengths.tolist(), padding=0.0)

    def in_chunks(given: Tensor) -> Tensor:
        state, outputs = temporal.initial_state(given[:, 0]), []
        for start in (0, 2, 4):
            steps = given[:, start : start + 2]
            here = (lengths - start).clamp(0, steps.shape[1])
            chunk, state = temporal.advance(steps, here, state)
            outputs.append(chunk)
        return torch.cat(outputs, dim=1)

    whole = gradients(temporal, features, lambda given: temporal(given, lengths))
    chunks = gradients(temporal, features, in_chunks)
    torch.testing.assert_close(chunks[0], whole[0], atol=1e-5, rtol=1e-4)
    assert chunks[1].keys() == whole[1].keys()
    for name, gradient in whole[1].items():
        torch.testing.assert_close(chunks[1][name], gradient, atol=1e-5, rtol=1e-4, msg=name)


DROPPING = [
    name for name, keys in PARTS.items() if keys.get("layers", 1) > 1 or keys.get("residual")
]


@pytest.mark.parametrize("part", [*DROPPING, "tcn"])
def test_dropout_is_there_in_training_and_off_in_evaluation(part: str) -> None:
    temporal, lengths = build(part), torch.tensor([4, 4])
    features = make_features(part, [4, 4], padding=0.0)
    assert torch.equal(temporal(features, lengths), temporal(features, lengths))
    temporal.train()
    assert not torch.equal(temporal(features, lengths), temporal(features, lengths))


def test_one_layer_with_dropout_warns_of_nothing() -> None:
    """torch warns of dropout that has no layers to stand between; here that is no mistake."""
    assert isinstance(RecurrentTemporal("gru", input_dim=3, hidden=4, dropout=0.5).rnn, nn.GRU)


def test_real_steps_marks_frames_that_are_no_padding() -> None:
    marked = real_steps(3, torch.tensor([1, 3]), torch.device("cpu"))
    assert marked.tolist() == [[True, False, False], [True, True, True]]


def test_the_real_steps_are_reversed_and_the_padding_stays_behind() -> None:
    steps = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])[..., None]
    turned = from_the_end(steps, torch.tensor([2, 3]))
    assert turned[..., 0].tolist() == [[2.0, 1.0, 3.0], [6.0, 5.0, 4.0]]
    whole = from_the_end(steps, torch.tensor([3, 3]))
    assert whole[..., 0].tolist() == [[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]]
