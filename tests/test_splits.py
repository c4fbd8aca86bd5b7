"""No group is torn, nothing depends on order or place, and every shortage says so."""

import dataclasses
import random
from collections import defaultdict
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cliptide.configs.errors import ConfigError, SplitError
from cliptide.configs.streams import SampleKind
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.folds import make_folds
from cliptide.datasets.records import SPLITS, SampleRecord, Split
from cliptide.datasets.splits import (
    SplitCount,
    SplitPlan,
    make_splits,
    require_split,
    split_counts,
    torn_groups,
)

PHRASES = Path(__file__).parents[2] / "shared" / "data" / "phrases"
FIGHT = Path(__file__).parents[2] / "shared" / "data" / "fight"

# The first example pays for importing scikit-learn.
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

Row = tuple[str, str, Split | None]  # label, group, split


def make_catalog(
    rows: list[Row],
    *,
    root: str = "data",
    split_origin: Literal["official", "manifest"] | None = None,
) -> Catalog:
    records = [
        SampleRecord(
            source=Path(root) / f"{i}.mp4",
            name=f"{i:04}.mp4",
            label=label,
            group=group,
            split=split,
        )
        for i, (label, group, split) in enumerate(rows)
    ]
    return Catalog(
        root=Path(root),
        kind="manifest",
        records=tuple(records),
        class_names=tuple(sorted({label for label, _, _ in rows})),
        split_origin=split_origin,
        fold=None,
        groups_known=True,
        notes=(),
    )


def square(*, classes: int, groups: int, clips: int) -> Catalog:
    """Every group has clips of every class, as with actors who do each action."""
    return make_catalog(
        [
            (f"class{c}", f"g{g:02}", None)
            for c in range(classes)
            for g in range(groups)
            for _ in range(clips)
        ]
    )


def groups_of(plan: SplitPlan, split: Split) -> set[str]:
    return {record.group for record in plan.records if record.split == split}


def classes_of(plan: SplitPlan, split: Split) -> set[str]:
    return {record.label for record in plan.records if record.split == split}


def share_of(plan: SplitPlan, split: Split) -> float:
    return sum(record.split == split for record in plan.records) / len(plan.records)


@st.composite
def unsplit_catalogs(draw: st.DrawFn) -> Catalog:
    """Ragged data sets: any number of clips for each class and group, some far larger."""
    num_classes = draw(st.integers(2, 5))
    num_groups = draw(st.integers(3, 12))
    rows: list[Row] = []
    for c in range(num_classes):
        # Each class has two groups at least; fewer is an error with a test of its own.
        members = draw(st.sets(st.integers(0, num_groups - 1), min_size=2))
        for g in sorted(members):
            rows += [(f"class{c}", f"g{g}", None)] * draw(st.sampled_from([1, 1, 2, 7, 30]))
    return make_catalog(rows)


def can_be_split(catalog: Catalog) -> bool:
    """Whether some two groups can be held out, one by one, with every class left to learn."""
    labels: dict[str, set[str]] = defaultdict(set)
    for record in catalog.records:
        labels[record.group].add(record.label)
    every = set(catalog.class_names)
    return any(
        set().union(*(labels[g] for g in labels if g not in (a, b))) == every
        for a in labels
        for b in labels
        if a != b
    )


@quick
@given(catalog=unsplit_catalogs(), seed=st.integers(0, 2**32 - 1))
def test_no_group_is_torn_and_every_class_is_learnt(catalog: Catalog, seed: int) -> None:
    if not can_be_split(catalog):
        with pytest.raises(SplitError, match=r"(only one of some class|need at least 3).*Add"):
            make_splits(catalog, seed=seed)
        return
    plan = make_splits(catalog, seed=seed)
    train, val, test = (groups_of(plan, split) for split in ("train", "val", "test"))
    assert train and val and test
    assert not (train & val or train & test or val & test)
    assert plan.torn_groups == ()
    assert classes_of(plan, "train") == set(catalog.class_names)


@quick
@given(catalog=unsplit_catalogs().filter(can_be_split), seed=st.integers(0, 1000))
def test_every_clip_comes_out_once_with_a_split_and_is_otherwise_the_same(
    catalog: Catalog, seed: int
) -> None:
    plan = make_splits(catalog, seed=seed)
    assert tuple(dataclasses.replace(r, split=None) for r in plan.records) == catalog.records
    assert all(record.split is not None for record in plan.records)


@quick
@given(catalog=unsplit_catalogs().filter(can_be_split), order=st.randoms(use_true_random=False))
def test_the_split_depends_on_the_clips_and_the_seed_alone(
    catalog: Catalog, order: random.Random
) -> None:
    records = list(catalog.records)
    order.shuffle(records)
    elsewhere = [dataclasses.replace(r, source=Path("/far/away") / r.name) for r in records]
    shuffled = dataclasses.replace(catalog, root=Path("/far/away"), records=tuple(elsewhere))
    plan, again = make_splits(catalog, seed=3), make_splits(shuffled, seed=3)
    assert [r.split for r in again.records] == [r.split for r in plan.records]
    assert again.fingerprint == plan.fingerprint


def test_another_seed_may_give_another_split() -> None:
    catalog = square(classes=3, groups=20, clips=2)
    plans = [make_splits(catalog, seed=seed) for seed in range(5)]
    assert len({plan.fingerprint for plan in plans}) > 1


@pytest.mark.parametrize("test_share", [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
def test_shares_come_near_what_was_asked(test_share: float) -> None:
    plan = make_splits(
        square(classes=4, groups=60, clips=2), seed=0, test_share=test_share, val_share=0.25
    )
    assert share_of(plan, "test") == pytest.approx(test_share, abs=0.02)
    assert share_of(plan, "val") == pytest.approx(0.25 * (1 - test_share), abs=0.03)


def test_the_default_shares_hold_out_a_fifth_and_of_the_rest_a_seventh() -> None:
    plan = make_splits(square(classes=2, groups=100, clips=1), seed=0)
    assert share_of(plan, "test") == pytest.approx(0.2, abs=0.01)
    assert share_of(plan, "val") == pytest.approx(0.8 / 7, abs=0.02)


def test_every_class_keeps_its_share_in_an_imbalanced_set() -> None:
    rows: list[Row] = [("common", f"a{i}", None) for i in range(200)]
    rows += [("rare", f"b{i}", None) for i in range(20)]
    plan = make_splits(make_catalog(rows), seed=0)
    common, rare = split_counts(plan.records, ("common", "rare"))
    assert common.test == pytest.approx(40, abs=2)
    assert rare.test == pytest.approx(4, abs=1)
    assert rare.val >= 1


def test_a_class_with_few_groups_still_reaches_every_split() -> None:
    rows: list[Row] = [("common", f"a{i}", None) for i in range(40)]
    rows += [("rare", f"b{i}", None) for i in range(3)]
    for seed in range(10):
        plan = make_splits(make_catalog(rows), seed=seed)
        assert split_counts(plan.records, ("rare",)) == (SplitCount("rare", 1, 1, 1),)
        assert plan.notes == ()


def test_a_class_with_two_groups_is_learnt_and_tested_and_noted_as_missing_from_val() -> None:
    rows: list[Row] = [("common", f"a{i}", None) for i in range(40)]
    rows += [("rare", "b0", None), ("rare", "b1", None)]
    plan = make_splits(make_catalog(rows), seed=0)
    assert split_counts(plan.records, ("rare",)) == (SplitCount("rare", 1, 0, 1),)
    assert plan.notes == (
        "Class 'rare' has no clip in val: it plays no part in choosing the best epoch.",
    )


@pytest.mark.parametrize(
    ("samples", "noun"),
    [("video", "clip"), ("frames", "clip"), ("text", "text"), ("audio", "sound")],
)
def test_each_kind_is_told_of_its_own_records(samples: SampleKind, noun: str) -> None:
    rows: list[Row] = [("common", f"a{i}", None) for i in range(40)]
    rows += [("rare", "b0", None), ("rare", "b1", None)]
    catalog = dataclasses.replace(make_catalog(rows), samples=samples)
    (note,) = make_splits(catalog, seed=0).notes
    assert note.startswith(f"Class 'rare' has no {noun} in val")
    few = dataclasses.replace(make_catalog(rows[-2:]), samples=samples)
    with pytest.raises(SplitError, match=rf"at least 3\. Add {noun}s of other groups"):
        make_splits(few, seed=0)
    with pytest.raises(SplitError, match=rf"3 folds.*add {noun}s of other groups"):
        make_folds(few, folds=3, seed=0)


def test_fewer_than_three_groups_are_refused_with_the_mend() -> None:
    rows: list[Row] = [("a", "g1", None), ("b", "g1", None), ("a", "g2", None), ("b", "g2", None)]
    with pytest.raises(
        SplitError, match=r"data has 2 groups \(g1, g2\).*at least 3\. Add clips of"
    ):
        make_splits(make_catalog(rows), seed=0)


def test_a_class_with_one_group_is_refused_by_name_with_the_mend() -> None:
    rows: list[Row] = [("a", f"g{i}", None) for i in range(5)]
    rows += [("b", "g1", None), ("b", "g1", None)]
    with pytest.raises(SplitError, match=r"Class 'b' in data has one group only, 'g1'.*Add clips"):
        make_splits(make_catalog(rows), seed=0)


@pytest.mark.parametrize("name", ["val_share", "test_share"])
@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 20.0])
def test_a_share_that_is_none_is_refused_with_an_example(name: str, share: float) -> None:
    catalog = square(classes=2, groups=5, clips=1)
    with pytest.raises(ConfigError, match=rf"{name} {share} is no share .*such as 0\.2"):
        make_splits(catalog, seed=0, **{name: share})


# --- splits that were given ------------------------------------------------------------------


def given_split(*, test_groups: int) -> Catalog:
    catalog = square(classes=3, groups=10, clips=2)
    records = [
        dataclasses.replace(r, split="test" if r.group < f"g{test_groups:02}" else "train")
        for r in catalog.records
    ]
    return dataclasses.replace(catalog, records=tuple(records), split_origin="official")


def test_a_given_test_split_stays_and_validation_comes_out_of_the_training_groups() -> None:
    catalog = given_split(test_groups=3)
    plan = make_splits(catalog, seed=0)
    assert plan.origin == "official"
    assert groups_of(plan, "test") == {"g00", "g01", "g02"}
    assert len(groups_of(plan, "val")) == 1
    assert plan.torn_groups == ()


def test_a_given_validation_split_stays_as_it_is() -> None:
    rows: list[Row] = [
        (label, split, split) for label in ("a", "b") for split in SPLITS for _ in range(2)
    ]
    catalog = make_catalog(rows, split_origin="manifest")
    plan = make_splits(catalog, seed=0)
    assert plan.records == catalog.records
    assert plan.origin == "manifest"


def test_groups_torn_by_the_user_are_reported_not_mended() -> None:
    rows: list[Row] = [(label, f"g{i}", "train") for label in ("a", "b") for i in range(8)]
    rows += [("a", "g0", "test"), ("b", "g7", "test"), ("b", "g9", "test")]
    plan = make_splits(make_catalog(rows, split_origin="manifest"), seed=0)
    assert plan.torn_groups == ("g0", "g7")
    assert sum(record.split == "test" for record in plan.records) == 3


def test_a_group_in_train_and_val_only_is_not_leaky() -> None:
    rows: list[Row] = [("a", "g0", "train"), ("a", "g0", "val"), ("a", "g1", "test")]
    assert torn_groups(make_catalog(rows).records) == ()


def test_classes_that_a_given_split_lacks_are_noted() -> None:
    rows: list[Row] = [(label, f"g{i}", "train") for label in ("a", "b") for i in range(4)]
    rows += [("a", "g5", "test"), ("c", "g6", "test")]
    plan = make_splits(make_catalog(rows, split_origin="manifest"), seed=0)
    assert plan.notes == (
        "Class 'c' has no clip in train: it cannot be learnt.",
        "Class 'c' has no clip in val: it plays no part in choosing the best epoch.",
        "Class 'b' has no clip in test: its recognition is not measured.",
    )


@pytest.mark.parametrize(
    ("only", "wanted"), [("train", "test"), ("val", "train"), ("test", "train")]
)
def test_a_given_split_without_train_or_test_is_refused_with_the_mend(
    only: Split, wanted: Split
) -> None:
    catalog = make_catalog(
        [("a", "g0", only), ("b", "g1", only)], split_origin="manifest", root="videos.csv"
    )
    with pytest.raises(
        SplitError, match=rf"videos\.csv has no clip in split '{wanted}', only in: {only}\. Mark"
    ):
        make_splits(catalog, seed=0)


def test_training_clips_of_one_group_leave_nothing_to_validate_with() -> None:
    rows: list[Row] = [("a", "g0", "train"), ("b", "g0", "train"), ("a", "g1", "test")]
    with pytest.raises(
        SplitError, match=r"No validation clips .*\(g0\) .*Add training clips of oth"
    ):
        make_splits(make_catalog(rows, split_origin="manifest"), seed=0)


# --- tables, fingerprints, selection ---------------------------------------------------------


def test_split_counts_follow_the_order_of_the_classes() -> None:
    rows: list[Row] = [
        ("a", "1", "train"),
        ("b", "1", "train"),
        ("b", "2", "test"),
        ("b", "3", "val"),
    ]
    assert split_counts(make_catalog(rows).records, ("b", "a")) == (
        SplitCount("b", train=1, val=1, test=1),
        SplitCount("a", train=1, val=0, test=0),
    )


def test_the_fingerprint_is_short_and_changes_with_any_clip_label_or_split() -> None:
    catalog = given_split(test_groups=3)
    first, *others = catalog.records
    prints = {make_splits(catalog, seed=0).fingerprint}
    for changed in (
        dataclasses.replace(first, name="0000b.mp4"),
        dataclasses.replace(first, label="class1"),
        dataclasses.replace(first, split="train"),
    ):
        records = (changed, *others)
        prints.add(make_splits(dataclasses.replace(catalog, records=records), seed=0).fingerprint)
    assert len(prints) == 4
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in prints)


def test_the_fingerprint_is_the_same_on_every_machine_and_version() -> None:
    rows: list[Row] = [("été", "g0", "train"), ("b", "g1", "val"), ("b", "g2", "test")]
    plan = make_splits(make_catalog(rows, split_origin="manifest"), seed=0)
    assert plan.fingerprint == "60ab9ce02218"


def test_require_split_selects_by_name() -> None:
    records = given_split(test_groups=3).records
    chosen = require_split(records, "test", where="trainlist01.txt")
    assert {record.group for record in chosen} == {"g00", "g01", "g02"}


def test_an_unknown_split_is_refused_with_the_nearest_and_those_that_are_there() -> None:
    records = given_split(test_groups=3).records
    with pytest.raises(
        SplitError,
        match=r"Split 'tset' is not in list\.txt\. Did you mean 'test'\? Use one of: train, test\.",
    ):
        require_split(records, "tset", where="list.txt")
    with pytest.raises(SplitError, match=r"'val' is not in list\.txt\. Use one of: train, test\."):
        require_split(records, "val", where="list.txt")
    with pytest.raises(SplitError, match=r"'test' is not in d: nothing there has a split"):
        require_split(square(classes=2, groups=2, clips=1).records, "test", where="d")


# --- real data -------------------------------------------------------------------------------


@pytest.mark.skipif(not PHRASES.is_dir(), reason=f"no data set at {PHRASES}")
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_each_fold_of_phrases_keeps_its_speakers_whole(fold: int) -> None:
    plan = make_splits(read_catalog(PHRASES, fold=fold), seed=0)
    assert plan.torn_groups == ()
    assert len(groups_of(plan, "test")) == 5
    assert len(groups_of(plan, "val")) in (1, 2)
    assert groups_of(plan, "val").isdisjoint(groups_of(plan, "train"))
    for split in ("train", "val", "test"):
        assert len(classes_of(plan, split)) == 10
    assert plan.notes == ()


@pytest.mark.skipif(not FIGHT.is_dir(), reason=f"no data set at {FIGHT}")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_fight_set_is_split_without_losing_a_clip_or_tearing_a_video(seed: int) -> None:
    plan = make_splits(read_catalog(FIGHT / "videos.csv"), seed=seed)
    assert len(plan.records) == 300
    assert plan.torn_groups == ()
    assert share_of(plan, "test") == pytest.approx(0.2, abs=0.05)
    for split in ("train", "val", "test"):
        assert classes_of(plan, split) == {"fight", "noFight"}


def test_a_given_validation_split_that_tears_a_group_is_told(tmp_path: Path) -> None:
    lines = ["path,label,group,split"]
    for number, split in enumerate(["train", "train", "val", "test"]):
        for label in ("a", "b"):
            name = f"{label}{number}.mp4"
            (tmp_path / name).touch()
            group = "same" if number in (1, 2) else f"g{number}"
            lines.append(f"{name},{label},{group},{split}")
    (tmp_path / "videos.csv").write_text("\n".join(lines), encoding="utf-8")
    plan = make_splits(read_catalog(tmp_path / "videos.csv"), seed=0)
    assert plan.torn_groups == ()
    assert any(note.startswith("In both train and val: 1 group (same)") for note in plan.notes)
