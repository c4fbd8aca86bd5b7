"""Any classification network of torchvision as an encoder, by its torchvision name.

The network is cut behind its last feature maps by torchvision's own feature extraction; the
pooled vector is their average over space. Vision transformers give their tokens as maps.
"""

import math
import re
import textwrap
from collections.abc import Mapping, Set
from http.client import HTTPException
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import (
    create_feature_extractor,
)

from cliptide.configs.errors import ConfigError, InputError
from cliptide.models.encoders.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EncodedFrames,
    PictureEncoder,
    widen_first_convolution,
)
from cliptide.models.encoders.checkpointing import graph_segments, in_segments
from cliptide.models.encoders.shift import residual_branches, shift_branches

# The node of each family's graph that holds its last feature maps.
MAPS_NODE = {
    "AlexNet": "features",
    "ConvNeXt": "features",
    "DenseNet": "relu",  # its own forward rectifies what `features` gives
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
# These were trained on inputs from -1 to 1. The first two convert ImageNet's normalisation inside
# when torchvision loads their weights; here the right normalisation is given at once.
SYMMETRIC = ("googlenet", "inception_v3", "efficientnet_v2_l")
# torchvision's default for this one takes 518 pixels; here every network is built for 224.
WEIGHTS_FOR_224 = {"vit_h_14": "IMAGENET1K_SWAG_LINEAR_V1"}
# The published files keep names of tensors that torchvision has since changed: it renames them
# while loading, and so must we.
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)"), r"\1"),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)


def vision_names() -> list[str]:
    """Names of torchvision's classification networks, sorted."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def normalisation(
    name: str,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """RGB mean and standard deviation (0 to 1) that a network's published weights expect."""
    if name in SYMMETRIC:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    return IMAGENET_MEAN, IMAGENET_STD


def _bare_network(name: str) -> nn.Module:
    options = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    if options:
        options["init_weights"] = False
    network = torchvision.models.get_model(name, weights=None, **options)
    if isinstance(network, nn.Module):
        return network
    raise TypeError(f"torchvision returned no network for {name}")


class VisionEncoder(PictureEncoder):
    """A torchvision classification network without its classifier.

    Args:
        name: torchvision's name, such as `resnet18` or `squeezenet1_0`.
        weights: State dict of the whole torchvision network (its classifier is not needed), or
            None for random weights.
        shift: `none`, or a temporal shift in each residual branch: `causal`, or `both`.
        frame_differences: See `PictureEncoder`.

    Raises:
        InputError: The weights do not fit the network.
        ConfigError: The network's family has no row in `MAPS_NODE`, no residual branches to shift
            in, or does not begin with a convolution.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: Mapping[str, Tensor] | None = None,
        shift: str = "none",
        frame_differences: bool = False,
    ) -> None:
        network = _bare_network(name)
        branches = [] if shift == "none" else residual_branches(network, name=name)
        family = type(network).__name__
        if family not in MAPS_NODE:
            raise ConfigError(f"{name} is of the family {family}, which has no known feature maps.")
        mean, std = normalisation(name)
        super().__init__(mean=mean, std=std, frame_differences=frame_differences)
        self.name = name
        self.tokens = family == "VisionTransformer"
        self.image_size: int | None = getattr(network, "image_size", None) if self.tokens else None
        self.network = create_feature_extractor(network, {MAPS_NODE[family]: "maps"})
        if weights is not None:
            self._take(weights, names=network.state_dict().keys())
        # Behind the weights, which know of neither.
        if frame_differences:
            widen_first_convolution(self.network, name=name)
        shift_branches(self.network, branches, both=shift == "both")
        side = self.image_size or 224
        with torch.no_grad():
            was_training = self.training
            self.eval()
            black = torch.zeros(1, 3, side, side, dtype=torch.uint8)
            self.dim = self.channels = self(black, torch.ones(1, dtype=torch.int64)).maps.shape[1]
            self.train(was_training)

    def _take(self, weights: Mapping[str, Tensor], *, names: Set[str]) -> None:
        weights = {_present_name(key): value for key, value in weights.items()}
        # Cutting the network turns some of its tables into tensors with names of its own.
        own = {key: value for key, value in self.network.state_dict().items() if key in names}
        missing = [
            key
            for key in own
            if not key.endswith("num_batches_tracked")
            and (key not in weights or weights[key].shape != own[key].shape)
        ]
        if missing:
            raise InputError(
                f"The encoder weights do not fit {self.name}: {len(missing)} of {len(own)} tensors "
                f"are missing or of another shape, such as {missing[0]}. Give weights saved from "
                f"torchvision.models.{self.name}."
            )
        self.network.load_state_dict({k: weights[k] for k in own if k in weights}, strict=False)

    def _maps(self, images: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            maps = in_segments(graph_segments(self.network), images, norms_of=self)
        else:
            maps = self.network(images)["maps"]
        if self.tokens:
            patches = maps[:, 1:]  # the first token stands for the class
            side = math.isqrt(patches.shape[1])
            maps = torch.unflatten(patches.transpose(1, 2), 2, (side, side))
        return maps

    def encode(self, images: Tensor) -> EncodedFrames:
        """See `PictureEncoder.encode`."""
        maps = self._maps(images)
        return EncodedFrames(maps, maps.mean(dim=(2, 3)))


def download_weights(name: str) -> dict[str, Tensor]:
    """Fetch torchvision's own ImageNet weights, kept in torch's hub folder.

    Raises:
        InputError: There are none, or they cannot be fetched.
    """
    try:
        published = torchvision.models.get_model_weights(name)
        weights = getattr(published, WEIGHTS_FOR_224.get(name, "DEFAULT"))
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, AttributeError, HTTPException) as error:
        raise InputError(
            f"The pretrained weights of {name} could not be fetched ({one_line(error)}). "
            "Without a connection, give a file: --model.encoder_weights FILE."
        ) from error
    return state


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors, .pt or .pth file without running code.

    Raises:
        InputError: The file is missing or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"There are no encoder weights {path}. Check --model.encoder_weights.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format fails in its own way
        raise InputError(
            f"The encoder weights {path} cannot be read ({one_line(error)}). "
            "Give a .safetensors file or a state dict saved by torch."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(
            f"{path} holds no state dict. Save one with torch.save(net.state_dict(), FILE)."
        )
    return state


def _present_name(key: str) -> str:
    for pattern, replacement in RENAMED:
        key = pattern.sub(replacement, key)
    return key


def one_line(error: Exception) -> str:
    """An error of another library in one line of bearable length."""
    return textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" ...")
