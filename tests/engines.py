"""Engines for tests: tiny untrained networks, and one whose answers are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cliptide.app.inference.torch_engine import TorchEngine
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer
from cliptide.models.info import ModelInfo

SIZE = (16, 24)


def info_of(config: ModelConfig, **keys: Any) -> ModelInfo:
    values: dict[str, Any] = {
        "model": vars(config),
        "class_names": ("a", "b", "c"),
        "size": SIZE,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.2, 0.2, 0.2),
        "sampling": "uniform",
        "frames": 6,
        "rate_fps": 10.0,
        "context_s": 0.6,
        "split_fingerprint": "",
    }
    return ModelInfo(**(values | keys))


def tiny_engine(seed: int = 0, info: dict[str, Any] | None = None, **keys: Any) -> TorchEngine:
    """An untrained network with weights large enough that frames make a difference."""
    torch.manual_seed(seed)
    config = ModelConfig(**({"encoder": "tiny", "width": 0.25, "hidden": 8} | keys))
    described = info_of(config, **(info or {}))
    network = build_recognizer(
        config, num_classes=len(described.class_names), load_weights=False, task=described.task
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return TorchEngine(network, described, device=torch.device("cpu"))


class BrightnessEngine:
    """Answers by the brightness of the frames: class k where the mean is near `levels[k]`.

    What it is given and when is on record, so that tests may ask.
    """

    can_step = True
    can_encode = True

    def __init__(
        self, levels: Sequence[float] = (0, 128, 255), info: dict[str, Any] | None = None
    ) -> None:
        self.levels = np.array(levels, np.float32)
        names = tuple("abcdefgh"[: len(levels)])
        self.info = info_of(ModelConfig(), class_names=names, **(info or {}))
        self.encoded = 0
        self.begins: list[list[bool]] = []

    def _logits(self, brightness: np.ndarray) -> np.ndarray:
        return -np.abs(brightness[:, None] - self.levels[None]) / 8

    def score_clips(self, clips):
        return self._logits(np.array([clip.mean() for clip in clips], np.float32))

    def encode(self, frames, state):
        self.encoded += len(frames)
        seen = (state or 0) + len(frames)
        return frames.reshape(len(frames), -1).mean(axis=1, dtype=np.float32)[:, None], seen

    def score_features(self, features, lengths):
        sums = np.array([row[:n].sum() for row, n in zip(features, lengths, strict=True)])
        return self._logits((sums / lengths).astype(np.float32))

    def step(self, features, begin, state):
        self.begins.append(begin.tolist())
        total, count = (np.zeros(len(begin)), np.zeros(len(begin))) if state is None else state
        total = np.where(begin, 0, total) + features[:, 0]
        count = np.where(begin, 0, count) + 1
        return self._logits((total / count).astype(np.float32)), (total, count)
