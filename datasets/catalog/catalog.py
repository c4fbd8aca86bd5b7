"""What every layout on disk is read into."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cliptide.configs.errors import DataError
from cliptide.configs.streams import SAMPLE_NOUNS, SampleKind, record_noun
from cliptide.configs.tasks import Task
from cliptide.datasets.records import SampleRecord

Kind = Literal["folder", "split-folders", "ucf101", "hmdb51", "kinetics", "manifest", "texts"]

# Who made a split; see Catalog.
SplitOrigin = Literal["official", "manifest", "folders"]


@dataclass(frozen=True)
class Catalog:
    """A data set as it lies on disk: its clips, its classes, and the split it came with.

    Attributes:
        root: The folder or the manifest file, as the user gave it.
        kind: The layout it was read as.
        records: Every clip, sorted by name; `split` is None where no split was given.
        class_names: In the order of `classInd.txt` for UCF101, sorted otherwise; the single
            labels for task multi, the names of the targets for regression.
        split_origin: Who made the split: the data set's authors (`official`), the user
            with a manifest (`manifest`) or with folders (`folders`), or nobody yet (None).
        fold: The official fold, counted from 1; None where there are no folds.
        groups_known: Whether groups come from names, a column or a pattern. If not, each video
            is a group of its own, and like clips may stand in train and test.
        notes: What was left out or taken for granted, one line each, for the user to read.
        official_folds: The folds that the data set's own lists make, in order.
        task: What the labels of the records mean; see `datasets.labels`.
        samples: What each record's source is.
    """

    root: Path
    kind: Kind
    records: tuple[SampleRecord, ...]
    class_names: tuple[str, ...]
    split_origin: SplitOrigin | None
    fold: int | None
    groups_known: bool
    notes: tuple[str, ...]
    official_folds: tuple[int, ...] = ()
    task: Task = "single"
    samples: SampleKind = "video"

    @property
    def noun(self) -> str:
        """What messages call a record."""
        return record_noun(SAMPLE_NOUNS[self.samples])


def require_classes(class_names: Sequence[str], *, where: Path) -> None:
    """Refuse a data set with nothing to tell apart.

    Raises:
        DataError: There are fewer than two classes.
    """
    if len(class_names) < 2:
        names = ", ".join(repr(name) for name in class_names) or "none"
        raise DataError(
            f"{where} has one class only: {names}. A recogniser needs at least two: add some "
            "of what it is to be told apart from."
        )
