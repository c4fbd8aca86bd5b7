"""The one place in `datasets` that reads a config: from a description of streams to streams."""

from pathlib import Path
from typing import Any

from cliptide.configs.sizes import parse_size
from cliptide.configs.streams import PICTURES, StepsConfig, Streams
from cliptide.datasets.fitting import Fit
from cliptide.datasets.streams.arrays import ArrayStream
from cliptide.datasets.streams.audio import AudioStream
from cliptide.datasets.streams.flow import FlowStream
from cliptide.datasets.streams.flow_cache import default_folder
from cliptide.datasets.streams.image_rows import RowStream
from cliptide.datasets.streams.pictures import PatchStream, PictureStream
from cliptide.datasets.streams.stream import Stream
from cliptide.datasets.streams.text import HIDDEN_SHARES, TextStream


def flow_folder(steps: StepsConfig) -> Path | None:
    """Where flow is kept; None where there is no such place."""
    return default_folder() if steps.flow_cache is None else Path(steps.flow_cache)


def build_streams(
    described: Streams,
    *,
    size: tuple[int, int],
    fit: Fit = "resize",
    augment: str | None = None,
    flip: bool = False,
) -> tuple[Stream, ...]:
    """Build what reads samples.

    Args:
        described: Which streams, and what a step of each is.
        size: (height, width) of pictures.
        fit: How a picture is fitted into it.
        augment: Preset for training clips; None reads for evaluation.
        flip: Whether training clips may be mirrored.
    """
    steps = described.steps
    pictures: dict[str, Any] = {"size": size, "fit": fit, "image_rate": steps.image_rate}
    rgb = PictureStream(augment=augment, flip=flip, **pictures)

    # What lies beside pictures is mirrored where they are.
    beside = {"rgb", "flow"} & {*described.names} and augment is not None and flip
    mirrors = rgb.mirrors if beside else None

    def build(name: str) -> Stream:
        if name == "rgb":
            if steps.image == "patches":
                patch = parse_size(steps.patch, key="steps.patch", least=1)
                return PatchStream(patch=patch, **pictures)
            return rgb
        if name == "flow":
            return FlowStream(
                method=steps.flow, folder=flow_folder(steps), mirrors=mirrors, **pictures
            )
        window, hop = steps.window_of(name)
        if name == "audio":
            return AudioStream(
                window=window,
                hop=hop,
                sample_rate=steps.sample_rate,
                mels=steps.mels,
                # What counts events would learn a false count from a masked one.
                masks_time=augment == "strong",
            )
        if name == "arrays":
            return ArrayStream(
                window=window,
                hop=hop,
                num_values=described.num_values,
                columns=described.columns,
                row_rate=steps.row_rate,
                image_rate=steps.image_rate if described.has_pictures else None,
                joints=described.joints,
                flip=flip,
                mirrors=mirrors,
                jitters=augment != "none",
            )
        if name == "rows":
            return RowStream(window=window, hop=hop, size=size, fit=fit)
        return TextStream(
            window=window,
            hop=hop,
            tokenizer=described.tokenizer,
            most=steps.count * hop + window,
            hidden_share=HIDDEN_SHARES.get(augment or "none", 0.0),
        )

    streams = tuple(build(name) for name in described.names)
    for stream in streams:
        # Without augmentation, mirroring is a key of its own.
        stream.augments = augment != "none" or stream.name in (*PICTURES, "arrays")
    return streams
