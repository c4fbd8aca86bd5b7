"""The record of one labelled clip: what the catalogs write and everything else reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class SampleRecord:
    """One labelled clip on disk.

    Attributes:
        source: The file: a video, sound, an array, an image; a folder of images; of texts, the CSV
            that the text stands in.
        name: How the clip is called in tables and CSV files: the path relative to the data
            set, with `/`, and `@start-end` (seconds) behind it for a clip inside a longer video.
        label: The class name.
        group: What must not be torn between train and test (UCF101's `gNN`, a subject, a
            source video). A record without a known group is a group of its own.
        split: `train`, `val` or `test`, or None while no split is assigned.
        start_s: Where the clip begins in the video, seconds of presentation time.
        end_s: Where the clip ends, seconds; None for the video's end.
        text: The sample itself, where it is a text.
    """

    source: Path
    name: str
    label: str
    group: str
    split: Split | None = None
    start_s: float = 0.0
    end_s: float | None = None
    text: str | None = None
