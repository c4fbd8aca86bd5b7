"""Folds: no group is torn, every clip is tested once, and every shortage names its mend."""

import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cliptide.configs.errors import ConfigError, SplitError
from cliptide.configs.schema import DataConfig
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.folds import make_folds, make_validation_folds, read_fold
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.splits import make_splits

quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def catalog_of(rows, *, split_origin=None):
    """Clips of (label, group, split)."""
    return Catalog(
        root=Path("data"),
        kind="manifest",
        records=tuple(
            SampleRecord(Path(f"data/{i}.mp4"), f"{i:04}.mp4", label, group, split)
            for i, (label, group, split) in enumerate(rows)
        ),
        class_names=tuple(sorted({label for label, _, _ in rows})),
        split_origin=split_origin,
        fold=None,
        groups_known=True,
        notes=(),
    )


def square(*, classes, groups, clips=2):
    return catalog_of(
        [
            (f"class{c}", f"g{g:02}", None)
            for c in range(classes)
            for g in range(groups)
            for _ in range(clips)
        ]
    )


@st.composite
def ragged_catalogs(draw):
    rows = []
    num_groups = draw(st.integers(3, 12))
    for c in range(draw(st.integers(2, 5))):
        for g in sorted(draw(st.sets(st.integers(0, num_groups - 1), min_size=2))):
            rows += [(f"class{c}", f"g{g}", None)] * draw(st.sampled_from([1, 1, 2, 7, 30]))
    return catalog_of(rows)


def groups_of(plan, split):
    return {record.group for record in plan.records if record.split == split}


def names_tested(plans):
    return Counter(r.name for plan in plans for r in plan.records if r.split == "test")


@quick
@given(catalog=ragged_catalogs(), folds=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_no_group_is_torn_and_every_clip_is_tested_once(catalog, folds, seed):
    num_groups = len({record.group for record in catalog.records})
    try:
        plans = make_folds(catalog, folds=folds, seed=seed)
    except SplitError as error:
        message = str(error)
        if folds > num_groups:
            assert "too few" in message and f"Use {num_groups} folds or fewer" in message
        else:
            # Two groups of a class can be all that is there beside the tested fold.
            assert "could not be learnt there" in message or "only one of some class" in message
        return
    assert folds <= num_groups and len(plans) == folds
    assert names_tested(plans) == {record.name: 1 for record in catalog.records}
    for plan in plans:
        train, val, test = (groups_of(plan, split) for split in ("train", "val", "test"))
        assert train and val and test
        assert not (train & val or train & test or val & test)
        assert {r.label for r in plan.records if r.split == "train"} == set(catalog.class_names)


@quick
@given(
    classes=st.integers(2, 6), groups=st.integers(4, 15), folds=st.integers(2, 15), data=st.data()
)
def test_folds_of_an_even_data_set_are_even_and_never_refused(classes, groups, folds, data):
    catalog = square(classes=classes, groups=groups)
    plans = make_folds(catalog, folds=min(folds, groups), seed=data.draw(st.integers(0, 99)))
    sizes = [len(groups_of(plan, "test")) for plan in plans]
    assert max(sizes) - min(sizes) <= 1


@quick
@given(
    catalog=ragged_catalogs(), seed=st.integers(0, 999), shuffle=st.randoms(use_true_random=False)
)
def test_folds_depend_on_the_clips_and_the_seed_alone(catalog, seed, shuffle):
    records = list(catalog.records)
    shuffle.shuffle(records)
    other = replace(catalog, records=tuple(records))
    try:
        plans = make_folds(catalog, folds=2, seed=seed)
    except SplitError as error:
        with pytest.raises(SplitError) as again:
            make_folds(other, folds=2, seed=seed)
        assert str(again.value) == str(error)
        return
    assert make_folds(other, folds=2, seed=seed) == plans


def test_another_seed_deals_otherwise():
    catalog = square(classes=3, groups=12)
    assert make_folds(catalog, folds=4, seed=0) != make_folds(catalog, folds=4, seed=1)


def test_clips_that_are_groups_of_their_own_are_dealt_by_class():
    catalog = catalog_of([(f"class{i % 4}", f"v{i}", None) for i in range(40)])
    for plan in make_folds(catalog, folds=5, seed=0):
        counts = Counter(r.label for r in plan.records if r.split == "test")
        assert set(counts.values()) == {2}


def test_a_class_never_stands_in_one_fold_alone_where_that_can_be():
    """The rare class has two groups, which hold much of the others: dealt alone they would meet."""
    rows = [("rare", "g0", None), ("rare", "g1", None)]
    rows += [("often", f"g{g}", None) for g in range(8) for _ in range(5)]
    for seed in range(20):
        for plan in make_folds(catalog_of(rows), folds=2, seed=seed):
            assert any(r.label == "rare" and r.split == "train" for r in plan.records)


def test_classes_woven_so_that_two_folds_cannot_part_them_ask_for_more():
    pairs = [("a", "g0"), ("a", "g1"), ("b", "g1"), ("b", "g2"), ("c", "g0"), ("c", "g2")]
    catalog = catalog_of([(label, group, None) for label, group in pairs] * 2)
    with pytest.raises(SplitError, match=r"could not be learnt there. Use more folds"):
        make_folds(catalog, folds=2, seed=0)


def test_more_folds_than_groups_are_refused_with_both_numbers():
    with pytest.raises(SplitError, match=r"4 groups.*too few for 5 folds. Use 4 folds or fewer"):
        make_folds(square(classes=2, groups=4), folds=5, seed=0)


def test_one_group_alone_is_refused_with_the_mend():
    with pytest.raises(SplitError, match=r"one group only.*group_regex"):
        make_folds(square(classes=2, groups=1), folds=2, seed=0)


def test_a_class_with_one_group_is_refused_by_name():
    rows = [("jump", "g0", None)] + [("run", f"g{g}", None) for g in range(6)]
    with pytest.raises(SplitError, match=r"'jump' in data has one group only, 'g0'.*Add clips"):
        make_folds(catalog_of(rows), folds=3, seed=0)


def test_one_fold_is_none():
    with pytest.raises(ConfigError, match=r"folds is 1. Use 2 or more"):
        make_folds(square(classes=2, groups=4), folds=1, seed=0)


def test_folds_that_leave_nothing_to_validate_with_name_the_fold():
    with pytest.raises(SplitError, match=r"Fold . of 2: No validation clips.*More folds leave"):
        make_folds(square(classes=2, groups=3), folds=2, seed=0)


def test_with_as_many_folds_as_groups_more_folds_are_no_mend():
    with pytest.raises(SplitError, match=r"Fold 1 of 2: No validation.*Add clips of other") as told:
        make_folds(square(classes=2, groups=2), folds=2, seed=0)
    assert "More folds" not in str(told.value)


def test_a_split_that_came_with_the_data_is_passed_over_with_a_note():
    rows = [(f"class{c}", f"g{g}", "test" if g == 0 else "train") for c in (0, 1) for g in range(6)]
    plans = make_folds(catalog_of(rows, split_origin="manifest"), folds=3, seed=0)
    assert set(names_tested(plans).values()) == {1}
    assert all("the manifest's split is not used" in plan.notes[0] for plan in plans)
    assert {plan.origin for plan in plans} == {"made"}


def ucf101(root, *, folds):
    """A UCF101 in small: each official fold tests two groups of six."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    names = ("Archery", "Bowling")
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n", encoding="utf-8")
    for fold in range(1, folds + 1):
        parts = defaultdict(list)
        for name in names:
            (root / name).mkdir(exist_ok=True)
            for group in range(1, 7):
                clip = f"{name}/v_{name}_g{group:02}_c01.avi"
                (root / clip).touch()
                tested = (group + 1) // 2 == fold
                number = "" if tested else f" {names.index(name) + 1}"
                parts["test" if tested else "train"].append(clip + number)
        for split, lines in parts.items():
            (lists / f"{split}list{fold:02}.txt").write_text("\n".join(lines), encoding="utf-8")
    return root


PLAIN = {
    "kind": "auto", "group_regex": None, "seed": 0, "val_share": 0.15, "test_share": 0.2
}  # fmt: skip


def test_official_folds_are_taken_where_their_number_is_asked_for(tmp_path):
    data = ucf101(tmp_path / "ucf", folds=3)
    assert read_catalog(data).official_folds == (1, 2, 3)
    for fold in (1, 2, 3):
        catalog, plan = read_fold(data, folds=3, fold=fold, **PLAIN)
        official = make_splits(read_catalog(data, fold=fold), seed=0)
        assert (plan, catalog.fold) == (official, fold) and plan.origin == "official"


def test_another_number_than_that_of_the_official_folds_is_dealt_anew_and_said(tmp_path):
    data = ucf101(tmp_path / "ucf", folds=3)
    read = [read_fold(data, folds=2, fold=fold, **PLAIN) for fold in (1, 2)]
    assert set(names_tested([plan for _, plan in read]).values()) == {1}
    for catalog, plan in read:
        assert catalog.fold is None and plan.origin == "made"
        assert "the data set's own split (of 3 folds) is not used" in plan.notes[0]


def test_without_folds_the_split_is_that_of_the_data(tmp_path):
    data = ucf101(tmp_path / "ucf", folds=2)
    assert read_fold(data, folds=0, fold=2, **PLAIN)[1].origin == "official"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, r"data.folds is 1. Use 0, or 2 or more"),
        ({"folds": 5, "fold": 6}, r"data.fold is 6. Use 1 to 5, as data.folds is 5"),
    ],
)
def test_a_wrong_fold_is_refused_at_construction(values, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(**values)


@quick
@given(seed=st.integers(0, 999), folds=st.integers(2, 5))
def test_validation_folds_leave_the_test_split_alone(seed, folds):
    catalog = square(classes=3, groups=10)
    plan = make_splits(catalog, seed=seed)
    cut = make_validation_folds(plan, folds=folds, seed=seed, where="data")
    outside = {r.name for r in plan.records if r.split != "test"}
    assert Counter(r.name for p in cut for r in p.records if r.split == "val") == dict.fromkeys(
        outside, 1
    )
    for one in cut:
        assert [r for r in one.records if r.split == "test"] == [
            r for r in plan.records if r.split == "test"
        ]
        assert not groups_of(one, "train") & groups_of(one, "val")
    assert len({one.fingerprint for one in cut} | {plan.fingerprint}) == folds + 1


def test_more_validation_folds_than_groups_outside_test_are_refused():
    plan = make_splits(square(classes=2, groups=5), seed=0)
    with pytest.raises(SplitError, match=r"data without its test split has 4 groups.*Use 4 folds"):
        make_validation_folds(plan, folds=5, seed=0, where="data")


def test_the_order_of_shuffled_groups_is_no_source_of_chance():
    """The same call twice gives the same folds, also after other random numbers were drawn."""
    catalog = square(classes=2, groups=9)
    first = make_folds(catalog, folds=3, seed=4)
    random.random()
    assert make_folds(catalog, folds=3, seed=4) == first
