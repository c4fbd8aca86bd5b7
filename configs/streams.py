"""What samples are made of: one stream, or several together.

Reading (`datasets.streams`) and the network (`models.build`) are both built from this, and it
stands in the model file.

    rgb      pictures of a video, of a folder of images, or a single image
    flow     how pixels move from each frame of a video to the next, as pictures
    audio    log-mel columns of a sound file, or of a video's sound track
    arrays   rows of numbers: skeletons, sensors
    rows     the pixel rows of an image, read from top to bottom
    text     tokens
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from cliptide.configs.checks import check_types
from cliptide.configs.errors import ConfigError
from cliptide.configs.sizes import parse_size

# What a sample is on disk; see `datasets.catalog.samples`.
SampleKind = Literal["video", "frames", "images", "audio", "arrays", "text"]
# What people call one.
SAMPLE_NOUNS: dict[SampleKind, str] = {
    "video": "video",
    "frames": "video",
    "images": "image",
    "audio": "sound",
    "arrays": "sequence",
    "text": "text",
}
# Layouts of videos, or what a sample is, whose layout is then told by itself.
DataKind = Literal[
    "auto",
    "folder",
    "split-folders",
    "ucf101",
    "hmdb51",
    "kinetics",
    "manifest",
    "frames",
    "images",
    "audio",
    "arrays",
    "text",
]
StreamName = Literal["rgb", "flow", "audio", "arrays", "rows", "text"]
PICTURES: tuple[StreamName, ...] = ("rgb", "flow")
# What can be joined: all of them can be read beside a video.
JOINABLE: tuple[StreamName, ...] = ("rgb", "flow", "audio", "arrays")

# Before a stream's name: what is answered without it, and with nothing else.
WITHOUT, ONLY = "without_", "only_"

COLUMN_S = 0.01  # a log-mel column begins every so many seconds

# (window, hop) where steps.window and steps.hop are 0.
_WINDOWS: dict[str, tuple[int, int]] = {
    "audio": (24, 12),
    "arrays": (9, 4),
    "rows": (1, 1),
    "text": (7, 3),
}


def record_noun(sample: str) -> str:
    """What people call a row of a data set: one of videos may be a part, a clip."""
    return "clip" if sample == "video" else sample


@dataclass(frozen=True)
class StepsConfig:
    """What one step is in sequences other than whole pictures.

    Args:
        count: Steps of a sample at most, where it has no pictures; those with pictures have
            data.frames.
        window: What a step shows: columns of sound (10 ms each), rows of arrays or images, or
            tokens. 0 takes 24, 9, 1 or 7.
        hop: How far from one step to the next, in the same units; 0 takes 12, 4, 1 or 3.
        image: What is made of an image: one step of the whole, or a sequence of its rows or of
            patches, in reading order.
        patch: Size of a patch, 8 or 8x16 (height first).
        image_rate: Images a second in folders of images, which carry no times.
        sample_rate: Samples a second that sound is resampled to.
        mels: Bands of the mel scale.
        row_rate: Rows a second of arrays, where they bring no column time_s and are not as many as
            the frames of a video beside them.
        joints: Joint map (YAML) for arrays that are skeletons; see docs/sequences.md.
        tokens: What a token is: a character, a word, or a piece of a word (byte pairs). All but
            characters are learnt from the training texts.
        vocabulary: Tokens at most.
        flow: Method of OpenCV that optical flow is computed by.
        flow_cache: Folder that flow is kept in; a folder of the user's cache when left out.
    """

    count: int = 128
    window: int = 0
    hop: int = 0
    image: Literal["whole", "rows", "patches"] = "whole"
    patch: str | int = "8"
    image_rate: float = 25.0
    sample_rate: int = 16000
    mels: int = 64
    row_rate: float = 30.0
    joints: str | None = None
    tokens: Literal["characters", "words", "pieces"] = "pieces"
    vocabulary: int = 4000
    flow: Literal["dis", "farneback"] = "dis"
    flow_cache: str | None = None

    def __post_init__(self) -> None:
        check_types(self, section="steps")
        for key, least in (
            ("count", 1),
            ("window", 0),
            ("hop", 0),
            ("sample_rate", 1000),
            ("mels", 4),
            ("vocabulary", 4),
        ):
            value = getattr(self, key)
            if value < least:
                raise ConfigError(f"steps.{key} is {value}. Use {least} or more.")
        parse_size(self.patch, key="steps.patch", least=1)
        for key in ("image_rate", "row_rate"):
            value = getattr(self, key)
            if value <= 0:
                raise ConfigError(f"steps.{key} is {value}. Use a rate above 0.")

    def window_of(self, stream: str) -> tuple[int, int]:
        """(window, hop) of a stream that is read by windows, zeros resolved."""
        window, hop = _WINDOWS[stream]
        return self.window or window, self.hop or hop


@dataclass(frozen=True)
class JointMap:
    """Which columns of an array are joints; see docs/sequences.md.

    Attributes:
        names: Of the joints, in the order of the columns.
        axes: Numbers a joint has, of which the first is across (x), the second down (y).
        pairs: Left and right of what is mirrored, as places in `names`.
        bones: What is joined by a line, as places in `names`; each child's difference from its
            parent is a feature.
    """

    names: tuple[str, ...]
    axes: int
    pairs: tuple[tuple[int, int], ...] = ()
    bones: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class StreamSpec:
    """One stream as the network is given it.

    Attributes:
        name: Which stream.
        shape: Of a step: (3, height, width) of pictures, (window, mels) of sound, (window, F) of
            arrays and rows, (window,) of text.
        vocabulary: Different tokens of text; 0 of all others.
        joints: Of arrays that are skeletons.
    """

    name: StreamName
    shape: tuple[int, ...]
    vocabulary: int = 0
    joints: JointMap | None = None


@dataclass(frozen=True)
class Streams:
    """How samples are read: what the config says, and what was learnt of the training data.

    Attributes:
        names: The streams; the first one that can be read of a sample is its clock.
        samples: What a sample is on disk.
        steps: What a step is.
        num_values: F, the numbers in a row of arrays.
        columns: What these are called; empty where no file says.
        tokenizer: Of text, as the JSON of the library `tokenizers`.
        num_tokens: Different tokens.
        joints: Of arrays that are skeletons.
    """

    names: tuple[StreamName, ...] = ("rgb",)
    samples: SampleKind = "video"
    steps: StepsConfig = field(default_factory=StepsConfig)
    num_values: int = 0
    columns: tuple[str, ...] = ()
    tokenizer: str = ""
    num_tokens: int = 0
    joints: JointMap | None = None

    @property
    def has_pictures(self) -> bool:
        """Whether a sample's steps are those of pictures."""
        return any(name in PICTURES for name in self.names)

    @property
    def has_seconds(self) -> bool:
        """Whether steps are at moments; those of texts and of single images are not."""
        return self.names[0] != "text" and self.samples != "images"

    def clip_steps(self, frames: int) -> int:
        """Steps of a clip at most: `frames` of whole pictures, else steps.count."""
        whole = self.has_pictures and self.steps.image != "patches"
        return frames if whole else self.steps.count

    def picture_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a step that is a picture: that of the whole, or of a patch of it."""
        if self.steps.image == "patches":
            return parse_size(self.steps.patch, key="steps.patch", least=1)
        return size

    def specs(self, size: tuple[int, int]) -> tuple[StreamSpec, ...]:
        """What the network is given; `size` is the (height, width) of pictures."""
        return tuple(self._spec(name, size) for name in self.names)

    def _spec(self, name: StreamName, size: tuple[int, int]) -> StreamSpec:
        if name in PICTURES:
            return StreamSpec(name, (3, *self.picture_size(size)))
        window = self.steps.window_of(name)[0]
        if name == "text":
            return StreamSpec(name, (window,), vocabulary=self.num_tokens)
        if name == "audio":
            return StreamSpec(name, (window, self.steps.mels))
        num_values = 3 * size[1] if name == "rows" else self.num_values
        return StreamSpec(name, (window, num_values), joints=self.joints)

    def for_file(self) -> "Streams":
        """Without what holds on this machine alone: where flow and the joint map's file lie."""
        return replace(self, steps=replace(self.steps, flow_cache=None, joints=None))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Streams":
        """Read what `dataclasses.asdict` gave; a file without it means pictures alone.

        Raises:
            KeyError, TypeError, ValueError, ConfigError: It is damaged.
        """
        if not values:
            return cls()
        known = {key.name for key in fields(StepsConfig)}
        joints = values.get("joints")
        return cls(
            names=tuple(values["names"]),
            samples=values["samples"],
            steps=StepsConfig(**{k: v for k, v in values["steps"].items() if k in known}),
            num_values=int(values.get("num_values", 0)),
            columns=tuple(values.get("columns", ())),
            tokenizer=str(values.get("tokenizer", "")),
            num_tokens=int(values.get("num_tokens", 0)),
            joints=None
            if joints is None
            else JointMap(
                tuple(joints["names"]),
                int(joints["axes"]),
                tuple((int(a), int(b)) for a, b in joints["pairs"]),
                tuple((int(a), int(b)) for a, b in joints["bones"]),
            ),
        )
