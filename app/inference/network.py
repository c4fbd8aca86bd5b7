"""A loaded network that scores records, for evaluation and whatever needs its insides."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from cliptide.app.inference.device import resolve_device
from cliptide.app.inference.probing import Probe
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.rules import sampling_rule, streams_of
from cliptide.app.inference.scoring import VideoScores, score_videos
from cliptide.app.inference.torch_engine import TorchEngine
from cliptide.configs.schema import DataConfig, EvalConfig
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.loaders import make_loader
from cliptide.datasets.records import SampleRecord
from cliptide.models.bundle import load_model
from cliptide.models.info import ModelInfo
from cliptide.models.recognizer import Recognizer

CLIPS_AT_ONCE = 16
# On a CPU more at once is no faster, and takes memory for the features of every frame.
CLIPS_AT_ONCE_ON_CPU = 8


class NetworkRecognizer(ActionRecognizer):
    """A recognizer whose network is at hand.

    Args:
        network: The network; it is moved to `device` and set to evaluation.
        info: What the model file says.
        device: Where to compute.
    """

    def __init__(self, network: Recognizer, info: ModelInfo, *, device: torch.device) -> None:
        super().__init__(TorchEngine(network, info, device=device))
        self.network, self.device = network, device

    def score_records(
        self,
        records: Sequence[SampleRecord],
        *,
        clips: int | None = None,
        workers: int = 0,
        probe: Probe | None = None,
    ) -> Iterator[VideoScores]:
        """Score each record once, in order, unreadable ones included.

        Args:
            records: What to score.
            clips: Clips taken from each video; their scores are averaged. As in training when
                left out.
            workers: Processes that decode; 0 decodes in this one.
            probe: What to try beside the clips as they are.

        Raises:
            ConfigError: `clips` or `workers` is too small.
        """
        if clips is None:
            clips = int(self.info.run.get("eval", {}).get("clips", EvalConfig().clips))
        EvalConfig(clips=clips)
        DataConfig(workers=workers)
        dataset = ClipDataset(
            records,
            class_names=self.info.class_names,
            rule=sampling_rule(self.info),
            streams=streams_of(self.info),
            num_views=clips,
            task=self.info.task,
        )
        at_once = CLIPS_AT_ONCE_ON_CPU if self.device.type == "cpu" else CLIPS_AT_ONCE
        loader = make_loader(
            dataset,
            batch_size=math.ceil(at_once / clips),
            workers=workers,
            polite=self.device.type == "cpu",
            pin_memory=self.device.type == "cuda",
        )
        return score_videos(
            self.network,
            loader,
            device=self.device,
            task=self.info.task,
            temperature=self.info.temperature or 1.0,
            probe=probe,
        )


def load_network(path: Path, *, device: str = "auto") -> NetworkRecognizer:
    """Load a `model.safetensors`.

    Args:
        path: Written by training.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        ModelFileError: The file is no model, is truncated or is of a newer format.
        DeviceError: This machine lacks the device.
    """
    network, info = load_model(path)
    return NetworkRecognizer(network, info, device=resolve_device(device))
