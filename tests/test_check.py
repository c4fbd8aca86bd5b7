"""`cliptide check`: what is found, what is written, and what makes it fail."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_files import jpeg_bytes, write_video

from cliptide.datasets.catalog import read_catalog
from cliptide.datasets.folds import read_folds
from cliptide.datasets.splits import make_splits

SIDE = 48


def scene(number: int, *, count: int = 12, side: int = SIDE) -> np.ndarray:
    """A random picture that brightens slowly; another for each number."""
    picture = np.random.default_rng(number).integers(30, 200, (12, 12, 3)).astype(np.uint8)
    picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.stack([np.clip(picture.astype(int) + i, 0, 255) for i in range(count)]).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    """Sixteen clips of different scenes; only to read."""
    folder = tmp_path_factory.mktemp("originals")
    for number in range(16):
        write_video(folder / f"{number}.mp4", scene(number), gop_size=4)
    return folder


@pytest.fixture
def data(originals, tmp_path, monkeypatch) -> Path:
    """A sound data set of two classes and eight groups, split by folders; the current folder."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    for number in range(16):
        split = "test" if number % 8 >= 5 else "train"
        target = root / split / ("wave", "clap")[number // 8] / f"v_{number}_g{number % 8}_c1.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(originals / f"{number}.mp4", target)
    return root


def rows_of(path="check.csv") -> dict[str, dict[str, str]]:
    with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return {row["video"]: row for row in csv.DictReader(file)}


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;?]*\w", "", text)


def test_a_sound_data_set_passes(cliptide, data):
    result = cliptide("check", data)
    assert result.code == 0, result
    assert "Every clip can be read, and none leaks from one split into another." in result.out
    assert "16 files, 192 frames" in result.out
    assert "files/s" in result.out
    rows = rows_of()
    assert len(rows) == 16
    row = rows["train/wave/v_0_g0_c1.mp4"]
    expected = {
        "label": "wave",
        "split": "train",
        "group": "g0",
        "status": "ok",
        "problem": "",
        "frames": "12",
        "header_frames": "12",
        "duration_s": "0.480",
        "fps": "25.000",
        "variable_rate": "false",
        "width": "48",
        "height": "48",
        "rotation": "0",
        "has_audio": "false",
        "codec": "h264",
        "duplicate_of": "",
        "same_content_in": "",
        "looks_like": "",
        "group_torn_between": "",
    }
    assert {key: row[key] for key in expected} == expected
    assert {row["split"] for row in rows.values()} == {"train", "val", "test"}


def test_the_split_may_be_a_fold_that_is_dealt(cliptide, small_data, tmp_path):
    options = ("--data.folds", "4", "--data.fold", "2", "--csv", str(tmp_path / "c.csv"))
    result = cliptide("check", str(small_data), *options)
    _, plan = read_folds(
        small_data, kind="auto", folds=4, group_regex=None, seed=0, val_share=0.15
    )[1]
    assert plan.fingerprint in result.out


def test_the_split_is_that_of_training(cliptide, small_data, tmp_path):
    (tmp_path / "x.yaml").write_text("seed: 3\ndata: {test_share: 0.4, frames: 4}\n")
    out = tmp_path / "x.csv"
    words = ["--config", tmp_path / "x.yaml", "--csv", out]
    result = cliptide("check", small_data, *words)
    plan = make_splits(read_catalog(small_data), seed=3, test_share=0.4)
    assert plan.fingerprint in result.out
    splits = {name: row["split"] for name, row in rows_of(out).items()}
    assert splits == {record.name: record.split for record in plan.records}
    seed = make_splits(read_catalog(small_data), seed=0, test_share=0.4).fingerprint
    words = [*words, "--overwrite", "--seed", "0"]
    assert seed in cliptide("check", small_data, *words).out  # a flag wins


def jpeg_stream(path: Path, jpeg: bytes, *, count: int, side: int) -> Path:
    """Write one JPEG many times as a video."""
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuvj420p"
        for number in range(count):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            out.mux(packet)
    return path


def claims_to_be_huge(jpeg: bytes, side: int) -> bytes:
    """Write another size into a JPEG's header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + side.to_bytes(2, "big") * 2 + jpeg[at + 4 :]


def test_each_bad_file_is_named_with_its_cause_and_costs_only_itself(cliptide, data, originals):
    folder = data / "train" / "wave"
    good = (originals / "0.mp4").read_bytes()
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("hello, I am no video\n" * 20)
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(9000))
    os.mkfifo(folder / "pipe.mp4")
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    with av.open(str(folder / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 16000
        out.mux([*stream.encode(silence), *stream.encode(None)])
    began = time.perf_counter()
    result = cliptide("check", data)
    assert time.perf_counter() - began < 30
    assert result.code == 1
    assert "Unreadable: 7 clips" in result.out
    assert result.err.endswith("cliptide: 7 clips cannot be read.\n")
    problems = {Path(name).stem: row["problem"] for name, row in rows_of().items()}
    for name, cause in {
        "empty": "is empty (0 bytes)",
        "text": "it is text, not a video",
        "cut": "cut short: it ends at byte",
        "noise": "is not a video FFmpeg can open",
        "pipe": "is a pipe or device",
        "gone": "there is no such file",
        "sound": "has no video, only audio",
    }.items():
        assert cause in problems[name], name
        assert f"{name}.mp4\t{problems[name]}" in result.out
    statuses = [row["status"] for row in rows_of().values()]
    assert statuses.count("ok") == 16


def test_time_and_memory_are_limited_for_each_file(cliptide, data):
    folder = data / "train" / "wave"
    flat = np.zeros((2000, 2000, 3), np.uint8)
    # Half a minute of decoding, and headers that ask for much, and for more than FFmpeg allows.
    jpeg_stream(folder / "long.mkv", jpeg_bytes(flat), count=1500, side=2000)
    tiny = jpeg_bytes(flat[:64, :64])
    tiny = tiny[:-2] + bytes(400_000) + tiny[-2:]
    for side in (6_000, 20_000):
        jpeg_stream(folder / f"{side}.mkv", claims_to_be_huge(tiny, side), count=3, side=64)
    words = ["check", data, "--time_limit_s", "2", "--memory_limit_mb", "32"]
    result = cliptide(*words)
    assert result.code == 1
    rows = rows_of()
    assert rows["train/wave/long.mkv"]["problem"] == "reading it took longer than 2 s"
    if sys.platform == "linux":
        problem = rows["train/wave/6000.mkv"]["problem"]
        assert problem == "reading it needs more than 32 MB of memory"
    problem = rows["train/wave/20000.mkv"]["problem"]
    assert problem == "no frame of it can be decoded (Picture size 20000x20000 is invalid)"
    assert [row["status"] for row in rows.values()].count("ok") == 16


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_that_is_killed_costs_only_its_file(data):
    flat = np.zeros((2000, 2000, 3), np.uint8)
    jpeg_stream(data / "train/wave/long.mkv", jpeg_bytes(flat), count=1500, side=2000)
    words = [sys.executable, "-m", "cliptide.app", "check", str(data), "--workers", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        victim = reader_of(data / "train/wave/long.mkv", within_s=60)
        os.kill(victim, 11)
        out, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "long.mkv\tthe decoder's process died on it (SIGSEGV)" in out
    assert [row["status"] for row in rows_of().values()].count("ok") == 16


def reader_of(path: Path, *, within_s: float) -> int:
    """Wait for a process that has the file open, and give its number."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if link.readlink() == path:
                    return int(link.parts[2])
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"nobody reads {path}")


def test_ctrl_c_ends_at_once_and_leaves_no_process(data):
    flat = np.zeros((2000, 2000, 3), np.uint8)
    long = jpeg_stream(data / "train/wave/long.mkv", jpeg_bytes(flat), count=1500, side=2000)
    words = [sys.executable, "-m", "cliptide.app", "check", str(data)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        worker = reader_of(long, within_s=60)
        os.killpg(run.pid, 2)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, out) == (130, "")
    assert err == "cliptide: stopped.\n"
    assert not Path("check.csv").exists()
    for _ in range(50):
        if not Path(f"/proc/{worker}/fd").exists() or not list(
            Path(f"/proc/{worker}/fd").iterdir()
        ):
            return
        time.sleep(0.1)
    raise AssertionError(f"worker {worker} is still there")


def test_a_copy_in_another_split_fails(cliptide, data):
    shutil.copy(data / "train/wave/v_0_g0_c1.mp4", data / "test/clap/v_90_g90_c1.mp4")
    result = cliptide("check", data)
    assert result.code == 1
    assert "In two splits: 1 video with the same pictures" in result.out
    assert "with the same content in two splits" in result.err
    row = rows_of()["test/clap/v_90_g90_c1.mp4"]
    assert row["same_content_in"].endswith("/wave/v_0_g0_c1.mp4")
    assert "Labelled differently: 1 video" in result.out


def test_a_copy_in_another_container_fails_too(cliptide, data):
    source, target = data / "train/wave/v_0_g0_c1.mp4", data / "test/wave/v_90_g90_c1.mkv"
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    assert cliptide("check", data).code == 1
    rows = rows_of()
    hashes = [
        rows[name]
        for name in ("train/wave/v_0_g0_c1.mp4", "test/wave/v_90_g90_c1.mkv")
        if name in rows
    ]
    assert len({row["frames_hash"] for row in hashes}) == 1
    assert len({row["content_hash"] for row in hashes}) == 2


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_one_file_through_two_names_is_read_once_and_found(cliptide, data, link):
    link(data / "train/wave/v_0_g0_c1.mp4", data / "test/wave/v_90_g90_c1.mp4")
    result = cliptide("check", data)
    assert result.code == 1
    assert "16 files" in result.out
    assert len(rows_of()) == 17


def test_a_copy_within_a_split_is_a_warning(cliptide, data):
    shutil.copy(data / "test/wave/v_5_g5_c1.mp4", data / "test/wave/v_5_g5_c2.mp4")
    result = cliptide("check", data)
    assert result.code == 0
    assert "Doubled: 1 video more than once in a split" in result.out
    assert rows_of()["test/wave/v_5_g5_c2.mp4"]["duplicate_of"] == "test/wave/v_5_g5_c1.mp4"


def test_a_torn_group_fails(cliptide, data):
    (data / "train/clap/v_8_g0_c1.mp4").rename(data / "test/clap/v_8_g0_c1.mp4")
    result = cliptide("check", data)
    assert result.code == 1
    assert "Torn: 1 group in more than one split" in result.out
    assert "g0\tin " in result.out
    assert "1 group torn between splits" in result.err
    assert rows_of()["test/clap/v_8_g0_c1.mp4"]["group_torn_between"].endswith(" and test")


def test_what_merely_looks_alike_is_a_warning(cliptide, data):
    write_video(data / "test/wave/v_90_g90_c1.mp4", scene(0, side=96), codec_options={"crf": "28"})
    result = cliptide("check", data)
    assert result.code == 0
    assert "Alike in two splits: 1 pair" in result.out
    row = rows_of()["test/wave/v_90_g90_c1.mp4"]
    assert row["looks_like"].endswith("/wave/v_0_g0_c1.mp4")
    assert float(row["bits_apart"]) <= 4


def test_uneven_rates_and_rotations_are_told(cliptide, data):
    pts = [0, 40, 100, 120, 200, 220, 300, 400, 410, 500, 600, 610]
    write_video(data / "train/wave/vfr_g0_c1.mp4", scene(50), pts=pts)
    write_video(data / "train/wave/turned_g0_c1.mp4", scene(51), rotation=90)
    result = cliptide("check", data)
    assert result.code == 0
    assert re.search(r"variable rate\t1 \(.*vfr_g0_c1\.mp4\)", result.out)
    assert re.search(r"rotated\t1 \(.*turned_g0_c1\.mp4\)", result.out)


def manifest(data: Path, *rows: str) -> Path:
    path = data / "clips.csv"
    path.write_text("path,label,group,split,start_s,end_s\n" + "\n".join(rows) + "\n")
    return path


def test_parts_of_one_video_may_not_stand_in_two_splits(cliptide, data):
    one, two = "train/wave/v_0_g0_c1.mp4", "train/clap/v_8_g0_c1.mp4"
    path = manifest(
        data,
        f"{one},wave,a,train,0,0.2",
        f"{two},clap,b,train,,",
        "train/wave/v_1_g1_c1.mp4,wave,c,val,,",
        f"{one},wave,d,test,0.2,0.4",
        "test/clap/v_13_g5_c1.mp4,clap,e,test,,",
    )
    result = cliptide("check", path)
    assert result.code == 1
    assert "In two splits: 1 video" in result.out
    rows = rows_of()
    assert rows[f"{one}@0-0.2"]["same_content_in"] == f"test: {one}@0.2-0.4"
    assert not any(row["duplicate_of"] for row in rows.values())


def test_parts_outside_of_their_video_are_found(cliptide, data):
    one = "train/wave/v_0_g0_c1.mp4"
    path = manifest(
        data,
        f"{one},wave,,train,0,0.2",
        f"{one},wave,,train,0.2,9",
        f"{one},wave,,train,7,9",
        "train/clap/v_8_g0_c1.mp4,clap,,train,,",
        "train/wave/v_1_g1_c1.mp4,wave,,val,,",
        "test/clap/v_13_g5_c1.mp4,clap,,test,,",
    )
    assert cliptide("check", path).code == 1
    rows = rows_of()
    assert rows[f"{one}@7-9"]["problem"].startswith("begins at 7 s, but the video's last frame")
    assert rows[f"{one}@0.2-9"]["problem"] == "ends at 9 s, but the video at 0.48 s"
    assert [rows[f"{one}@{part}"]["status"] for part in ("0-0.2", "0.2-9", "7-9")] == [
        "ok",
        "cut short",
        "unreadable",
    ]


def test_a_clip_listed_in_two_splits_fails_before_anything_is_read(cliptide, data):
    one = "train/wave/v_0_g0_c1.mp4,wave"
    result = cliptide("check", manifest(data, f"{one},a,train,,", f"{one},a,test,,"))
    assert (result.code, result.out) == (1, "")
    assert "stands in train and in test" in result.err


def test_videos_without_classes_or_a_possible_split_are_read_all_the_same(cliptide, data):
    result = cliptide("check", data / "train" / "wave")
    assert result.code == 0
    assert "No split can be made" in result.out
    assert "Every clip can be read." in result.out
    few = cliptide("check", data / "test", "--csv", "few.csv", "--data.group_regex", "v_")
    assert few.code == 0
    assert "has 1 group" in few.out


def test_a_check_csv_that_exists_is_kept_unless_told_otherwise(cliptide, data):
    Path("check.csv").write_text("precious")
    result = cliptide("check", data)
    assert (result.code, result.out) == (2, "")
    assert "check.csv exists. Give another name, or --overwrite to replace it." in result.err
    assert Path("check.csv").read_text() == "precious"
    assert cliptide("check", data, "--overwrite").code == 0
    assert len(rows_of()) == 16


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["nowhere"], ["nowhere does not exist", "Mend the path"]),
        (["data", "--csv", "none/x.csv"], ["There is no folder none", "Make it"]),
        (["data", "--csv", "data"], ["data is a folder", "name of a file"]),
        (["data", "--workers", "0"], ["workers is 0", "Use auto, or 1 or more"]),
        (["data", "--time_limit_s", "0"], ["time_limit_s is 0", "above 0"]),
        (["data", "--memory_limit_mb", "1"], ["memory_limit_mb is 1", "16 or more"]),
        (["data", "--data.kind", "foldr"], ["data.kind is 'foldr'", "folder"]),
        (["data", "--data.val_share", "2"], ["data.val_share is 2", "between 0 and 0.9"]),
        (["data", "--seed", "-1"], ["seed is -1"]),
        (["data", "--time_limit", "3"], ["no flag '--time_limit'", "--time_limit_s"]),
        (["data", "--config", "figth"], ["--config 'figth'", "fight"]),
        ([], ["Missing: DATA"]),
    ],
)
def test_wrong_input_is_one_line_with_the_mend(cliptide, data, words, parts):
    result = cliptide("check", *words)
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    for part in parts:
        assert part in result.err
    assert not Path("check.csv").exists()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_tables_that_fit_and_the_worst_of_many(
    cliptide, data, monkeypatch, columns
):
    for number in range(13):
        (data / f"train/wave/an empty file with quite a long name {number}.mp4").touch()
    (data / "train/wave/[red]x :bomb:.mp4").write_text("no video")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    output = plain(cliptide("check", "data").out)
    assert max(map(len, output.splitlines())) <= columns
    assert "Unreadable: 14 clips" in output
    assert "... and 4 more" in output
    assert output.count("is empty (0 bytes)") >= 9
    assert "A row for each clip: check.csv" in output


@pytest.mark.skipif(sys.platform != "linux", reason="only there is any byte a file name")
def test_any_file_name_is_written_as_it_is(cliptide, data):
    name = os.fsdecode(b"bad\xff [red] name_g0_c1.mp4")
    (data / "train/wave/v_0_g0_c1.mp4").rename(data / "train/wave" / name)
    assert cliptide("check", data).code == 0
    assert f"train/wave/{name}" in rows_of()
