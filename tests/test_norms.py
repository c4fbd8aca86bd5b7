"""Norms by choice, and none that a batch of one frame or one clip can break."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from cliptide.app.training.train import train
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import DataConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import load_model
from cliptide.models.norms import MAP_NORMS, lonely_norms_held
from cliptide.models.recognizer import Recognizer


def build(**keys: object) -> Recognizer:
    torch.manual_seed(0)
    config = ModelConfig(**{"width": 0.25, "hidden": 8, **keys})  # type: ignore[arg-type]
    return build_recognizer(config, num_classes=3)


def random_clips(count: int, frames: int = 3, side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (count, frames, 3, side, side)
    return torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)


def kinds(network: nn.Module) -> set[str]:
    return {type(module).__name__ for module in network.modules() if "Norm" in str(type(module))}


@pytest.mark.parametrize("norm", MAP_NORMS)
@pytest.mark.parametrize("channels", [1, 4, 6, 7, 24, 48, 96, 128, 130])
def test_every_number_of_channels_can_be_normalised(norm: str, channels: int) -> None:
    layer = MAP_NORMS[norm](channels)
    maps = torch.randn(2, channels, 3, 5) * 7 + 3
    normal = layer(maps)
    assert normal.shape == maps.shape
    assert normal.mean().abs() < 0.1
    assert (normal.std() - 1).abs() < 0.1


@pytest.mark.parametrize(("channels", "groups"), [(24, 3), (96, 12), (128, 16), (12, 1), (4, 1)])
def test_a_group_has_about_eight_channels(channels: int, groups: int) -> None:
    layer = MAP_NORMS["group"](channels)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


def test_the_norm_of_tiny_is_chosen() -> None:
    assert "BatchNorm2d" in kinds(build().encoder)
    for norm in ("group", "layer"):
        assert kinds(build(norm=norm).encoder) == {"GroupNorm", "LayerNorm"}, "tiny ends in one"


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_clip_in_training_does_not_depend_on_its_batch(norm: str) -> None:
    network = build(norm=norm, dropout=0.0).train()
    clips, lengths = random_clips(3), torch.tensor([3, 2, 3])
    together = network(clips, lengths)
    alone = network(clips[1:2], lengths[1:2])
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_the_head_is_given_normalised_vectors(norm: str, head: str) -> None:
    network = build(head_norm=norm, head=head).train()
    seen: list[torch.Tensor] = []
    layer = next(m for m in network.head.modules() if isinstance(m, nn.Linear))
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    # In evaluation dropout is out of the way; the batch's own statistics are wanted.
    for module in network.head.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    network(random_clips(4), torch.full((4,), 3))
    axis = 0 if norm == "batch" else 1
    torch.testing.assert_close(seen[0].mean(dim=axis), torch.zeros(8 if axis == 0 else 4))
    assert (seen[0].std(dim=axis, unbiased=False) > 0.3).all()


def test_without_a_norm_the_head_is_as_it_was() -> None:
    assert "head.1.weight" in build().state_dict(), "models of older versions load"


@pytest.mark.parametrize("frames", [1, 3])
def test_one_clip_in_a_batch_leaves_the_statistics_of_the_head_alone(frames: int) -> None:
    network = build(head_norm="batch").train()
    norm = next(m for m in network.head.modules() if isinstance(m, nn.BatchNorm1d))
    network(random_clips(4), torch.full((4,), 3))
    before = norm.running_mean.clone()
    lengths = torch.tensor([frames])
    with lonely_norms_held(network, lengths):
        logits = network(random_clips(1, frames), lengths)
        logits.sum().backward()
    assert logits.isfinite().all()
    assert torch.equal(norm.running_mean, before)
    assert norm.training
    network(random_clips(4), torch.full((4,), 3))
    assert not torch.equal(norm.running_mean, before)


def config(**keys: object) -> RunConfig:
    return RunConfig(
        data=DataConfig(frames=3, size=16, workers=0),
        model=ModelConfig(**{"width": 0.1, "hidden": 4, **keys}),  # type: ignore[arg-type]
        train=TrainConfig(epochs=1, batch_size=11),
        device="cpu",
    )


@pytest.mark.parametrize(
    "keys",
    [{"norm": "group", "head_norm": "batch"}, {"norm": "layer", "head_norm": "layer"}],
)
def test_a_run_with_other_norms_trains_and_loads_again(
    keys: dict[str, str], small_data: Path, tmp_path: Path
) -> None:
    run = train(small_data, config=config(**keys), out=tmp_path / "run")
    network, info = load_model(run.model)
    assert {key: info.model[key] for key in keys} == keys
    assert "GroupNorm" in kinds(network.encoder)


def test_a_last_batch_of_one_clip_trains_under_batch_norm(small_data: Path, tmp_path: Path) -> None:
    base = config(head_norm="batch")
    small = replace(base, train=replace(base.train, batch_size=5))  # of 16 training clips
    run = train(small_data, config=small, out=tmp_path / "run")
    assert math.isfinite(run.best["train_loss"])
    network, _ = load_model(run.model)
    norm = next(m for m in network.head.modules() if isinstance(m, nn.BatchNorm1d))
    assert norm.num_batches_tracked is not None and int(norm.num_batches_tracked) == 3


def test_batch_norm_of_single_clips_is_refused_with_the_mend() -> None:
    base = config(head_norm="batch")
    with pytest.raises(ConfigError, match=r"head_norm is batch and train.batch_size is 1.*layer"):
        replace(base, train=replace(base.train, batch_size=1))


def test_batch_norm_in_front_of_the_head_is_refused_with_chunks() -> None:
    base = config(head_norm="batch")
    with pytest.raises(ConfigError, match=r"head_norm is batch and train.chunk is 4.*layer"):
        replace(base, train=replace(base.train, chunk=4))
