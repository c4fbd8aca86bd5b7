"""Every command with every kind of sequence, as a person would give it; one tiny model of each."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_process import serving
from test_report import Page

from cliptide.app.cli import main
from cliptide.configs.errors import InputError
from cliptide.datasets.synthetic_arrays import write_sensor_dataset, write_skeleton_dataset
from cliptide.datasets.synthetic_images import write_frames_dataset, write_image_dataset
from cliptide.datasets.synthetic_sound import write_sound_and_picture_dataset, write_sound_dataset
from cliptide.datasets.synthetic_texts import CLASS_NAMES, new_text, write_text_dataset

TINY = (
    "--data.workers 0 --train.epochs 2 --model.width 0.25 --model.hidden 8 --model.step_dim 8 "
    "--data.frames 4 --data.size 32 --steps.count 16 --eval.clips 1 --eval.probes false "
    "--device cpu"
)


@dataclass(frozen=True)
class Kind:
    """Flags, and what writes the data; `data` is the name of what other kinds may share."""

    data: str
    flags: str = ""
    # A few things that hold for some alone.
    has_timeline: bool = True
    ending: str = ""


KINDS = {
    "frames": Kind("frames"),
    "whole": Kind("images", ending=".png", has_timeline=False),
    "rows": Kind("images", "--steps.image rows", has_timeline=False, ending=".png"),
    "patches": Kind(
        "images", "--steps.image patches --steps.patch 8", has_timeline=False, ending=".png"
    ),
    "audio": Kind("audio", ending=".wav"),
    "sound of videos": Kind("both", "--data.kind audio", ending=".mp4"),
    "skeletons": Kind("skeletons", "--steps.joints coco17", ending=".npy"),
    "sensors": Kind("sensors", ending=".csv"),
    "text": Kind("texts.csv", "--steps.tokens words", has_timeline=False),
    "rgb,flow": Kind("both", "--data.streams rgb,flow", ending=".mp4"),
    "gated": Kind("both", "--data.streams rgb,audio,arrays --model.fusion gated", ending=".mp4"),
    "late": Kind("both", "--data.streams rgb,audio --model.fusion late", ending=".mp4"),
}
WITH_TIMELINE = [name for name, kind in KINDS.items() if kind.has_timeline]
WITHOUT = [name for name in KINDS if name not in WITH_TIMELINE]


def write_both(root: Path) -> Iterator[Path]:
    """Videos with sound, and rows of numbers beside each."""
    for video in write_sound_and_picture_dataset(
        root, groups=4, clips_per_group=1, num_frames=14, side=32
    ):
        np.save(video.with_suffix(".npy"), np.ones((30, 4), np.float32))
        yield video


WRITERS: dict[str, Callable[[Path], Any]] = {
    "frames": lambda to: list(
        write_frames_dataset(to, groups=3, clips_per_group=1, num_frames=6, side=32)
    ),
    "images": lambda to: list(write_image_dataset(to, groups=3, images_per_group=1, side=32)),
    "audio": lambda to: list(write_sound_dataset(to, groups=3, clips_per_group=1)),
    "skeletons": lambda to: list(
        write_skeleton_dataset(to, groups=4, clips_per_group=1, num_rows=40)
    ),
    "sensors": lambda to: list(write_sensor_dataset(to, groups=3, clips_per_group=1, num_rows=40)),
    "texts.csv": lambda to: write_text_dataset(to, groups=4, texts_per_group=2),
    "both": lambda to: list(write_both(to)),
}


class Trained:
    """One model of each kind, trained when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: dict[str, Path] = {}

    def data(self, name: str) -> Path:
        folder = self.root / KINDS[name].data
        if not folder.exists():
            WRITERS[folder.name](folder)
        return folder

    def flags(self, name: str) -> list[str]:
        return [
            *TINY.split(),
            "--steps.flow_cache",
            str(self.root / "flow"),
            *KINDS[name].flags.split(),
        ]

    def run(self, name: str) -> Path:
        if name not in self.runs:
            out = self.root / "runs" / name
            words = ["train", str(self.data(name)), "--out", str(out), *self.flags(name)]
            assert main(words) == 0, name
            self.runs[name] = out
        return self.runs[name]

    def model(self, name: str) -> Path:
        return self.run(name) / "model.safetensors"

    def sample(self, name: str) -> Path:
        """A file or folder that the model takes."""
        data, ending = self.data(name), KINDS[name].ending
        if name == "text":
            text = self.root / "new.txt"
            text.write_text(new_text(CLASS_NAMES[0], seed=5))
            return text
        found = sorted(data.rglob(f"*{ending}" if ending else "*_c01"))
        return next(path for path in found if path.is_dir() is (name == "frames"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("kinds"))


@pytest.mark.parametrize("name", KINDS)
def test_a_file_and_a_folder_are_predicted_alike_and_written(
    name: str, trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    model, sample = trained.model(name), trained.sample(name)
    csv_file = tmp_path / "p.csv"
    one = cliptide("predict", model, sample, "--json", "-", "--csv", csv_file, "--device", "cpu")
    assert one.code == 0, one.err
    (found,) = json.loads(one.out)
    assert found["video"] == str(sample)
    assert sum(found["scores"].values()) == pytest.approx(1, abs=1e-3)
    assert str(sample) in csv_file.read_text()
    many = cliptide("predict", model, trained.data(name), "--json", "-", "--device", "cpu")
    assert many.code == 0, many.err
    rows = {row["video"]: row for row in json.loads(many.out)}
    assert len(rows) >= 12
    if name != "text":
        assert rows[str(sample)]["scores"] == pytest.approx(found["scores"], abs=1e-4)


@pytest.mark.parametrize("name", ["frames", "rows", "audio", "text", "late"])
def test_an_evaluation_gives_the_figures_of_the_training(
    name: str, trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    model, out = trained.model(name), tmp_path / "evaluation"
    words = ["--out", out, "--device", "cpu"]
    assert cliptide("evaluate", model, trained.data(name), *words).code == 0
    figures = [
        json.loads((folder / "metrics.json").read_text()) for folder in (trained.run(name), out)
    ]
    assert figures[0]["top1"] == figures[1]["top1"]
    assert figures[0]["num_failed"] == figures[1]["num_failed"] == 0


@pytest.mark.parametrize("name", WITH_TIMELINE)
def test_what_has_seconds_has_a_timeline_and_is_watched(
    name: str, trained: Trained, cliptide: Any
) -> None:
    model, sample = trained.model(name), trained.sample(name)
    along = cliptide("predict", model, sample, "--timeline", "--json", "-", "--device", "cpu")
    assert along.code == 0, along.err
    (found,) = json.loads(along.out)
    watched = cliptide("watch", model, sample, "--json", "--device", "cpu")
    assert watched.code == 0, watched.err
    updates = [json.loads(line) for line in watched.out.splitlines()]
    assert found["duration_s"] >= updates[-1]["time_s"]
    assert set(found["curve"]["scores"]) == set(updates[-1]["scores"])


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_seconds_says_so(name: str, trained: Trained, cliptide: Any) -> None:
    model, sample = trained.model(name), trained.sample(name)
    along = cliptide("predict", model, sample, "--timeline", "--device", "cpu")
    assert (along.code, along.out) == (2, "")
    assert "have no seconds, so --timeline cannot say" in along.err
    watched = cliptide("watch", model, sample, "--device", "cpu")
    assert watched.code == 2
    assert "have no seconds to watch. Use cliptide predict." in watched.err


def test_folders_of_images_are_gone_through_at_their_own_rate(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    words = ["--out", tmp_path / "slow", *trained.flags("frames"), "--steps.image_rate", "5"]
    assert cliptide("train", trained.data("frames"), *words).code == 0
    model, sample = tmp_path / "slow" / "model.safetensors", trained.sample("frames")
    (found,) = json.loads(cliptide("predict", model, sample, "--json", "-").out)
    (along,) = json.loads(cliptide("predict", model, sample, "--timeline", "--json", "-").out)
    count = len(list(sample.iterdir()))
    assert found["duration_s"] == pytest.approx(count / 5)
    assert along["duration_s"] == pytest.approx(count / 5)


def test_an_export_of_joined_streams_gives_the_same_numbers(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    model, sample = trained.model("gated"), trained.sample("gated")
    out = tmp_path / "onnx"
    exported = cliptide("export", model, "--format", "onnx", "--out", out)
    assert exported.code == 0, exported.err
    ours, theirs = (
        json.loads(cliptide("predict", source, sample, "--json", "-", "--device", "cpu").out)
        for source in (model, out)
    )
    assert theirs[0]["scores"] == pytest.approx(ours[0]["scores"], abs=1e-4)


@pytest.mark.parametrize("name", ["audio", "text", "late"])
def test_training_goes_on_and_starts_from_a_model(
    name: str, trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    resumed = tmp_path / "resumed"
    shutil.copytree(trained.run(name), resumed)
    again = cliptide("train", "--resume", resumed, "--device", "cpu")
    assert again.code == 0, again.err
    more = ["--train.epochs", "1", "--data.workers", "0", "--eval.probes", "false"]
    words = ["--init", trained.model(name), "--out", tmp_path / "init", *more, "--device", "cpu"]
    tuned = cliptide("train", trained.data(name), *words)
    assert tuned.code == 0, tuned.err


def test_folds_and_trials_take_other_kinds(trained: Trained, cliptide: Any, tmp_path: Path) -> None:
    once = ["--train.epochs", "1"]
    words = ["--folds", "2", "--out", tmp_path / "folds", *trained.flags("skeletons"), *once]
    folds = cliptide("train", trained.data("skeletons"), *words)
    assert folds.code == 0, folds.err
    words = ["--trials", "2", "--out", tmp_path / "tune", *trained.flags("text"), *once]
    trials = cliptide("tune", trained.data("text"), *words)
    assert trials.code == 0, trials.err


@pytest.mark.parametrize("name", ["text", "late"])
def test_a_report_and_a_comparison_are_made(
    name: str, trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    assert cliptide("report", trained.run(name)).code == 0
    copy = tmp_path / "other"
    shutil.copytree(trained.run(name), copy)
    compared = cliptide("compare", trained.run(name), copy, "--out", tmp_path / "compared")
    assert compared.code == 0, compared.err


def test_a_server_takes_sounds_and_videos_with_sound(trained: Trained, tmp_path: Path) -> None:
    models = [f"{name}={trained.model(name)}" for name in ("audio", "late")]
    sound, video = trained.sample("audio"), trained.sample("late")
    with serving(tmp_path, *models, "--workers", 1) as server:
        assert server.predict(sound, model="audio").status == 200
        assert server.predict(sound, model="audio", timeline="true").status == 200
        assert server.predict(video, model="audio").status == 200
        assert server.predict(video, model="late").status == 200
        # What a model of several streams lacks is masked, as it is on the command line.
        assert server.predict(sound, model="late").status == 200
        refused = server.predict(b"no media file" * 9, model="late")
        assert refused.status == 422


def test_a_server_refuses_what_is_no_upload(trained: Trained) -> None:
    pytest.importorskip("fastapi")
    from cliptide.app.serving.served import load_models

    path = str(trained.model("text"))
    with pytest.raises(InputError, match=r"is a model of text.*Use cliptide predict"):
        load_models([path], device="cpu", on_batch=lambda name, count: None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("frames", "folders, "),
        ("whole", "files, "),
        ("audio", "files, "),
        ("skeletons", " rows, "),
        ("text", "texts, "),
    ],
)
def test_a_sound_data_set_of_any_kind_is_checked(
    name: str, words: str, trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    flags = ["--csv", tmp_path / "check.csv", "--workers", "1"]
    checked = cliptide("check", trained.data(name), *flags)
    assert checked.code == 0, checked.out + checked.err
    assert words in checked.out
    assert re.search(r"Every (clip|image|sound|sequence|text) can be read, and none", checked.out)
    assert ("codec" in checked.out, "frame rate" in checked.out) == (False, False)


def words_of_videos(*told: str) -> list[str]:
    """What only a user of videos should read; flags and names of files are no words."""
    text = re.sub(r"--\S+|clips\.csv", "", " ".join(told))
    return re.findall(r".{0,40}\b(?:video|clip)s?\b.{0,20}", text, flags=re.IGNORECASE)


def page_words(path: Path) -> str:
    """What a page shows or reads aloud; its code and the commands on it are no words."""
    page = Page(re.sub(r"(?s)<pre.*?</pre>", "", path.read_text(encoding="utf-8")))
    names = ("aria-label", "placeholder", "title", "alt")
    return " ".join(
        [page.text, *(str(tag.get(name, "")) for _, tag in page.tags for name in names)]
    )


@pytest.mark.parametrize("name", ["text", "audio", "sensors", "rows"])
def test_who_has_no_videos_is_told_of_none(
    name: str,
    trained: Trained,
    cliptide: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As in a run of hours, where all that goes on is told in lines.
    monkeypatch.setattr("cliptide.app.inference.terminal.LINE_EVERY_S", 0.0)
    monkeypatch.setattr("cliptide.app.training.progress.LINE_EVERY_S", 0.0)
    data, run, evaluated, compared = trained.data(name), *(tmp_path / part for part in "rec")
    less = ["--train.epochs", "1", "--data.bucket", "true", "--model.width", "0.2"]
    device = ["--device", "cpu"]
    told = [
        cliptide("train", data, "--out", run, *trained.flags(name), *less),
        cliptide("check", data, "--csv", tmp_path / "check.csv", "--workers", "1"),
        cliptide("evaluate", trained.model(name), data, "--split", "all", "--out", evaluated),
        cliptide("compare", trained.run(name), run, "--out", compared),
        cliptide("predict", trained.model(name), data, "--data.workers", "1", *device),
    ]
    assert [one.code for one in told] == [0] * len(told), told
    pages = [run / "report.html", evaluated / "report.html", compared / "compare.html"]
    said = " ".join(one.out + one.err for one in told)
    assert not words_of_videos(said, *map(page_words, pages))
    plural = {"text": "texts", "audio": "sounds", "sensors": "sequences", "rows": "images"}[name]
    assert f" {plural}/s" in told[0].err
    assert f" {plural} that all runs scored" in told[3].out


def test_annotations_of_sounds_are_compared_with_their_timelines(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    data = tmp_path / "long"
    data.mkdir()
    shutil.copy(trained.sample("audio"), data / "one.wav")
    label = trained.sample("audio").parent.name
    (data / "one.csv").write_text(f"start_s,end_s,label\n0,0.8,{label}\n")
    words = ["--timeline", "--out", tmp_path / "out", "--device", "cpu"]
    judged = cliptide("evaluate", trained.model("audio"), data, *words)
    assert judged.code == 0, judged.err
    refused = cliptide("evaluate", trained.model("text"), data, *words)
    assert refused.code == 2
    assert "have no seconds, so there is no timeline to judge" in refused.err


def test_files_of_the_timelines_of_sounds_are_refused_in_words_of_sounds(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    subtitles, sound = tmp_path / "one.srt", trained.sample("audio")
    subtitles.touch()
    words = ["--timeline", "--srt", subtitles, "--overwrite", "--device", "cpu"]
    several = cliptide("predict", trained.model("audio"), trained.data("audio"), *words)
    assert several.code == 2
    assert re.search(r"there are 18 sounds\. Give a folder: each sound gets a file", several.err)
    same = cliptide(
        "predict", trained.model("audio"), sound, "--timeline", "--csv", sound, "--overwrite"
    )
    assert same.code == 2
    assert "is a sound that is to be read" in same.err


def test_tables_of_other_things_cost_no_text(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    texts, ids, note = (folder / name for name in ("a.csv", "b.csv", "c.txt"))
    texts.write_text("text\none two three\nfour five six\n")
    ids.write_text("id,label\n1,walk\n")
    note.write_text("seven eight nine")
    words = ["--json", "-", "--device", "cpu"]
    read = [f"{texts}:2", f"{texts}:3", str(note)]
    for more in ([], ["--overwrite"]):  # the second finds what the first has written
        csv_to = ["--csv", folder / "predictions.csv", *more]
        found = cliptide("predict", trained.model("text"), folder, *words, *csv_to)
        assert found.code == 0, found.err
        assert [row["video"] for row in json.loads(found.out)] == read
    globbed = cliptide("predict", trained.model("text"), folder / "*", *words)
    assert [row["video"] for row in json.loads(globbed.out)] == read
    named = cliptide("predict", trained.model("text"), texts, ids, note, *words)
    rows = json.loads(named.out)
    assert named.code == 1
    assert [row["video"] for row in rows] == [*read[:2], str(ids), str(note)]
    assert "text" in rows[2]["error"]
    assert all("label" in row for row in (*rows[:2], rows[3]))
    assert "1 of 4 texts could not be read" in named.err
