"""Every command with every kind of sequence, as a person would give it; one tiny model of each."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from serving_process import serving
from video_files import numbered_frames, write_video

from cliptide.app.cli import main
from cliptide.app.inference.loading import load
from cliptide.app.training.start import config_from_model, new_network, read_split
from cliptide.configs.errors import ConfigError, InputError
from cliptide.datasets.streams.flow_cache import FlowRule, file_of, write_flow
from cliptide.datasets.streams.flow_fields import still_codes
from cliptide.datasets.streams.joint_map import coco17
from cliptide.datasets.synthetic_arrays import write_sensor_dataset, write_skeleton_dataset
from cliptide.datasets.synthetic_images import write_frames_dataset, write_image_dataset
from cliptide.datasets.synthetic_sound import write_sound_and_picture_dataset, write_sound_dataset
from cliptide.datasets.synthetic_texts import write_text_dataset
from cliptide.datasets.video import open_video
from cliptide.models.recognizer import Recognizer

TINY = (
    "--data.workers 0 --train.epochs 2 --model.hidden 8 --model.step_dim 8 "
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
            text.write_text("déjà good niño but never 山 bad")
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
    recognizer = load(model, device="cpu")
    with pytest.raises(InputError, match=r"have no seconds, so there is no timeline\(\)"):
        recognizer.timeline(sample)
    found = recognizer.predict(sample).to_json()
    assert "duration_s" not in found
    assert [segment.keys() for segment in found["segments"]] == [{"label", "score"}]


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


def test_a_run_keeps_and_reads_flow_in_the_folder_it_names_alone(
    trained: Trained, cliptide: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data, folder, size = trained.data("rgb,flow"), tmp_path / "kept", (32, 32)
    folder.mkdir()
    for video in data.rglob("*.mp4"):
        # Videos move; who sees them stand still reads what is kept here.
        with open_video(video) as opened:
            still = still_codes(opened.num_frames - 1, size)
        with file_of(folder, video, FlowRule(size, "resize", "dis")).open("wb") as file:
            stamp = (video.stat().st_size, video.stat().st_mtime_ns)
            write_flow(file, iter(still), stamp, size)
    out, resumed = tmp_path / "run", tmp_path / "resumed"
    words = [*TINY.split(), "--data.streams", "flow", "--steps.flow_cache", folder, "--out", out]
    ran = cliptide("train", data, *words)
    assert ran.code == 0, ran.err
    assert f"Optical flow of 16 videos lies in {folder}" in " ".join(ran.err.split())
    shutil.copytree(out, resumed)
    again = cliptide("train", "--resume", resumed, "--device", "cpu")
    assert again.code == 0, again.err
    assert not (tmp_path / "cache" / "cliptide" / "flow").exists()
    for run in (out, resumed):
        rows = csv.DictReader((run / "predictions.csv").read_text().splitlines())
        assert len({row["score"] for row in rows}) == 1, "what stands still all looks alike"
    assert b"kept" not in (out / "model.safetensors").read_bytes()


def test_training_does_not_name_a_folder_that_no_flow_lies_in(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    words = [*TINY.split(), "--data.streams", "flow", "--train.epochs", "1"]
    words += ["--steps.flow_cache", str(tmp_path / "file" / "kept"), "--out", str(tmp_path / "run")]
    with pytest.warns(RuntimeWarning, match="Optical flow cannot be kept"):
        ran = cliptide("train", trained.data("rgb,flow"), *words)
    assert ran.code == 0, ran.err
    assert "Optical flow of" not in ran.err


def started(model: Path, data: Path, **steps: Any) -> Recognizer:
    """The network that `train --init` begins with."""
    config = config_from_model(model)
    config = replace(config, steps=replace(config.steps, **steps))
    catalog, plan = read_split(data, config)
    return new_network(config, catalog, plan, init=model, device=torch.device("cpu"))[0]


def test_a_model_is_started_from_with_its_joint_map_wherever_that_lies(
    trained: Trained, tmp_path: Path
) -> None:
    model, data, joints = trained.model("skeletons"), trained.data("skeletons"), coco17()
    named = {
        "joints": list(joints.names),
        "axes": joints.axes,
        "mirror": [[joints.names[place] for place in pair] for pair in joints.pairs],
        "bones": [[joints.names[place] for place in bone] for bone in joints.bones],
    }
    for where in ("here", "there"):
        (tmp_path / where).mkdir()
        path = tmp_path / where / "map.yaml"
        path.write_text(yaml.safe_dump(named))
        assert started(model, data, joints=str(path)).streams.joints == joints
    assert started(model, data).streams.joints == joints
    path.write_text(yaml.safe_dump(named | {"bones": []}))
    with pytest.raises(ConfigError, match=r"map\.yaml, but .* another joint map.*Leave steps\.joi"):
        started(model, data, joints=str(path))


def test_a_model_is_started_from_whatever_keys_of_other_streams_are(trained: Trained) -> None:
    frames = trained.model("frames"), trained.data("frames")
    others: dict[str, Any] = {"window": 5, "mels": 32, "flow": "farneback", "patch": "4"}
    assert started(*frames, **others).streams.names == ("rgb",)
    sound = trained.model("audio"), trained.data("audio")
    with pytest.raises(ConfigError, match=r"steps\.window is 5, but .*Leave steps\.window out"):
        started(*sound, window=5)
    patches = trained.model("patches"), trained.data("patches")
    with pytest.raises(ConfigError, match=r"steps\.patch is 4, but"):
        started(*patches, patch="4")


def test_a_model_is_started_from_with_arrays_of_its_own_columns_alone(
    trained: Trained, tmp_path: Path
) -> None:
    model, data = trained.model("sensors"), tmp_path / "data"
    with pytest.raises(ConfigError, match=r"have 34 numbers in a row, but .* trained with"):
        started(model, trained.data("skeletons"))
    shutil.copytree(trained.data("sensors"), data)
    for path in data.rglob("*.csv"):
        header, _, rest = path.read_text().partition("\n")
        path.write_text(header.upper() + "\n" + rest)
    with pytest.raises(ConfigError, match=r"have the columns [A-Z].*start without --init"):
        started(model, data)


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
        along = server.predict(sound, model="late", timeline="true")
        assert along.body["missing"] == ["rgb"]
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


def test_a_stream_that_a_file_lacks_is_named_along_it_too(
    trained: Trained, cliptide: Any, tmp_path: Path
) -> None:
    model, data, device = trained.model("late"), tmp_path / "long", ["--device", "cpu"]
    data.mkdir()
    write_video(data / "silent.mp4", numbered_frames(12))
    shutil.copy(trained.sample("late"), data / "whole.mp4")
    along = cliptide("predict", model, data, "--timeline", "--json", "-", *device)
    assert along.code == 0, along.err
    silent, whole = json.loads(along.out)
    assert silent["missing"] == ["audio"] and "missing" not in whole
    said = " ".join(along.err.split())
    assert "Note: 1 of 2 videos lacks audio, which was masked there; the first: " in said
    assert "has no sound track" in said

    watched = cliptide("watch", model, data / "silent.mp4", *device)
    assert watched.code == 0, watched.err
    assert watched.err.count("audio is taken for missing: ") == 1

    label = trained.sample("late").parent.name
    for name in ("silent", "whole"):
        (data / f"{name}.csv").write_text(f"start_s,end_s,label\n0,0.4,{label}\n")
    words = ["--timeline", "--out", tmp_path / "out", *device]
    judged = cliptide("evaluate", model, data, *words)
    assert judged.code == 0, judged.err
    assert "1 of 2 videos lacks audio" in " ".join(judged.err.split())
    figures = json.loads((tmp_path / "out" / "timeline.json").read_text())
    assert figures["missing_streams"] == {"audio": 1}


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
