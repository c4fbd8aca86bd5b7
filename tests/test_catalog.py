"""Each layout is read into the same records, and each fault is named with its mend."""

import os
import random
import re
import unicodedata
from pathlib import Path

import pytest

from cliptide.configs.errors import ConfigError, DataError, SplitError
from cliptide.datasets.catalog import VIDEO_SUFFIXES, Catalog, find_videos, read_catalog
from cliptide.datasets.splits import torn_groups

PHRASES = Path(__file__).parents[2] / "shared" / "data" / "phrases"
FIGHT = Path(__file__).parents[2] / "shared" / "data" / "fight"

needs_phrases = pytest.mark.skipif(not PHRASES.is_dir(), reason=f"no data set at {PHRASES}")
needs_fight = pytest.mark.skipif(not FIGHT.is_dir(), reason=f"no data set at {FIGHT}")


def make_files(root: Path, *names: str) -> Path:
    """Empty files stand in for videos: a catalog never opens them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def make_link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this system does not let this user make links")


def make_ucf101(root: Path, *, lists: Path | None = None) -> Path:
    """Two classes, two groups, one fold: g01 for testing, g02 for training."""
    names = [f"{c}/v_{c}_g{g:02}_c01.avi" for c in ("Surfing", "Archery") for g in (1, 2)]
    make_files(root, *names)
    folder = lists or root / "ucfTrainTestlist"
    write(folder / "classInd.txt", "1 Surfing\n2 Archery\n")
    write(
        folder / "trainlist01.txt",
        "Surfing/v_Surfing_g02_c01.avi 1\nArchery/v_Archery_g02_c01.avi 2\n",
    )
    write(
        folder / "testlist01.txt", "Surfing/v_Surfing_g01_c01.avi\nArchery/v_Archery_g01_c01.avi\n"
    )
    return root


def write(path: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding, newline="")
    return path


def make_manifest(root: Path, *lines: str, header: str = "path,label") -> Path:
    make_files(root, "a.mp4", "b.mp4", "c.mp4")
    return write(root / "videos.csv", "\n".join([header, *lines]) + "\n")


def labels(catalog: Catalog) -> dict[str, str]:
    return {record.name: record.label for record in catalog.records}


def groups(catalog: Catalog) -> dict[str, str]:
    return {record.name: record.group for record in catalog.records}


def splits(catalog: Catalog) -> dict[str, str | None]:
    return {record.name: record.split for record in catalog.records}


# --- folders ---------------------------------------------------------------------------------


def test_the_top_folder_is_the_class_whatever_lies_below_it(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "walk/1.mp4", "walk/monday/am/2.mp4", "run/3.mp4"))
    assert catalog.kind == "folder"
    assert catalog.class_names == ("run", "walk")
    assert labels(catalog) == {
        "run/3.mp4": "run",
        "walk/1.mp4": "walk",
        "walk/monday/am/2.mp4": "walk",
    }
    assert splits(catalog).keys() == labels(catalog).keys()
    assert set(splits(catalog).values()) == {None}
    assert catalog.split_origin is None
    assert catalog.fold is None


def test_folders_that_hold_one_folder_only_are_passed_through(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "x/videos/walk/1.mp4", "x/videos/run/2.mp4"))
    assert labels(catalog) == {"x/videos/run/2.mp4": "run", "x/videos/walk/1.mp4": "walk"}
    assert catalog.notes == ("The classes are the folders in x/videos.",)


def test_spaces_accents_and_upper_case_endings_are_ordinary(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "high jump/a b.MP4", "été/clip é.Avi"))
    assert labels(catalog) == {"high jump/a b.MP4": "high jump", "été/clip é.Avi": "été"}


def test_names_spelt_with_combining_accents_become_composed(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "été/é.mp4")
    assert apart != "été/é.mp4"
    catalog = read_catalog(make_files(tmp_path, apart, "run/1.mp4"))
    assert catalog.class_names == ("run", "été")
    assert catalog.records[1].name == "été/é.mp4"
    assert catalog.records[1].source.is_file()


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    store = make_files(tmp_path / "store", "walk/1.mp4", "2.mp4")
    data = make_files(tmp_path / "data", "run/3.mp4")
    make_link(data / "walk", store / "walk")
    make_link(data / "run" / "2.mp4", store / "2.mp4")
    assert labels(read_catalog(data)) == {
        "run/2.mp4": "run",
        "run/3.mp4": "run",
        "walk/1.mp4": "walk",
    }


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    data = make_files(tmp_path / "data", "run/3.mp4", "walk/1.mp4")
    make_link(data / "run" / "again", data)
    make_link(data / "walk" / "self.mp4", data / "walk" / "self.mp4")
    assert set(labels(read_catalog(data))) == {"run/3.mp4", "walk/1.mp4", "walk/self.mp4"}


def test_hidden_files_resource_forks_and_system_folders_are_none_of_the_users(
    tmp_path: Path,
) -> None:
    make_files(tmp_path, "walk/1.mp4", "run/2.mp4", "run/notes.txt", ".cache/5.mp4")
    make_files(tmp_path, "walk/._1.mp4", "walk/.hidden.mp4", "__MACOSX/walk/3.mp4", "@eaDir/4.mp4")
    catalog = read_catalog(tmp_path)
    assert set(labels(catalog)) == {"run/2.mp4", "walk/1.mp4"}
    assert catalog.notes == ()


def test_videos_beside_the_class_folders_are_left_out_with_a_note(tmp_path: Path) -> None:
    make_files(tmp_path, "walk/1.mp4", "run/2.mp4", "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    catalog = read_catalog(tmp_path)
    assert set(labels(catalog)) == {"run/2.mp4", "walk/1.mp4"}
    assert catalog.notes == (
        "Left out, because in no class folder: 4 videos (a.mp4, b.mp4, c.mp4, ...).",
    )


def test_folders_without_videos_are_no_classes_and_noted(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "walk/1.mp4", "run/2.mp4", "papers/x.pdf"))
    assert catalog.class_names == ("run", "walk")
    assert catalog.notes == ("Without any video: 1 folder (papers).",)


def test_records_come_in_the_same_order_whatever_the_file_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_files(tmp_path, *(f"{c}/{i}.mp4" for c in ("b", "a", "é") for i in range(5)))
    expected = read_catalog(tmp_path)
    assert [r.name for r in expected.records] == sorted(r.name for r in expected.records)

    def shuffled(folder: Path) -> "Listing":
        return Listing(folder)

    class Listing:
        def __init__(self, folder: Path) -> None:
            with real(folder) as entries:
                self.entries = list(entries)
            random.Random(1).shuffle(self.entries)

        def __enter__(self) -> "list[os.DirEntry[str]]":
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    real = os.scandir
    monkeypatch.setattr(os, "scandir", shuffled)
    assert read_catalog(tmp_path) == expected


def test_find_videos_lists_a_folder_for_prediction(tmp_path: Path) -> None:
    make_files(tmp_path, "b/2.MOV", "a.mkv", "b/1.webm", "b/text.txt", ".x.mp4", "é/z.mp4")
    names = [path.relative_to(tmp_path).as_posix() for path in find_videos(str(tmp_path))]
    assert names == ["a.mkv", "b/1.webm", "b/2.MOV", "é/z.mp4"]
    assert {".mp4", ".avi", ".gif"} <= VIDEO_SUFFIXES


@pytest.mark.parametrize("name", ["walk/1.mp4", "walk/monday/1.mp4"])
def test_one_class_only_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"one class only: 'walk.*at least two: add some"):
        read_catalog(make_files(tmp_path, name))


def test_one_class_beside_loose_videos_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one class only: 'walk'.*add some"):
        read_catalog(make_files(tmp_path, "walk/1.mp4", "loose.mp4"))


def test_a_folder_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    make_files(tmp_path, "Phrases/a/1.mp4")
    with pytest.raises(DataError, match=r"phrase does not exist\. Did you mean 'Phrases'\?"):
        read_catalog(tmp_path / "phrase")
    with pytest.raises(DataError, match=r"nor does the folder .*nowhere\. Mend the path"):
        read_catalog(tmp_path / "nowhere" / "phrases")


def test_a_folder_without_videos_is_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no videos\. Give a folder with one folder"):
        read_catalog(make_files(tmp_path, "walk/notes.txt"))
    write(tmp_path / "clips.csv", "path,label\n")
    with pytest.raises(DataError, match=r"holds no videos, but clips\.csv\. .*give its path"):
        read_catalog(tmp_path)


def test_videos_without_class_folders_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 videos but no folder for each class\. Put the videos"):
        read_catalog(make_files(tmp_path, "1.mp4", "2.mp4"))


def test_split_folders_are_not_taken_for_classes(tmp_path: Path) -> None:
    make_files(tmp_path, "Train/walk/1.mp4", "Train/run/2.mp4", "test/walk/3.mp4")
    with pytest.raises(DataError, match=r"Train, test .*look like splits.*kind 'split-folders'"):
        read_catalog(tmp_path, kind="folder")


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="needs POSIX rights")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    make_files(tmp_path, "walk/1.mp4", "run/1.mp4")
    (tmp_path / "run").chmod(0)
    try:
        with pytest.raises(DataError, match=r"run cannot be read: .*Mend its permissions"):
            read_catalog(tmp_path)
    finally:
        (tmp_path / "run").chmod(0o700)


# --- groups ----------------------------------------------------------------------------------


def test_each_video_is_its_own_group_where_nothing_is_known(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "walk/1.mp4", "run/1.mp4"))
    assert groups(catalog) == {"run/1.mp4": "run/1.mp4", "walk/1.mp4": "walk/1.mp4"}
    assert not catalog.groups_known


def test_ucf_group_numbers_are_found_in_names_and_span_classes(tmp_path: Path) -> None:
    make_files(tmp_path, "walk/v_walk_g01_c01.mp4", "run/v_run_g01_c02.mp4", "run/v_run_g02_c1.mp4")
    catalog = read_catalog(tmp_path)
    assert list(groups(catalog).values()) == ["g01", "g02", "g01"]
    assert catalog.groups_known
    assert catalog.notes == ()


def test_names_without_a_group_number_among_others_are_noted(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "walk/v_walk_g01_c01.mp4", "run/x.mp4"))
    assert groups(catalog) == {"run/x.mp4": "run/x.mp4", "walk/v_walk_g01_c01.mp4": "g01"}
    assert catalog.notes == ("Grouped by video, because no _gNN_ is in the name: 1 clip.",)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"/(\w+)-", ["anna", "bob", "anna"]),
        (r"anna|bob", ["anna", "bob", "anna"]),
        (r"(zoe)|/(\w+)-", ["anna", "bob", "anna"]),
    ],
)
def test_group_regex_gives_its_capturing_group_or_the_whole_match(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    make_files(tmp_path, "run/anna-1_g01_.mp4", "run/bob-1_g01_.mp4", "walk/anna-2_g02_.mp4")
    catalog = read_catalog(tmp_path, group_regex=pattern)
    assert list(groups(catalog).values()) == expected
    assert catalog.groups_known


def test_group_regex_that_misses_some_names_says_how_many(tmp_path: Path) -> None:
    make_files(tmp_path, "run/anna-1.mp4", "run/x.mp4", "walk/y.mp4")
    catalog = read_catalog(tmp_path, group_regex=r"/(\w+)-")
    assert groups(catalog)["run/x.mp4"] == "run/x.mp4"
    assert catalog.notes == (
        r"Grouped by video, because group_regex '/(\\w+)-' does not match: 2 clips.",
    )


def test_group_regex_that_matches_nothing_shows_a_name(tmp_path: Path) -> None:
    make_files(tmp_path, "run/1.mp4", "walk/2.mp4")
    with pytest.raises(ConfigError, match=r"'subject' matches none of 2 names, such as 'run/1.mp4"):
        read_catalog(tmp_path, group_regex="subject")


def test_group_regex_that_does_not_compile_is_named_with_an_example(tmp_path: Path) -> None:
    make_files(tmp_path, "run/1.mp4", "walk/2.mp4")
    with pytest.raises(ConfigError, match=r"'\(run' is no regular expression.*Write one such as"):
        read_catalog(tmp_path, group_regex="(run")


# --- UCF101 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["inside", "beside", "wrapped"])
def test_ucf_lists_give_classes_in_their_order_and_splits(tmp_path: Path, where: str) -> None:
    data = tmp_path / "UCF-101"
    make_ucf101(data, lists=None if where == "inside" else tmp_path / "ucfTrainTestlist")
    root, prefix = (tmp_path, "UCF-101/") if where == "wrapped" else (data, "")
    catalog = read_catalog(root)
    assert (catalog.kind, catalog.split_origin, catalog.fold) == ("ucf101", "official", 1)
    assert catalog.class_names == ("Surfing", "Archery")
    assert splits(catalog) == {
        f"{prefix}Archery/v_Archery_g01_c01.avi": "test",
        f"{prefix}Archery/v_Archery_g02_c01.avi": "train",
        f"{prefix}Surfing/v_Surfing_g01_c01.avi": "test",
        f"{prefix}Surfing/v_Surfing_g02_c01.avi": "train",
    }
    assert list(groups(catalog).values()) == ["g01", "g02", "g01", "g02"]
    assert all(record.source.is_file() for record in catalog.records)
    assert catalog.groups_known
    assert catalog.notes == ()


def test_lists_beside_that_belong_to_another_data_set_are_not_used(tmp_path: Path) -> None:
    make_ucf101(tmp_path / "UCF-101", lists=tmp_path / "ucfTrainTestlist")
    assert read_catalog(make_files(tmp_path / "mine", "a/1.mp4", "b/2.mp4")).kind == "folder"


def test_lists_are_read_with_windows_endings_blank_lines_and_spaces(tmp_path: Path) -> None:
    data = make_files(make_ucf101(tmp_path), "Surfing/big wave 3 g03.avi")
    write(
        data / "ucfTrainTestlist" / "trainlist01.txt",
        "\r\n  Surfing/v_Surfing_g02_c01.avi  1 \r\n\r\nArchery\\v_Archery_g02_c01.avi\t2\r\n"
        "Surfing/big wave 3 g03.avi 1\r\n",
        encoding="utf-8-sig",
    )
    write(data / "ucfTrainTestlist" / "classInd.txt", "2\tArchery\r\n1 Surfing\r\n\r\n")
    catalog = read_catalog(data)
    assert catalog.class_names == ("Surfing", "Archery")
    assert splits(catalog)["Surfing/big wave 3 g03.avi"] == "train"
    assert len(catalog.records) == 5


def test_class_names_may_hold_spaces_and_accents(tmp_path: Path) -> None:
    make_files(tmp_path, "high jump/1.avi", "high jump/2.avi", "été/1.avi", "été/2.avi")
    lists = tmp_path / "ucfTrainTestlist"
    write(lists / "classInd.txt", unicodedata.normalize("NFD", "1 high jump\n2 été\n"))
    write(lists / "trainlist01.txt", "high jump/1.avi 1\nété/1.avi 2\n")
    write(lists / "testlist01.txt", unicodedata.normalize("NFD", "high jump/2.avi\nété/2.avi\n"))
    assert read_catalog(tmp_path).class_names == ("high jump", "été")


def test_a_reencoded_video_of_the_same_stem_stands_for_a_listed_one(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    (data / "Surfing" / "v_Surfing_g01_c01.avi").rename(data / "Surfing" / "v_Surfing_g01_c01.mp4")
    assert splits(read_catalog(data))["Surfing/v_Surfing_g01_c01.mp4"] == "test"
    make_files(data, "Surfing/v_Surfing_g01_c01.mkv")
    with pytest.raises(DataError, match=r"v_Surfing_g01_c01\.avi .*c01\.mkv, .*Keep one of them"):
        read_catalog(data)


def test_missing_listed_files_are_counted_and_named(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    (data / "Surfing" / "v_Surfing_g01_c01.avi").unlink()
    with pytest.raises(
        DataError, match=r"1 of 4 clips .*missing.*Surfing/v_Surfing_g01_c01\.avi\)\. Add them"
    ):
        read_catalog(data)


def test_videos_in_no_list_are_left_out_with_a_note(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(make_ucf101(tmp_path), "Surfing/extra.avi", "Diving/1.avi"))
    assert len(catalog.records) == 4
    assert catalog.notes == ("Left out, because in no list of fold 1: 2 videos.",)


def test_classes_without_a_listed_clip_are_left_out_with_a_note(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "classInd.txt", "1 Surfing\n2 Archery\n3 Diving\n")
    catalog = read_catalog(data)
    assert catalog.class_names == ("Surfing", "Archery")
    assert catalog.notes == (
        "Left out, because without a clip in fold 1: 1 class of classInd.txt (Diving).",
    )


def test_a_fold_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "trainlist02.txt", "")
    write(data / "ucfTrainTestlist" / "trainlist03.txt", "Surfing/v_Surfing_g02_c01.avi 1")
    write(data / "ucfTrainTestlist" / "testlist03.txt", "Archery/v_Archery_g02_c01.avi")
    with pytest.raises(SplitError, match=r"Fold 2 is not in .*Use one of: 1, 3\."):
        read_catalog(data, fold=2)
    assert read_catalog(data, fold=3).fold == 3


def test_a_lists_folder_without_lists_says_what_to_put_there(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    (data / "ucfTrainTestlist" / "trainlist01.txt").unlink()
    with pytest.raises(SplitError, match=r"holds no fold\. Put trainlist01\.txt"):
        read_catalog(data)
    (data / "ucfTrainTestlist" / "classInd.txt").unlink()
    with pytest.raises(DataError, match=r"classInd\.txt is missing\. Write one line"):
        read_catalog(data)


def test_a_class_number_must_agree_with_the_folder(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    trainlist = data / "ucfTrainTestlist" / "trainlist01.txt"
    write(trainlist, "Surfing/v_Surfing_g02_c01.avi 0\nArchery/v_Archery_g02_c01.avi 1\n")
    with pytest.raises(DataError, match=r"line 1: .*number 0.*number is 1.*counts classes from 1"):
        read_catalog(data)
    write(trainlist, "\nSurfing/v_Surfing_g02_c01.avi 2\n")
    with pytest.raises(
        DataError, match=r"line 2: .*number 2, .*calls 'Archery'.*number is 1: mend"
    ):
        read_catalog(data)


def test_a_listed_class_that_the_index_lacks_is_named_with_the_nearest(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "testlist01.txt", "Surfin/v_Surfing_g01_c01.avi\n")
    with pytest.raises(DataError, match=r"line 1: class 'Surfin' is not .*Did you mean 'Surfing'"):
        read_catalog(data)


def test_a_list_line_without_a_class_folder_shows_how_to_write_it(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "testlist01.txt", "x.avi\n")
    with pytest.raises(DataError, match=r"line 1: 'x\.avi' names no class.*'Archery/x\.avi'"):
        read_catalog(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Surfing\n", r"line 1: 'Surfing' is no class\. Write its number"),
        ("1 Surfing\n1 Archery\n", r"line 2: '1 Archery' repeats.*one line"),
    ],
)
def test_an_index_that_is_no_index_is_named_by_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "classInd.txt", text)
    with pytest.raises(DataError, match=message):
        read_catalog(data)


def test_a_clip_in_both_lists_is_refused(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "testlist01.txt", "Surfing/v_Surfing_g02_c01.avi\n")
    with pytest.raises(
        SplitError, match=r"both trainlist01.*1 clip \(.*_g02_c01\.avi\)\. Take each"
    ):
        read_catalog(data)


def test_one_file_behind_two_list_lines_is_refused(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    write(data / "ucfTrainTestlist" / "testlist01.txt", "Surfing/v_Surfing_g02_c01.mp4\n")
    with pytest.raises(SplitError, match=r"c01\.mp4 of the lists are the same file.*Take one"):
        read_catalog(data)


def test_a_line_listed_twice_counts_once(tmp_path: Path) -> None:
    data = make_ucf101(tmp_path)
    testlist = data / "ucfTrainTestlist" / "testlist01.txt"
    write(testlist, testlist.read_text(encoding="utf-8") + "Surfing/v_Surfing_g01_c01.avi\n")
    catalog = read_catalog(data)
    assert len(catalog.records) == 4
    assert catalog.notes == ("Left out, because testlist01.txt says it before: 1 line.",)


def test_kind_folder_ignores_the_lists(tmp_path: Path) -> None:
    catalog = read_catalog(make_ucf101(tmp_path), kind="folder")
    assert catalog.class_names == ("Archery", "Surfing")
    assert catalog.split_origin is None


# --- manifest --------------------------------------------------------------------------------


def test_a_manifest_gives_paths_relative_to_itself_and_absolute_ones(tmp_path: Path) -> None:
    data = make_manifest(tmp_path, "a.mp4,walk", f"{tmp_path / 'b.mp4'},run")
    catalog = read_catalog(data)
    assert (catalog.kind, catalog.split_origin, catalog.groups_known) == ("manifest", None, False)
    assert labels(catalog) == {"a.mp4": "walk", "b.mp4": "run"}
    assert groups(catalog) == {"a.mp4": "a.mp4", "b.mp4": "b.mp4"}
    assert catalog.class_names == ("run", "walk")
    assert all(record.source.is_file() for record in catalog.records)


def test_every_column_of_a_manifest_reaches_the_records(tmp_path: Path) -> None:
    data = make_manifest(
        tmp_path,
        "1.5,3,s1,a.mp4,walk,train",
        "0,,s2,b.mp4,run,Validation",
        "12.25,,s3,c.mp4,run,test",
        header="start_s, end_s ,Group,path,Label,split",
    )
    catalog = read_catalog(data)
    assert catalog.split_origin == "manifest"
    first, second, third = catalog.records
    assert (first.name, first.start_s, first.end_s) == ("a.mp4@1.5-3", 1.5, 3.0)
    assert (second.name, second.start_s, second.end_s) == ("b.mp4", 0.0, None)
    assert (third.name, third.start_s, third.end_s) == ("c.mp4@12.25-", 12.25, None)
    assert [r.group for r in catalog.records] == ["s1", "s2", "s3"]
    assert [r.split for r in catalog.records] == ["train", "val", "test"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_manifests_from_spreadsheets_are_read(
    tmp_path: Path, delimiter: str, encoding: str, newline: str
) -> None:
    make_files(tmp_path, "a, b.mp4", "é.mp4")
    rows = [("path", "label"), ('"a, b.mp4"', "walk"), ("", ""), ("é.mp4", '"été; chaud"')]
    text = newline.join(delimiter.join(row) for row in rows)
    data = write(tmp_path / "videos.csv", text, encoding=encoding)
    assert labels(read_catalog(data)) == {"a, b.mp4": "walk", "é.mp4": "été; chaud"}


def test_a_manifest_from_windows_or_a_mac_finds_its_files(tmp_path: Path) -> None:
    make_files(tmp_path, "walk/1.mp4", unicodedata.normalize("NFD", "run/é.mp4"))
    data = write(tmp_path / "videos.csv", "path,label\nwalk\\1.mp4,walk\nrun/é.mp4,run\n")
    assert set(labels(read_catalog(data))) == {"walk/1.mp4", "run/é.mp4"}


def test_videos_outside_the_manifests_folder_are_named_from_their_common_folder(
    tmp_path: Path,
) -> None:
    make_files(tmp_path / "videos", "walk/1.mp4", "run/2.mp4")
    data = write(
        tmp_path / "lists" / "videos.csv",
        "path,label\n../videos/walk/1.mp4,walk\n../lists/../videos/run/2.mp4,run\n",
    )
    assert set(labels(read_catalog(data))) == {"walk/1.mp4", "run/2.mp4"}


def test_clips_of_one_video_share_a_group_unless_the_column_says_otherwise(
    tmp_path: Path,
) -> None:
    clips = ["a.mp4,walk,0,1", "a.mp4,run,1,2", "b.mp4,run,0,1"]
    header = "path,label,start_s,end_s"
    catalog = read_catalog(make_manifest(tmp_path, *clips, header=header))
    assert list(groups(catalog).values()) == ["a.mp4", "a.mp4", "b.mp4"]
    rows = [f"{clip},{group}" for clip, group in zip(clips, ("s1", "", ""), strict=True)]
    catalog = read_catalog(make_manifest(tmp_path, *rows, header=f"{header},group"))
    assert list(groups(catalog).values()) == ["s1", "s1", "b.mp4"]
    assert catalog.groups_known
    assert catalog.notes == ("Grouped by video, because the manifest gives no group: 1 clip.",)


def test_group_regex_wins_over_the_column(tmp_path: Path) -> None:
    data = make_manifest(tmp_path, "a.mp4,walk,s1", "b.mp4,run,s1", header="path,label,group")
    assert list(groups(read_catalog(data, group_regex=r"^\w")).values()) == ["a", "b"]


def test_an_unknown_column_is_ignored_with_the_nearest_name(tmp_path: Path) -> None:
    data = make_manifest(
        tmp_path, "a.mp4,walk,s1,9", "b.mp4,run,s2,9", header="path,label,grup,rating"
    )
    assert read_catalog(data).notes == (
        "Column 'grup' is ignored. Did you mean 'group'?",
        "Column 'rating' is ignored.",
    )


@pytest.mark.parametrize(
    ("header", "rows", "error", "message"),
    [
        (
            "file,label",
            ["a.mp4,x"],
            DataError,
            r"lacks the column 'path'.*file, label\. Make the f",
        ),
        ("a.mp4,walk", ["b.mp4,x"], DataError, r"'path' and 'label'; .*a\.mp4, walk\. Make the fi"),
        ("path,label,path", ["a.mp4,x,"], DataError, r"column 'path' twice\. Rename or remove"),
        ("path,label", [], DataError, r"is empty: it lists nothing\. Write the header"),
        ("path,label", ["a.mp4,x", "b.mp4,", "c.mp4"], DataError, r"label in lines 3, 4\. Write t"),
        ("path,label", ["a.mp4,x", ",y"], DataError, r"empty path in line 3\. Write the video's"),
        ("path,label", ["a.mp4,x,y"], DataError, r"line 2 has 3 cells.*double quotes"),
        ("path,label", ['"a.mp4,x'], DataError, r"line 2 is no CSV.*Mend the quotes"),
        ("path,label", ["a.mp4,x", "b.mp4,x"], DataError, r"one class only: 'x'.*add some"),
        (
            "path,label",
            ["a.mp4,x", "a.mp4,x"],
            DataError,
            r"'a\.mp4' is listed twice, lines 2 and 3",
        ),
        ("path,label", ["a.mp4,x", "./a.mp4,y"], DataError, r"as 'x' and as 'y'.*Keep one label"),
        (
            "path,label",
            ["a.mp4,x", "z.mp4,y"],
            DataError,
            r"1 of 2 files .*missing \(z\.mp4\)\. Paths",
        ),
        ("path,label", ["a.mp4,x", "~/a.mp4,y"], DataError, r"missing \(~/a\.mp4\)\. Paths"),
        ("path,label,start_s,end_s", ["a.mp4,x,2,1"], DataError, r"line 2: end_s 1 is not after s"),
        ("path,label,start_s,end_s", ["a.mp4,x,2,2"], DataError, r"start_s 2\. Write both in seco"),
        (
            "path,label,start_s",
            ["a.mp4,x,-1"],
            DataError,
            r"line 2: start_s '-1' is no.*like 12\.5",
        ),
        ("path,label,end_s", ["a.mp4,x,1:20"], DataError, r"end_s '1:20' is no number.*like 12\.5"),
        ("path,label,end_s", ["a.mp4,x,inf"], DataError, r"end_s 'inf' is no number.*like 12\.5"),
        ("path,label,end_s", ["a.mp4,x,nan"], DataError, r"end_s 'nan' is no number.*like 12\.5"),
        (
            "path,label,split",
            ["a.mp4,x,tset"],
            SplitError,
            r"'tset' in line 2 .*Did you mean 'test'\? Use one of: train, val, test",
        ),
        (
            "path,label,split",
            ["a.mp4,x,train", "b.mp4,y,"],
            SplitError,
            r"none in line 3\. Fill the column in every row",
        ),
        (
            "path,label,split",
            ["a.mp4,x,train", "a.mp4,x,test"],
            SplitError,
            r"'a\.mp4' stands in train and in test, lines 2 and 3 .*Keep it in one split",
        ),
    ],
)
def test_a_faulty_manifest_is_refused_with_the_value_and_the_mend(
    tmp_path: Path, header: str, rows: list[str], error: type[DataError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read_catalog(make_manifest(tmp_path, *rows, header=header))
    assert len(str(caught.value).splitlines()) <= 2
    assert "videos.csv" in str(caught.value)


def test_a_manifest_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    data = make_manifest(tmp_path, "a.mp4,walk")
    data.write_bytes(data.read_bytes() + "b.mp4,été\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"not UTF-8 \(line 3 holds the byte 0xe9\)\. Save it as"):
        read_catalog(data)


def test_an_empty_file_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is empty: it lists nothing\. Write the header"):
        read_catalog(write(tmp_path / "videos.csv", ""))


# --- the door --------------------------------------------------------------------------------


def test_an_unknown_kind_is_refused_with_the_nearest(tmp_path: Path) -> None:
    make_files(tmp_path, "a/1.mp4", "b/2.mp4")
    with pytest.raises(ConfigError, match=r"'folders' .*Did you mean 'folder'\? Use one of: auto"):
        read_catalog(tmp_path, kind="folders")  # type: ignore[arg-type]


def test_a_kind_that_does_not_fit_says_what_does(tmp_path: Path) -> None:
    data = make_files(tmp_path, "a/1.mp4", "b/2.mp4")
    with pytest.raises(DataError, match=r"no ucfTrainTestlist .*use kind 'folder'"):
        read_catalog(data, kind="ucf101")
    with pytest.raises(DataError, match=r"is a folder, and kind 'manifest' .*Give that file"):
        read_catalog(data, kind="manifest")
    with pytest.raises(DataError, match=r"is a file, and kind 'folder' .*Give that folder"):
        read_catalog(make_manifest(tmp_path), kind="folder")


def test_a_single_video_or_another_file_is_refused_with_what_to_give(tmp_path: Path) -> None:
    make_files(tmp_path, "clip.MP4", "notes.pdf")
    with pytest.raises(DataError, match=r"clip\.MP4 is a single video\. Give a folder"):
        read_catalog(tmp_path / "clip.MP4")
    with pytest.raises(
        DataError, match=r"notes\.pdf is neither a folder nor a CSV\. Give a folder"
    ):
        read_catalog(tmp_path / "notes.pdf")


def test_a_relative_path_with_a_slash_at_its_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ucf101(tmp_path / "UCF-101", lists=tmp_path / "ucfTrainTestlist")
    monkeypatch.chdir(tmp_path / "UCF-101")
    assert read_catalog(".").kind == "ucf101"
    monkeypatch.chdir(tmp_path)
    assert read_catalog("UCF-101/").records[0].name == "Archery/v_Archery_g01_c01.avi"


# --- real data -------------------------------------------------------------------------------


@needs_phrases
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_the_folds_of_phrases_are_read_whole_and_free_of_torn_groups(fold: int) -> None:
    catalog = read_catalog(PHRASES, fold=fold)
    assert (catalog.kind, catalog.fold, len(catalog.class_names)) == ("ucf101", fold, 10)
    found = list(splits(catalog).values())
    assert (found.count("train"), found.count("test")) == (1000, 500)
    assert len(set(groups(catalog).values())) == 15
    assert torn_groups(catalog.records) == ()
    assert catalog.notes == ()


@needs_phrases
def test_a_fourth_fold_of_phrases_is_refused() -> None:
    with pytest.raises(SplitError, match=re.escape("Use one of: 1, 2, 3.")):
        read_catalog(PHRASES, fold=4)


@needs_fight
def test_the_fight_manifest_is_read_with_its_groups() -> None:
    catalog = read_catalog(FIGHT / "videos.csv")
    assert (catalog.kind, len(catalog.records)) == ("manifest", 300)
    assert catalog.class_names == ("fight", "noFight")
    assert len(set(groups(catalog).values())) == 46
    assert catalog.groups_known
    assert catalog.split_origin is None
