"""One class, several labels or numbers: how a manifest says it, and how such clips are split."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cliptide.configs.errors import ConfigError, DataError, SplitError
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.clips import Sample
from cliptide.datasets.labels import (
    encode_label,
    joined_names,
    joined_numbers,
    names_in,
    numbers_in,
)
from cliptide.datasets.loaders import collate
from cliptide.datasets.records import SPLITS, SampleRecord
from cliptide.datasets.splits import make_splits, split_counts, split_sizes
from cliptide.datasets.strata import tags_of, target_ranges

quick = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def manifest(folder: Path, labels: list[str], *, groups: int = 0) -> Path:
    """A manifest of empty files: a reader opens none of them."""
    header = "path,label,group" if groups else "path,label"
    lines = [header]
    for number, label in enumerate(labels):
        (folder / f"{number}.mp4").touch()
        lines.append(f"{number}.mp4,{label}" + (f",g{number % groups}" if groups else ""))
    path = folder / "videos.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_catalog(task, labels_and_groups, class_names) -> Catalog:
    records = tuple(
        SampleRecord(Path(f"{i}.mp4"), f"{i:04}.mp4", label, group)
        for i, (label, group) in enumerate(labels_and_groups)
    )
    return Catalog(Path("data"), "manifest", records, class_names, None, None, True, (), task=task)


# --- reading -------------------------------------------------------------------------------


def test_a_bar_in_any_label_means_several_labels_in_all(tmp_path):
    catalog = read_catalog(manifest(tmp_path, ["run", "wave | jump", "jump", ""]))
    assert catalog.task == "multi"
    assert catalog.class_names == ("jump", "run", "wave")
    assert [record.label for record in catalog.records] == ["run", "jump|wave", "jump", ""]
    assert "1 row has none of the labels." in catalog.notes


def test_without_a_bar_each_clip_has_one_class(tmp_path):
    assert read_catalog(manifest(tmp_path, ["a", "b"])).task == "single"


def test_several_labels_can_be_asked_for_where_no_clip_has_more_than_one(tmp_path):
    catalog = read_catalog(manifest(tmp_path, ["smoke", "", ""]), task="multi")
    assert (catalog.task, catalog.class_names) == ("multi", ("smoke",))


def test_numbers_are_targets_when_regression_is_asked_for(tmp_path):
    catalog = read_catalog(manifest(tmp_path, ["3.50", "-2", "1e3"]), task="regression")
    assert (catalog.task, catalog.class_names) == ("regression", ("target",))
    assert [record.label for record in catalog.records] == ["3.5", "-2", "1000"]
    several = read_catalog(manifest(tmp_path, ["1.0|-2.5", " 3 | 4 "]), task="regression")
    assert several.class_names == ("target_1", "target_2")
    assert [numbers_in(record.label) for record in several.records] == [(1.0, -2.5), (3.0, 4.0)]


def test_numbers_are_class_names_otherwise_and_many_of_them_are_remarked_on(tmp_path):
    few = read_catalog(manifest(tmp_path, ["1", "2", "3"]))
    assert (few.task, few.class_names, few.notes[:-1]) == ("single", ("1", "2", "3"), ())
    many = read_catalog(manifest(tmp_path, [f"{number / 10}" for number in range(20)]))
    assert many.task == "single"
    assert any("20 different ones" in note and "regression" in note for note in many.notes)
    with pytest.raises(SplitError, match=r"one group only.*set data\.task to regression"):
        make_splits(many, seed=0)


def test_class_folders_named_by_numbers_can_be_a_regression(tmp_path):
    for name in ("10", "2.5"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.mp4").touch()
    catalog = read_catalog(tmp_path, task="regression")
    assert (catalog.task, catalog.class_names) == ("regression", ("target",))
    assert sorted(record.label for record in catalog.records) == ["10", "2.5"]


@pytest.mark.parametrize(
    ("labels", "task", "value", "mend"),
    [
        (["a||b", "c"], "auto", r"line 2: the label 'a\|\|b'", r"one '\|' between"),
        (["|", "c"], "auto", r"line 2: the label '\|' has nothing", r"one '\|' between"),
        (["c", "a|"], "multi", r"line 3: the label 'a\|' has nothing", r"one '\|' between"),
        (["a|a", "c"], "auto", r"line 2: the label 'a\|a' names 'a' twice", "each label once"),
        (["a", ""], "auto", "empty label in line 3", "data.task multi, empty means none"),
        (
            ["a|b", "b; a"],
            "auto",
            r"line 3: the label 'b; a' is made of .*b, a with ';'",
            r"'b\|a'",
        ),
        (["a", "a/b", "b"], "multi", r"line 3: the label 'a/b' is made", "or another name"),
        (["a|b", "c"], "single", r"'\|' in line 2", "data.task multi"),
        (["a|b", "b|a"], "auto", r"every row the label 'a\|b'", "Add rows with others"),
        (["3.5", "fast"], "regression", "line 3: the target 'fast'", "Write it like 3.5"),
        (["3.5", "1,5"], "regression", "line 3", "double quotes"),
        (["3.5", '"1,5"'], "regression", "line 3: the target '1,5'", "with a point"),
        (["1|x", "1|2"], "regression", r"line 2: the target 'x' of '1\|x'", "Write it like 3.5"),
        (["nan", "1"], "regression", "line 2: the target 'nan'", "no finite number"),
        (["1", "-inf"], "regression", "line 3: the target '-inf'", "no finite number"),
        (["1|2", "1|2|3"], "regression", "line 2 has 2 targets, line 3 has 3", "the same number"),
        (["1", ""], "regression", "empty label in line 3", "Write the number to predict"),
        (["2", "2.0"], "regression", "every row the label '2'", "Add rows with others"),
    ],
)
def test_a_label_that_does_not_fit_is_named_with_its_mend(tmp_path, labels, task, value, mend):
    path = manifest(tmp_path, labels)
    with pytest.raises(DataError, match=value) as caught:
        read_catalog(path, task=task)
    assert re.search(mend, str(caught.value))
    assert "videos.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("task", "value", "mend"),
    [
        ("multi", "data.task is multi, but .* 'folder'", r"manifest CSV with labels such as walk"),
        ("regression", "its class 'anticlockwise' is no number", r"manifest CSV with a number"),
    ],
)
def test_a_layout_that_cannot_say_the_task_is_refused(small_data, task, value, mend):
    with pytest.raises(DataError, match=f"(?s){value}.*{mend}"):
        read_catalog(small_data, kind="folder", task=task)


def test_an_unknown_task_is_refused(small_data):
    with pytest.raises(ConfigError, match=r"'many' is unknown\. Use one of: auto, single"):
        read_catalog(small_data, task="many")


# --- what the network is asked for ---------------------------------------------------------


def test_labels_become_numbers_for_the_network():
    index = {"a": 0, "b": 1}
    assert encode_label("b", task="single", class_index=index) == 1
    assert encode_label("?", task="single", class_index=index) == -1
    assert encode_label("a|b", task="multi", class_index=index) == (1.0, 1.0)
    assert encode_label("", task="multi", class_index=index) == (0.0, 0.0)
    assert encode_label("1.5|-2", task="regression", class_index=index) == (1.5, -2.0)
    unknown = encode_label("", task="regression", class_index=index)
    assert all(number != number for number in unknown)


@quick
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4))
def test_numbers_written_read_back_as_the_same(numbers):
    assert numbers_in(joined_numbers(numbers)) == tuple(numbers)


def test_names_are_written_in_one_order_whatever_theirs():
    assert joined_names(["b", "a"]) == "a|b"
    assert names_in("a|b") == ("a", "b") and names_in("") == ()


@pytest.mark.parametrize(
    ("labels", "shape", "kind"),
    [([2, 0], (2,), "int64"), ([(0.0, 1.0), (1.0, 1.0)], (2, 2), "float32")],
)
def test_a_batch_has_an_index_a_clip_or_a_number_for_each_output(labels, shape, kind):
    import torch

    clip = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    batch = collate([Sample(i, (clip,), label) for i, label in enumerate(labels)])
    assert tuple(batch.labels.shape) == shape
    assert str(batch.labels.dtype) == f"torch.{kind}"


# --- splits --------------------------------------------------------------------------------


@st.composite
def many_labelled(draw) -> Catalog:
    num_groups = draw(st.integers(6, 14))
    rows = []
    for group in range(num_groups):
        for _ in range(draw(st.integers(1, 5))):
            rows.append((joined_names(draw(st.sets(st.sampled_from("abc")))), f"g{group}"))
    # Every label is in three groups at least, so that every split can be had.
    rows += [("a|b|c", f"g{group}") for group in range(3)]
    return make_catalog("multi", rows, ("a", "b", "c"))


@quick
@given(catalog=many_labelled(), seed=st.integers(0, 1000))
def test_no_group_is_torn_and_every_single_label_is_learnt(catalog, seed):
    plan = make_splits(catalog, seed=seed)
    assert plan.torn_groups == ()
    counts = split_counts(plan.records, catalog.class_names, "multi")
    assert all(row.train > 0 for row in counts)
    assert sum(split_sizes(plan.records)) == len(catalog.records)
    assert {record.split for record in plan.records} == set(SPLITS)
    assert make_splits(catalog, seed=seed) == plan


def test_labels_that_only_one_group_has_each_leave_nothing_to_test_on():
    rows = [(name, f"g{name}") for name in "abc"]
    with pytest.raises(SplitError, match=r"only one with some label\. Add clips"):
        make_splits(make_catalog("multi", rows, tuple("abc")), seed=0)


def test_a_clip_with_several_labels_counts_for_each_but_once_as_a_clip():
    rows = [("a|b", f"g{group}") for group in range(8)] + [("a", "g0"), ("", "g1")]
    plan = make_splits(make_catalog("multi", rows, ("a", "b")), seed=0)
    counts = {row.class_name: sum(row[1:]) for row in split_counts(plan.records, "ab", "multi")}
    assert counts == {"a": 9, "b": 8}
    assert sum(split_sizes(plan.records)) == 10


def test_the_splits_of_a_regression_span_alike():
    """Without bins the smallest or the largest targets may all be in one split."""
    numbers = list(range(100))
    random.Random(0).shuffle(numbers)
    rows = [(str(number), f"g{place}") for place, number in enumerate(numbers)]
    plan = make_splits(make_catalog("regression", rows, ("target",)), seed=0)
    for split in SPLITS:
        values = [float(r.label) for r in plan.records if r.split == split]
        # Fifths of the range: each is in each split.
        assert {int(value // 20) for value in values} == {0, 1, 2, 3, 4}, split
    ((name, *ranges),) = target_ranges(plan.records, ("target",), SPLITS)
    assert name == "target" and all(" to " in cell for cell in ranges)
    assert plan.notes == ()


def test_a_regression_splits_three_groups_however_their_targets_lie():
    rows = [(str(group * 100 + clip), f"g{group}") for group in range(3) for clip in range(3)]
    catalog = make_catalog("regression", rows, ("target",))
    assert set(tags_of(catalog.records, "regression").values()) == {("all",)}
    plan = make_splits(catalog, seed=0)
    assert split_sizes(plan.records) == (3, 3, 3) and plan.torn_groups == ()
