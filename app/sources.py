"""Which samples a command was given."""

import glob
from collections.abc import Sequence
from pathlib import Path

from cliptide.app.inference.prediction import FailedVideo
from cliptide.configs.errors import DataError, InputError
from cliptide.configs.streams import SampleKind
from cliptide.datasets.catalog import SAMPLES, Samples
from cliptide.datasets.catalog.texts import has_text_header, unlabelled_texts
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.suffixes import TABLE_SUFFIXES


def expand_sources(sources: Sequence[str], *, samples: SampleKind = "video") -> list[str]:
    """Turn files, folders (with all below them) and globs into samples, each once, in order.

    A file that is named is taken whatever its name; in folders and globs, what looks like a
    sample: of tables, those of texts. Where a sample is a folder of images, a folder that holds
    images is one, and one that does not is searched.

    Args:
        sources: As written by the user.
        samples: What a sample of the model is.

    Raises:
        InputError: A folder holds no sample, or a glob matches none.
    """
    kind = SAMPLES[samples]
    found: list[str] = []
    for source in sources:
        if Path(source).is_dir():
            inside = _samples_of(Path(source), kind)
            if not inside:
                raise InputError(
                    f"The folder {source} holds no {kind.plural}. Give one that does, or "
                    f"{'a folder of images' if kind.are_folders else 'a file'}."
                )
            found += inside
        elif glob.has_magic(source) and not Path(source).exists():
            found += _matching(source, kind)
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def in_tables(files: Sequence[str]) -> list[str | SampleRecord | FailedVideo]:
    """Put the rows of tables of texts in their place; other files stay.

    A table that has no column text, or cannot be read, becomes a failure, which costs no other.
    """
    found: list[str | SampleRecord | FailedVideo] = []
    for name in files:
        if not (_is_table(Path(name)) and Path(name).is_file()):
            found.append(name)
            continue
        try:
            found += unlabelled_texts(Path(name))
        except DataError as error:
            found.append(FailedVideo(name, str(error)))
    return found


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in TABLE_SUFFIXES


def _samples_of(path: Path, kind: Samples) -> list[str]:
    """The samples that a file or folder is or, if it is a folder of them, holds."""
    if kind.is_sample(path):
        found = [path]
    elif not path.is_dir():
        return []
    else:
        # A table beside arrays is a list of them; of texts it is the texts.
        found = kind.find(path) if kind.kind == "text" else kind.of_dataset(path)
    if kind.kind == "text":
        # Not the predictions that were written there before, nor any other table.
        found = [path for path in found if not _is_table(path) or has_text_header(path)]
    return [str(sample) for sample in found]


def _matching(pattern: str, kind: Samples) -> list[str]:
    # Not Path.glob, which takes no absolute pattern.
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207
    found = [sample for match in map(Path, matches) for sample in _samples_of(match, kind)]
    if not found:
        what = f"{len(matches)} files, but no {kind.noun}" if matches else "nothing"
        raise InputError(f"The pattern {pattern} matches {what}. Mend it; ** goes into folders.")
    return found
