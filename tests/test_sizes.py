"""The whole chain on the smallest there is: videos of 2 x 2 pixels and of one frame."""

from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from video_files import write_video

from cliptide.app.inference.network import load_network as load
from cliptide.app.training.train import train
from cliptide.configs.schema import DataConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import read_info

SIZES = ((2, 2), (3, 5), (16, 16))
FRAME_COUNTS = (1, 1, 4)
TEMPORALS = get_args(get_type_hints(ModelConfig)["temporal"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright videos of the smallest sizes, most of one frame, in groups of their own."""
    root = tmp_path_factory.mktemp("smallest")
    for label, level in (("dark", 30), ("bright", 220)):
        (root / label).mkdir()
        for number in range(9):
            height, width = SIZES[number % 3]
            count = FRAME_COUNTS[number // 3]
            frames = np.full((count, height, width, 3), level, np.uint8)
            path = root / label / f"v_{label}_g{number:02d}_c01.mp4"
            write_video(path, frames, pix_fmt="yuv444p")
    return root


def config(**model: object) -> RunConfig:
    return RunConfig(
        data=DataConfig(frames=1, size=2, workers=0, val_share=0.3, test_share=0.3, fit="pad"),
        model=ModelConfig(**{"width": 0.1, "hidden": 4, **model}),
        train=TrainConfig(epochs=1, batch_size=4),
        device="cpu",
    )


def test_training_and_prediction_work_from_two_pixels_and_one_frame_upward(
    data: Path, tmp_path: Path
) -> None:
    run = train(data, config=config(), out=tmp_path / "run")
    assert run.metrics["num_failed"] == run.num_quarantined == 0
    info = read_info(run.model)
    assert (info.size, info.frames, info.fit) == ((2, 2), 1, "pad")
    recognizer = load(run.model, device="cpu")
    videos = sorted(data.rglob("*.mp4"))
    for prediction in recognizer.predict_many(videos):
        assert prediction.frames_used >= 1
        assert sum(prediction.scores.values()) == pytest.approx(1.0)
    assert len(videos) == 18


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_of_one_clip_train_too(batch_size: int, data: Path, tmp_path: Path) -> None:
    """Clips of one frame, one alone in a batch: batch norm has a single value a channel."""
    base = config()
    small = replace(base, train=replace(base.train, batch_size=batch_size))
    run = train(data, config=small, out=tmp_path / "run")
    assert run.metrics["num_failed"] == 0
    assert run.best["train_loss"] is not None and run.best["train_loss"] > 0


@pytest.mark.parametrize("temporal", TEMPORALS)
@pytest.mark.parametrize("frames", [1, 3])
def test_every_temporal_part_learns_from_frames_of_two_pixels(temporal: str, frames: int) -> None:
    network = build_recognizer(config(temporal=temporal).model, num_classes=2).train()
    clips = torch.randint(0, 255, (2, frames, 3, 2, 2), dtype=torch.uint8)
    logits = network(clips, torch.tensor([frames, 1]))
    logits.sum().backward()
    assert logits.shape == (2, 2)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("temporal", TEMPORALS)
def test_every_temporal_part_scores_one_frame_alone(temporal: str) -> None:
    network = build_recognizer(config(temporal=temporal).model, num_classes=2).eval()
    clip = torch.randint(0, 255, (1, 1, 3, 2, 2), dtype=torch.uint8)
    logits = network(clip, torch.tensor([1]))
    stepped, _ = network.step(clip[:, 0])
    torch.testing.assert_close(stepped, logits, rtol=1e-5, atol=1e-5)
