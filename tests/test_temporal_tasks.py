"""What temporal parts are for: the order of frames, and where something is while it changes."""

import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cliptide.configs.schema import ModelConfig
from cliptide.datasets.synthetic import Look, clip_frames
from cliptide.models.build import TEMPORALS, build_recognizer

NUM_FRAMES, SIDE, BATCH = 6, 16, 32
WHERE = runpy.run_path(str(Path(__file__).resolve().parents[1] / "benchmarks" / "where.py"))


@cache
def rising_and_falling(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Clips (2 count, T, 3, H, W) uint8 that rise, and behind them the same played backwards."""
    rng, clips = np.random.default_rng(seed), []
    for _ in range(count):
        texture = rng.integers(40, 140, (256, 256, 3), dtype=np.uint8)
        look = Look("disc", (250, 200, 20), texture)
        frames = clip_frames("rise", num_frames=NUM_FRAMES, side=SIDE, look=look, rng=rng)
        clips.append(torch.from_numpy(frames).permute(0, 3, 1, 2))
    rising = torch.stack(clips)
    return torch.cat([rising, rising.flip(1)]), torch.arange(2).repeat_interleave(count)


def top1_after_training(temporal: str, *, summary: str = "last", steps: int = 60) -> float:
    torch.manual_seed(0)
    config = ModelConfig(temporal=temporal, summary=summary, width=0.25, hidden=16, dropout=0.0)
    network = build_recognizer(config, num_classes=2).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    clips, classes = rising_and_falling(150, seed=0)
    lengths = torch.full((BATCH,), NUM_FRAMES)
    for _ in range(steps):
        chosen = torch.randperm(len(clips))[:BATCH]
        loss = cross_entropy(network(clips[chosen], lengths), classes[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    clips, classes = rising_and_falling(50, seed=1)
    with torch.no_grad():
        answers = network.eval()(clips, torch.full((len(clips),), NUM_FRAMES)).argmax(dim=1)
    return (answers == classes).float().mean().item()


@pytest.mark.parametrize("temporal", [name for name in TEMPORALS if name != "none"])
def test_every_temporal_part_learns_to_tell_a_motion_from_its_reverse(temporal: str) -> None:
    assert top1_after_training(temporal) >= 0.95


def test_the_mean_over_frames_cannot_tell_a_motion_from_its_reverse() -> None:
    assert 0.4 <= top1_after_training("none", summary="mean") <= 0.6


def test_convlstm_knows_where_and_a_gru_on_averages_over_the_frame_does_not() -> None:
    networks, train = WHERE["NETWORKS"], WHERE["train"]
    assert train(networks["convlstm"], steps=200).top1 >= 0.95
    assert train(networks["mean of the maps, gru"], steps=200).top1 <= 0.65


def test_in_the_task_of_places_no_frame_alone_tells_the_classes_apart() -> None:
    """Discs stand in each place equally often in both classes, the first and the second."""
    clips, classes = WHERE["flashes"](3000, generator=torch.Generator().manual_seed(0))
    cell = WHERE["SIDE"] // WHERE["PLACES"]
    middles = clips[:, :, 0, cell // 2 :: cell, cell // 2 :: cell].flatten(2) == 255
    assert not middles[:, [0, 2]].any()
    assert (middles[:, [1, 3]].sum(dim=2) == 1).all()
    same = (middles[:, 1] == middles[:, 3]).all(dim=1)
    assert torch.equal(same, classes == 0)
    for number in (1, 3):
        shares = [middles[classes == one, number].float().mean(dim=0) for one in (0, 1)]
        torch.testing.assert_close(*shares, atol=0.04, rtol=0)
