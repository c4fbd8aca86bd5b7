"""CSV files of texts: records, groups that keep like texts together, and faults with their mend."""

import csv
import re
import time
from pathlib import Path

import pytest

from cliptide.configs.errors import ConfigError, DataError, LeakError, SplitError
from cliptide.datasets.catalog.catalog import Catalog
from cliptide.datasets.catalog.texts import has_text_header, read_texts
from cliptide.datasets.splits import make_splits
from cliptide.datasets.synthetic_texts import CLASS_NAMES, PAIRS, write_text_dataset


def write(folder: Path, *lines: str, encoding: str = "utf-8", name: str = "texts.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding=encoding, newline="")
    return path


def read(path: Path, **options: object) -> Catalog:
    return read_texts(path, **({"fold": 1, "group_regex": None} | options))  # type: ignore[arg-type]


def groups_of(catalog: Catalog) -> dict[str, str]:
    return {record.name.rpartition(":")[2]: record.group for record in catalog.records}


def test_each_row_is_a_record_named_by_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "label,text", "walk,one foot", "", 'run,"two\nfeet"', "walk,three")
    catalog = read(path)
    shown = [(r.name, r.label, r.text, r.source) for r in catalog.records]
    assert shown == [
        ("texts.csv:2", "walk", "one foot", path),
        ("texts.csv:4", "run", "two\nfeet", path),
        ("texts.csv:6", "walk", "three", path),
    ]
    assert catalog.class_names == ("run", "walk")
    assert (catalog.kind, catalog.task, catalog.split_origin) == ("texts", "single", None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_any_delimiter_and_a_byte_order_mark_are_read(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    lines = [delimiter.join(cells) for cells in (("text", "label"), ("你好", "a"), ("день", "b"))]
    path = write(tmp_path, *lines, encoding=encoding)
    assert has_text_header(path)
    assert [record.text for record in read(path).records] == ["你好", "день"]


@pytest.mark.parametrize(
    ("header", "is_text"),
    [
        ("text,label", True),
        ("TEXT;Label", True),
        ("text,sentiment", True),
        ("path,label", False),
        ("path,label,text", False),
        ("", False),
    ],
)
def test_a_header_that_names_a_text_and_no_path_is_known(
    tmp_path: Path, header: str, is_text: bool
) -> None:
    assert has_text_header(write(tmp_path, header)) is is_text
    assert not has_text_header(tmp_path / "missing.csv")


def test_a_file_without_lines_has_no_header(tmp_path: Path) -> None:
    assert not has_text_header(write(tmp_path, "y" * 20_000_000))


def test_splits_and_several_labels_and_numbers_are_read_as_in_a_manifest(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label,split", "x,a|b,train", "y,b,val", "z,a,test")
    catalog = read(path)
    assert [record.split for record in catalog.records] == ["train", "val", "test"]
    assert (catalog.split_origin, catalog.task) == ("manifest", "multi")
    numbers = write(tmp_path, "text,label", "x,1", "y,2.5")
    assert read(numbers, task="regression").task == "regression"


class TestGroups:
    def test_without_a_column_each_text_is_one_and_like_texts_share_one(
        self, tmp_path: Path
    ) -> None:
        """They differ in spaces, and in how macOS writes an accent."""
        lines = ("text,label", "a caf\u00e9,x", "b,y", "a  cafe\u0301,x")
        catalog = read(write(tmp_path, *lines, name="v_g01_.csv"))
        first = "v_g01_.csv:2"
        assert groups_of(catalog) == {"2": first, "3": "v_g01_.csv:3", "4": first}
        assert not catalog.groups_known
        assert catalog.notes == ("Grouped with the row that has the same text: 1 row.",)

    def test_the_column_groups_and_rows_without_one_are_counted(self, tmp_path: Path) -> None:
        catalog = read(write(tmp_path, "text,label,group", "a,x,ann", "b,y,bob", "c,x,ann", "d,y,"))
        assert groups_of(catalog) == {"2": "ann", "3": "bob", "4": "ann", "5": "texts.csv:5"}
        assert catalog.groups_known
        assert catalog.notes == ("Without a group, so each text is one: 1 row.",)

    def test_groups_with_a_text_in_common_become_one(self, tmp_path: Path) -> None:
        rows = ("a,x,ann", "b,y,bob", "same,x,cid", "same,x,ann", "same,x,", "c,y,cid")
        catalog = read(write(tmp_path, "text,label,group", *rows))
        groups = groups_of(catalog)
        assert len({groups[line] for line in ("2", "4", "5", "6", "7")}) == 1
        assert groups["3"] == "bob"
        assert any("1 group (" in note and "in common" in note for note in catalog.notes)

    def test_no_like_text_is_torn_by_a_split_that_is_made(self, tmp_path: Path) -> None:
        rows = [f"text {i % 15},{'xy'[i % 15 % 2]}" for i in range(60)]
        for seed in range(2):
            plan = make_splits(read(write(tmp_path, "text,label", *rows)), seed=seed)
            splits: dict[str | None, set[str | None]] = {}
            for record in plan.records:
                splits.setdefault(record.text, set()).add(record.split)
            assert all(len(found) == 1 for found in splits.values())


def test_one_empty_text_costs_itself_alone_and_is_named(tmp_path: Path) -> None:
    catalog = read(write(tmp_path, "text,label", "a,x", ",y", "b,y", '" ",x'))
    assert [record.text for record in catalog.records] == ["a", "", "b", ""]
    assert len(set(groups_of(catalog).values())) == 4
    assert catalog.notes == ("Without a text, so left out: 2 rows (lines 3, 5).",)


def test_ten_million_characters_in_a_cell_are_read_at_once(tmp_path: Path) -> None:
    """Python's csv stops at 131,072 unless told otherwise."""
    path = write(tmp_path, "text,label", "word " * 2_000_000 + ",x", "b,y")
    begun = time.perf_counter()
    assert len(read(path).records[0].text or "") == 9_999_999
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("lines", "error", "said"),
    [
        (("text,label", "a,x", "b,"), DataError, "empty label in line 3.*Write the class"),
        (("text,lable", "a,x"), DataError, "lacks the column 'label'.*first line text,label"),
        (("text,label", ",x", ",y"), DataError, "no text in any row. Write texts"),
        (("text,label", "a,x", "b,x"), DataError, "one class only"),
        (("text,label",), DataError, "is empty"),
        (("text,label", "a,x", 'b,y,"c'), DataError, "line 3 is no CSV.*Mend the quotes"),
        (
            ("text,label", "a,x", '"b,y', "c,x"),
            DataError,
            "the row from line 3 to line 4 is no CSV.*Mend the quotes",
        ),
        (
            ("text,label", "a,x", "b,y", "a ,y"),
            DataError,
            "labels 1 text differently in .* first 'a' .lines 2 and 4 as 'x' and 'y'.. Keep one",
        ),
        (
            ("text,label,split", "a,x,train", "b,y,test", "a,x,test"),
            LeakError,
            "text 'a' stands in train and in test, lines 2 and 4.*Keep it in one split",
        ),
        (("text,label,split", "a,x,tset"), SplitError, "'tset' in line 2.*Did you mean 'test'"),
    ],
)
def test_a_fault_is_named_with_its_mend(
    tmp_path: Path, lines: tuple[str, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.compile(said, re.DOTALL)):
        read(write(tmp_path, *lines))


def test_all_texts_with_several_labels_are_counted_and_ten_pairs_named(tmp_path: Path) -> None:
    rows = [f"text {number},{label}" for number in range(12) for label in "xy"]
    with pytest.raises(DataError, match="labels 12 texts differently") as caught:
        read(write(tmp_path, "text,label", *rows))
    pairs = ", ".join(f"{line} and {line + 1} as 'x' and 'y'" for line in range(2, 22, 2))
    assert f", first 'text 0' (lines {pairs}, ...). Keep one" in str(caught.value)


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label", "Grüße,x", encoding="latin-1")
    with pytest.raises(DataError, match=r"is not UTF-8 .line 2 holds.*Save it as UTF-8"):
        read(path)


def test_a_folder_and_a_pattern_for_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, and kind 'texts' reads a CSV"):
        read(tmp_path)
    with pytest.raises(ConfigError, match=r"Leave it out and write .* column 'group'"):
        read(write(tmp_path, "text,label", "a,x", "b,y"), group_regex="_(g[0-9]+)_")


class TestSynthetic:
    @pytest.fixture
    def catalog(self, tmp_path: Path) -> Catalog:
        path = tmp_path / "order.csv"
        write_text_dataset(path, groups=6, texts_per_group=4)
        return read(path)

    def test_it_is_a_data_set_of_whole_groups_without_a_repeat(self, catalog: Catalog) -> None:
        assert catalog.class_names == CLASS_NAMES
        assert len(catalog.records) == 6 * 4 * len(CLASS_NAMES)
        assert catalog.notes == ()
        plan = make_splits(catalog, seed=0)
        assert not plan.torn_groups
        assert not plan.notes

    def test_a_bag_of_words_sees_the_same_in_both_classes_of_a_pair(self, catalog: Catalog) -> None:
        for pair in PAIRS:
            bags = []
            for label in pair:
                texts = [r.text for r in catalog.records if r.label == label]
                bags.append(sorted(sorted((text or "").split()) for text in texts))
            assert bags[0] == bags[1]

    def test_the_same_seed_writes_the_same_file(self, tmp_path: Path) -> None:
        one, other, third = (tmp_path / name for name in ("1.csv", "2.csv", "3.csv"))
        write_text_dataset(one)
        write_text_dataset(other)
        write_text_dataset(third, seed=1)
        assert one.read_bytes() == other.read_bytes() != third.read_bytes()

    def test_many_scripts_take_part(self, tmp_path: Path) -> None:
        path = tmp_path / "order.csv"
        write_text_dataset(path, groups=20)
        with path.open(encoding="utf-8", newline="") as file:
            letters = {c for row in csv.DictReader(file) for c in row["text"]}
        assert letters >= set("éθв月ش")
