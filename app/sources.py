"""Which samples a command was given."""

import glob
from collections.abc import Sequence
from pathlib import Path

from cliptide.configs.errors import InputError
from cliptide.configs.streams import SampleKind
from cliptide.datasets.catalog import SAMPLES, Samples
from cliptide.datasets.catalog.texts import unlabelled_texts
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.suffixes import TABLE_SUFFIXES


def expand_sources(sources: Sequence[str], *, samples: SampleKind = "video") -> list[str]:
    """Turn files, folders (with all below them) and globs into samples, each once, in order.

    A file that is named is taken whatever its name; in folders and globs, what looks like a
    sample. Where a sample is a folder of images, a folder that holds images is one, and one that
    does not is searched.

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


def in_tables(files: Sequence[str]) -> list[str | SampleRecord]:
    """Put the rows of tables of texts in their place; other files stay.

    Raises:
        DataError: A table has no column text.
    """
    found: list[str | SampleRecord] = []
    for name in files:
        is_table = Path(name).suffix.lower() in TABLE_SUFFIXES and Path(name).is_file()
        found += unlabelled_texts(Path(name)) if is_table else [name]
    return found


def _samples_of(path: Path, kind: Samples) -> list[str]:
    """The samples that a file or folder is or, if it is a folder of them, holds."""
    if kind.is_sample(path):
        return [str(path)]
    if not path.is_dir():
        return []
    # A table beside arrays is a list of them; of texts it is the texts.
    found = kind.find(path) if kind.kind == "text" else kind.of_dataset(path)
    return [str(sample) for sample in found]


def _matching(pattern: str, kind: Samples) -> list[str]:
    # Not Path.glob, which takes no absolute pattern.
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207
    found = [sample for match in map(Path, matches) for sample in _samples_of(match, kind)]
    if not found:
        what = f"{len(matches)} files, but no {kind.noun}" if matches else "nothing"
        raise InputError(f"The pattern {pattern} matches {what}. Mend it; ** goes into folders.")
    return found
