"""Bad samples of every kind: each costs only itself, and is named with its cause and its mend."""

import csv
import re
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cliptide.configs.errors import DataError, SampleError
from cliptide.configs.streams import DataKind, StepsConfig
from cliptide.datasets.catalog import read_catalog
from cliptide.datasets.checking.samples import examine_sample
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.pictures import PatchStream
from cliptide.datasets.synthetic_arrays import write_skeleton_dataset
from cliptide.datasets.synthetic_images import write_frames_dataset, write_image_dataset
from cliptide.datasets.synthetic_sound import write_sound_dataset

TINY = (
    "--data.workers 0 --train.epochs 1 --model.hidden 8 --model.step_dim 8 "
    "--data.frames 4 --data.size 32 --steps.count 16 --eval.clips 1 --eval.probes false "
    "--device cpu"
)


def quarantined(run: Path) -> dict[str, str]:
    """Name and reason of each sample that a run left out."""
    with (run / "quarantine.csv").open() as file:
        return {Path(row["video"]).name: row["reason"] for row in csv.DictReader(file)}


def unreadable(path: Path) -> dict[str, str]:
    """Name and problem of each sample that a check found unreadable."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {
        Path(row["video"]).name: row["problem"] for row in rows if row["status"] == "unreadable"
    }


def spoil_frames(samples: list[Path]) -> dict[str, tuple[str, str]]:
    """A gap, two sizes and a broken image; what is said of each, and the mend."""
    gap, sizes, broken = samples[:3]
    (gap / "img_00003.jpg").unlink()
    cv2.imwrite(str(sizes / "img_00002.jpg"), np.zeros((20, 40, 3), np.uint8))
    for image in broken.iterdir():  # of one alone, only those clips know that show it
        image.write_bytes(image.read_bytes()[:60])
    return {
        gap.name: ("img_00003.jpg is missing behind img_00002.jpg", "Put it there"),
        sizes.name: ("img_00002.jpg: is 20x40 pixels, but", "Bring the images"),
        broken.name: (".jpg: is damaged or cut short", "Replace it"),
    }


def spoil_arrays(samples: list[Path]) -> dict[str, tuple[str, str]]:
    """What is missing (NaN) is fine; other widths, nothing, objects and the infinite are not."""
    missing, width, nothing, objects, infinite, rows = samples[:6]
    np.save(missing, np.full((30, 17, 2), np.nan, np.float32))
    np.save(width, np.ones((30, 10), np.float32))
    nothing.write_bytes(b"")
    np.save(objects, np.array([{}], object), allow_pickle=True)
    values = np.ones((30, 17, 2), np.float32)
    values[3, 0, 0] = np.inf
    np.save(infinite, values)
    np.save(rows, np.ones((0, 17, 2), np.float32))
    return {
        width.name: ("10 numbers in a row", "Give all files the same columns"),
        nothing.name: ("is empty", "Write it again"),
        objects.name: ("Python objects, which are never loaded", "Save it as plain numbers"),
        infinite.name: ("row 3 (counted from 0)", "Write nan where a value is missing"),
        rows.name: ("no rows of numbers", "Leave it out"),
    }


def write_wav(path: Path, samples: Any) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype("<i2").tobytes())


def spoil_sounds(samples: list[Path]) -> dict[str, tuple[str, str]]:
    """Silence, a single sample and seven channels are sound; nothing and nonsense are not."""
    silent, single, channels, nothing, nonsense = samples[:5]
    write_wav(silent, np.zeros((16000, 1)))
    write_wav(single, np.full((1, 1), 500))
    write_wav(channels, np.random.default_rng(0).integers(-999, 999, (16000, 7)))
    write_wav(nothing, np.zeros((0, 1)))
    nonsense.write_bytes(b"nonsense" * 99)
    return {
        nothing.name: ("holds no sound", "Replace it"),
        nonsense.name: ("is no sound file or video", "Replace it"),
    }


def write_text_files(root: Path) -> list[Path]:
    """Texts in a folder for each class."""
    paths = []
    for number in range(24):
        path = root / "ab"[number % 2] / f"{number:02d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"one of the texts of {path.parent.name}, number {number}")
        paths.append(path)
    return paths


def spoil_texts(samples: list[Path]) -> dict[str, tuple[str, str]]:
    """A long text is read as far as is needed; other encodings and nothing are not."""
    long, latin, empty, spaces = samples[:4]
    long.write_text("word " * 2_000_000)
    latin.write_bytes("grüße an alle".encode("latin-1"))
    empty.write_text("")
    spaces.write_text(" \n\n ")
    return {
        latin.name: ("is not UTF-8 (it holds the byte 0xfc)", "Save it as UTF-8"),
        empty.name: ("has no text", "Write one there"),
        spaces.name: ("has no text", "Write one there"),
    }


Spoil = Callable[[list[Path]], dict[str, tuple[str, str]]]


@pytest.mark.parametrize(
    ("write", "spoil", "flags"),
    [
        (
            lambda to: write_frames_dataset(to, groups=3, clips_per_group=1, num_frames=6, side=32),
            spoil_frames,
            "",
        ),
        (
            lambda to: write_skeleton_dataset(to, groups=3, clips_per_group=1, num_rows=40),
            spoil_arrays,
            "--steps.joints coco17",
        ),
        (lambda to: write_sound_dataset(to, groups=3, clips_per_group=1), spoil_sounds, ""),
        (write_text_files, spoil_texts, "--data.kind text"),
    ],
    ids=["frames", "arrays", "sounds", "texts"],
)
def test_bad_samples_cost_only_themselves_and_are_found_by_check(
    write: Any, spoil: Spoil, flags: str, cliptide: Any, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    wrong = spoil(sorted(write(data)))
    trained = cliptide("train", data, "--out", out, *TINY.split(), *flags.split())
    assert trained.code == 0, trained.err
    reasons = quarantined(out)
    assert reasons.keys() == wrong.keys()
    for name, (cause, mend) in wrong.items():
        assert str(data) in reasons[name] or name in reasons[name]
        assert cause in reasons[name]
        assert mend in reasons[name]
    kind = ["--data.kind", "text"] if "text" in flags else []
    check = cliptide("check", data, *kind, "--csv", tmp_path / "c.csv", "--workers", "1")
    assert check.code == 1, check.err
    found = unreadable(tmp_path / "c.csv")
    assert found.keys() == wrong.keys()
    for name, (cause, _) in wrong.items():
        assert cause in found[name]
    every = cliptide("predict", out / "model.safetensors", data, "--json", "-", "--device", "cpu")
    assert every.code == 1
    assert f"{len(wrong)} of " in every.err


def test_columns_of_other_names_are_left_out_and_found_by_check(
    cliptide: Any, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    rng = np.random.default_rng(0)
    headers = ["x,y"] * 6 + ["y,x", "x,z"]
    for label, header, number in ((lab, h, n) for lab in "ab" for n, h in enumerate(headers)):
        path = data / label / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = "\n".join(f"{x:.3f},{y:.3f}" for x, y in rng.normal(0, 1, (30, 2)))
        path.write_text(f"{header}\n{rows}\n")
    trained = cliptide("train", data, "--out", out, *TINY.split())
    assert trained.code == 0, trained.err
    predicted = cliptide("predict", out / "model.safetensors", data / "a", "--device", "cpu")
    assert predicted.code == 1 and "1 of 8" in predicted.err
    assert "7.csv lacks the columns y and has the columns z, which the" in predicted.err
    check = cliptide("check", data, "--csv", tmp_path / "c.csv", "--workers", "1")
    assert check.code == 1, check.err
    problem = "it lacks the columns y and has the columns z, which the others have not"
    assert unreadable(tmp_path / "c.csv") == {"7.csv": problem}
    wrong = [row for row in (tmp_path / "c.csv").read_text().splitlines() if problem in row]
    assert len(wrong) == 2


def test_parts_are_held_against_the_rate_that_training_is_given(
    cliptide: Any, tmp_path: Path
) -> None:
    rows = ["path,label,start_s,end_s"]
    for number in range(8):
        np.save(tmp_path / f"{number}.npy", np.random.default_rng(number).normal(0, 1, (100, 2)))
        rows.append(f"{number}.npy,{'ab'[number % 2]},5,9")  # of 10 s at 10 rows a second
    (tmp_path / "list.csv").write_text("\n".join(rows))
    (tmp_path / "slow.yaml").write_text("steps:\n  row_rate: 10\n  window: 5\n")
    found = []
    for flags in ([], ["--steps.row_rate", "10"], ["--config", tmp_path / "slow.yaml"]):
        words = ["check", tmp_path / "list.csv", "--csv", tmp_path / "c.csv", "--workers", "1"]
        result = cliptide(*words, "--overwrite", *flags)
        found.append((result.code, len(unreadable(tmp_path / "c.csv"))))
    assert found == [(1, 8), (0, 0), (0, 0)]
    result = cliptide("check", tmp_path / "list.csv", "--steps.row_rate", "0")
    assert result.code == 2 and "steps.row_rate is 0.0. Use a rate above 0" in result.err


def test_rows_of_another_rate_than_was_said_are_noted_once_in_training(
    small_data: Path, cliptide: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    for video in data.rglob("*.mp4"):
        np.save(video.with_suffix(".npy"), np.zeros((7, 2)))
    flags = [*TINY.split(), "--data.streams", "rgb,arrays"]
    trained = cliptide("train", data, "--out", tmp_path / "run", *flags)
    assert trained.code == 0, trained.err
    said = re.findall(r"Note: .*npy has 7 rows without time_s, 0\.23 s at steps", trained.err)
    assert len(said) == 1, trained.err


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    list(write_image_dataset(root, groups=3, images_per_group=1, side=32))
    return root


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--data.streams rgb,audio", r"None of \d+ training samples has the stream audio.*Leave"),
        # Before the training samples are read, none of which has sound.
        ("--data.streams rgb,audio --train.mixup 0.2", r"train\.mixup is 0\.2.*as rgb, audio"),
        ("--data.streams rgb,arrays", r"No array could be read.*has no array beside it\. Put v_"),
        (
            "--data.kind audio",
            r"None of \d+ training samples has the stream audio.*no sound track.*pictures",
        ),
        ("--data.streams rgb,rgb", r"'rgb,rgb'\. Use auto, or some of .* each once"),
        ("--data.streams rgb,text", r"'rgb,text'\. Use auto, or some of rgb, flow, audio, arrays"),
        ("--data.streams foo", r"'foo'\. Use auto"),
        ("--steps.image patches", r"steps\.image is patches.*samples of the kind video\. Leave"),
    ],
)
def test_streams_that_silent_videos_do_not_have_are_refused(
    flags: str, message: str, small_data: Path, cliptide: Any, tmp_path: Path
) -> None:
    result = cliptide("train", small_data, "--out", tmp_path / "run", *TINY.split(), *flags.split())
    assert (result.code, result.out) == (2, "")
    assert re.search(message, result.err), result.err


def test_check_tells_videos_without_sound_apart_from_broken_files(
    small_data: Path, cliptide: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    next(data.rglob("*.mp4")).write_bytes(b"no video")
    words = ["--data.kind", "audio", "--csv", tmp_path / "c.csv", "--workers", "1"]
    result = cliptide("check", data, *words)
    assert result.code == 1
    silent, broken = re.split("Unreadable: 1 sound", result.out)
    assert re.search(r"Without sound: \d+ videos", silent)
    assert "train on their pictures" in silent and "download" not in silent
    assert "Copy or download" in broken


def test_check_says_the_line_and_the_column_first(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,oops\n")
    found = examine_sample(tmp_path / "a.csv", kind="arrays", steps=StepsConfig())
    assert found.problem == "line 2, column 'y': 'oops' is no number"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--data.streams audio", r"asks for audio, which samples of the kind images do not have"),
        ("--data.streams rgb --steps.image rows", r"steps\.image is rows.*data\.streams rgb"),
        ("--data.kind audio", r"holds no sound files"),
        ("--data.kind text", r"holds no text files"),
    ],
)
def test_what_images_are_not_is_refused(
    flags: str, message: str, images: Path, cliptide: Any, tmp_path: Path
) -> None:
    result = cliptide("train", images, "--out", tmp_path / "run", *TINY.split(), *flags.split())
    assert (result.code, result.out) == (2, "")
    assert re.search(message, result.err), result.err


def test_a_folder_of_two_kinds_is_asked_about(images: Path, cliptide: Any, tmp_path: Path) -> None:
    data = tmp_path / "both"
    shutil.copytree(images, data)
    write_wav(data / "train" / "one.wav", np.zeros((99, 1)))
    result = cliptide("train", data, "--out", tmp_path / "run")
    assert result.code == 2
    assert "Set data.kind to audio or images" in result.err


def test_patches_are_cut_of_one_image_alone(small_data: Path) -> None:
    stream = PatchStream(patch=(8, 8), size=(32, 32))
    video = next(small_data.rglob("*.mp4"))
    record = SampleRecord(video, video.name, label="", group="")
    with pytest.raises(SampleError, match=r"pictures, and patches are cut of one image\. Give an"):
        stream.open(record).__enter__()


def test_texts_in_folders_are_told_of_and_same_ones_are_never_torn(tmp_path: Path) -> None:
    paths = write_text_files(tmp_path / "data")
    with pytest.raises(DataError, match=r"holds no videos, but 24 text files\. Give --data\.kind"):
        read_catalog(tmp_path / "data")
    for path in paths[2::2]:
        path.write_text("the  same\n" if path.name < "10" else "the same")
    catalog = read_catalog(tmp_path / "data", kind="text")
    groups = {record.name: record.group for record in catalog.records}
    assert len({group for name, group in groups.items() if name.startswith("a/")}) == 2
    assert len(set(groups.values())) == 2 + 12
    assert "Grouped with the file that has the same text: 10 files." in catalog.notes


@pytest.mark.parametrize("kind", ["audio", "arrays", "frames"])
def test_a_table_of_texts_is_not_read_as_another_kind(kind: DataKind, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\none,a\ntwo,b\n")
    with pytest.raises(DataError, match=f"a table of texts, but data.kind is {kind}. Use --config"):
        read_catalog(tmp_path / "reviews.csv", kind=kind)
    assert read_catalog(tmp_path / "reviews.csv").samples == "text"


def test_a_manifest_of_text_files_is_read_as_texts(tmp_path: Path) -> None:
    paths = write_text_files(tmp_path)
    rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in paths]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]))
    catalog = read_catalog(tmp_path / "list.csv", kind="text")
    assert (catalog.kind, catalog.samples, len(catalog.records)) == ("manifest", "text", 24)


def test_check_tells_copies_of_sounds_but_not_of_silence(cliptide: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    sounds = list(write_sound_dataset(data, groups=3, clips_per_group=1))
    write_wav(sounds[0], np.zeros((16000, 1)))
    write_wav(sounds[1], np.zeros((16000, 1)))
    first = sounds[2]
    shutil.copy(first, first.with_name(first.name.replace("_c01", "_c02")))
    result = cliptide("check", data, "--csv", tmp_path / "c.csv", "--workers", "1")
    assert "Doubled: 1 sound file" in result.out
    assert result.code == 0, result.out


def test_check_reads_loose_samples_of_a_kind_that_is_named(
    images: Path, cliptide: Any, tmp_path: Path
) -> None:
    folder = next(path.parent for path in images.rglob("*.png"))
    words = ["--csv", tmp_path / "c.csv", "--workers", "1"]
    result = cliptide("check", folder, "--data.kind", "images", *words)
    assert result.code == 0, result.err
    assert "without classes or a split" in result.out


def test_check_holds_parts_of_sounds_against_their_files(cliptide: Any, tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.full((16000, 1), 400))
    rows = [f"a.wav,{'ab'[at % 2]},{at / 4},{at / 4 + 0.25}" for at in range(6)]
    (tmp_path / "l.csv").write_text("\n".join(["path,label,start_s,end_s", *rows]))
    csv_file = tmp_path / "c.csv"
    result = cliptide("check", tmp_path / "l.csv", "--csv", csv_file, "--workers", "1")
    assert result.code == 1, result.out
    found = unreadable(csv_file)
    assert len(found) == 2
    assert "begins at 1.25 s, but the file's end is at 1.00 s" in found.values()
