"""The contract that every encoder of our own keeps; torchvision's have a file of their own."""

import pytest
import torch
from torch import nn

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import Streams
from cliptide.models.build import ENCODERS, build_encoder, build_recognizer, check_frame_size
from cliptide.models.encoders.base import IMAGENET_MEAN, IMAGENET_STD, Encoder
from cliptide.models.encoders.tiny import TinyEncoder
from cliptide.models.grid import GRID, grid_of_averages

every_encoder = pytest.mark.parametrize("name", ENCODERS)


def build(name: str) -> Encoder:
    torch.manual_seed(0)
    return build_encoder(ModelConfig(encoder=name, width=0.25), load_weights=False).eval()


def random_frames(count: int, height: int = 20, width: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    size = (count, 3, height, width)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


@every_encoder
def test_frames_become_maps_and_one_vector_each(name: str) -> None:
    encoder = build(name)
    maps, pooled = encoder(random_frames(5), torch.tensor([2, 3]))
    assert maps.ndim == 4
    assert len(maps) == 5
    assert pooled.shape == (5, encoder.dim)
    assert maps.dtype == pooled.dtype == torch.float32


@every_encoder
def test_stepping_through_a_clip_equals_encoding_it_at_once(name: str) -> None:
    encoder, frames = build(name), random_frames(4)
    whole = encoder(frames, torch.tensor([4]))
    state = None
    for number in range(4):
        one, state = encoder.step(frames[number : number + 1], state)
        torch.testing.assert_close(one.pooled[0], whole.pooled[number], atol=1e-5, rtol=0)
        torch.testing.assert_close(one.maps[0], whole.maps[number], atol=1e-5, rtol=0)


@every_encoder
def test_clips_in_one_batch_do_not_see_each_other(name: str) -> None:
    encoder, frames = build(name), random_frames(5)
    together = encoder(frames, torch.tensor([2, 3])).pooled
    first = encoder(frames[:2], torch.tensor([2])).pooled
    second = encoder(frames[2:], torch.tensor([3])).pooled
    torch.testing.assert_close(together, torch.cat([first, second]), atol=1e-5, rtol=0)


@every_encoder
@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 7), (17, 5), (33, 64), (112, 112)])
def test_frames_of_any_size_from_two_pixels_upward_are_taken(
    name: str, size: tuple[int, int]
) -> None:
    encoder = build(name)
    pooled = encoder(random_frames(1, *size), torch.tensor([1])).pooled
    assert pooled.shape == (1, encoder.dim)
    assert pooled.isfinite().all()


@every_encoder
def test_gradients_reach_every_weight(name: str) -> None:
    encoder = build(name).train()
    encoder(random_frames(4), torch.tensor([4])).pooled.square().sum().backward()
    idle = [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@every_encoder
def test_the_normalisation_is_known_and_not_among_the_weights(name: str) -> None:
    encoder = build(name)
    assert len(encoder.mean) == len(encoder.std) == 3
    assert not {"_scale", "_offset"} & encoder.state_dict().keys()


def test_normalising_maps_bytes_to_zero_mean_and_unit_variance() -> None:
    frames = random_frames(2)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    by_hand = (frames.double() / 255 - mean) / std
    normalised = TinyEncoder(width=0.1).normalise(frames)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised.double(), by_hand, atol=1e-5, rtol=0)


def test_width_scales_the_filters_of_tiny() -> None:
    def filters(width: float) -> list[int]:
        layers = TinyEncoder(width=width).features
        return [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)]

    assert filters(1.0) == [24, 48, 96, 128]
    assert filters(0.5) == [12, 24, 48, 64]
    assert filters(0.01) == [4, 4, 4, 4]
    assert TinyEncoder(width=0.5).dim == 64


def test_tiny_sees_where_something_is() -> None:
    """A global average would give a spot the same vector in either corner."""
    encoder = build("tiny")
    frames = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    frames[0, :, 8:16, 8:16] = 255
    frames[1, :, 40:48, 40:48] = 255
    one, other = encoder(frames, torch.tensor([2])).pooled
    assert (one - other).abs().max() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (7, 7), (5, 9), (14, 6)])
def test_the_grid_is_torchs_adaptive_average_for_every_size(size: tuple[int, int]) -> None:
    maps = torch.randn(3, 2, *size)
    own = nn.functional.adaptive_avg_pool2d(maps, GRID).flatten(2)
    torch.testing.assert_close(grid_of_averages(maps), own, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("keys", [{"pretrained": True}, {"encoder_weights": "x.safetensors"}])
def test_tiny_has_no_pretrained_weights_and_says_so(keys: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="encoder tiny has no pretrained weights") as caught:
        build_encoder(ModelConfig(**keys), load_weights=True)  # type: ignore[arg-type]
    assert "model.encoder_weights" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("resnet19", "resnet18"), ("tinny", "tiny"), ("squeezenet1.0", "squeezenet1_0")],
)
def test_an_unknown_encoder_gives_the_nearest_names(wrong: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"no encoder '{wrong}'") as caught:
        build_encoder(ModelConfig(encoder=wrong), load_weights=False)
    assert "Nearest: " in str(caught.value)
    assert nearest in str(caught.value)


def test_a_name_like_no_other_still_gives_examples() -> None:
    with pytest.raises(ConfigError, match="Nearest: tiny, resnet18"):
        build_encoder(ModelConfig(encoder="@@@"), load_weights=False)


def test_a_frame_size_the_encoder_cannot_take_is_said_at_once() -> None:
    config = ModelConfig(encoder="squeezenet1_1", hidden=4)
    network = build_recognizer(config, num_classes=2).train()
    with pytest.raises(ConfigError, match="squeezenet1_1 cannot take frames of 4x8") as caught:
        check_frame_size(network, encoder="squeezenet1_1", size=(4, 8))
    assert "data.size" in str(caught.value)
    assert "\n" not in str(caught.value)
    check_frame_size(network, encoder="squeezenet1_1", size=(32, 40))
    assert network.training


def test_the_one_size_of_a_fixed_network_is_said_also_beside_other_streams() -> None:
    config, size = ModelConfig(encoder="vit_b_32", hidden=4, step_dim=4), (64, 64)
    network = build_recognizer(
        config, num_classes=2, size=size, streams=Streams(names=("audio", "rgb"))
    )
    with pytest.raises(ConfigError, match="takes frames of 224x224 alone, not 64x64") as caught:
        check_frame_size(network, encoder="vit_b_32", size=size)
    assert "Set data.size 224" in str(caught.value)
