"""Group-safe splits: what is trained on, what a run is chosen by, and what it is judged by.

Clips of one group (an actor, a source video) look alike, so a group never stands on both sides.
Where nobody gave a split, scikit-learn deals the groups into folds of like classes and some of
the folds become the test split. Validation is dealt the same way out of the training groups,
whoever made the test split: nothing about a run may be chosen on the test split. What "class"
means for several labels or for numbers is told by `strata`.
"""

import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cliptide.configs.errors import ConfigError, SplitError
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.catalog.catalog import SplitOrigin
from cliptide.datasets.catalog.wording import counted, did_you_mean, some
from cliptide.datasets.dealing import Aim, Groups, carve
from cliptide.datasets.labels import are_numbers, classes_of
from cliptide.datasets.records import SPLITS, SampleRecord, Split
from cliptide.datasets.strata import tags_of

# Test may take up to half of the clips if that is what it needs to see every class. Validation
# merely guides the run, so it may not take more than twice its share for that.
_LARGEST_TEST_SHARE = 0.5
_LARGEST_VAL_FACTOR = 2.0


@dataclass(frozen=True)
class SplitPlan:
    """Every clip of a data set with its split.

    Attributes:
        records: Sorted by name, each with a split.
        origin: Who made the test split: the data set's authors (`official`), the user with a
            manifest (`manifest`) or with folders (`folders`), or this module (`made`).
        torn_groups: Groups with clips in test and in train or val; not empty means leaky.
        fingerprint: 12 hexadecimal digits over every clip's name, label and split; the same
            wherever the data set lies.
        groups_known: Whether groups are more than one video each.
        notes: Classes that a split lacks, one line each, for the user to read.
    """

    records: tuple[SampleRecord, ...]
    origin: SplitOrigin | Literal["made"]
    torn_groups: tuple[str, ...]
    fingerprint: str
    groups_known: bool
    notes: tuple[str, ...]


class SplitCount(NamedTuple):
    """How many clips of one class each split has."""

    class_name: str
    train: int
    val: int
    test: int


def make_splits(
    catalog: Catalog, *, seed: int, val_share: float = 0.15, test_share: float = 0.2
) -> SplitPlan:
    """Give every clip a split, keeping the split the data set came with.

    The result depends on the clips and the seed alone, not on the order of the records.

    Args:
        catalog: With no split at all, or with one for every record.
        seed: Decides between equally good splits.
        val_share: The share of the clips outside test that go to validation, above 0 and below
            1; approximate, as groups stay whole. Not used where a validation split was given.
        test_share: The share of all clips that go to test. Not used where a split was given.

    Raises:
        SplitError: There are too few groups, or a given split lacks train or test.
        ConfigError: A share is not between 0 and 1.
    """
    for name, share in (("val_share", val_share), ("test_share", test_share)):
        if not 0 < share < 1:
            raise ConfigError(
                f"{name} {share} is no share of the {catalog.noun}s. Use a number above 0 and "
                "below 1, such as 0.2."
            )
    records = sorted(catalog.records, key=lambda r: (r.name, r.label))
    if catalog.split_origin is None:
        _require_groups_for_three_splits(records, catalog)
        largest = max(test_share, _LARGEST_TEST_SHARE)
        aim = Aim(share=test_share, largest=largest, leaves_spare=True)
        tags = tags_of(records, catalog.task)
        groups = Groups(records, tags)
        if not any(groups.spare(groups.names)):
            raise SplitError(
                f"No test {catalog.noun}s can be taken out of {catalog.root}: each of its groups "
                f"({some(sorted(groups.names))}) is the only one with some label. Add "
                f"{catalog.noun}s of other groups, or give the split in a manifest's split column."
            )
        test_groups = carve(groups, records, tags, aim=aim, seed=seed)
        records = [
            dataclasses.replace(r, split="test" if r.group in test_groups else "train")
            for r in records
        ]
    else:
        _require_train_and_test(records, catalog)
    return plan_of(
        records, catalog, origin=catalog.split_origin or "made", val_share=val_share, seed=seed
    )


def plan_of(
    records: Sequence[SampleRecord],
    catalog: Catalog,
    *,
    origin: SplitOrigin | Literal["made"],
    val_share: float,
    seed: int,
) -> SplitPlan:
    """Take validation out of the training groups where there is none yet, and sum up.

    Args:
        records: Sorted by name, each in train or test, or in val where that is given.
        catalog: What they come from.
        origin: Who made the test split.
        val_share: The share of the clips outside test that go to validation.
        seed: Decides between equally good splits.

    Raises:
        SplitError: No group can be spared for validation.
    """
    if not any(r.split == "val" for r in records):
        records = _with_validation(records, catalog, share=val_share, seed=seed)
    return SplitPlan(
        records=tuple(records),
        origin=origin,
        torn_groups=torn_groups(records),
        fingerprint=_fingerprint(records),
        groups_known=catalog.groups_known,
        notes=(*_missing_classes(records, catalog), *_torn_validation(records)),
    )


def torn_groups(records: Iterable[SampleRecord]) -> tuple[str, ...]:
    """Find the groups with clips in test and also in train or val, sorted by name."""
    tested: set[str] = set()
    learnt: set[str] = set()
    for record in records:
        if record.split is not None:
            (tested if record.split == "test" else learnt).add(record.group)
    return tuple(sorted(tested & learnt))


def _torn_validation(records: Sequence[SampleRecord]) -> tuple[str, ...]:
    """Say where a given validation split shares groups with training: the choice is too easy."""
    shared = {r.group for r in records if r.split == "val"} & {
        r.group for r in records if r.split == "train"
    }
    if not shared:
        return ()
    groups = f"{counted(len(shared), 'group')} ({some(sorted(shared))})"
    return (
        f"In both train and val: {groups}. Validation is too easy, so the epoch it chooses may not "
        "be the best.",
    )


def split_counts(
    records: Iterable[SampleRecord], class_names: Sequence[str], task: Task = "single"
) -> tuple[SplitCount, ...]:
    """Count the clips of each class in each split, in the order of `class_names`.

    A clip with several labels counts for each; of numbers there is nothing to count.
    """
    if task == "regression":
        return ()
    counts = Counter(
        (name, record.split) for record in records for name in classes_of(record.label, task)
    )
    return tuple(
        SplitCount(name, *(counts[name, split] for split in SPLITS)) for name in class_names
    )


def split_sizes(records: Iterable[SampleRecord]) -> tuple[int, ...]:
    """Count the clips of train, val and test, each once however many labels it has."""
    counts = Counter(record.split for record in records)
    return tuple(counts[split] for split in SPLITS)


def require_split(
    records: Iterable[SampleRecord], split: str, *, where: str
) -> tuple[SampleRecord, ...]:
    """Select the records of one split.

    Args:
        records: Any records.
        split: `train`, `val` or `test`, as the user wrote it.
        where: What the records come from, for the message.

    Raises:
        SplitError: No record has this split.
    """
    every = tuple(records)
    chosen = tuple(record for record in every if record.split == split)
    if chosen:
        return chosen
    names = _splits_present(every)
    if not names:
        raise SplitError(f"Split {split!r} is not in {where}: nothing there has a split.")
    raise SplitError(
        f"Split {split!r} is not in {where}.{did_you_mean(split, names)} "
        f"Use one of: {', '.join(names)}."
    )


def _splits_present(records: Sequence[SampleRecord]) -> list[Split]:
    found = {record.split for record in records}
    return [split for split in SPLITS if split in found]


def _require_groups_for_three_splits(records: Sequence[SampleRecord], catalog: Catalog) -> None:
    mend = f"Add {catalog.noun}s of other groups, or give the split in a manifest's split column."
    groups = sorted({record.group for record in records})
    if len(groups) < 3:
        raise SplitError(
            f"{catalog.root} has {counted(len(groups), 'group')} ({some(groups)}), and train, val "
            f"and test need at least 3. {mend}"
        )
    if catalog.task != "single":
        return
    of_class = defaultdict(set)
    for record in records:
        of_class[record.label].add(record.group)
    lone = [name for name in sorted(of_class) if len(of_class[name]) < 2]
    if lone:
        (group,) = of_class[lone[0]]
        others = f" (and {len(lone) - 1} more)" if len(lone) > 1 else ""
        if are_numbers(list(of_class)):
            mend += " If the labels are quantities to predict, set data.task to regression."
        raise SplitError(
            f"Class {lone[0]!r}{others} in {catalog.root} has one group only, {group!r}, so it "
            f"cannot stand in both train and test. {mend}"
        )


def _require_train_and_test(records: Sequence[SampleRecord], catalog: Catalog) -> None:
    present = _splits_present(records)
    for wanted in ("train", "test"):
        if wanted not in present:
            mend = (
                f"Add the folder {wanted!r} with its class folders (validation may be left out), "
                "or give one split's folder alone to have a split made."
                if catalog.split_origin == "folders"
                else f"Mark some {catalog.noun}s as it (validation may be left out), or leave the "
                "split column empty to have a split made."
            )
            raise SplitError(
                f"{catalog.root} has no {catalog.noun} in split {wanted!r}, only in: "
                f"{', '.join(present)}. {mend}"
            )


def _with_validation(
    records: Sequence[SampleRecord], catalog: Catalog, *, share: float, seed: int
) -> list[SampleRecord]:
    training = [record for record in records if record.split == "train"]
    tags = tags_of(training, catalog.task)
    groups = Groups(training, tags)
    if not any(groups.spare(groups.names)):
        raise SplitError(
            f"No validation {catalog.noun}s can be taken out of those for training of "
            f"{catalog.root}: each of their groups ({some(sorted(groups.names))}) is the only one "
            f"of some class. Add training {catalog.noun}s of other groups, or mark some as split "
            "'val' in a manifest."
        )
    largest = max(share, min(0.5, _LARGEST_VAL_FACTOR * share))
    aim = Aim(share=share, largest=largest, leaves_spare=False)
    held = carve(groups, training, tags, aim=aim, seed=seed)
    return [
        dataclasses.replace(r, split="val") if r.split == "train" and r.group in held else r
        for r in records
    ]


def _fingerprint(records: Iterable[SampleRecord]) -> str:
    rows = sorted((record.name, record.label, record.split or "") for record in records)
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()[:12]


def _missing_classes(records: Sequence[SampleRecord], catalog: Catalog) -> tuple[str, ...]:
    counts = split_counts(records, catalog.class_names, catalog.task)
    consequences: dict[Split, str] = {
        "train": "it cannot be learnt",
        "val": "it plays no part in choosing the best epoch",
        "test": "its recognition is not measured",
    }
    notes = []
    for split, consequence in consequences.items():
        missing = [row.class_name for row in counts if getattr(row, split) == 0]
        for name in missing[:3]:
            notes.append(f"Class {name!r} has no {catalog.noun} in {split}: {consequence}.")
        if len(missing) > 3:
            notes.append(f"{len(missing) - 3} more classes have no {catalog.noun} in {split}.")
    return tuple(notes)
