"""What a sample is on disk, by its kind, and how a folder's samples are found and told.

video       a file
audio       a sound file, or a video, of which the sound track is meant
arrays      a file of numbers
images      a file, each image by itself
frames      a folder that directly holds images, with all that is below it
text        a file; texts in a table are read by `texts`
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cliptide.configs.errors import DataError
from cliptide.configs.streams import SampleKind
from cliptide.datasets.catalog.videos import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    find_files,
    find_image_folders,
    is_ignored,
    is_image_name,
    walk,
)
from cliptide.datasets.catalog.wording import relative_name
from cliptide.datasets.image_names import numbered
from cliptide.datasets.suffixes import ARRAY_SUFFIXES, TABLE_SUFFIXES, TEXT_SUFFIXES

SOUND_SUFFIXES: frozenset[str] = frozenset(
    {
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".amr",
        ".au",
        ".caf",
        ".flac",
        ".m4a",
        ".mka",
        ".mp3",
        ".oga",
        ".ogg",
        ".opus",
        ".w64",
        ".wav",
        ".wma",
    }
)


@dataclass(frozen=True)
class Samples:
    """How samples of a kind lie on disk.

    Attributes:
        kind: Which kind.
        noun: What messages call one; its plural ends in s.
        examples: What they look like, for advice.
        suffixes: Endings of the files, in small letters; of frames those of the images.
        find: Lists all of them below a folder, sorted by their relative names.
    """

    kind: SampleKind
    noun: str
    examples: str
    suffixes: frozenset[str]
    find: Callable[[Path], list[Path]]

    @property
    def plural(self) -> str:
        """The noun for several."""
        return f"{self.noun}s"

    @property
    def are_folders(self) -> bool:
        """Whether a sample is a folder."""
        return self.kind == "frames"

    def is_sample(self, path: Path) -> bool:
        """Whether this file or folder is one by itself."""
        if self.are_folders:
            return holds_images(path)
        wanted = path.suffix.lower() in self.suffixes and not is_ignored(path.name)
        return wanted and not path.is_dir()

    def of_dataset(self, data: Path) -> list[Path]:
        """All samples of a data set; a table beside the folders that hold them is a list of them.

        Raises:
            DataError: A folder cannot be listed.
        """
        found = self.find(data)
        return [path for path in found if not _is_list(path, data)] or found

    def stem(self, path: Path) -> str:
        """Name one without its ending; a dot in a folder's name begins none."""
        return path.name if self.are_folders else path.stem


def _by_suffix(kind: SampleKind, noun: str, examples: str, suffixes: frozenset[str]) -> Samples:
    def find(folder: Path) -> list[Path]:
        return find_files(folder, lambda name: Path(name).suffix.lower() in suffixes)

    return Samples(kind, noun, examples, suffixes, find)


SAMPLES: dict[SampleKind, Samples] = {
    "video": _by_suffix("video", "video", "mp4, avi, mkv, ...", VIDEO_SUFFIXES),
    "frames": Samples(
        "frames",
        "image folder",
        "img_00001.jpg, img_00002.jpg, ... in each",
        IMAGE_SUFFIXES,
        find_image_folders,
    ),
    "images": _by_suffix("images", "image", "png, jpg, bmp, ...", IMAGE_SUFFIXES),
    "audio": _by_suffix(
        "audio", "sound file", "wav, mp3, flac, ... or videos", SOUND_SUFFIXES | VIDEO_SUFFIXES
    ),
    "arrays": _by_suffix(
        "arrays", "array file", "npy, npz, csv, parquet", frozenset(ARRAY_SUFFIXES)
    ),
    "text": _by_suffix("text", "text file", "txt", TEXT_SUFFIXES | TABLE_SUFFIXES),
}

# Texts in a folder for each class: tables there would be no texts.
TEXT_FILES = _by_suffix("text", "text file", "txt", TEXT_SUFFIXES)

# What files are taken for where nobody says; a sound track is not taken out of a video unasked.
_TOLD_BY: tuple[tuple[SampleKind, frozenset[str]], ...] = (
    ("video", VIDEO_SUFFIXES),
    ("audio", SOUND_SUFFIXES),
    ("arrays", SAMPLES["arrays"].suffixes),
    ("images", IMAGE_SUFFIXES),
)


def kind_of_file(path: Path) -> SampleKind | None:
    """Tell by a file's ending what kind of sample it is; None where it is of no known kind."""
    suffix = path.suffix.lower()
    return next((kind for kind, suffixes in _TOLD_BY if suffix in suffixes), None)


def holds_images(folder: Path) -> bool:
    """Whether this is a folder with images in it, not only below it."""
    try:
        return folder.is_dir() and any(is_image_name(path.name) for path in folder.iterdir())
    except OSError:  # Whoever reads it says so.
        return False


def _is_list(path: Path, data: Path) -> bool:
    return path.parent == data and path.suffix.lower() == ".csv"


def tell_samples(data: Path, *, class_level: Callable[[list[tuple[str, ...]]], int]) -> Samples:
    """Tell by what a folder holds what its samples are.

    Args:
        data: An existing folder.
        class_level: Counts the folders above the class folders, from the files' relative paths
            split at their folders.

    Returns:
        Videos where there is any, or where there is nothing; else what all files are. Images in
        class folders are samples; numbered ones in folders below class folders are frames.

    Raises:
        DataError: It holds several kinds, or images that may be either.
    """
    found: dict[SampleKind, list[Path]] = {}
    for folder, _, names in walk(data):
        for name in names:
            kind = kind_of_file(Path(name))
            if kind == "video":
                return SAMPLES["video"]
            if kind is not None and not _is_list(folder / name, data):
                found.setdefault(kind, []).append(folder / name)
    if len(found) > 1:
        held = " and ".join(SAMPLES[kind].plural for kind in sorted(found))
        raise DataError(
            f"{data} holds {held}, and it does not show which are the samples. Set data.kind to "
            f"{' or '.join(sorted(found))}."
        )
    if "images" in found:
        return _images_or_frames(data, found["images"], class_level)
    return SAMPLES[next(iter(found), "video")]


def _images_or_frames(
    data: Path, images: list[Path], class_level: Callable[[list[tuple[str, ...]]], int]
) -> Samples:
    parts = [tuple(relative_name(image, data).split("/")) for image in images]
    level = class_level(parts)
    # How many folders lie between each image and the class folders' own folder.
    depths = {len(of_image) - level - 1 for of_image in parts}
    if depths <= {0, 1}:
        return SAMPLES["images"]
    if depths == {2} and all(numbered(of_image[-1]) for of_image in parts):
        return SAMPLES["frames"]
    raise DataError(
        f"{data} holds images, and it does not show whether each is a sample or each folder of "
        "them. Set data.kind to images or frames."
    )
