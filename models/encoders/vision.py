"""Any classification network of torchvision as an encoder, by its torchvision name.

The network is cut behind its last feature maps by torchvision's own feature extraction; the
pooled vector is their average over space. Vision transformers give their tokens as maps.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from cliptide.configs.errors import ConfigError, InputError
from cliptide.models.encoders.base import IMAGENET_MEAN, IMAGENET_STD, EncodedFrames, Encoder

# The node of each family's graph that holds its last feature maps.
MAPS_NODE = {
    "AlexNet": "features",
    "ConvNeXt": "features",
    "DenseNet": "features",
    "EfficientNet": "features",
    "GoogLeNet": "inception5b",
    "Inception3": "Mixed_7c",
    "MaxVit": "blocks",
    "MNASNet": "layers",
    "MobileNetV2": "features",
    "MobileNetV3": "features",
    "RegNet": "trunk_output",
    "ResNet": "layer4",
    "ShuffleNetV2": "conv5",
    "SqueezeNet": "features",
    "SwinTransformer": "permute",
    "VGG": "features",
    "VisionTransformer": "encoder",
}
# These two were trained on inputs from -1 to 1 and convert ImageNet's normalisation inside
# when loaded with weights; here the right normalisation is given at once.
SYMMETRIC = ("GoogLeNet", "Inception3")


def vision_names() -> list[str]:
    """Names of torchvision's classification networks, sorted."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def _bare_network(name: str) -> nn.Module:
    options = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    if options:
        options["init_weights"] = False
    network = torchvision.models.get_model(name, weights=None, **options)
    if isinstance(network, nn.Module):
        return network
    raise TypeError(f"torchvision returned no network for {name}")


class VisionEncoder(Encoder):
    """A torchvision classification network without its classifier.

    Args:
        name: torchvision's name, such as `resnet18` or `squeezenet1_0`.
        weights: State dict of the whole torchvision network (its classifier is not needed), or None for
            random weights.

    Raises:
        InputError: The weights do not fit the network.
        ConfigError: The network's family has no row in `MAPS_NODE`.
    """

    def __init__(self, name: str, *, weights: Mapping[str, Tensor] | None = None) -> None:
        network = _bare_network(name)
        family = type(network).__name__
        if family not in MAPS_NODE:
            raise ConfigError(f"{name} is of the family {family}, which has no known feature maps.")
        symmetric = family in SYMMETRIC
        super().__init__(
            mean=(0.5, 0.5, 0.5) if symmetric else IMAGENET_MEAN,
            std=(0.5, 0.5, 0.5) if symmetric else IMAGENET_STD,
        )
        self.name = name
        self.tokens = family == "VisionTransformer"
        self.image_size: int | None = getattr(network, "image_size", None) if self.tokens else None
        self.network = create_feature_extractor(network, {MAPS_NODE[family]: "maps"})
        if weights is not None:
            self._take(weights)
        side = self.image_size or 224
        with torch.no_grad():
            was_training = self.training
            self.eval()
            maps = self._maps(torch.zeros(1, 3, side, side))
            self.train(was_training)
        self.dim = maps.shape[1]

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        own = self.network.state_dict()
        missing = [
            key
            for key in own
            if not key.endswith("num_batches_tracked")
            and (key not in weights or weights[key].shape != own[key].shape)
        ]
        if missing:
            raise InputError(
                f"The encoder weights do not fit {self.name}: {len(missing)} of {len(own)} tensors are "
                f"missing or of another shape, such as {missing[0]}. Give weights saved from "
                f"torchvision.models.{self.name}."
            )
        self.network.load_state_dict({k: weights[k] for k in own if k in weights}, strict=False)

    def _maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network(images)["maps"]
        if self.tokens:
            patches = maps[:, 1:]  # the first token stands for the class
            side = math.isqrt(patches.shape[1])
            maps = patches.transpose(1, 2).unflatten(2, (side, side))
        return maps

    def encode(self, images: Tensor, lengths: Tensor) -> EncodedFrames:
        """See `Encoder.encode`."""
        maps = self._maps(images)
        return EncodedFrames(maps, maps.mean(dim=(2, 3)))


def download_weights(name: str) -> dict[str, Tensor]:
    """Fetch torchvision's own ImageNet weights, kept in torch's hub folder.

    Raises:
        InputError: There are none, or they cannot be fetched.
    """
    try:
        weights = torchvision.models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"The pretrained weights of {name} could not be fetched ({error}). "
            "Without a connection, give a file: --model.encoder_weights FILE."
        ) from error
    return state


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors, .pt or .pth file without running code.

    Raises:
        InputError: The file is missing or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"The encoder weights {path} are not there. Check --model.encoder_weights.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format fails in its own way
        raise InputError(
            f"The encoder weights {path} cannot be read ({error}). "
            "Give a .safetensors file or a state dict saved by torch."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} holds no state dict. Save one with torch.save(net.state_dict(), ...).")
    return state
