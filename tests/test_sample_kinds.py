"""Every layout holds every kind of sample, and which kind is told from what is there, or asked."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cliptide.app.sources import expand_sources
from cliptide.configs.errors import ConfigError, DataError, InputError
from cliptide.datasets.catalog import Catalog, read_catalog
from cliptide.datasets.copies import find_copies
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.splits import make_splits
from cliptide.datasets.synthetic_images import (
    IMAGE_CLASS_NAMES,
    write_frames_dataset,
    write_image_dataset,
)
from cliptide.datasets.video import open_video


def make_files(root: Path, *names: str) -> Path:
    """Empty files stand in for samples: a catalog never opens them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def labels(catalog: Catalog) -> dict[str, str]:
    return {record.name: record.label for record in catalog.records}


# --- One sample in two files ---------------------------------------------------------------------


def groups(catalog: Catalog) -> dict[str, str]:
    return {record.name: record.group for record in catalog.records}


@pytest.mark.parametrize(
    ("kind", "endings"), [("audio", ("mp4", "wav")), ("arrays", ("csv", "npy")), ("auto", ("avi",))]
)
def test_files_of_one_name_are_one_group_and_no_split_parts_them(
    kind: str, endings: tuple[str, ...], tmp_path: Path
) -> None:
    stems = [f"{label}/{number}" for label in "ab" for number in range(8)]
    make_files(tmp_path, *(f"{stem}.{ending}" for stem in stems for ending in endings))
    catalog = read_catalog(tmp_path, kind=kind)  # type: ignore[arg-type]
    assert len(set(groups(catalog).values())) == len(stems)
    told = "Grouped with the file beside it that differs in its ending alone: 16 files."
    assert catalog.notes == ((told,) if len(endings) > 1 else ())
    split_of = {record.name: record.split for record in make_splits(catalog, seed=0).records}
    for stem in stems:
        assert len({split_of[f"{stem}.{ending}"] for ending in endings}) == 1


def test_groups_that_are_known_are_joined_where_they_share_a_files_name(tmp_path: Path) -> None:
    make_files(tmp_path, "a/1.mp4", "a/1.wav", "a/2.wav", "b/1.wav", "b/3.mp3")
    rows = ["a/1.mp4,a,ann", "a/1.wav,a,bob", "a/2.wav,a,bob", "b/1.wav,b,cleo", "b/3.mp3,b,dan"]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *rows]))
    found = groups(read_catalog(tmp_path / "list.csv", kind="audio"))
    assert found["a/1.mp4"] == found["a/1.wav"] == found["a/2.wav"]
    assert found["b/1.wav"] == "cleo" and found["b/3.mp3"] == "dan"


def test_parts_of_a_file_stay_together_beside_files_of_one_name(tmp_path: Path) -> None:
    make_files(tmp_path, "1.mp4", "1.wav", "2.wav")
    rows = ["1.mp4,a,0,1", "1.wav,b,1,2", "2.wav,a,0,1", "2.wav,b,1,2"]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,start_s,end_s", *rows]))
    catalog = read_catalog(tmp_path / "list.csv", kind="audio")
    by_file = {(record.source.stem, record.group) for record in catalog.records}
    assert len(catalog.records) == 4 and len(by_file) == 2


def test_long_texts_are_held_against_each_other_without_keeping_them(tmp_path: Path) -> None:
    make_files(tmp_path, *(f"{label}/{number}.txt" for label in "ab" for number in range(8)))
    for number, path in enumerate(sorted(tmp_path.rglob("*.txt"))):
        path.write_text(f"{number % 15}" + "x" * 2_000_000)
    tracemalloc.start()
    catalog = read_catalog(tmp_path, kind="text")
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert groups(catalog)["a/0.txt"] == groups(catalog)["b/7.txt"] == "a/0.txt"
    assert most_bytes < 16e6, "all of them are 32 MB"


# --- Which kind ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "samples", "found"),
    [
        (["a/1.mp4", "b/2.avi"], "video", ["a/1.mp4", "b/2.avi"]),
        (["a/1.gif", "b/2.png", "b/3.mp4"], "video", ["a/1.gif", "b/3.mp4"]),
        (["a/1.wav", "b/2.MP3", "list.csv"], "audio", ["a/1.wav", "b/2.MP3"]),
        (["a/1.npy", "b/2.csv", "b/3.parquet"], "arrays", ["a/1.npy", "b/2.csv", "b/3.parquet"]),
        (["top/a/1.csv", "top/b/2.csv", "list.csv"], "arrays", ["top/a/1.csv", "top/b/2.csv"]),
        (["a/1.png", "b/2.jpg"], "images", ["a/1.png", "b/2.jpg"]),
        (["a/x/1.png", "a/x/2.png", "b/y/1.png"], "frames", ["a/x", "b/y"]),
        (["top/a/x/1.png", "top/b/y/1.png"], "frames", ["top/a/x", "top/b/y"]),
    ],
)
def test_the_kind_is_told_from_the_files(
    names: list[str], samples: str, found: list[str], tmp_path: Path
) -> None:
    names = [*names, "a/notes.txt", "b/.hidden.mp4"]
    catalog = read_catalog(make_files(tmp_path, *names))
    assert (catalog.kind, catalog.samples) == ("folder", samples)
    assert list(labels(catalog)) == found
    assert all(record.source == tmp_path / record.name for record in catalog.records)
    assert set(catalog.class_names) == {"a", "b"}


@pytest.mark.parametrize(
    ("names", "samples"),
    [
        (["train/a/1.wav", "test/b/2.wav", "train/b/3.wav"], "audio"),
        (["train/a/1.png", "test/b/2.png", "train/b/3.png"], "images"),
        (["train/a/x/1.png", "test/b/y/1.png", "train/b/z/1.png"], "frames"),
    ],
)
def test_folders_of_splits_hold_every_kind(names: list[str], samples: str, tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, *names))
    assert (catalog.kind, catalog.samples) == ("split-folders", samples)
    assert [record.split for record in catalog.records] == ["test", "train", "train"]


def test_a_cover_beside_wrapped_splits_changes_nothing(tmp_path: Path) -> None:
    make_files(tmp_path, "cover.jpg", "data/train/a/1.mp4", "data/train/b/2.mp4")
    catalog = read_catalog(make_files(tmp_path, "data/test/a/3.mp4"))
    assert (catalog.kind, catalog.samples) == ("split-folders", "video")


@pytest.mark.parametrize(
    ("names", "choices"),
    [
        (["a/1.wav", "b/2.npy"], "arrays or audio"),
        (["a/1.wav", "b/1.png"], "audio or images"),
        (["a/x/left.png", "b/y/right.png"], "images or frames"),
        (["a/x/y/1.png", "b/x/y/2.png"], "images or frames"),
        (["a/x/1.png", "b/2.png"], "images or frames"),
    ],
)
def test_what_may_be_either_is_asked(names: list[str], choices: str, tmp_path: Path) -> None:
    make_files(tmp_path, *names)
    with pytest.raises(DataError, match=rf"does not show .*Set data\.kind to {choices}\."):
        read_catalog(tmp_path)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("audio", ["a/1.wav", "a/film.mkv", "b/2.mp3"]),
        ("arrays", ["a/3.npz", "b/4.csv"]),
        ("images", ["a/x/1.png", "b/y/1.png", "b/y/2.png", "b/y/thumbs/1.png"]),
        ("frames", ["a/x", "b/y"]),
    ],
)
def test_a_kind_that_is_asked_for_is_taken_out_of_a_mixture(
    kind: str, found: list[str], tmp_path: Path
) -> None:
    make_files(tmp_path, "a/1.wav", "b/2.mp3", "a/film.mkv", "a/3.npz", "b/4.csv", "a/x/1.png")
    make_files(tmp_path, "b/y/1.png", "b/y/2.png", "b/y/thumbs/1.png")
    catalog = read_catalog(tmp_path, kind=kind)  # type: ignore[arg-type]
    assert (catalog.kind, catalog.samples) == ("folder", kind)
    assert list(labels(catalog)) == found


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("audio", r"holds no sound files.* \(wav, mp3"),
        ("arrays", r"holds no array files.* \(npy"),
        ("images", r"holds no images.* \(png"),
        ("frames", r"holds no image folders.* \(img_00001\.jpg"),
        ("auto", r"holds no videos.* \(mp4"),
    ],
)
def test_messages_speak_of_what_is_looked_for(kind: str, words: str, tmp_path: Path) -> None:
    make_files(tmp_path, "a/notes.pdf", "b/notes.pdf")
    with pytest.raises(DataError, match=words):
        read_catalog(tmp_path, kind=kind)  # type: ignore[arg-type]


def test_notes_speak_of_what_was_left_out(tmp_path: Path) -> None:
    catalog = read_catalog(make_files(tmp_path, "a/1.wav", "b/2.wav", "3.wav", "c/notes.txt"))
    assert catalog.notes == (
        "Left out, because in no class folder: 1 sound file (3.wav).",
        "Without any sound file: 1 folder (c).",
    )
    with pytest.raises(DataError, match=r"holds 2 image folders but no folder for each class"):
        read_catalog(make_files(tmp_path / "i", "a/1.png", "b/1.png"), kind="frames")


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'sounds' is unknown.*frames, images, audio, arrays"):
        read_catalog(".", kind="sounds")  # type: ignore[arg-type]


# --- Official lists ------------------------------------------------------------------------------


def make_ucf101(root: Path, *, ending: str) -> Path:
    names = [f"{c}/v_{c}_g0{g}_c01" for c in ("Surfing", "Archery") for g in (1, 2)]
    make_files(root, *(f"UCF-101/{name}{ending}" for name in names))
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Surfing\n2 Archery\n")
    (lists / "trainlist01.txt").write_text(f"{names[0]}.avi 1\n{names[2]}.avi 2\n")
    (lists / "testlist01.txt").write_text(f"{names[1]}.avi\n{names[3]}.avi\n")
    return root


@pytest.mark.parametrize(
    ("ending", "samples", "suffix"),
    [("/img_00001.jpg", "frames", ""), (".npy", "arrays", ".npy"), (".wav", "audio", ".wav")],
)
def test_lists_of_ucf101_name_what_was_made_of_its_videos(
    ending: str, samples: str, suffix: str, tmp_path: Path
) -> None:
    catalog = read_catalog(make_ucf101(tmp_path, ending=ending))
    assert (catalog.kind, catalog.samples) == ("ucf101", samples)
    assert {record.name: record.split for record in catalog.records} == {
        f"UCF-101/Archery/v_Archery_g01_c01{suffix}": "train",
        f"UCF-101/Archery/v_Archery_g02_c01{suffix}": "test",
        f"UCF-101/Surfing/v_Surfing_g01_c01{suffix}": "train",
        f"UCF-101/Surfing/v_Surfing_g02_c01{suffix}": "test",
    }
    assert {record.group for record in catalog.records} == {"g01", "g02"}


def test_the_sound_of_ucf101s_own_videos_is_meant_if_asked_for(tmp_path: Path) -> None:
    catalog = read_catalog(make_ucf101(tmp_path, ending=".avi"), kind="audio")
    assert (catalog.kind, catalog.samples, len(catalog.records)) == ("ucf101", "audio", 4)


def test_a_dot_in_a_folders_name_begins_no_ending(tmp_path: Path) -> None:
    make_ucf101(tmp_path, ending="/1.jpg")
    folder = tmp_path / "UCF-101" / "Surfing"
    (folder / "v_Surfing_g01_c01").rename(folder / "v_Surfing.old_g01_c01")
    lists = tmp_path / "ucfTrainTestlist" / "trainlist01.txt"
    lists.write_text(lists.read_text().replace("v_Surfing", "v_Surfing.old"))
    assert len(read_catalog(tmp_path).records) == 4


def test_lists_of_hmdb51_and_kinetics_name_folders_of_frames_too(tmp_path: Path) -> None:
    hmdb51 = make_files(tmp_path / "hmdb", "sit/f_sit_1/1.jpg", "run/f_run_1/1.jpg")
    for name, mark in (("sit", 1), ("run", 2)):
        (hmdb51 / f"{name}_test_split1.txt").write_text(f"f_{name}_1.avi {mark}\n")
    catalog = read_catalog(hmdb51, kind="frames")
    assert (catalog.kind, catalog.samples) == ("hmdb51", "frames")
    assert list(labels(catalog)) == ["run/f_run_1", "sit/f_sit_1"]

    kinetics = make_files(tmp_path / "kinetics", "train/a_000000_000010/1.jpg", "train/b.x/1.jpg")
    (kinetics / "k.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nsit,a,0,10,train\nrun,b.x,3,4,train\n"
    )
    catalog = read_catalog(kinetics / "k.csv", kind="frames")
    assert (catalog.kind, catalog.samples) == ("kinetics", "frames")
    assert labels(catalog) == {"train/a_000000_000010": "sit", "train/b.x@3-4": "run"}


# --- Manifests -----------------------------------------------------------------------------------


def manifest(root: Path, *paths: str, header: str = "path,label") -> Path:
    rows = [f"{path},{'ab'[number % 2]}" for number, path in enumerate(paths)]
    (root / "list.csv").write_text("\n".join([header, *rows]) + "\n")
    return root / "list.csv"


@pytest.mark.parametrize(
    ("files", "paths", "samples"),
    [
        (["1.mp4", "2.mkv"], ["1.mp4", "2.mkv"], "video"),
        (["1.odd", "2.mkv"], ["1.odd", "2.mkv"], "video"),
        (["1.wav", "2.flac"], ["1.wav", "2.flac"], "audio"),
        (["1.npy", "2.csv"], ["1.npy", "2.csv"], "arrays"),
        (["1.png", "2.jpg"], ["1.png", "2.jpg"], "images"),
        (["x/1.png", "y/z/1.png"], ["x", "y/z/"], "frames"),
    ],
)
def test_the_paths_of_a_manifest_tell_the_kind(
    files: list[str], paths: list[str], samples: str, tmp_path: Path
) -> None:
    data = manifest(make_files(tmp_path, *files), *paths)
    catalog = read_catalog(data)
    assert (catalog.kind, catalog.samples) == ("manifest", samples)
    assert [record.name for record in catalog.records] == [path.rstrip("/") for path in paths]
    assert read_catalog(data, kind="manifest").samples == samples
    if samples != "video":
        assert read_catalog(data, kind=samples) == catalog  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "paths", "message"),
    [
        ("auto", ["1.png", "1.npy"], r"names array files and images\. Name samples of one kind"),
        ("auto", ["1.wav", "1.mp4"], r"sound files and videos.*set data\.kind to audio if sound"),
        ("auto", ["1.png", "empty"], r"line 3: 'empty' is a folder without images in it"),
        ("frames", ["x", "1.png"], r"line 3: '1\.png' is a file.*use kind 'images'"),
        ("images", ["1.png", "x"], r"line 3: 'x' is a folder.*use kind 'frames'"),
        ("audio", ["1.wav", "2.wav"], r"1 of 2 files .*missing \(2\.wav\)"),
        ("audio", ["1.wav", ""], r"empty path in line 3\. Write the sound file's path"),
    ],
)
def test_a_manifest_of_the_wrong_kind_is_refused(
    kind: str, paths: list[str], message: str, tmp_path: Path
) -> None:
    make_files(tmp_path, "1.png", "1.npy", "1.wav", "1.mp4", "x/1.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        read_catalog(manifest(tmp_path, *paths), kind=kind)  # type: ignore[arg-type]


def test_sound_files_and_the_sound_of_videos_are_one_kind(tmp_path: Path) -> None:
    data = manifest(make_files(tmp_path, "1.wav", "2.mp4"), "1.wav", "2.mp4")
    assert read_catalog(data, kind="audio").samples == "audio"


def test_a_csv_with_a_column_of_texts_is_read_as_texts(tmp_path: Path) -> None:
    data = manifest(tmp_path, "one text", "another", header="text,label")
    for kind in ("auto", "text"):
        catalog = read_catalog(data, kind=kind)  # type: ignore[arg-type]
        assert [record.text for record in catalog.records] == ["one text", "another"]
        assert catalog.samples == "text"


# --- What a command is given ---------------------------------------------------------------------


@pytest.fixture
def mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    names = ["x/1.png", "x/2.png", "y/z/1.png", "1.wav", "y/2.mp4", "3.npy", "y/t.txt", "y/t.csv"]
    folder = make_files(tmp_path, *(f"in/{name}" for name in names))
    (folder / "in/y/t.csv").write_text("text,label\nsome words,a\n")
    return folder


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        ("video", ["in/y/2.mp4"]),
        ("audio", ["in/1.wav", "in/y/2.mp4"]),
        ("arrays", ["in/3.npy", "in/y/t.csv"]),
        ("images", ["in/x/1.png", "in/x/2.png", "in/y/z/1.png"]),
        ("frames", ["in/x", "in/y/z"]),
        ("text", ["in/y/t.csv", "in/y/t.txt"]),
    ],
)
@pytest.mark.usefixtures("mixture")
def test_folders_and_globs_are_searched_for_the_kind_of_the_model(
    samples: str, found: list[str]
) -> None:
    assert expand_sources(["in"], samples=samples) == found  # type: ignore[arg-type]
    globbed = expand_sources(["in/*"], samples=samples)  # type: ignore[arg-type]
    assert sorted(globbed) == found


def test_a_folder_that_holds_images_is_one_sample_of_frames(
    monkeypatch: pytest.MonkeyPatch, mixture: Path
) -> None:
    assert expand_sources(["in/x", "in/y"], samples="frames") == ["in/x", "in/y/z"]
    monkeypatch.chdir(mixture / "in" / "x")
    assert expand_sources(["."], samples="frames") == ["."]
    assert expand_sources(["1.png"], samples="frames") == ["1.png"]


@pytest.mark.usefixtures("mixture")
def test_a_source_without_a_sample_of_the_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"in/x holds no sound files\. Give one that does, or a f"):
        expand_sources(["in/x"], samples="audio")
    with pytest.raises(InputError, match=r"matches 2 files, but no image folder\. Mend it"):
        expand_sources(["in/x/*"], samples="frames")


# --- Copies --------------------------------------------------------------------------------------


def sample(path: Path, split: str, text: str | None = None, name: str = "") -> SampleRecord:
    name = name or path.name
    return SampleRecord(path, name, "a", name, split, text=text)  # type: ignore[arg-type]


def test_folders_with_the_same_files_are_copies(tmp_path: Path) -> None:
    def folder(name: str, **files: bytes) -> Path:
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
        return tmp_path / name

    records = [
        sample(folder("seen", i1=b"one", i2=b"two"), "train"),
        sample(folder("copy", i1=b"one", i2=b"two"), "test"),
        sample(folder("other order", i1=b"two", i2=b"one"), "test"),
        sample(folder("other names", i1=b"one", i3=b"two"), "test"),
        sample(folder("other cut", i1=b"onet", i2=b"wo"), "test"),
        sample(folder("empty"), "train"),
        sample(folder("empty too"), "test"),
    ]
    assert find_copies(records) == [("seen", "copy")]


def test_texts_are_compared_as_texts_though_all_stand_in_one_file(tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text("text,label\n")
    records = [
        sample(data, "train", "one", "t:2"),
        sample(data, "val", "two", "t:3"),
        sample(data, "test", "two", "t:4"),
        sample(data, "test", "six", "t:5"),
        sample(data, "train", "", "t:6"),
        sample(data, "test", "", "t:7"),
    ]
    assert find_copies(records) == [("t:3", "t:4")]


# --- Generated sets ------------------------------------------------------------------------------


def test_the_demos_clips_are_written_as_folders_of_frames(tmp_path: Path) -> None:
    folders = list(write_frames_dataset(tmp_path, groups=2, clips_per_group=1, num_frames=6))
    catalog = read_catalog(tmp_path)
    assert (catalog.kind, catalog.samples) == ("ucf101", "frames")
    assert sorted(record.source for record in catalog.records) == sorted(folders)
    assert {record.split for record in catalog.records} == {"train", "test"}
    with open_video(folders[0], image_rate=12) as video:
        assert 4 <= video.num_frames <= 6
        assert (video.height, video.width) == (64, 64)


def test_images_of_all_classes_hold_the_same_shapes_in_another_order(tmp_path: Path) -> None:
    paths = list(write_image_dataset(tmp_path, groups=2, images_per_group=1))
    catalog = read_catalog(tmp_path)
    assert (catalog.kind, catalog.samples) == ("split-folders", "images")
    assert catalog.class_names == IMAGE_CLASS_NAMES
    assert len(IMAGE_CLASS_NAMES) == 6
    assert catalog.groups_known
    assert {record.split for record in catalog.records} == {"train", "test"}
    again = list(write_image_dataset(tmp_path / "again", groups=2, images_per_group=1))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    pictures = [path.read_bytes() for path in paths]
    assert len(set(pictures)) == len(pictures)
    assert all(re.search(r"_g0[12]_c01\.png$", path.name) for path in paths)
    with open_video(paths[0]) as video:
        assert np.ptp(video.frames_at([0])) > 100
