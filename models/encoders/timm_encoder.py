"""Any network of timm as an encoder, by the name `timm/NAME`.

timm's networks give their last features in one of three forms; each becomes maps (N, C, h, w),
and the pooled vector is their average over space, as for torchvision's:

    NCHW        convolutional networks
    NHWC        Swin and its kin
    tokens      transformers and mixers: prefix tokens (class, registers), then patches in rows
"""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cliptide.configs.errors import ConfigError, InputError
from cliptide.models.encoders.base import EncodedFrames, PictureEncoder, widen_first_convolution
from cliptide.models.encoders.shift import residual_branches, shift_branches
from cliptide.models.encoders.vision import one_line

PREFIX = "timm/"
Colour = tuple[float, float, float]


def timm_names() -> list[str]:
    """Names of timm's networks with `timm/` in front, sorted."""
    return [PREFIX + name for name in timm.list_models()]


def check_timm_name(name: str) -> None:
    """Refuse a name, with `timm/` in front, that timm does not have.

    A tag behind a point (`resnet18.a1_in1k`) chooses among published weights.

    Raises:
        ConfigError: There is no such network, or no such weights of it.
    """
    network, _, tag = name.removeprefix(PREFIX).partition(".")
    if not timm.is_model(network):
        names = timm_names()
        near = get_close_matches(PREFIX + network, names, n=3, cutoff=0.4) or names[:3]
        raise ConfigError(
            f"There is no encoder {name!r}. Nearest: {', '.join(near)}. "
            "timm.list_models() lists all that timm has."
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{network}.*")]
    if tag and tag not in tags:
        near = get_close_matches(tag, tags, n=3, cutoff=0) or ["none"]
        raise ConfigError(
            f"timm has no weights {tag!r} of {network}. Nearest: {', '.join(near)}. "
            f"Use {PREFIX}{network} for its usual ones."
        )


class TimmEncoder(PictureEncoder):
    """A timm network without its classifier.

    Args:
        name: `timm/` and timm's name, such as `timm/vit_tiny_patch16_224`.
        pretrained: Whether to fetch timm's weights, kept in the Hugging Face cache.
        weights: State dict of the timm network (its classifier is not needed), in place of them.
        size: (height, width) of the frames: a network of fixed size is built for it. None builds
            it for its usual size.
        shift: `none`, or a temporal shift in each residual branch: `causal`, or `both`.
        frame_differences: See `PictureEncoder`.

    Raises:
        ConfigError: There is no such network, it cannot take the size, gives no maps, has no
            residual branches to shift in, or does not begin with a convolution.
        InputError: The weights cannot be fetched or do not fit.
    """

    def __init__(
        self,
        name: str,
        *,
        pretrained: bool = False,
        weights: Mapping[str, Tensor] | None = None,
        size: tuple[int, int] | None = None,
        shift: str = "none",
        frame_differences: bool = False,
    ) -> None:
        check_timm_name(name)
        known = _known(name)
        super().__init__(
            mean=cast(Colour, tuple(known.mean)),
            std=cast(Colour, tuple(known.std)),
            frame_differences=frame_differences,
        )
        self.name = name
        self._checkpointing = False
        self.network: Any = _build(name, pretrained=pretrained, weights=weights, size=size)
        self.dim = self.channels = self._try(size or _usual_size(name))
        if weights is not None:
            self._check_taken(weights)
        # Behind the weights, which know of neither.
        if frame_differences:
            widen_first_convolution(self.network, name=name)
        branches = [] if shift == "none" else residual_branches(self.network, name=name)
        shift_branches(self.network, branches, both=shift == "both")

    @property
    def checkpointing(self) -> bool:
        """See `Encoder`; setting it refuses networks that cannot, with a ConfigError.

        Timm's own checkpointing shows a batch norm each batch twice, and counts it twice.
        """
        return self._checkpointing

    @checkpointing.setter
    def checkpointing(self, wanted: bool) -> None:
        if wanted and any(isinstance(module, _BatchNorm) for module in self.network.modules()):
            raise _cannot_checkpoint(self.name, "it has batch norms")
        if wanted and self._shifts():
            # Timm computes activations again without telling which clips they are of.
            raise _cannot_checkpoint(self.name, "it has temporal shifts")
        try:
            if wanted:
                self.network.set_grad_checkpointing(True)
        except (AssertionError, AttributeError) as error:
            raise _cannot_checkpoint(self.name, one_line(error)) from error
        self._checkpointing = wanted

    def _try(self, size: tuple[int, int]) -> int:
        """Pass a black frame through; drop what only the classifier needs, and count the maps.

        What is dropped would be saved, and never learn: a hundred million weights in VGG.
        """
        ran: set[nn.Module] = set()
        handles = [
            module.register_forward_pre_hook(lambda module, given: ran.add(module))
            for module in self.network.modules()
        ]
        self.eval()
        try:
            with torch.enable_grad():
                maps = self.encode(torch.zeros(1, 3, *size)).maps
        except ConfigError:
            raise
        except Exception as error:  # each network fails in its own way
            raise _cannot_take(self.name, size, error) from error
        finally:
            for handle in handles:
                handle.remove()
            self.train()
        for child, module in list(self.network.named_children()):
            weights = list(module.parameters())
            if not weights or not ran.isdisjoint(module.modules()):
                continue
            # Some are used without being called, such as EVA's positions.
            used = torch.autograd.grad(maps.sum(), weights, allow_unused=True, retain_graph=True)
            if all(gradient is None for gradient in used):
                setattr(self.network, child, nn.Identity())
        return maps.shape[1]

    def _check_taken(self, weights: Mapping[str, Tensor]) -> None:
        """The loader of timm passes over what is missing; a network half random is no start."""
        own = [key for key in self.network.state_dict() if not key.endswith("num_batches_tracked")]
        missing = [key for key in own if key not in weights]
        if missing:
            raise _do_not_fit(
                self.name, f"{len(missing)} of {len(own)} tensors are missing, such as {missing[0]}"
            )

    def encode(self, images: Tensor) -> EncodedFrames:
        """See `PictureEncoder.encode`.

        Raises:
            ConfigError: The network's features are no maps.
        """
        maps = self._maps(self.network.forward_features(images), images)
        return EncodedFrames(maps, maps.mean(dim=(2, 3)))

    def _maps(self, features: object, images: Tensor) -> Tensor:
        channels = self.network.num_features
        if isinstance(features, Tensor) and features.ndim == 4:
            if getattr(self.network, "output_fmt", "NCHW") == "NHWC":
                return features.permute(0, 3, 1, 2)
            if features.shape[1] == channels or features.shape[3] != channels:
                return features
            return features.permute(0, 3, 1, 2)
        if isinstance(features, Tensor) and features.ndim == 3:
            patches = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
            grid = _grid(patches.shape[1], height=images.shape[2], width=images.shape[3])
            if grid is not None:
                return torch.unflatten(patches.transpose(1, 2), 2, grid)
        raise ConfigError(
            f"The features of {self.name} are no maps, so it cannot be an encoder. Use another of "
            "timm's networks, such as timm/resnet18 or timm/vit_tiny_patch16_224."
        )


def _grid(count: int, *, height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns of so many patches, in the proportions of a frame."""
    rows = max(1, round(math.sqrt(count * height / width)))
    return (rows, count // rows) if count % rows == 0 else None


def _known(name: str) -> timm.models.PretrainedCfg:
    return timm.get_pretrained_cfg(name.removeprefix(PREFIX)) or timm.models.PretrainedCfg()


def _usual_size(name: str) -> tuple[int, int]:
    _, height, width = _known(name).input_size
    return height, width


def _build(
    name: str,
    *,
    pretrained: bool = False,
    weights: Mapping[str, Tensor] | None = None,
    size: tuple[int, int] | None = None,
) -> nn.Module:
    options: dict[str, Any] = {"num_classes": 0}
    if size is not None and _known(name).fixed_input_size:
        options["img_size"] = size
    if weights is not None:
        options["pretrained_cfg_overlay"] = {"state_dict": dict(weights)}
    try:
        network: nn.Module = timm.create_model(
            name.removeprefix(PREFIX), pretrained=pretrained or weights is not None, **options
        )
        return network
    except Exception as error:  # each network, converter of weights and hub fails in its own way
        if weights is None and not pretrained:
            raise _cannot_take(name, size or _usual_size(name), error) from error
        _build(name, size=size)  # is it the size?
        if weights is not None:
            raise _do_not_fit(name, one_line(error)) from error
        raise InputError(
            f"The pretrained weights of {name} could not be fetched ({one_line(error)}). "
            "Without a connection, give a file: --model.encoder_weights FILE."
        ) from error


def _cannot_take(name: str, size: tuple[int, int], error: Exception) -> ConfigError:
    height, width = _usual_size(name)
    return ConfigError(
        f"The encoder {name} cannot take frames of {size[0]}x{size[1]} ({one_line(error)}). "
        f"Choose another data.size; it was made for {height}x{width}."
    )


def _cannot_checkpoint(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"train.checkpointing is true, but {name} cannot compute its activations again ({why}). "
        "Leave it out, or take tiny, a network of torchvision, or one of timm without batch norm "
        "such as timm/vit_tiny_patch16_224."
    )


def _do_not_fit(name: str, why: str) -> InputError:
    return InputError(
        f"The encoder weights do not fit {name}: {why}. Give weights saved from "
        f"timm.create_model({name.removeprefix(PREFIX)!r})."
    )
