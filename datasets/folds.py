"""Cross-validation: K splits, each with one fold of the groups as its test (or validation) split.

Every clip is tested exactly once and no group is torn. Folds made by a data set's authors are
taken where they are asked for by their number, as their figures are what papers give; any other
number of folds is dealt anew out of all clips, whatever split the data came with.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any, Literal

from cliptide.configs.errors import ConfigError, SplitError
from cliptide.configs.tasks import Task
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.catalog.wording import counted, some
from cliptide.datasets.dealing import deal_groups
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.splits import SplitPlan, make_splits, plan_of
from cliptide.datasets.strata import Tags, tags_of

# A way out for a class that stands in one fold alone is looked for under as many deals.
_DEALS = 10

_WHOSE = {
    "official": "the data set's own split",
    "manifest": "the manifest's split",
    "folders": "the folders' split",
}


def read_fold(
    data: str | PathLike[str],
    *,
    kind: str,
    folds: int,
    fold: int,
    group_regex: str | None,
    seed: int,
    val_share: float,
    test_share: float,
    task: Task | Literal["auto"] = "auto",
) -> tuple[Catalog, SplitPlan]:
    """Read a data set and split it: its own split or a made one, or one fold of several.

    Args:
        data: A data set; see `read_catalog`.
        kind: Its layout.
        folds: Into how many folds to deal all clips; 0 takes the data set's split, or makes one.
        fold: The fold that is tested, counted from 1; the official one where `folds` is 0 or
            the number of official folds.
        group_regex: Finds a clip's group in its path.
        seed: Decides between equally good splits.
        val_share: The share of the clips outside test that go to validation.
        test_share: The share that goes to test where a split is made without folds.
        task: What labels mean; see `read_catalog`.

    Raises:
        DataError: The data cannot be used as it lies.
        SplitError: The split or its folds cannot be made.
        ConfigError: An option is wrong.
    """
    if folds:
        return read_folds(
            data,
            kind=kind,
            folds=folds,
            group_regex=group_regex,
            seed=seed,
            val_share=val_share,
            task=task,
        )[fold - 1]
    options: dict[str, Any] = {"kind": kind, "group_regex": group_regex, "task": task}
    catalog = read_catalog(data, fold=fold, **options)
    return catalog, make_splits(catalog, seed=seed, val_share=val_share, test_share=test_share)


def read_folds(
    data: str | PathLike[str],
    *,
    kind: str,
    folds: int,
    group_regex: str | None,
    seed: int,
    val_share: float,
    task: Task | Literal["auto"] = "auto",
) -> tuple[tuple[Catalog, SplitPlan], ...]:
    """Read a data set and make every one of its folds; see `read_fold`."""
    options: dict[str, Any] = {"kind": kind, "group_regex": group_regex, "task": task}
    catalog = read_catalog(data, fold=1, **options)
    if len(catalog.official_folds) != folds:
        plans = make_folds(catalog, folds=folds, seed=seed, val_share=val_share)
        return tuple((dataclasses.replace(catalog, fold=None), plan) for plan in plans)
    catalogs = (read_catalog(data, fold=fold, **options) for fold in catalog.official_folds)
    return tuple((one, make_splits(one, seed=seed, val_share=val_share)) for one in catalogs)


def make_folds(
    catalog: Catalog, *, folds: int, seed: int, val_share: float = 0.15
) -> tuple[SplitPlan, ...]:
    """Deal all clips into folds and make a plan for each, in which that fold is the test split.

    A split that the data came with is passed over, and a note in each plan says so. The result
    depends on the clips and the seed alone, not on the order of the records.

    Args:
        catalog: With or without a split.
        folds: How many, 2 or more.
        seed: Decides between equally good deals.
        val_share: The share of the clips outside the tested fold that go to validation, by
            whole groups.

    Raises:
        SplitError: There are too few groups, in all or of one class.
        ConfigError: `folds` is below 2.
    """
    records = sorted(catalog.records, key=lambda r: (r.name, r.label))
    tags = tags_of(records, catalog.task)
    dealt = _deal(records, tags, folds=folds, seed=seed, where=str(catalog.root), noun=catalog.noun)
    notes: tuple[str, ...] = ()
    if catalog.split_origin is not None:
        own = _WHOSE[catalog.split_origin]
        there = f" (of {counted(len(catalog.official_folds), 'fold')})"
        notes = (
            f"{folds} folds are dealt out of all {catalog.noun}s: {own}"
            f"{there if catalog.official_folds else ''} is not used, and figures on it are not "
            "comparable with these.",
        )
    plans = []
    for number, tested in enumerate(dealt, start=1):
        split = [
            dataclasses.replace(r, split="test" if r.group in tested else "train") for r in records
        ]
        try:
            plan = plan_of(split, catalog, origin="made", val_share=val_share, seed=seed)
        except SplitError as error:
            groups = len({record.group for record in records})
            mend = (
                "More folds leave more groups to train on."
                if groups > folds
                else f"Add {catalog.noun}s of other groups: there is no room for more folds."
            )
            raise SplitError(f"Fold {number} of {folds}: {error} {mend}") from error
        plans.append(dataclasses.replace(plan, notes=(*notes, *plan.notes)))
    return tuple(plans)


def make_validation_folds(
    plan: SplitPlan,
    *,
    folds: int,
    seed: int,
    where: str,
    task: Task = "single",
    noun: str = "clip",
) -> tuple[SplitPlan, ...]:
    """Deal the clips outside test into folds, each of which is the validation split of one plan.

    The test split stays as it is in every plan, so that nothing is chosen on it.

    Args:
        plan: With a test split, which may be empty.
        folds: How many, 2 or more.
        seed: Decides between equally good deals.
        where: What the records come from, for the message.
        task: What their labels mean.
        noun: What messages call a record.

    Raises:
        SplitError: There are too few groups outside test, in all or of one class.
        ConfigError: `folds` is below 2.
    """
    learnt = [record for record in plan.records if record.split != "test"]
    dealt = _deal(
        learnt,
        tags_of(learnt, task),
        folds=folds,
        seed=seed,
        where=f"{where} without its test split",
        noun=noun,
    )
    return tuple(
        dataclasses.replace(
            plan,
            records=tuple(
                r
                if r.split == "test"
                else dataclasses.replace(r, split="val" if r.group in held else "train")
                for r in plan.records
            ),
            # No split that a model could be scored on: it must not look like one.
            fingerprint=f"{plan.fingerprint}-{number}of{folds}",
        )
        for number, held in enumerate(dealt, start=1)
    )


def _deal(
    records: Sequence[SampleRecord], tags: Tags, *, folds: int, seed: int, where: str, noun: str
) -> list[frozenset[str]]:
    if folds < 2:
        raise ConfigError(f"folds is {folds}. Use 2 or more, such as 5.")
    of_class: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for tag in tags[record.name]:
            of_class[tag].add(record.group)
    groups = sorted({record.group for record in records})
    if folds > len(groups):
        raise SplitError(
            f"{where} has {counted(len(groups), 'group')} ({some(groups)}), too few for {folds} "
            f"folds. Use {len(groups)} folds or fewer, or add {noun}s of other groups."
            if len(groups) > 1
            else f"{where} has one group only ({groups[0]}), which cannot be dealt into {folds} "
            f"folds. Add {noun}s of other groups, or tell groups apart with --data.group_regex."
        )
    lone = sorted(label for label, members in of_class.items() if len(members) < 2)
    if lone:
        others = f" (and {len(lone) - 1} more)" if len(lone) > 1 else ""
        raise SplitError(
            f"Class {lone[0]!r}{others} in {where} has one group only, "
            f"{next(iter(of_class[lone[0]]))!r}: when its fold is held out, nothing is left to "
            f"learn it from. Add {noun}s of it in other groups, or leave the class out."
        )
    for attempt in range(_DEALS):
        dealt = deal_groups(records, tags, num_folds=folds, seed=(seed + attempt) % 2**32)
        dealt = _spread(dealt, of_class)
        if not any(_held_whole(dealt, of_class)):
            return dealt
    label, number = next(_held_whole(dealt, of_class))
    raise SplitError(
        f"{folds} folds of {where}: all {counted(len(of_class[label]), 'group')} of class "
        f"{label!r} fall into fold {number + 1}, so that it could not be learnt there. Use more "
        f"folds, or add {noun}s of it in other groups."
    )


def _held_whole(
    dealt: Sequence[frozenset[str]], of_class: dict[str, set[str]]
) -> Iterator[tuple[str, int]]:
    """Yield the classes of which one fold has every group, and that fold."""
    for label in sorted(of_class):
        for number, fold in enumerate(dealt):
            if of_class[label] <= fold:
                yield label, number


def _spread(dealt: list[frozenset[str]], of_class: dict[str, set[str]]) -> list[frozenset[str]]:
    """Move single groups until no class stands in one fold alone, as far as that helps."""
    while held := list(_held_whole(dealt, of_class)):
        label, source = held[0]
        for group in sorted(of_class[label]):
            moved = [
                [
                    fold - {group} if at == source else fold | {group} if at == target else fold
                    for at, fold in enumerate(dealt)
                ]
                for target in sorted(range(len(dealt)), key=lambda at: (len(dealt[at]), at))
                if target != source
            ]
            better = [
                new
                for new in moved
                if all(new) and sum(1 for _ in _held_whole(new, of_class)) < len(held)
            ]
            if better:
                dealt = better[0]
                break
        else:
            return dealt
    return dealt
