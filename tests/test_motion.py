"""Motion made explicit: the frame before, temporal shift, differences of frames and features."""

import copy
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import get_model

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_encoder
from cliptide.models.encoders.base import Encoder
from cliptide.models.encoders.packed import next_frames, previous_frames
from cliptide.models.encoders.shift import (
    BRANCHES,
    Shifted,
    ShiftPass,
    TemporalShift,
    in_pass,
)
from cliptide.models.motion import FeatureDifferences

lengths_of_clips = st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any)


def clips_of(lengths: list[int]) -> list[Tensor]:
    """Clips (length, 2, 1, 1) whose values tell clip and frame: 100, 101, ... and 200, 201, ..."""
    return [
        (100.0 * (clip + 1) + torch.arange(length)).view(-1, 1, 1, 1).repeat(1, 2, 1, 1)
        for clip, length in enumerate(lengths)
    ]


@given(lengths_of_clips)
def test_the_frame_before_is_of_the_same_clip(lengths: list[int]) -> None:
    clips = clips_of(lengths)
    packed, counts = torch.cat(clips), torch.tensor(lengths)
    before = torch.full((len(lengths), 2, 1, 1), -1.0)
    previous, last = previous_frames(packed, counts, before)
    expected = [torch.cat([before[:1], clip])[:-1] for clip in clips]
    assert torch.equal(previous, torch.cat(expected))
    shown = [clip[-1] if len(clip) else before[0] for clip in clips]
    assert torch.equal(last, torch.stack(shown))


@given(lengths_of_clips.filter(all))
def test_a_clip_begins_as_if_it_had_stood_still_and_ends_before_nothing(lengths: list[int]) -> None:
    clips, counts = clips_of(lengths), torch.tensor(lengths)
    previous, _ = previous_frames(torch.cat(clips), counts, None)
    assert torch.equal(previous, torch.cat([torch.cat([c[:1], c[:-1]]) for c in clips]))
    following = next_frames(torch.cat(clips), counts)
    expected = [torch.cat([c[1:], torch.zeros(1, 2, 1, 1)]) for c in clips]
    assert torch.equal(following, torch.cat(expected))


@pytest.mark.parametrize("both", [False, True])
def test_a_shift_takes_an_eighth_of_the_channels_from_each_neighbour(both: bool) -> None:
    maps = torch.arange(3.0).view(3, 1, 1, 1).repeat(1, 16, 1, 1) + 1
    with in_pass(ShiftPass(torch.tensor([3]), {})):
        shifted = TemporalShift(both=both)(maps)[:, :, 0, 0]
    count = 16 // 8
    later, earlier = [2.0, 3.0, 0.0], [0.0, 1.0, 2.0]
    expected = [later] * count * both + [earlier] * count
    expected += [[1.0, 2.0, 3.0]] * (16 - len(expected))
    assert shifted.T.tolist() == expected


def encoder_of(**keys: Any) -> Encoder:
    torch.manual_seed(0)
    width = {"width": 0.25} if keys["encoder"] == "tiny" else {}
    encoder = build_encoder(ModelConfig(**width, **keys), load_weights=False)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return encoder.eval()


def random_frames(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 3, 32, 40), generator=generator, dtype=torch.uint8)


# The smallest network with each kind of residual block.
SHIFTING = (
    "tiny",
    "resnet18",
    "resnet50",
    "regnet_x_400mf",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mnasnet0_5",
    "convnext_tiny",
)


@pytest.mark.parametrize("name", SHIFTING)
def test_an_encoder_with_shift_sees_the_frame_before_and_not_the_next(name: str) -> None:
    encoder, frames = encoder_of(encoder=name, shift="causal"), random_frames(3)
    assert encoder.can_step
    shifts = [module for module in encoder.modules() if isinstance(module, TemporalShift)]
    seen: list[Tensor] = []
    # Of the first block: random deep networks hand on little to the end.
    shifts[0].register_forward_hook(lambda _, given, out: seen.append(out))
    other = frames.clone()
    other[1] = 255 - other[1]
    with torch.no_grad():
        _, state = encoder.advance(frames, torch.tensor([3]), None)
        assert len(state.shifts) == len(shifts)
        encoder(other, torch.tensor([3]))
    one, two = seen
    torch.testing.assert_close(one[0], two[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(one[2], two[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "resnet18", "mobilenet_v3_small"])
@pytest.mark.parametrize("motion", ["none", "frames"])
@pytest.mark.parametrize("shift", ["none", "causal"])
def test_chunks_and_steps_equal_whole_clips(name: str, motion: str, shift: str) -> None:
    """Also beside a clip that ends earlier."""
    encoder, frames = encoder_of(encoder=name, motion=motion, shift=shift), random_frames(7)
    first, second = frames[:5], frames[5:]
    with torch.no_grad():
        whole = encoder(frames, torch.tensor([5, 2])).pooled
        begun, state = encoder.advance(torch.cat([first[:2], second]), torch.tensor([2, 2]), None)
        rest, _ = encoder.advance(first[2:], torch.tensor([3, 0]), state)
        stepped, state = [], None
        for frame in first:
            encoded, state = encoder.step(frame[None], state)
            stepped.append(encoded.pooled)
    chunked = torch.cat([begun.pooled[:2], rest.pooled, begun.pooled[2:]])
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(torch.cat(stepped), whole[:5], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_a_shift_to_both_sides_sees_the_next_frame_and_cannot_step(name: str) -> None:
    encoder, frames = encoder_of(encoder=name, shift="both"), random_frames(2)
    other = frames.clone()
    other[1] = 255 - other[1]
    with torch.no_grad():
        one, two = (encoder(f, torch.tensor([2])).pooled[0] for f in (frames, other))
    assert not torch.allclose(one, two, atol=1e-4)
    assert not encoder.can_step


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet121"])
def test_an_encoder_without_residual_blocks_refuses_to_shift_and_names_those_that_can(
    name: str,
) -> None:
    with pytest.raises(ConfigError, match=f"{name} has none") as caught:
        encoder_of(encoder=name, shift="causal")
    assert "tiny, resnet*" in str(caught.value)


def test_every_kind_of_residual_block_is_tried_above() -> None:
    tried = {
        f"{type(module).__module__}.{type(module).__name__}"
        for name in SHIFTING
        if name != "tiny"
        for module in get_model(name, weights=None).modules()
    }
    assert {kind for kind in BRANCHES if kind.startswith("torchvision")} <= tried


def test_the_shift_stands_at_the_beginning_of_the_branch_and_spares_the_identity() -> None:
    """A block whose branch gives nothing hands each frame on as it is."""
    encoder = encoder_of(encoder="resnet18", shift="causal")
    layers = dict(encoder.named_modules())
    branches = [layers[f"network.layer{i}.{j}"] for i in (1, 2, 3, 4) for j in (0, 1)]
    for branch in branches:
        assert isinstance(branch.get_submodule("conv1"), Shifted)
        assert not isinstance(branch.get_submodule("conv2"), Shifted)
    given: list[Tensor] = []
    first = branches[0].get_submodule("conv1")
    first.register_forward_hook(lambda _, maps, out: given.append(maps[0]))
    last = branches[0].get_submodule("bn2")
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    branches[1].get_submodule("conv1").register_forward_hook(
        lambda _, maps, out: given.append(maps[0])
    )
    with torch.no_grad():
        encoder(random_frames(3), torch.tensor([3]))
    entered, left = given
    assert torch.equal(left, entered.relu())


def test_two_threads_may_use_one_network_with_shifts() -> None:
    encoder = encoder_of(encoder="tiny", shift="causal")
    streams = [random_frames(60), 255 - random_frames(60)]

    def run(frames: Tensor) -> Tensor:
        state = None
        with torch.no_grad():
            for frame in frames:
                encoded, state = encoder.step(frame[None], state)
        return encoded.pooled

    alone = [run(frames) for frames in streams]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            together = list(pool.map(run, streams))
            for one, other in zip(together, alone, strict=True):
                torch.testing.assert_close(one, other)


def test_an_encoder_with_shifts_can_be_copied_after_a_pass_with_gradients() -> None:
    encoder = encoder_of(encoder="tiny", shift="causal")
    encoder(random_frames(3), torch.tensor([3])).pooled.sum().backward()
    copy.deepcopy(encoder)


@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_two_passes_before_one_gradient_may_be_checkpointed(name: str) -> None:
    encoder = encoder_of(encoder=name, shift="causal")
    frames = random_frames(6)
    found = []
    for checkpointing in (False, True):
        encoder.checkpointing = checkpointing
        encoder.zero_grad()
        one = encoder(frames[:4], torch.tensor([1, 3])).pooled
        two = encoder(frames[4:], torch.tensor([2])).pooled
        (one.square().sum() + two.square().sum()).backward()
        found.append([p.grad.clone() for p in encoder.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 0
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_a_chunk_in_which_every_clip_has_ended_changes_nothing() -> None:
    encoder = encoder_of(encoder="resnet18", shift="causal", motion="frames")
    with torch.no_grad():
        _, state = encoder.advance(random_frames(3), torch.tensor([1, 2]), None)
        encoded, after = encoder.advance(random_frames(3)[:0], torch.tensor([0, 0]), state)
    assert len(encoded.pooled) == 0
    assert after.frame is not None and state.frame is not None
    assert torch.equal(after.frame, state.frame)
    for one, other in zip(after.shifts, state.shifts, strict=True):
        assert torch.equal(one, other)


def test_frame_differences_are_zero_at_first_and_where_nothing_moves() -> None:
    encoder = encoder_of(encoder="tiny", motion="frames")
    seen: list[Tensor] = []
    encoder.get_submodule("features").register_forward_pre_hook(lambda _, g: seen.append(g[0]))
    still = random_frames(1).repeat(3, 1, 1, 1)
    moving = random_frames(2)
    encoder(torch.cat([still, moving]), torch.tensor([3, 2]))
    (images,) = seen
    assert images.shape[1] == 6
    normalised = encoder.normalise(moving)
    assert not images[:4, 3:].any()
    torch.testing.assert_close(images[4, 3:], normalised[1] - normalised[0])


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vit_b_32"])
def test_a_network_given_differences_begins_as_what_it_was(name: str) -> None:
    """So a pretrained network loses nothing; the new weights learn from there."""
    size = 224 if name == "vit_b_32" else 64
    frames = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    plain, wide = encoder_of(encoder=name), encoder_of(encoder=name, motion="frames")
    own = plain.state_dict()
    for key, tensor in wide.state_dict().items():
        if tensor.shape != own[key].shape:
            assert not tensor[:, 3:].any()
            own[key] = torch.cat([own[key], torch.zeros_like(own[key])], dim=1)
    wide.load_state_dict(own)
    with torch.no_grad():
        expected = plain(frames, torch.tensor([2])).pooled
        torch.testing.assert_close(wide(frames, torch.tensor([2])).pooled, expected)


def test_a_frozen_encoder_takes_no_differences_of_frames() -> None:
    with pytest.raises(ConfigError, match=r"model\.freeze is true") as caught:
        ModelConfig(motion="frames", freeze=True)
    assert "model.motion features" in str(caught.value)


@pytest.mark.parametrize("maps", [False, True])
def test_differences_of_features_are_signed_and_absolute(maps: bool) -> None:
    shape = (4, 2, 3, 3) if maps else (4, 2)
    features = torch.randn(*shape)
    part = FeatureDifferences(2, maps=maps).eval()
    with torch.no_grad():
        moving, _ = part(features, torch.tensor([3, 1]), None)
    moving = moving * (1 + part.norm.eps) ** 0.5  # the fresh norm divides by this
    torch.testing.assert_close(moving[:, :2], features)
    for number in (0, 3):
        assert not moving[number, 2:].any()
    for before, at in pairwise(range(3)):
        change = features[at] - features[before]
        torch.testing.assert_close(moving[at, 2:4], change)
        torch.testing.assert_close(moving[at, 4:], change.abs())
