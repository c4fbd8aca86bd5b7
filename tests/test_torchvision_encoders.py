"""torchvision's networks as encoders: every family gives torchvision's own maps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from cliptide.configs.errors import InputError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_encoder, build_recognizer
from cliptide.models.encoders.vision import (
    MAPS_NODE,
    VisionEncoder,
    download_weights,
    normalisation,
    read_weights,
    vision_names,
)

# The smallest network of each family, and the side of the frames to try it with.
SMALLEST = {
    "AlexNet": ("alexnet", 64),
    "ConvNeXt": ("convnext_tiny", 64),
    "DenseNet": ("densenet121", 64),
    "EfficientNet": ("efficientnet_b0", 64),
    "GoogLeNet": ("googlenet", 64),
    "Inception3": ("inception_v3", 96),
    "MNASNet": ("mnasnet0_5", 64),
    "MaxVit": ("maxvit_t", 224),
    "MobileNetV2": ("mobilenet_v2", 64),
    "MobileNetV3": ("mobilenet_v3_small", 64),
    "RegNet": ("regnet_x_400mf", 64),
    "ResNet": ("resnet18", 64),
    "ShuffleNetV2": ("shufflenet_v2_x0_5", 64),
    "SqueezeNet": ("squeezenet1_1", 64),
    "SwinTransformer": ("swin_t", 64),
    "VGG": ("vgg11", 64),
    "VisionTransformer": ("vit_b_32", 224),
}
# GoogLeNet and Inception get this from torchvision itself once weights are loaded.
AS_PRETRAINED = {"transform_input": True, "aux_logits": False, "init_weights": False}


def plain_network(name: str) -> nn.Module:
    """torchvision's network with random weights and batch-norms that have seen something."""
    torch.manual_seed(0)
    options = AS_PRETRAINED if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def maps_of(family: str, output: Tensor) -> Tensor:
    """What a family's own forward makes of the output of its last layer of features."""
    if family == "DenseNet":
        return torch.relu(output)
    if family == "VisionTransformer":  # a class token, then 7 x 7 patches in rows
        return output[:, 1:].transpose(1, 2).reshape(len(output), -1, 7, 7)
    return output


LAST_LAYER: dict[str, Callable[[Any], nn.Module]] = {
    "DenseNet": lambda network: network.features,
    "MaxVit": lambda network: network.blocks[-1],
}


def random_frames(count: int, side: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)


def normalised_by_torchvision(name: str, frames: Tensor) -> Tensor:
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preset.mean, preset.std))
    return (frames.float() / 255 - mean) / std


def test_every_family_of_torchvision_is_known_and_tried() -> None:
    assert set(SMALLEST) == set(MAPS_NODE)
    families = {
        type(torchvision.models.get_model(name, weights=None)).__name__
        for name in vision_names()
        # One name of each family that none of the smallest shares.
        if not name.startswith(tuple(name[:4] for name, _ in SMALLEST.values()))
    }
    assert families <= set(MAPS_NODE)


@pytest.mark.parametrize("family", SMALLEST)
def test_weights_of_the_plain_network_give_its_own_maps(family: str) -> None:
    name, side = SMALLEST[family]
    network = plain_network(name)
    encoder = VisionEncoder(name, weights=network.state_dict()).eval()
    frames, seen = random_frames(2, side), []
    layer = LAST_LAYER.get(family, lambda network: network.get_submodule(MAPS_NODE[family]))
    layer(network).register_forward_hook(lambda _, given, output: seen.append(output.clone()))
    with torch.no_grad():
        network(normalised_by_torchvision(name, frames))
        maps, pooled = encoder(frames, torch.tensor([2]))
    expected = maps_of(family, seen[0])
    assert maps.shape[1] == encoder.dim
    torch.testing.assert_close(maps, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(pooled, expected.mean(dim=(2, 3)), atol=1e-4, rtol=1e-3)
    assert expected.std() > 1e-3, "the comparison would be empty"


@pytest.mark.parametrize("name", vision_names())
def test_frames_are_normalised_as_the_published_weights_expect(name: str) -> None:
    mean, std = normalisation(name)
    if name in ("googlenet", "inception_v3"):
        # Their presets give ImageNet's numbers, which the networks then convert to -1 to 1.
        assert mean == std == (0.5, 0.5, 0.5)
    else:
        preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        assert (tuple(preset.mean), tuple(preset.std)) == (mean, std)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_come_from_a_file(tmp_path: Path, suffix: str) -> None:
    state, path = plain_network("squeezenet1_1").state_dict(), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state} if suffix == ".pth" else state, path)
    config = ModelConfig(encoder="squeezenet1_1", encoder_weights=str(path))
    own = build_encoder(config, load_weights=True).state_dict()
    assert own
    for key, tensor in own.items():
        assert torch.equal(tensor, state[key.removeprefix("network.")]), key


def test_the_published_squeezenet_file_loads(shared_dir: Path) -> None:
    path = shared_dir / "weights" / "squeezenet1_0-imagenet.safetensors"
    config = ModelConfig(encoder="squeezenet1_0", encoder_weights=str(path), freeze=True)
    encoder = build_encoder(config, load_weights=True)
    stored = read_weights(path)
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, stored[key.removeprefix("network.")]), key


@pytest.mark.parametrize(
    ("name", "old"),
    [
        (
            "densenet121",
            lambda key: key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."),
        ),
        (
            "vit_b_32",
            lambda key: key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."),
        ),
    ],
    ids=["densenet", "vit"],
)
def test_the_old_names_in_published_files_are_understood(
    name: str, old: Callable[[str], str]
) -> None:
    """torchvision's own files for these two hold names that it renames while loading."""
    state = plain_network(name).state_dict()
    renamed = {old(key): tensor for key, tensor in state.items()}
    assert renamed.keys() != state.keys()
    for key, tensor in VisionEncoder(name, weights=renamed).state_dict().items():
        assert torch.equal(tensor, state[key.removeprefix("network.")]), key


def test_weights_with_another_classifier_fit() -> None:
    state = torchvision.models.squeezenet1_1(weights=None, num_classes=7).state_dict()
    VisionEncoder("squeezenet1_1", weights=state)


@pytest.mark.parametrize("damage", ["missing", "another shape", "another network"])
def test_wrong_weights_name_the_tensor_and_the_mend(damage: str) -> None:
    state = dict(torchvision.models.squeezenet1_1(weights=None).state_dict())
    tensor = "features.3.squeeze.weight"
    if damage == "missing":
        del state[tensor]
    elif damage == "another shape":
        state[tensor] = state[tensor][:1]
    else:
        tensor = "features.0.weight"
        state = dict(torchvision.models.resnet18(weights=None).state_dict())
    with pytest.raises(InputError, match=f"do not fit squeezenet1_1: .*such as {tensor}") as caught:
        VisionEncoder("squeezenet1_1", weights=state)
    assert "torchvision.models.squeezenet1_1" in str(caught.value)


def test_a_weights_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(InputError, match=r"no encoder weights .*none\.safetensors") as caught:
        read_weights(path)
    assert "--model.encoder_weights" in str(caught.value)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_weights_file_of_nonsense_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"this is no state dict at all")
    with pytest.raises(InputError, match=rf"{name} cannot be read") as caught:
        read_weights(path)
    assert "Give a .safetensors file or a state dict saved by torch." in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_that_holds_no_state_dict_says_how_to_save_one(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save([1, 2, 3], path)
    with pytest.raises(InputError, match="holds no state dict") as caught:
        read_weights(path)
    assert "net.state_dict()" in str(caught.value)


class _Dangerous:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_reading_weights_runs_no_code(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "code has run"
    torch.save({"weight": _Dangerous(trace)}, path)
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(path)
    assert not trace.exists()


def test_without_a_connection_pretrained_names_the_key_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_connection(*args: object, **options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", no_connection)
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    config = ModelConfig(encoder="resnet18", pretrained=True)
    with pytest.raises(InputError, match="weights of resnet18 could not be fetched") as caught:
        build_recognizer(config, num_classes=2)
    assert "no route to host" in str(caught.value)
    assert "--model.encoder_weights FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", vision_names())
def test_the_weights_that_would_be_fetched_fit_the_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformers are built for 224 pixels; weights for more would not fit their positions."""
    asked = []

    def note(weights: Any, **options: object) -> dict[str, Tensor]:
        asked.append(weights)
        return {}

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", note)
    download_weights(name)
    (weights,) = asked
    if name.startswith("vit_"):
        assert weights.meta["min_size"] == (224, 224)
    else:
        assert weights is torchvision.models.get_model_weights(name).DEFAULT


def test_a_model_file_needs_no_encoder_weights() -> None:
    """Rebuilding a trained network neither downloads nor looks for the file it began with."""
    config = ModelConfig(encoder="squeezenet1_1", pretrained=True, encoder_weights="gone.pt")
    build_encoder(config, load_weights=False)


def test_the_position_of_a_patch_in_the_maps_is_its_position_in_the_frame() -> None:
    encoder = VisionEncoder("vit_b_32").eval()
    frames = torch.zeros(2, 3, 224, 224, dtype=torch.uint8)
    frames[1, :, 64:96, 160:192] = 255
    with torch.no_grad():
        maps = encoder(frames, torch.tensor([2])).maps
    change = (maps[1] - maps[0]).norm(dim=0)
    assert divmod(int(change.argmax()), 7) == (2, 5)
