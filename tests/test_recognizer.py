"""The whole network: honest lengths, explicit state, a frozen encoder that stays frozen."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import SUMMARIES, TEMPORALS, build_recognizer
from cliptide.models.heads import HEADS
from cliptide.models.recognizer import Recognizer
from cliptide.models.temporal.recurrent import CELLS

NUM_CLASSES = 3

every_temporal = pytest.mark.parametrize("temporal", TEMPORALS)
every_summary = pytest.mark.parametrize("summary", SUMMARIES)


def build(**keys: Any) -> Recognizer:
    torch.manual_seed(0)
    width = {"width": 0.1} if keys.get("encoder", "tiny") == "tiny" else {}
    config = ModelConfig(**{**width, "hidden": 6, **keys})
    network = build_recognizer(config, num_classes=NUM_CLASSES)
    # Batch-norms that have seen something: fresh ones normalise by nothing.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def random_clips(
    lengths: list[int], *, padding: int = 0, size: tuple[int, int] = (12, 16)
) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    clips = torch.full((len(lengths), max(lengths), 3, *size), padding, dtype=torch.uint8)
    for clip, length in zip(clips, lengths, strict=True):
        shape = (length, 3, *size)
        clip[:length] = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return clips


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


@every_temporal
@every_summary
@pytest.mark.parametrize("head", HEADS)
def test_clips_become_logits(temporal: str, summary: str, head: str) -> None:
    network = build(temporal=temporal, summary=summary, head=head)
    logits = network(random_clips([2, 4]), torch.tensor([2, 4]))
    assert logits.shape == (2, NUM_CLASSES)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@every_temporal
@every_summary
@pytest.mark.parametrize("layers", [1, 2])
def test_stepping_frame_by_frame_equals_one_pass(temporal: str, summary: str, layers: int) -> None:
    network = build(temporal=temporal, summary=summary, layers=layers)
    clips = random_clips([6, 6])
    state = None
    with torch.no_grad():
        for number in range(6):
            logits, state = network.step(clips[:, number], state)
            seen = network(clips[:, : number + 1], torch.tensor([number + 1, number + 1]))
            torch.testing.assert_close(logits, seen, atol=1e-5, rtol=0)


@every_temporal
def test_chunks_and_steps_of_all_that_looks_back_equal_one_pass(temporal: str) -> None:
    """Differences of frames and of features, temporal shift, temporal part and summary at once."""
    network = build(temporal=temporal, summary="mean", motion="both", shift="causal")
    lengths = torch.tensor([7, 4])
    clips = random_clips([7, 4])
    with torch.no_grad():
        whole = network(clips, lengths)
        state = None
        for start, end in ((0, 1), (1, 2), (2, 5), (5, 7)):
            left = (lengths - start).clamp(0, end - start)
            logits, state = network.advance(clips[:, start:end], left, state)
        torch.testing.assert_close(logits, whole, atol=1e-5, rtol=0)
        state = None
        for frame in clips[:1].unbind(dim=1):
            logits, state = network.step(frame, state)
        torch.testing.assert_close(logits, whole[:1], atol=1e-5, rtol=0)


@every_temporal
@every_summary
def test_a_clip_in_a_padded_batch_scores_as_it_does_alone(temporal: str, summary: str) -> None:
    network, lengths = build(temporal=temporal, summary=summary), [3, 1, 5]
    clips = random_clips(lengths)
    together = network(clips, torch.tensor(lengths))
    for clip, length, logits in zip(clips, lengths, together, strict=True):
        alone = network(clip[None, :length], torch.tensor([length]))[0]
        torch.testing.assert_close(logits, alone, atol=1e-5, rtol=0)


@every_temporal
@every_summary
@pytest.mark.parametrize("training", [False, True])
def test_padding_never_reaches_a_result(temporal: str, summary: str, training: bool) -> None:
    """Not in training either, where batch-norm would count padded frames into its statistics."""
    network, lengths = build(temporal=temporal, summary=summary, dropout=0.0), [3, 1, 5]
    network.train(training)
    black, white = (
        network(random_clips(lengths, padding=p), torch.tensor(lengths)) for p in (0, 255)
    )
    assert torch.equal(black, white)


def test_padded_frames_are_never_encoded() -> None:
    network, lengths = build(), [3, 1, 5]
    clips, seen = random_clips(lengths, padding=77), []
    network.encoder.features.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(clips, torch.tensor(lengths))
    (images,) = seen
    real = [clip[:length] for clip, length in zip(clips, lengths, strict=True)]
    assert torch.equal(images, network.encoder.normalise(torch.cat(real)))


def test_features_are_zero_at_the_padding_and_in_their_places_elsewhere() -> None:
    network, lengths = build(), [3, 1]
    clips = random_clips(lengths, padding=77)
    features, *_ = network.features(clips, torch.tensor(lengths))
    assert features.shape == (2, 3, network.encoder.dim)
    assert not features[1, 1:].any()
    own = network.encoder(clips[1, :1], torch.tensor([1])).pooled
    torch.testing.assert_close(features[1, :1], own, atol=1e-6, rtol=0)


def test_a_stream_leaves_no_trace_in_the_network() -> None:
    network, clips = build(temporal="lstm", summary="mean"), random_clips([4])
    before, kept = network(clips, torch.tensor([4])), buffers(network)
    state = None
    for frame in clips.unbind(dim=1):
        _, state = network.step(frame, state)
    assert torch.equal(network(clips, torch.tensor([4])), before)
    assert all(torch.equal(kept[name], now) for name, now in network.named_buffers())


def test_two_streams_side_by_side_do_not_mix() -> None:
    network, clips = build(temporal="gru", summary="attention"), random_clips([4, 4])
    alone = []
    for clip in clips:
        state = None
        for frame in clip:
            logits, state = network.step(frame[None], state)
        alone.append(logits)
    states = [None, None]
    for number, stream in itertools.product(range(4), range(2)):
        logits, states[stream] = network.step(clips[stream, number][None], states[stream])
        if number == 3:
            assert torch.equal(logits, alone[stream])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_last_of_a_bidirectional_network_is_the_end_of_either_direction(
    cell: str, layers: int
) -> None:
    """Forward ends at the last real frame, backward at the first: the states torch itself gives."""
    network = build(temporal=cell, layers=layers, bidirectional=True, summary="last")
    lengths = [3, 1, 5]
    clips = random_clips(lengths)
    summary = network.summary(
        network.temporal(network.features(clips, torch.tensor(lengths))[0], torch.tensor(lengths)),
        torch.tensor(lengths),
    )
    own = CELLS[cell](network.encoder.dim, 6, layers, bidirectional=True, batch_first=True)
    own.load_state_dict(network.temporal.rnn.state_dict())
    for clip, length, vector in zip(clips, lengths, summary, strict=True):
        bare = network.encoder(clip[:length], torch.tensor([length])).pooled[None]
        _, ends = own(bare)
        ends = ends[0] if cell == "lstm" else ends
        torch.testing.assert_close(vector, torch.cat([ends[-2, 0], ends[-1, 0]]), atol=1e-5, rtol=0)


def test_a_bidirectional_network_cannot_step_and_says_what_to_do() -> None:
    network = build(bidirectional=True)
    assert not network.can_step
    with pytest.raises(ConfigError, match="frames that are still to come") as caught:
        network.step(random_clips([1])[:, 0])
    assert "model.bidirectional false" in str(caught.value)
    assert build().can_step


@pytest.mark.parametrize("encoder", ["tiny", "mobilenet_v3_small"])
def test_a_frozen_encoder_does_not_move_in_training(encoder: str) -> None:
    """Neither its weights nor its batch-norm statistics; torchvision's cut networks included."""
    network = build(encoder=encoder, freeze=True).train()
    assert network.training
    assert not any(module.training for module in network.encoder.modules())
    weights, statistics = network.encoder.state_dict(), buffers(network.encoder)
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    clips, lengths = random_clips([2, 3], size=(32, 32)), torch.tensor([2, 3])
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.1)
    before = network(clips, lengths)
    before.square().sum().backward()
    optimizer.step()
    assert all(p.grad is None for p in network.encoder.parameters())
    for name, now in network.encoder.state_dict().items():
        assert torch.equal(now, weights[name]), name
    for name, now in network.encoder.named_buffers():
        assert torch.equal(now, statistics[name]), name
    assert not torch.equal(network(clips, lengths), before), "what follows the encoder learns"


def test_an_encoder_that_is_not_frozen_learns() -> None:
    network = build().train()
    statistics = buffers(network.encoder)
    network(random_clips([2, 3]), torch.tensor([2, 3])).square().sum().backward()
    assert all(p.grad is not None for p in network.encoder.parameters())
    moved = [not torch.equal(statistics[n], now) for n, now in network.encoder.named_buffers()]
    assert any(moved)


@every_temporal
def test_two_by_two_pixels_and_one_frame_are_enough(temporal: str) -> None:
    network = build(temporal=temporal)
    clip = random_clips([1], size=(2, 2))
    assert network(clip, torch.tensor([1])).isfinite().all()
    network.train()(random_clips([1, 1], size=(2, 2)), torch.tensor([1, 1])).sum().backward()


@pytest.mark.parametrize("summary", ["mean", "max", "attention"])
def test_without_a_temporal_part_the_order_of_frames_counts_for_nothing(summary: str) -> None:
    network, clips = build(temporal="none", summary=summary), random_clips([5])
    lengths = torch.tensor([5])
    there, back = network(clips, lengths), network(clips.flip(1), lengths)
    torch.testing.assert_close(there, back, atol=1e-5, rtol=0)


@pytest.mark.parametrize("temporal", [name for name in TEMPORALS if name != "none"])
def test_a_temporal_part_sees_the_order_of_frames(temporal: str) -> None:
    network, clips = build(temporal=temporal), random_clips([5])
    there, back = network(clips, torch.tensor([5])), network(clips.flip(1), torch.tensor([5]))
    assert (there - back).abs().max() > 1e-4  # rounding alone makes less than 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_temporal
@every_summary
def test_mixed_precision_gives_nearly_the_same_logits_and_gradients_for_all(
    temporal: str, summary: str, dtype: torch.dtype
) -> None:
    network, lengths = build(temporal=temporal, summary=summary), torch.tensor([2, 4])
    clips = random_clips([2, 4])
    exact = network(clips, lengths)
    with torch.autocast("cpu", dtype=dtype):
        mixed = network(clips, lengths)
        mixed.float().square().sum().backward()
    # Nearer to its own clip's logits than a tenth of what lies between the clips.
    between = (exact[0] - exact[1]).abs().max().item()
    torch.testing.assert_close(mixed.float(), exact, atol=max(0.1 * between, 0.02), rtol=0.02)
    assert network.can_step
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        state = None
        for frame in clips[1:].unbind(1):
            stepped, state = network.step(frame, state)
    torch.testing.assert_close(stepped.float(), exact[1:], atol=max(0.1 * between, 0.02), rtol=0.02)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("lengths", [[2, 0], [2, 5], [-1, 4]])
@every_temporal
def test_a_length_outside_the_clip_is_refused(temporal: str, lengths: list[int]) -> None:
    network = build(temporal=temporal)
    wrong = next(length for length in lengths if not 1 <= length <= 4)
    with pytest.raises(ValueError, match=rf"lengths has {wrong}\. Give 1 to 4"):
        network(random_clips([4, 4]), torch.tensor(lengths))


def test_clips_that_are_not_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"float32\. Give uint8"):
        build()(random_clips([2]).float() / 255, torch.tensor([2]))
