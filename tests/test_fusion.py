"""Several streams in one network: early, gated and late fusion, with streams missing."""

import pytest
import torch

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import StepsConfig, Streams
from cliptide.models.build import build_recognizer
from cliptide.models.encoders.joined import JoinedEncoder, drop_streams, without_streams
from cliptide.models.late import MISSING, LateHead, fit_weights, weighted, which_are_there
from cliptide.models.losses import EachStream, build_loss
from cliptide.models.recognizer import Recognizer
from cliptide.models.stepping import FrameEncoder, Stepper

SIZE = (16, 20)
STREAMS = Streams(names=("rgb", "audio", "arrays"), steps=StepsConfig(mels=8), num_values=5)
FUSIONS = ("early", "gated", "late")


def network_of(fusion: str, **keys: object) -> Recognizer:
    torch.manual_seed(0)
    config = ModelConfig(
        **{"width": 0.25, "hidden": 8, "step_dim": 16, "fusion": fusion, "dropout": 0.0, **keys}
    )
    return build_recognizer(config, num_classes=4, size=SIZE, streams=STREAMS)


def clips_of(batch: int = 3, steps: int = 5) -> torch.Tensor:
    specs = STREAMS.specs(SIZE)
    parts = [torch.ones(batch, steps, len(specs))]
    generator = torch.Generator().manual_seed(1)
    for spec in specs:
        count = torch.Size(spec.shape).numel()
        noise = torch.randn(batch, steps, count, generator=generator)
        parts.append(noise.mul(40).add(128).clamp(0, 255).round() if spec.name == "rgb" else noise)
    return torch.cat(parts, dim=2)


LENGTHS = torch.tensor([5, 3, 1])


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("temporal", ["gru", "lstm", "none", "mingru", "tcn"])
def test_stepping_through_joined_streams_equals_one_pass(fusion: str, temporal: str) -> None:
    network = network_of(fusion, temporal=temporal, summary="mean").eval()
    clips = clips_of(batch=1)
    whole = network(clips, torch.tensor([5]))
    state = None
    for number in range(5):
        outputs, state = network.step(clips[:, number], state)
    torch.testing.assert_close(outputs, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("summary", ["last", "mean", "max", "attention"])
def test_what_lies_in_the_padding_changes_nothing(fusion: str, summary: str) -> None:
    network = network_of(fusion, summary=summary, bidirectional=summary == "last").eval()
    clips = clips_of()
    dirty = clips.clone()
    dirty[1, 3:], dirty[2, 1:] = 7.0, 9.0
    torch.testing.assert_close(network(clips, LENGTHS), network(dirty, LENGTHS))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_a_missing_stream_holds_changes_nothing(fusion: str) -> None:
    network = network_of(fusion).eval()
    clips = clips_of()
    leave = torch.tensor([[True, False, True]] * 3)
    gone = without_streams(clips, leave)
    other = gone.clone()
    specs = STREAMS.specs(SIZE)
    start = 3 + torch.Size(specs[0].shape).numel()
    other[..., start : start + torch.Size(specs[1].shape).numel()] = 5.0
    assert torch.equal(network(gone, LENGTHS), network(other, LENGTHS))
    assert not torch.allclose(network(gone, LENGTHS), network(clips, LENGTHS), atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_clips_with_and_without_a_stream_stand_in_one_batch(fusion: str) -> None:
    network = network_of(fusion).eval()
    clips = clips_of()
    mixed = without_streams(clips, torch.tensor([[True] * 3, [False, True, True], [True] * 3]))
    together = network(mixed, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = network(mixed[row : row + 1], torch.tensor([length]))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_training_with_missing_streams_gives_finite_gradients(fusion: str) -> None:
    network = network_of(fusion).train()
    clips = clips_of()
    clips[:, :, -5:] = torch.nan  # arrays with missing values
    leave = torch.tensor([[True, False, True], [False, True, True], [True, True, False]])
    outputs = network(without_streams(clips, leave), LENGTHS)
    loss = EachStream(build_loss("single", "cross_entropy"))(outputs, torch.tensor([0, 1, 2]))
    loss.backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert grads and all(grad.isfinite().all() for grad in grads)
    assert loss.isfinite()


def norms_of_sound(network: Recognizer) -> list[torch.nn.Module]:
    norms = [m for m in network.stream_encoders["audio"].modules() if hasattr(m, "running_mean")]
    assert norms
    return norms


def test_batch_norms_do_not_see_the_blank_steps_of_missing_streams() -> None:
    network = network_of("early").train()
    before = [norm.running_mean.clone() for norm in norms_of_sound(network)]
    network(without_streams(clips_of(), torch.tensor([[True, False, True]] * 3)), LENGTHS)
    for norm, mean in zip(norms_of_sound(network), before, strict=True):
        assert torch.equal(norm.running_mean, mean)


def test_batch_norms_see_the_clips_of_a_batch_that_have_the_stream_and_no_other() -> None:
    mixed, alone = network_of("early").train(), network_of("early").train()
    clips = clips_of()
    mixed(
        without_streams(clips, torch.tensor([[True] * 3, [True, False, True], [True] * 3])), LENGTHS
    )
    alone(clips[[0, 2]], LENGTHS[[0, 2]])
    for norm, expected in zip(norms_of_sound(mixed), norms_of_sound(alone), strict=True):
        torch.testing.assert_close(norm.running_mean, expected.running_mean)
        torch.testing.assert_close(norm.running_var, expected.running_var)


def test_a_lonely_step_of_a_stream_is_learnt_from_with_checkpointing_too() -> None:
    """One frame has no variance: norms are held, and must be as they were in the backward pass."""
    clips = without_streams(clips_of(), torch.tensor([[False, True, True]] * 2 + [[True] * 3]))
    gradients = []
    for checkpointing in (False, True):
        network = network_of("early").train()
        picture = network.stream_encoders["rgb"]
        picture.checkpointing = checkpointing
        network(clips, LENGTHS).square().sum().backward()  # LENGTHS end with one step
        assert picture.checkpointing == checkpointing
        gradients.append([parameter.grad for parameter in picture.parameters()])
    for plain, thrifty in zip(*gradients, strict=True):
        torch.testing.assert_close(thrifty, plain)


def gated_steps() -> tuple[JoinedEncoder, torch.Tensor]:
    """The encoder of a gated network, and steps of three streams for it."""
    encoder = network_of("gated").eval().encoder
    assert isinstance(encoder, JoinedEncoder)
    return encoder, clips_of()[0]


def fused_by(encoder: JoinedEncoder, steps: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return encoder(steps, torch.tensor([len(steps)])).pooled


def test_gates_begin_about_one_as_if_there_were_none() -> None:
    encoder, steps = gated_steps()
    fused = fused_by(encoder, steps)
    torch.nn.init.zeros_(encoder.gate.weight)
    torch.nn.init.zeros_(encoder.gate.bias)
    ungated = fused_by(encoder, steps)  # all gates are 1
    assert (fused - ungated).norm() < 0.2 * ungated.norm()
    held = [
        torch.tanh(project(norm(stream(part.unflatten(1, shape), torch.ones(1)).pooled)))
        for project, norm, stream, part, shape in zip(
            encoder.project,
            encoder.norms,
            encoder.streams,
            torch.split(steps[:, 3:], encoder.sizes, dim=1),
            encoder.shapes,
            strict=True,
        )
    ]
    torch.testing.assert_close(ungated, sum(held))


def test_a_stream_of_large_features_does_not_drown_the_others_in_gated_fusion() -> None:
    encoder, steps = gated_steps()
    before = fused_by(encoder, steps)
    encoder.streams[1].register_forward_hook(
        lambda _, given, found: found._replace(pooled=100 * found.pooled)
    )
    torch.testing.assert_close(fused_by(encoder, steps), before, atol=0.02, rtol=0)


def test_each_number_of_each_stream_has_a_gate_of_its_own() -> None:
    encoder, steps = gated_steps()
    before = fused_by(encoder, steps)
    stream, number = 1, 5
    with torch.no_grad():
        encoder.gate.bias[stream * encoder.dim + number] = -100.0  # shut
    changed = (fused_by(encoder, steps) - before).abs().amax(dim=0) > 1e-6
    assert changed.nonzero().tolist() == [[number]]


def test_late_fusion_keeps_streams_apart_in_training_and_weighs_them_after() -> None:
    network = network_of("late").train()
    clips = without_streams(clips_of(), torch.tensor([[True, False, True]] * 3))
    apart = network(clips, LENGTHS)
    assert apart.shape == (3, 3, 4)
    assert apart[:, 1].isinf().all() and apart[:, [0, 2]].isfinite().all()
    assert network.eval()(clips, LENGTHS).shape == (3, 4)


@pytest.mark.parametrize("task", ["single", "multi", "regression"])
def test_weighted_outputs_are_the_mean_of_the_streams_logarithms(task: str) -> None:
    outputs = torch.randn(2, 2, 3)
    here = torch.tensor([[True, True], [False, True]])
    fused = weighted(outputs, here, torch.tensor([0.25, 0.75]), total=torch.tensor(1.0), task=task)
    scores = outputs.log_softmax(-1) if task == "single" else outputs
    torch.testing.assert_close(fused[0], 0.25 * scores[0, 0] + 0.75 * scores[0, 1])
    torch.testing.assert_close(fused[1], scores[1, 1])


def test_what_streams_weigh_in_all_falls_to_one_as_streams_are_missing() -> None:
    """t = 1 + (c - 1) (n - 1) / (S - 1); the shares are dealt anew among those that are here."""
    outputs = torch.randn(3, 3, 2)
    here = torch.tensor([[True, True, True], [True, False, True], [True, False, False]])
    weights = torch.tensor([0.2, 0.5, 0.3])
    fused = weighted(outputs, here, weights, total=torch.tensor(2.4), task="multi")
    mixed = [(2.4 * weights[:, None] * outputs[0]).sum(dim=0)]
    mixed.append(1.7 * (0.4 * outputs[1, 0] + 0.6 * outputs[1, 2]))
    mixed.append(outputs[2, 0])
    torch.testing.assert_close(fused, torch.stack(mixed))


def test_streams_that_each_know_a_half_know_the_whole_together() -> None:
    """One tells {a, b} from {c, d}, the other {a, c} from {b, d}, and the rest they get wrong.

    Each is surest of the wrong one of its two, so that no mean of their probabilities is right.
    """
    labels, classes = torch.arange(40) % 4, torch.arange(4)
    true = (classes == labels[:, None]).float()
    one = 9 * (classes // 2 == labels[:, None] // 2).float() - 3 * true
    other = 9 * (classes % 2 == labels[:, None] % 2).float() - 3 * true
    outputs = torch.stack([one, other], dim=1)
    for share in torch.linspace(0, 1, 21):
        mean = share * one.softmax(-1) + (1 - share) * other.softmax(-1)
        assert (mean.argmax(dim=1) != labels).all()
    fitted = fit_weights(outputs, labels, task="single")
    assert fitted.weights.tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert (fitted.outputs.argmax(dim=1) == labels).all()


def calibrated_streams(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What two streams say who saw the class through noises of their own, and say how sure it is.

    Returns outputs (N, 2, 4), whose softmax is the posterior of each, and classes (N,).
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (6000,), generator=generator)
    clear = torch.tensor([1.2, 1.8])[:, None]
    seen = clear * torch.nn.functional.one_hot(labels, 4)[:, None]
    return clear * (seen + torch.randn(6000, 2, 4, generator=generator)), labels


def test_independent_streams_are_as_sure_as_they_are_right_together_and_alone() -> None:
    outputs, labels = calibrated_streams(seed=0)
    outputs[::4, 0] = MISSING
    fitted = fit_weights(outputs, labels, task="single")
    assert float(fitted.total) > 1.8, "what they know of adds up"
    assert fitted.weights.tolist() == pytest.approx([0.5, 0.5], abs=0.1)
    outputs, labels = calibrated_streams(seed=1)
    for streams in ([True, True], [True, False], [False, True]):
        here = torch.tensor([streams] * len(outputs))
        fused = weighted(outputs, here, fitted.weights, total=fitted.total, task="single")
        confidence, answer = fused.softmax(dim=1).max(dim=1)
        assert float(confidence.mean()) == pytest.approx(
            float((answer == labels).float().mean()), abs=0.03
        )


def test_streams_that_say_the_same_weigh_as_one() -> None:
    outputs, labels = calibrated_streams(seed=0)
    fitted = fit_weights(outputs[:, [0, 0]], labels, task="single")
    assert float(fitted.total) == pytest.approx(1, abs=0.1)


def test_numbers_are_averaged_and_never_added_up() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(200, 1, generator=generator)
    outputs = targets[:, None] * 0.6 + 0.1 * torch.randn(200, 2, 1, generator=generator)
    outputs[0, 1] = MISSING
    fitted = fit_weights(outputs, targets, task="regression", scale=torch.ones(1))
    assert float(fitted.total) == 1
    torch.testing.assert_close(fitted.outputs[0], outputs[0, 0].double())


def test_streams_that_weigh_nothing_still_answer_where_they_are_all_there_is() -> None:
    outputs, here = torch.randn(1, 2, 3), torch.tensor([[True, False]])
    weights, total = torch.tensor([0.0, 1.0]), torch.tensor(1.5)
    fused = weighted(outputs, here, weights, total=total, task="single")
    torch.testing.assert_close(fused.softmax(-1), outputs[:, 0].softmax(-1))


def test_weights_go_to_the_stream_that_knows() -> None:
    labels = torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(0))
    knows = torch.nn.functional.one_hot(labels, 3) * 6.0
    noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(1)) * 6
    outputs = torch.stack([noise, knows], dim=1)
    outputs[0, 0] = MISSING
    weights = fit_weights(outputs, labels, task="single").weights.tolist()
    assert weights[1] > 0.9 and sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("num_classes", [1, 4])
def test_a_head_that_overflows_is_not_taken_for_a_missing_stream(num_classes: int) -> None:
    """Its loss is no number, which training tells as a divergence."""
    head = LateHead([torch.nn.Linear(2, num_classes) for _ in range(2)], [2, 2], task="multi")
    torch.nn.init.constant_(head.heads[0].weight, 3e38)
    vector = torch.tensor([[9.0, 9.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 0.0, 1.0]])
    outputs = head(vector)
    assert which_are_there(outputs).tolist() == [[True, True], [False, True]]
    loss = EachStream(build_loss("multi", "cross_entropy"))
    assert loss(outputs, torch.ones(2, num_classes)).isnan()


def test_an_overflow_that_leaves_finite_outputs_is_not_missing_either() -> None:
    outputs = torch.tensor([[[float("inf"), 0.0], [0.0, 0.0]]])
    assert which_are_there(outputs).all()
    assert EachStream(build_loss("single", "cross_entropy"))(outputs, torch.tensor([0])).isnan()


def test_clips_without_any_stream_have_a_loss_that_is_no_number() -> None:
    outputs = torch.full((2, 3, 4), MISSING, requires_grad=True)
    loss = EachStream(build_loss("single", "cross_entropy"))(outputs, torch.tensor([0, 1]))
    loss.backward()
    assert loss.isnan() and outputs.grad.isnan().all()


def test_dropping_streams_never_leaves_a_clip_without_any_that_it_has() -> None:
    torch.manual_seed(0)
    clips = clips_of(batch=400, steps=1)
    clips[:200, :, 1:3] = 0.0  # only pictures
    dropped = drop_streams(clips, num_streams=3, share=0.5)
    here = dropped[:, 0, :3]
    assert (here.sum(dim=1) >= 1).all()
    assert (here[:200, 0] == 1).all() and (here[:200, 1:] == 0).all()
    assert 0.4 < here[200:].mean() < 0.7
    assert torch.equal(dropped[..., 3:].nan_to_num(), clips[..., 3:].nan_to_num())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_flat_stepper_equals_the_network(fusion: str) -> None:
    network = network_of(fusion).eval()
    clips = clips_of(batch=2)
    encoder, stepper = FrameEncoder(network, size=SIZE), Stepper(network, size=SIZE)
    state = stepper.initial(2)
    for number in range(5):
        (features,) = encoder(clips[:, number])
        outputs, *state = stepper(features, torch.tensor([number == 0] * 2), *state)
    whole = network(clips, torch.tensor([5, 5]))
    torch.testing.assert_close(outputs, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"shift": "causal"}, r"model\.shift is causal.*Set model\.shift none"),
        ({"motion": "frames"}, r"model\.motion is frames.*Set model\.motion none"),
        ({"temporal": "convlstm"}, r"model\.temporal is convlstm.*Use gru"),
    ],
)
def test_what_only_pictures_can_have_is_refused(keys: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        network_of("early", **keys)


def test_the_head_of_late_fusion_is_saved_with_what_its_streams_weigh() -> None:
    network = network_of("late")
    assert isinstance(network.head, LateHead)
    network.head.weights.copy_(torch.tensor([0.1, 0.2, 0.7]))
    network.head.total.fill_(1.4)
    other = network_of("late")
    other.load_state_dict(network.state_dict())
    clips = clips_of()
    assert torch.equal(other.eval()(clips, LENGTHS), network.eval()(clips, LENGTHS))
