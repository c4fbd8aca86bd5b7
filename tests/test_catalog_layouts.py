"""Layouts that bring their split: split folders, HMDB51 and Kinetics, with fake files."""

from pathlib import Path
from typing import get_args

import pytest
from test_catalog import groups, labels, make_files, make_link, splits, write

from cliptide.app.evaluation.report.page import _ORIGINS
from cliptide.app.training.split_table import ORIGINS, show_split, split_title
from cliptide.configs.errors import DataError, SplitError
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.catalog.catalog import SplitOrigin
from cliptide.datasets.splits import make_splits, torn_groups

# --- split folders ---------------------------------------------------------------------------


def make_split_folders(root: Path, *words: str) -> Path:
    return make_files(
        root, *(f"{w}/{c}/{i}.mp4" for w in words for c in ("run", "walk") for i in range(3))
    )


@pytest.mark.parametrize(
    "words",
    [("train", "val", "test"), ("Training", "VALIDATION", "Testing"), ("train", "valid", "TEST")],
)
def test_folders_named_for_splits_give_the_split_and_the_class_below(
    tmp_path: Path, words: tuple[str, str, str]
) -> None:
    catalog = read_catalog(make_split_folders(tmp_path, *words))
    assert (catalog.kind, catalog.split_origin, catalog.fold) == ("split-folders", "folders", None)
    assert catalog.class_names == ("run", "walk")
    assert catalog.notes == ()
    for word, split in zip(words, ("train", "val", "test"), strict=True):
        assert splits(catalog)[f"{word}/walk/1.mp4"] == split
        assert labels(catalog)[f"{word}/walk/1.mp4"] == "walk"
    plan = make_splits(catalog, seed=0)
    assert plan.origin == "folders"
    assert {record.name: record.split for record in plan.records} == splits(catalog)


def test_without_validation_folders_it_is_carved_out_of_training(tmp_path: Path) -> None:
    catalog = read_catalog(make_split_folders(tmp_path, "train", "test"))
    assert set(splits(catalog).values()) == {"train", "test"}
    plan = make_splits(catalog, seed=0)
    assert {r.name.split("/")[0] for r in plan.records if r.split == "val"} == {"train"}


def test_without_a_test_folder_validation_is_the_test_split(tmp_path: Path) -> None:
    catalog = read_catalog(make_split_folders(tmp_path, "train", "val"))
    assert splits(catalog)["val/run/0.mp4"] == "test"
    assert "val" not in splits(catalog).values()
    assert "no test split: the validation split became the test split" in catalog.notes[0]


def test_split_folders_in_a_single_folder_or_behind_a_link_are_found(tmp_path: Path) -> None:
    make_split_folders(tmp_path / "data" / "x", "train", "test")
    catalog = read_catalog(tmp_path / "data")
    assert labels(catalog)["x/train/run/0.mp4"] == "run"
    assert catalog.notes == ("The splits are the folders in x.",)
    make_link(tmp_path / "other" / "train", tmp_path / "data" / "x" / "train")
    make_link(tmp_path / "other" / "test", tmp_path / "data" / "x" / "test")
    assert read_catalog(tmp_path / "other").kind == "split-folders"


def test_groups_of_split_folders_are_found_as_elsewhere_and_torn_ones_told(tmp_path: Path) -> None:
    make_files(tmp_path, "train/a/v_a_g01_c1.avi", "train/b/v_b_g02_c1.avi")
    make_files(tmp_path, "test/a/v_a_g01_c2.avi", "test/b/v_b_g03_c2.avi")
    catalog = read_catalog(tmp_path)
    assert catalog.groups_known
    assert torn_groups(catalog.records) == ("g01",)
    by_class = read_catalog(tmp_path, group_regex=r"/(\w)/")
    assert set(groups(by_class).values()) == {"a", "b"}


def test_videos_in_no_split_or_no_class_are_left_out_with_notes(tmp_path: Path) -> None:
    make_split_folders(tmp_path, "train", "test")
    catalog = read_catalog(make_files(tmp_path, "train/x.mp4", "extra/run/1.mp4", "y.mp4"))
    assert len(catalog.records) == 12
    assert catalog.notes == (
        "Left out, because in no split folder: 2 videos (extra/run/1.mp4, y.mp4).",
        "Left out, because in no class folder: 1 video (train/x.mp4).",
    )


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_a_folder_that_lost_its_images_is_told_of(splits: tuple[str, ...], tmp_path: Path) -> None:
    for split in splits:
        make_files(tmp_path, *(f"{split}{label}/f{n}/1.png" for label in "ab" for n in range(2)))
    make_files(tmp_path, f"{splits[-1]}a/f7/readme.txt", "papers/more/x.txt", "a/f1/1.png")
    (tmp_path / splits[-1] / "b" / "f8").mkdir()
    catalog = read_catalog(tmp_path, kind="frames")
    lost = ", ".join(f"{splits[-1]}{name}" for name in ("a/f7", "b/f8"))
    assert f"Without images, so left out: 2 folders ({lost})." in catalog.notes


def test_a_class_that_one_split_lacks_is_noted_with_the_split(tmp_path: Path) -> None:
    make_split_folders(tmp_path, "train", "val", "test")
    catalog = read_catalog(make_files(tmp_path, "train/jump/1.mp4", "val/sit/1.mp4"))
    notes = make_splits(catalog, seed=0).notes
    assert "Class 'jump' has no clip in test: its recognition is not measured." in notes
    assert "Class 'sit' has no clip in train: it cannot be learnt." in notes


def test_split_folders_without_class_folders_are_refused_with_what_to_do(tmp_path: Path) -> None:
    make_files(tmp_path, "train/1.mp4", "test/2.mp4")
    with pytest.raises(DataError, match=r"2 videos in split folders .*Put the videos of each"):
        read_catalog(tmp_path)


def test_a_tree_that_is_no_split_folders_is_refused_with_the_mend(tmp_path: Path) -> None:
    data = make_files(tmp_path / "data", "walk/1.mp4", "run/2.mp4")
    with pytest.raises(DataError, match=r"no folder named train, val or test.*kind 'folder'"):
        read_catalog(data, kind="split-folders")
    with pytest.raises(DataError, match=r"is a file, and kind 'split-folders'.*Give that folder"):
        read_catalog(data / "walk" / "1.mp4", kind="split-folders")
    with pytest.raises(DataError, match=r"holds no videos\. Give a folder with train/<class>"):
        read_catalog(make_files(tmp_path / "none", "train/a/x.txt"), kind="split-folders")
    with pytest.raises(DataError, match=r"one class only: 'a'.*add some"):
        read_catalog(make_files(tmp_path / "one", "train/a/1.mp4", "test/a/2.mp4"))


def test_training_folders_alone_name_the_split_that_is_missing(tmp_path: Path) -> None:
    catalog = read_catalog(make_split_folders(tmp_path, "train"), kind="split-folders")
    with pytest.raises(SplitError, match=r"no clip in split 'test'.*Add the folder 'test'"):
        make_splits(catalog, seed=0)


def test_every_origin_of_a_split_has_its_words_in_the_report_and_on_screen() -> None:
    origins = {*get_args(SplitOrigin), "made"}
    assert origins == ORIGINS.keys()
    assert origins <= _ORIGINS.keys()


def test_groups_are_spoken_of_where_they_are_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_files(tmp_path, *(f"{name}/{n}.wav" for name in "ab" for n in range(9)))
    for regex, title in ((None, "split made here, by sound,"), (r"\d", "split made by groups,")):
        catalog = read_catalog(tmp_path, group_regex=regex)
        plan = make_splits(catalog, seed=0)
        assert title in split_title(catalog, plan)
        show_split(catalog, plan)
        noted = "Note: No groups are known, so like sounds may" in capsys.readouterr().err
        assert noted == (regex is None)


# --- HMDB51 ----------------------------------------------------------------------------------

ATTRIBUTES = "u_nm_np1_fr_bad"


def clip_of(source: str, class_name: str, number: int) -> str:
    return f"{source}_{class_name}_{ATTRIBUTES}_{number}.avi"


def make_hmdb51(root: Path, *, lists: Path | None = None) -> Path:
    """Two classes; fold 1 trains on Film_A and tests Film_B, leaving Film_C unused."""
    folder = lists or root / "testTrainMulti_7030_splits"
    for name in ("brush_hair", "drink"):
        clips = [clip_of(source, name, 0) for source in ("Film_A", "Film_B", "Film_C")]
        make_files(root, *(f"{name}/{clip}" for clip in clips))
        for fold, marks in ((1, "120"), (2, "012")):
            text = "".join(f"{clip} {mark} \n" for clip, mark in zip(clips, marks, strict=True))
            write(folder / f"{name}_test_split{fold}.txt", text)
    return root


@pytest.mark.parametrize("where", ["inside", "beside", "nested", "wrapped"])
def test_hmdb51_lists_give_the_split_wherever_they_lie(tmp_path: Path, where: str) -> None:
    data = tmp_path / "hmdb51_org"
    lists = {
        "beside": tmp_path / "test_train_splits",
        "nested": tmp_path / "test_train_splits" / "testTrainMulti_7030_splits",
        "wrapped": tmp_path / "splits",
    }
    make_hmdb51(data, lists=lists.get(where))
    catalog = read_catalog(tmp_path if where == "wrapped" else data)
    assert (catalog.kind, catalog.split_origin, catalog.fold) == ("hmdb51", "official", 1)
    assert catalog.class_names == ("brush_hair", "drink")
    found = {Path(name).name: split for name, split in splits(catalog).items()}
    assert found == {
        clip_of("Film_A", "brush_hair", 0): "train",
        clip_of("Film_B", "brush_hair", 0): "test",
        clip_of("Film_A", "drink", 0): "train",
        clip_of("Film_B", "drink", 0): "test",
    }
    assert all(record.source.is_file() for record in catalog.records)
    assert catalog.notes == ("Left out, because fold 1 does not use them: 2 clips.",)


def test_the_group_of_an_hmdb51_clip_is_its_source_across_classes(tmp_path: Path) -> None:
    catalog = read_catalog(make_hmdb51(tmp_path), fold=2)
    assert catalog.groups_known
    assert set(groups(catalog).values()) == {"Film_B", "Film_C"}
    assert torn_groups(catalog.records) == ()
    by_regex = read_catalog(tmp_path, group_regex=r"_(\d)\.avi")
    assert set(groups(by_regex).values()) == {"0"}


def test_hmdb51_sources_that_a_fold_tears_are_told(tmp_path: Path) -> None:
    make_hmdb51(tmp_path)
    torn = clip_of("Film_A", "drink", 1)
    make_files(tmp_path, f"drink/{torn}")
    path = tmp_path / "testTrainMulti_7030_splits" / "drink_test_split1.txt"
    write(path, f"{path.read_text(encoding='utf-8')}{torn} 2\n")
    assert torn_groups(read_catalog(tmp_path).records) == ("Film_A",)


def test_an_hmdb51_name_without_its_class_is_grouped_by_video_with_a_note(tmp_path: Path) -> None:
    make_files(make_hmdb51(tmp_path), "drink/odd.avi")
    path = tmp_path / "testTrainMulti_7030_splits" / "drink_test_split1.txt"
    write(path, f"{path.read_text(encoding='utf-8')}odd.avi 1\n")
    catalog = read_catalog(tmp_path)
    assert groups(catalog)["drink/odd.avi"] == "drink/odd.avi"
    assert catalog.notes[-1] == ("Grouped by video, because no _<class>_ is in the name: 1 clip.")


def test_hmdb51_lists_of_another_data_set_are_not_used(tmp_path: Path) -> None:
    make_hmdb51(tmp_path / "hmdb51", lists=tmp_path / "splits")
    mine = make_files(tmp_path / "mine", "a/1.mp4", "b/2.mp4")
    assert read_catalog(mine).kind == "folder"
    with pytest.raises(DataError, match=r"no lists such as .*Put their folder there, or use kind"):
        read_catalog(mine, kind="hmdb51")


def test_videos_in_no_hmdb51_list_are_left_out_with_a_note(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(make_hmdb51(tmp_path), "drink/x_drink_1.avi", "sit/1.avi"))
    assert len(catalog.records) == 4
    assert "Left out, because in no list of fold 1: 2 videos." in catalog.notes


def test_an_hmdb51_fold_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    make_hmdb51(tmp_path)
    with pytest.raises(SplitError, match=r"Fold 4 is not in .*Use one of: 1, 2\."):
        read_catalog(tmp_path, fold=4)
    (tmp_path / "testTrainMulti_7030_splits" / "drink_test_split2.txt").unlink()
    with pytest.raises(SplitError, match=r"no list for fold 2 of 1 class \(drink\)\. Add drink_te"):
        read_catalog(tmp_path, fold=2)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("x.avi", DataError, r"line 4: 'x\.avi' does not end in 0, 1 or 2\. Write"),
        ("x.avi 3", DataError, r"line 4: 'x\.avi 3' does not end in 0, 1 or 2\. Write"),
        ("x.avi 1", DataError, r"1 of 5 clips .*missing .*drink/x\.avi\)\. Add them"),
        (
            f"{clip_of('Film_A', 'drink', 0)} 2",
            SplitError,
            r"line 4: .*is marked 2, and otherwise in an earlier line\. Keep one",
        ),
    ],
)
def test_a_faulty_hmdb51_list_is_refused_with_the_value_and_the_mend(
    tmp_path: Path, line: str, error: type[DataError], message: str
) -> None:
    make_hmdb51(tmp_path)
    path = tmp_path / "testTrainMulti_7030_splits" / "drink_test_split1.txt"
    write(path, path.read_text(encoding="utf-8") + line + "\n")
    with pytest.raises(error, match=message):
        read_catalog(tmp_path)


# --- Kinetics --------------------------------------------------------------------------------

HEADER = "label,youtube_id,time_start,time_end,split"


def make_kinetics(root: Path, *rows: str, header: str = HEADER) -> Path:
    make_files(root, "train/dancing/-a_000001_000011.mp4", "val/b_000002_000012.mp4", "c.mkv")
    return write(root / "kinetics.csv", "\n".join([header, *rows]) + "\n")


ROWS = ("dancing,-a,1,11,train", "salsa,b,2,12,validate", "salsa,c,3,13,test")


def spans(catalog: Catalog) -> list[tuple[str, float, float | None]]:
    return [(r.name, r.start_s, r.end_s) for r in catalog.records]


def test_a_kinetics_csv_finds_parts_and_whole_videos_anywhere_below_it(tmp_path: Path) -> None:
    catalog = read_catalog(make_kinetics(tmp_path, *ROWS))
    assert (catalog.kind, catalog.split_origin, catalog.fold) == ("kinetics", "official", None)
    assert catalog.class_names == ("dancing", "salsa")
    assert spans(catalog) == [
        ("c.mkv@3-13", 3.0, 13.0),
        ("train/dancing/-a_000001_000011.mp4", 0.0, None),
        ("val/b_000002_000012.mp4", 0.0, None),
    ]
    assert list(splits(catalog).values()) == ["test", "train", "val"]
    assert list(groups(catalog).values()) == ["c", "-a", "b"]
    assert catalog.groups_known
    assert catalog.notes == ()


def test_parts_of_one_youtube_video_share_a_group_across_splits(tmp_path: Path) -> None:
    data = make_kinetics(tmp_path, *ROWS, "dancing,c,20,30.5,train")
    assert torn_groups(read_catalog(data).records) == ("c",)


def test_a_column_is_cc_and_quoted_cells_are_ordinary(tmp_path: Path) -> None:
    rows = ('"dancing, slow","-a",1,11,train,0', "salsa,c,0,9,test,1")
    catalog = read_catalog(make_kinetics(tmp_path, *rows, header=f"{HEADER},is_cc"))
    assert set(labels(catalog).values()) == {"dancing, slow", "salsa"}
    assert catalog.notes == ()


def test_a_manifest_is_still_told_from_kinetics(tmp_path: Path) -> None:
    data = make_kinetics(
        tmp_path, "c.mkv,x,c", "val/b_000002_000012.mp4,y,b", header="path,label,y"
    )
    assert read_catalog(data).kind == "manifest"


def test_missing_kinetics_videos_are_left_out_and_counted_by_split(tmp_path: Path) -> None:
    gone = ("dancing,d,1,11,train", "polka,e,1,11,train", "salsa,f,1.5,11,test")
    catalog = read_catalog(make_kinetics(tmp_path, *ROWS, *gone))
    assert len(catalog.records) == 3
    assert catalog.notes == (
        "MISSING VIDEOS, left out: 2 of 3 in train, 1 of 2 in test "
        "(d_000001_000011, e_000001_000011, f).",
        "Without any video: 1 class (polka).",
    )


def test_without_a_labelled_test_split_validation_becomes_it(tmp_path: Path) -> None:
    data = make_kinetics(tmp_path, *ROWS[:2], ",c,3,13,test")
    catalog = read_catalog(data)
    assert splits(catalog)["val/b_000002_000012.mp4"] == "test"
    assert catalog.notes[0] == "Left out, because without a label: 1 test clip."
    assert "the validation split became the test split" in catalog.notes[1]


def test_a_kinetics_csv_without_splits_has_them_made(tmp_path: Path) -> None:
    rows = [row.rpartition(",")[0] + "," for row in ROWS]
    assert read_catalog(make_kinetics(tmp_path, *rows)).split_origin is None


@pytest.mark.parametrize(
    ("header", "rows", "error", "message"),
    [
        (
            HEADER,
            ["x,zz,1,11,train"],
            DataError,
            r"None of 1 video .*zz_000001_000011\.mp4 or zz\.",
        ),
        (HEADER, [",-a,1,11,train"], DataError, r"empty label in line 2\. Write the class"),
        (HEADER, [",-a,1,11,test"], DataError, r"no label in any row\. Give a CSV with labels"),
        (HEADER, ["x,,1,11,train"], DataError, r"empty youtube_id in line 2\. Write the video's"),
        (HEADER, ["x,-a,11,1,train"], DataError, r"time_end 1 is not after time_start 11\. Write"),
        (HEADER, ["x,-a,soon,1,train"], DataError, r"time_start 'soon' is no number.*like 12\.5"),
        (HEADER, ["x,-a,1,11,tset"], SplitError, r"'tset' in line 2 .*Did you mean 'test'"),
        (HEADER, ["x,-a,1,11,test"], DataError, r"one class only: 'x'.*add some"),
        (HEADER, [], DataError, r"lists nothing\. Write the header label,youtube_id,"),
        (HEADER, [ROWS[0], ROWS[0]], DataError, r"listed twice, lines 2 and 3 .*Remove one"),
        (
            HEADER,
            [ROWS[0], "dancing,-a,1,11,test"],
            SplitError,
            r"stands in train and in test, lines 2 and 3 .*Keep it in one split",
        ),
        (
            "youtube_id,time_start,time_end,split",
            ["-a,1,11,test"],
            DataError,
            r"lacks the column 'label'.*Make the first line label,youtube_id",
        ),
    ],
)
def test_a_faulty_kinetics_csv_is_refused_with_the_value_and_the_mend(
    tmp_path: Path, header: str, rows: list[str], error: type[DataError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_catalog(make_kinetics(tmp_path, *rows, header=header))


def test_two_files_of_one_kinetics_clip_are_refused_by_name(tmp_path: Path) -> None:
    data = make_kinetics(tmp_path, *ROWS)
    make_files(tmp_path, "more/c.mp4")
    with pytest.raises(DataError, match=r"'c' in .*may be any of c\.mkv, more/c\.mp4\. Keep one"):
        read_catalog(data)


def test_kind_kinetics_refuses_a_folder_with_what_to_give(tmp_path: Path) -> None:
    make_kinetics(tmp_path, *ROWS)
    with pytest.raises(DataError, match=r"is a folder, and kind 'kinetics' .*Give that file"):
        read_catalog(tmp_path, kind="kinetics")
