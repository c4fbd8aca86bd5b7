"""timm's networks as encoders: each form of features becomes the maps that timm itself computes."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from cliptide.configs.errors import ConfigError, InputError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_encoder, build_recognizer, check_frame_size
from cliptide.models.bundle import load_model, save_model
from cliptide.models.encoders.shift import BRANCHES, TemporalShift
from cliptide.models.encoders.timm_encoder import TimmEncoder, check_timm_name, timm_names
from cliptide.models.info import ModelInfo

# Small networks of many families, and the size of the frames to try each with.
NETWORKS: dict[str, tuple[int, int]] = {
    "timm/test_resnet": (64, 48),
    "timm/test_efficientnet": (64, 64),
    "timm/test_convnext": (64, 64),
    "timm/test_nfnet": (64, 64),
    "timm/test_byobnet": (64, 64),
    "timm/test_mambaout": (64, 64),
    "timm/test_vit": (96, 64),
    "timm/test_vit3": (64, 64),  # registers, and pools by attention
    "timm/test_maxvit": (160, 160),
    "timm/test_coatnet": (160, 160),
    "timm/mobilenetv3_small_050": (64, 64),
    "timm/resnet10t": (64, 64),
    "timm/mixer_s32_224": (224, 224),
}
# What tests of one form of features each take.
FORMS = {"NCHW": "timm/test_resnet", "tokens": "timm/test_vit3", "NHWC": "timm/test_mambaout"}

every_network = pytest.mark.parametrize("name", NETWORKS)
every_form = pytest.mark.parametrize("name", FORMS.values(), ids=FORMS)


def random_frames(count: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 3, *size), generator=generator, dtype=torch.uint8)


def plain_network(name: str, size: tuple[int, int], *, num_classes: int = 7) -> Any:
    """The network as timm builds it, with a classifier and batch norms that have seen something."""
    torch.manual_seed(1)
    cfg = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    options = {"img_size": size} if cfg.fixed_input_size else {}
    network = timm.create_model(name.removeprefix("timm/"), num_classes=num_classes, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def as_timm_sees(network: Any, frames: Tensor) -> Tensor:
    cfg = network.pretrained_cfg
    mean, std = (torch.tensor(cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    return (frames.float() / 255 - mean) / std


def form_of(features: Tensor, channels: int) -> str:
    if features.ndim == 3:
        return "tokens"
    return "NCHW" if features.shape[1] == channels else "NHWC"


@every_network
def test_weights_of_the_plain_network_give_its_own_features_as_maps(name: str) -> None:
    size = NETWORKS[name]
    network = plain_network(name, size)
    encoder = TimmEncoder(name, weights=network.state_dict(), size=size).eval()
    frames = random_frames(3, size)
    with torch.no_grad():
        expected = network.forward_features(as_timm_sees(network, frames))
        maps, pooled = encoder(frames, torch.tensor([1, 2]))
    assert maps.ndim == 4 and len(maps) == 3
    assert maps.shape[1] == encoder.dim == encoder.channels == pooled.shape[1]
    assert maps.dtype == pooled.dtype == torch.float32
    assert name not in FORMS.values() or FORMS[form_of(expected, encoder.dim)] == name
    if expected.ndim == 3:
        prefix = getattr(network, "num_prefix_tokens", 0)
        patches = maps.flatten(2).transpose(1, 2)
        torch.testing.assert_close(patches, expected[:, prefix:], atol=1e-4, rtol=1e-3)
    else:
        same = expected.shape == maps.shape
        expected = expected if same else expected.permute(0, 3, 1, 2)
        torch.testing.assert_close(maps, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(pooled, maps.mean(dim=(2, 3)))
    assert maps.std() > 1e-3, "the comparison would be empty"


@every_form
def test_the_place_of_something_in_the_maps_is_its_place_in_the_frame(name: str) -> None:
    size = (160, 160)
    encoder = TimmEncoder(name, size=size).eval()
    frames = torch.zeros(2, 3, *size, dtype=torch.uint8)
    frames[1, :, 110:150, 10:50] = 255
    with torch.no_grad():
        maps = encoder(frames, torch.tensor([2])).maps
    change = (maps[1] - maps[0]).norm(dim=0)
    height, width = change.shape
    row, column = divmod(int(change.argmax()), width)
    assert row >= height / 2 and column < width / 2


def test_frames_need_not_be_square() -> None:
    maps, _ = TimmEncoder("timm/test_vit", size=(96, 64)).eval()(
        random_frames(1, (96, 64)), torch.tensor([1])
    )
    assert maps.shape[2:] == (6, 4)


@every_form
def test_clips_do_not_see_each_other_and_steps_equal_the_whole(name: str) -> None:
    size = NETWORKS[name]
    encoder, frames = TimmEncoder(name, size=size).eval(), random_frames(4, size)
    with torch.no_grad():
        whole = encoder(frames, torch.tensor([1, 3])).pooled
        state = None
        for number in range(4):
            one, state = encoder.step(frames[number : number + 1], state)
            torch.testing.assert_close(one.pooled[0], whole[number], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["timm/test_resnet", "timm/test_vit3", "timm/mobilenetv3_small_050"]
)
def test_what_only_the_classifier_needs_is_left_out(name: str) -> None:
    """Every weight that is kept learns."""
    encoder = TimmEncoder(name, size=(64, 64)).train()
    encoder(random_frames(2, (64, 64)), torch.tensor([2])).pooled.square().sum().backward()
    idle = [key for key, p in encoder.named_parameters() if p.grad is None]
    assert idle == []


def test_frames_are_normalised_as_the_published_weights_expect() -> None:
    assert TimmEncoder("timm/test_vit").mean == (0.5, 0.5, 0.5)
    assert TimmEncoder("timm/test_efficientnet").std == (0.229, 0.224, 0.225)


class TestModelFile:
    @every_form
    def test_a_saved_model_loads_without_fetching_anything(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = (96, 64)
        config = ModelConfig(encoder=name, hidden=4)
        network = build_recognizer(config, num_classes=2, size=size).eval()
        info = ModelInfo(
            model=asdict(config) | {"pretrained": True, "encoder_weights": "gone.pt"},
            class_names=("a", "b"),
            size=size,
            mean=network.encoder.mean,
            std=network.encoder.std,
            sampling="uniform",
            frames=2,
            rate_fps=1.0,
            context_s=1.0,
            split_fingerprint="",
        )
        save_model(tmp_path / "model.safetensors", network, info)
        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", None)
        again, _ = load_model(tmp_path / "model.safetensors")
        clips, lengths = random_frames(2, size)[None], torch.tensor([2])
        with torch.no_grad():
            assert torch.equal(again(clips, lengths), network(clips, lengths))


def config_with_file(path: Path, name: str = "timm/test_resnet") -> ModelConfig:
    return ModelConfig(encoder=name, encoder_weights=str(path))


class TestWeights:
    @pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
    def test_weights_come_from_a_file(self, suffix: str, tmp_path: Path) -> None:
        state, path = plain_network("timm/test_resnet", (64, 64)).state_dict(), tmp_path / "file"
        path = path.with_suffix(suffix)
        (save_file if suffix == ".safetensors" else torch.save)(state, path)
        own = build_encoder(config_with_file(path), load_weights=True).state_dict()
        assert own
        for key, tensor in own.items():
            assert torch.equal(tensor, state[key.removeprefix("network.")]), key

    def test_the_classifier_may_be_missing(self) -> None:
        state = plain_network("timm/test_resnet", (64, 64), num_classes=0).state_dict()
        assert not any(key.startswith("fc.") for key in state)
        TimmEncoder("timm/test_resnet", weights=state)

    def test_positions_are_fitted_to_another_size(self) -> None:
        state = plain_network("timm/test_vit", (160, 160)).state_dict()
        encoder = TimmEncoder("timm/test_vit", weights=state, size=(64, 64))
        assert encoder.network.pos_embed.shape != state["pos_embed"].shape
        assert torch.equal(encoder.network.norm.weight, state["norm.weight"])

    @pytest.mark.parametrize("damage", ["missing", "another shape", "another network"])
    def test_wrong_weights_name_the_tensor_and_the_mend(self, damage: str) -> None:
        state: dict[str, Tensor] = dict(plain_network("timm/test_resnet", (64, 64)).state_dict())
        tensor = "layer1.0.conv1.weight"
        if damage == "missing":
            del state[tensor]
        elif damage == "another shape":
            state[tensor] = state[tensor][:1]
        else:
            tensor = "conv1.0.weight"
            state = dict(plain_network("timm/test_convnext", (64, 64)).state_dict())
        with pytest.raises(InputError, match="do not fit timm/test_resnet") as caught:
            TimmEncoder("timm/test_resnet", weights=state)
        assert tensor in str(caught.value)
        assert "timm.create_model('test_resnet')" in str(caught.value)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500

    def test_pretrained_takes_what_the_hub_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state: Mapping[str, Tensor] = plain_network(
            "timm/test_resnet", (64, 64), num_classes=1000
        ).state_dict()
        asked = []

        def hub(repository: str, **options: object) -> dict[str, Tensor]:
            asked.append(repository)
            return dict(state)

        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", hub)
        config = ModelConfig(encoder="timm/test_resnet", pretrained=True)
        own = build_encoder(config, load_weights=True).state_dict()
        assert all(
            torch.equal(own[f"network.{key}"], state[key]) for key in state if key[:2] != "fc"
        )
        assert asked == ["timm/test_resnet.r160_in1k"]

    def test_without_a_connection_pretrained_names_the_key_for_a_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        config = ModelConfig(encoder="timm/test_resnet", pretrained=True)
        with pytest.raises(InputError, match="weights of timm/test_resnet could not be") as caught:
            build_recognizer(config, num_classes=2)
        assert "--model.encoder_weights FILE" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_network_without_published_weights_says_so(self) -> None:
        config = ModelConfig(encoder="timm/resnet18d.nonsense", pretrained=True)
        with pytest.raises(ConfigError, match="no weights 'nonsense' of resnet18d") as caught:
            build_encoder(config, load_weights=True)
        assert "ra2_in1k" in str(caught.value) and "Use timm/resnet18d" in str(caught.value)


class TestNames:
    @pytest.mark.parametrize(
        ("wrong", "nearest"),
        [
            ("timm/resnet19", "timm/resnet18"),
            ("timm/vit_tiny_patch16", "timm/vit_tiny_patch16_224"),
            ("timm/", "timm/"),
            ("timm/@@@", "timm/"),
            ("timm/timm/resnet18", "timm/resnet18"),
        ],
    )
    def test_an_unknown_name_gives_the_nearest(self, wrong: str, nearest: str) -> None:
        with pytest.raises(ConfigError, match=f"no encoder '{wrong}'") as caught:
            build_encoder(ModelConfig(encoder=wrong), load_weights=False)
        assert f"Nearest: {nearest}" in str(caught.value) or nearest in str(caught.value)

    def test_an_unknown_name_without_timm_tells_of_it(self) -> None:
        with pytest.raises(ConfigError, match="timm/NAME for any network of timm"):
            build_encoder(ModelConfig(encoder="resnet10t"), load_weights=False)

    def test_a_tag_chooses_among_published_weights(self) -> None:
        check_timm_name("timm/resnet18.a1_in1k")
        assert TimmEncoder("timm/test_resnet.r160_in1k").dim == 96

    def test_all_of_timm_is_offered(self) -> None:
        assert len(timm_names()) > 1000
        assert all(name.startswith("timm/") for name in timm_names())

    @pytest.mark.parametrize("keys", [{"width": 0.5}, {"pool": "mean"}, {"norm": "group"}])
    @pytest.mark.parametrize("name", ["timm/test_resnet", "squeezenet1_1"])
    def test_what_is_tinys_alone_is_refused(self, name: str, keys: dict[str, Any]) -> None:
        (key,) = keys
        with pytest.raises(ConfigError, match=rf"model\.{key} is .*only.*tiny") as caught:
            build_encoder(ModelConfig(encoder=name, **keys), load_weights=False)
        assert f"Leave model.{key} out for {name}" in str(caught.value)


class TestSizes:
    @pytest.mark.parametrize("name", ["timm/test_vit", "timm/mixer_s32_224"])
    def test_a_size_that_a_fixed_network_cannot_be_built_for_is_said(self, name: str) -> None:
        size = (10, 5)
        with pytest.raises(ConfigError, match=f"{name} cannot take frames of 10x5") as caught:
            build_recognizer(ModelConfig(encoder=name), num_classes=2, size=size)
        assert "Choose another data.size; it was made for " in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_the_whole_network_takes_the_size_that_it_was_built_for(self) -> None:
        config = ModelConfig(encoder="timm/test_vit", hidden=4)
        network = build_recognizer(config, num_classes=2, size=(80, 112))
        check_frame_size(network, encoder="timm/test_vit", size=(80, 112))

    def test_features_that_are_no_maps_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="features of timm/coat_tiny are no maps") as caught:
            TimmEncoder("timm/coat_tiny")
        assert "Use another" in str(caught.value)


# Networks that between them have every kind of timm's residual blocks.
SHIFTING = (
    "timm/test_resnet",
    "timm/resnet26",
    "timm/regnetx_002",
    "timm/mobilenetv3_small_050",
    "timm/mobilenet_edgetpu_v2_xs",
    "timm/mobilenetv4_conv_small_050",
    "timm/test_convnext",
)


class TestMotion:
    def test_every_kind_of_residual_block_is_tried(self) -> None:
        kinds = {
            f"{type(module).__module__}.{type(module).__name__}"
            for name in SHIFTING
            for module in timm.create_model(name.removeprefix("timm/")).modules()
        }
        assert {kind for kind in BRANCHES if kind.startswith("timm")} <= kinds

    @pytest.mark.parametrize("name", SHIFTING)
    def test_temporal_shift_changes_what_follows_a_frame(self, name: str) -> None:
        size = (64, 64)
        torch.manual_seed(0)
        encoder = TimmEncoder(name, size=size, shift="causal").eval()
        for parameter in encoder.parameters():
            if parameter.ndim == 1:  # residual branches begin at nearly nothing
                nn.init.uniform_(parameter, 0.5, 1.0)
        assert any(isinstance(module, TemporalShift) for module in encoder.modules())
        frames = random_frames(3, size)
        with torch.no_grad():
            whole = encoder(frames, torch.tensor([3])).pooled
            state = None
            for number in range(3):
                one, state = encoder.step(frames[number : number + 1], state)
                torch.testing.assert_close(one.pooled[0], whole[number], atol=1e-5, rtol=1e-4)
            alone = encoder(frames[1:], torch.tensor([2])).pooled[0]
        assert (alone - whole[1]).abs().max() > 1e-4

    def test_shift_without_residual_branches_is_refused(self) -> None:
        with pytest.raises(
            ConfigError,
            match=r"residual blocks, and timm/test_vit has none.*of timm.*motion features",
        ):
            TimmEncoder("timm/test_vit", shift="causal")

    @pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit"])
    def test_frame_differences_begin_as_what_the_weights_were(self, name: str) -> None:
        size = (64, 64)
        state, frames = plain_network(name, size).state_dict(), random_frames(2, size)
        with torch.no_grad():
            plain, wide = (
                TimmEncoder(name, weights=state, size=size, frame_differences=wanted)
                .eval()(frames, torch.tensor([2]))
                .pooled
                for wanted in (False, True)
            )
        torch.testing.assert_close(plain, wide, atol=1e-5, rtol=1e-4)

    def test_a_convolution_of_its_own_kind_cannot_take_differences(self) -> None:
        """One that pads or standardises its weights would be replaced by one that does not."""
        with pytest.raises(ConfigError, match=r"tf_efficientnet_lite0 .*plain convolution.*Use"):
            TimmEncoder("timm/tf_efficientnet_lite0", size=(64, 64), frame_differences=True)


class TestCheckpointing:
    @pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_convnext"])
    def test_gradients_are_the_same(self, name: str) -> None:
        size = NETWORKS[name]
        torch.manual_seed(0)
        plain = TimmEncoder(name, size=size).train()
        thrifty = TimmEncoder(name, size=size).train()
        thrifty.load_state_dict(plain.state_dict())
        thrifty.checkpointing = True
        assert thrifty.checkpointing and not plain.checkpointing
        frames, lengths = random_frames(3, size), torch.tensor([1, 2])
        for encoder in (plain, thrifty):
            encoder(frames, lengths).pooled.square().sum().backward()
        for (key, one), other in zip(plain.named_parameters(), thrifty.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-4, msg=key)

    def test_shifts_and_checkpointing_of_timm_do_not_go_together(self) -> None:
        encoder = TimmEncoder("timm/test_convnext", size=(64, 64), shift="causal")
        with pytest.raises(ConfigError, match=r"cannot compute .*temporal shifts"):
            encoder.checkpointing = True

    @pytest.mark.parametrize(
        ("name", "why"),
        [("timm/test_resnet", "batch norms"), ("timm/convit_tiny", "not supported")],
    )
    def test_a_network_that_cannot_is_refused_with_those_that_can(
        self, name: str, why: str
    ) -> None:
        encoder = TimmEncoder(name)
        with pytest.raises(ConfigError, match=f"{name} cannot compute .*{why}") as caught:
            encoder.checkpointing = True
        assert "Leave it out" in str(caught.value) and "timm/vit_tiny" in str(caught.value)
        assert not encoder.checkpointing
