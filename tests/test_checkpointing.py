"""Activations computed again in the backward pass: the same numbers in less memory."""

import copy

import pytest
import torch
from peak_memory import peak_bytes
from torch import nn

from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer
from cliptide.models.encoders.checkpointing import graph_segments
from cliptide.models.recognizer import Recognizer

LENGTHS = torch.tensor([3, 1])
NETWORKS = [
    ModelConfig(encoder="tiny", width=0.5, hidden=8),
    ModelConfig(encoder="tiny", width=0.5, hidden=8, shift="causal", motion="both"),
    ModelConfig(encoder="resnet18", hidden=8),
    ModelConfig(encoder="resnet18", hidden=8, shift="causal", motion="both"),
    # In-place activations between the layers, dropout of whole branches, modules left whole.
    ModelConfig(encoder="mobilenet_v3_small", hidden=8),
    ModelConfig(encoder="efficientnet_b0", hidden=8),
    ModelConfig(encoder="squeezenet1_1", hidden=8),
    ModelConfig(encoder="swin_t", hidden=8),
]
every_network = pytest.mark.parametrize(
    "config", NETWORKS, ids=lambda config: f"{config.encoder}-{config.shift}-{config.motion}"
)


def build_pair(config: ModelConfig) -> tuple[Recognizer, Recognizer]:
    torch.manual_seed(0)
    plain = build_recognizer(config, num_classes=3).train()
    thrifty = copy.deepcopy(plain)
    thrifty.encoder.checkpointing = True
    return plain, thrifty


def some_clips(side: int = 32, frames: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (2, frames, 3, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def learn(network: Recognizer, clips: torch.Tensor, lengths: torch.Tensor = LENGTHS) -> None:
    torch.manual_seed(2)  # dropout is drawn alike
    logits = network(clips, lengths)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()


@every_network
def test_gradients_and_statistics_are_the_same(config: ModelConfig) -> None:
    plain, thrifty = build_pair(config)
    for network in (plain, thrifty):
        learn(network, some_clips())
    for (name, one), other in zip(plain.named_parameters(), thrifty.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-5, msg=name)
    # Each batch-norm has seen the batch twice and counts it once.
    for (name, one), other in zip(plain.named_buffers(), thrifty.buffers(), strict=True):
        assert torch.equal(other, one), name


# Of tiny the first of four layers alone takes most, at its own gradient too.
@pytest.mark.parametrize(("encoder", "share"), [("tiny", 0.95), ("resnet18", 0.6)])
def test_it_takes_less_memory(encoder: str, share: float) -> None:
    plain, thrifty = build_pair(ModelConfig(encoder=encoder, hidden=8))
    clips, lengths = some_clips(64, 8), torch.tensor([8, 8])
    peaks = []
    for network in (plain, thrifty):
        learn(network, clips, lengths)  # the gradients themselves, which stay, are there now
        peaks.append(peak_bytes(lambda n=network: learn(n, clips, lengths)))
    assert peaks[1] < share * peaks[0], peaks


def test_without_a_gradient_nothing_is_computed_twice() -> None:
    plain, thrifty = build_pair(NETWORKS[0])
    clips = some_clips()
    with torch.no_grad():
        assert torch.equal(thrifty.eval()(clips, LENGTHS), plain.eval()(clips, LENGTHS))


def test_a_network_is_cut_between_its_residual_blocks() -> None:
    network, _ = build_pair(ModelConfig(encoder="resnet18", hidden=8))
    assert len(graph_segments(network.encoder.network)) == 9  # the stem and eight blocks
