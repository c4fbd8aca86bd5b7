"""A run of picture and sound in which some videos are silent: nothing of it goes unsaid."""

import contextlib
import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cliptide.app import load, train
from cliptide.app.evaluation.predictions import read_predictions
from cliptide.app.inference.network import NetworkRecognizer
from cliptide.app.inference.rules import sampling_rule
from cliptide.app.inference.temperature import scaled
from cliptide.app.training.callbacks import DataWatch, Quarantine
from cliptide.app.training.judging import fit_fusion
from cliptide.app.training.missing_streams import MissingStreams
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.clips import Sample
from cliptide.datasets.loaders import collate
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.samples import read_views
from cliptide.datasets.synthetic import write_video
from cliptide.datasets.synthetic_sound import RATE, write_sound

SPLITS = {"train": 16, "val": 20, "test": 6}
SILENT = {"train": (0, 5), "val": (1,), "test": (2,)}
TONES_HZ = {"high": 2000, "low": 250}


def write_tones(root: Path) -> Path:
    """Grey videos that their tones alone tell apart, some of them silent; gives the manifest."""
    lines = ["path,label,group,split"]
    grey = np.full((6, 32, 32, 3), 128, np.uint8)
    for split, count in SPLITS.items():
        for number in range(count):
            label = ("high", "low")[number % 2]
            path = root / f"{split}{number:02d}.mp4"
            # A difference that no class has: copies would be found in two splits.
            frames = grey + np.uint8(len(lines))
            if number in SILENT[split]:
                write_video(path, frames)
            else:
                at_s = np.arange(RATE // 2, dtype=np.float32) / RATE
                tone = 0.5 * np.sin(2 * np.pi * (TONES_HZ[label] + 7 * number) * at_s)
                write_sound(path, tone.astype(np.float32), frames=frames)
            lines.append(f"{path.name},{label},{path.stem},{split}")
    manifest = root / "tones.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


@dataclass(frozen=True)
class Toned:
    """The data, the run, and what training said."""

    data: Path
    out: Path
    said: str


@pytest.fixture(scope="module")
def toned(tmp_path_factory: pytest.TempPathFactory) -> Toned:
    root = tmp_path_factory.mktemp("toned")
    config = RunConfig(
        data=DataConfig(
            streams="rgb,audio", frames=4, size=32, augment="none", workers=0, keep="never"
        ),
        model=ModelConfig(width=0.25, hidden=8, step_dim=8, fusion="late"),
        train=TrainConfig(epochs=4, lr=0.01, batch_size=8, choose="last"),
        eval=EvalConfig(clips=1, probes=False),
        device="cpu",
    )
    data = write_tones(root)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        out = train(data, config=config, out=root / "run").out
    return Toned(data, out, said.getvalue())


def listed(run: Path) -> dict[tuple[str, str], tuple[str, str]]:
    with (run / "missing_streams.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["video"], row["stream"]): (row["split"], row["error"]) for row in rows}
    assert len(found) == len(rows), "each sample stands there once"
    return found


# --- training ------------------------------------------------------------------------------


def test_training_lists_each_sample_that_lacks_a_stream_and_why(toned: Toned) -> None:
    found = listed(toned.out)
    assert {(Path(video).name, stream, split) for (video, stream), (split, _) in found.items()} == {
        ("train00.mp4", "audio", "train"),
        ("train05.mp4", "audio", "train"),
        ("val01.mp4", "audio", "val"),
    }
    for (video, _), (_, why) in found.items():
        assert Path(video).name in why and "sound" in why
    assert (toned.out / "quarantine.csv").read_text().splitlines() == ["video,split,reason"]


def test_training_says_once_how_many_lack_a_stream(toned: Toned) -> None:
    told = re.findall(r"Note: .* masked there; the first: .*", toned.said)
    assert len(told) == 1
    assert told[0].startswith(
        "Note: 2 of 16 training samples and 1 of 20 validation samples have no audio, masked there"
    )
    assert told[0].endswith(f"All are listed in {toned.out / 'missing_streams.csv'}.")


def test_a_resumed_run_keeps_what_it_had_noted(toned: Toned) -> None:
    before = listed(toned.out)
    (toned.out / "missing_streams.csv").unlink()
    train(resume=toned.out)
    assert listed(toned.out) == before


def test_a_run_of_one_stream_has_no_such_list(small_run: Path) -> None:
    assert not (small_run / "missing_streams.csv").exists()


def test_a_run_of_one_stream_says_which_keys_do_nothing(
    toned: Toned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RunConfig(
        data=DataConfig(streams="rgb", frames=2, size=16, workers=0),
        model=ModelConfig(width=0.25, hidden=4, fusion="late"),
        train=TrainConfig(epochs=1, modality_dropout=0.2),
        eval=EvalConfig(clips=1, probes=False),
        device="cpu",
    )
    train(toned.data, config=config, out=tmp_path / "run")
    said = capsys.readouterr().err
    for key in ("train.modality_dropout 0.2", "model.fusion late"):
        assert f"Note: {key} does nothing, as rgb is the only stream." in said
    assert "modality_dropout" not in toned.said


def watch_of(folder: Path, records: tuple[SampleRecord, ...]) -> DataWatch:
    return DataWatch(
        Quarantine(folder / "quarantine.csv"),
        train_records=records,
        val_records=(),
        clock=lambda: 0.0,
    )


def test_what_was_missing_goes_with_the_state_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tuple(
        SampleRecord(Path(name), name, label="a", group="", split="train") for name in "xyz"
    )
    watch = watch_of(tmp_path, records)

    def step(*lacking: str) -> None:
        clip = torch.zeros(1, 4)
        samples = [
            Sample(number, (clip,), 0, used_fps=(1.0,), missing={name: f"no {name}."})
            for number, name in enumerate(lacking)
        ]
        watch.on_train_batch_start(None, None, collate(samples), 0)  # type: ignore[arg-type]

    step("audio", "audio")
    step("audio", "flow", "flow")
    state = watch.state_dict()
    step("flow")
    assert len(listed(tmp_path)) == 5
    watch = watch_of(tmp_path, records)
    watch.load_state_dict(state)
    assert listed(tmp_path) == {
        ("x", "audio"): ("train", "no audio."),
        ("y", "audio"): ("train", "no audio."),
        ("y", "flow"): ("train", "no flow."),
        ("z", "flow"): ("train", "no flow."),
    }
    step("audio", "audio")
    watch.missing.tell_new({"train": 3, "val": 0})
    assert "Note" not in capsys.readouterr().err, "all of it was said before"
    step("flow")
    watch.missing.tell_new({"train": 3, "val": 0})
    told = capsys.readouterr().err
    assert "Note: 3 of 3 training samples have no flow, masked there; the first: no flow." in told
    assert "audio" not in told


def test_what_a_broken_epoch_noted_is_noted_anew(tmp_path: Path) -> None:
    (tmp_path / "missing_streams.csv").write_text("video,split,stream,error\nx,train,audio,why\n")
    MissingStreams(tmp_path / "missing_streams.csv").restore({})
    assert not (tmp_path / "missing_streams.csv").exists()


# --- late fusion ---------------------------------------------------------------------------


def clip_of(recognizer: NetworkRecognizer, path: Path) -> tuple[torch.Tensor, tuple[str, ...]]:
    """The one view of a video (1, T, F), and the streams that it lacks."""
    record = SampleRecord(path, path.name, label="", group="")
    views = read_views(record, recognizer.streams, rule=sampling_rule(recognizer.info))
    (clip,) = views.clips
    return torch.from_numpy(clip)[None], tuple(views.missing)


def test_the_weights_of_a_late_fusion_are_those_that_were_logged(toned: Toned) -> None:
    told = re.search(
        r"Weights of the streams, by validation: rgb (\S+), audio (\S+), of (\S+) in all",
        toned.said,
    )
    assert told is not None
    head = load(toned.out / "model.safetensors", device="cpu").network.head
    weights, total = head.weights.tolist(), float(head.total)
    assert [f"{number:.2f}" for number in (*weights, total)] == list(told.groups())
    assert weights[1] > 0.6, "the sound alone tells the classes apart"
    assert sum(weights) == pytest.approx(1) and 1 <= total <= 2


def test_the_model_tells_the_validation_figures_of_its_weights_not_of_even_ones(
    toned: Toned,
) -> None:
    recognizer = load(toned.out / "model.safetensors", device="cpu")
    losses, right = [], []
    for number in range(SPLITS["val"]):
        clip, _ = clip_of(recognizer, toned.data.parent / f"val{number:02d}.mp4")
        true = torch.tensor([number % 2])  # high, low
        with torch.inference_mode():
            outputs = recognizer.network(clip, torch.tensor([clip.shape[1]]))
        losses.append(float(torch.nn.functional.cross_entropy(outputs, true)))
        right.append(int(outputs.argmax()) == int(true))
    told = recognizer.info.metrics["val"]
    assert told["loss"] == pytest.approx(np.mean(losses), abs=1e-4)
    assert told["top1"] == pytest.approx(np.mean(right))
    with (toned.out / "history.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[told["epoch"] - 1]
    assert float(row["val_loss"]) > told["loss"] + 0.01, "of its epochs, before they were fitted"


def test_streams_weigh_alike_where_too_few_samples_can_be_read_to_fit_them(
    toned: Toned, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those of a model that has weights, as a resumed run has."""
    recognizer = load(toned.out / "model.safetensors", device="cpu")
    none: DataLoader[Sample] = DataLoader([])  # type: ignore[arg-type]
    same = fit_fusion(recognizer, none, loss=torch.nn.CrossEntropyLoss())
    assert same.network.head.weights.tolist() == [0.5, 0.5]
    assert float(same.network.head.total) == 1
    assert "they weigh alike" in capsys.readouterr().err


def test_evaluation_weighs_by_them_and_a_silent_video_is_answered_by_its_picture(
    toned: Toned,
) -> None:
    recognizer = load(toned.out / "model.safetensors", device="cpu")
    network, head = recognizer.network, recognizer.network.head
    rows, _ = read_predictions(toned.out / "predictions.csv")
    head.keeps_apart = True
    for number, row in enumerate(rows):
        path = toned.data.parent / f"test{number:02d}.mp4"
        assert Path(row.video).name == path.name
        clip, missing = clip_of(recognizer, path)
        with torch.inference_mode():
            apart = network(clip, torch.tensor([clip.shape[1]]))[0]
        picture, sound = torch.softmax(apart.double(), dim=1).numpy()
        of_picture, of_sound = (head.total * head.weights).tolist()
        silent = number in SILENT["test"]
        pooled = picture if silent else picture**of_picture * sound**of_sound
        mean = pooled / pooled.sum()
        assert missing == (("audio",) if silent else ())
        temperature = recognizer.info.temperature
        assert temperature is not None, "there are enough validation videos"
        assert row.scores == pytest.approx(scaled(mean, temperature), abs=1e-4)
    assert json.loads((toned.out / "metrics.json").read_text())["missing_streams"] == {"audio": 1}


# --- prediction ----------------------------------------------------------------------------


def test_predict_names_and_counts_the_streams_it_masked(toned: Toned, cliptide) -> None:  # type: ignore[no-untyped-def]
    videos = [toned.data.parent / name for name in ("test01.mp4", "test02.mp4")]
    found = cliptide(
        "predict", toned.out / "model.safetensors", *videos, "--json", "-", "--device", "cpu"
    )
    assert found.code == 0, found.err
    whole, silent = json.loads(found.out)
    assert "missing" not in whole and silent["missing"] == ["audio"]
    assert "Note: 1 of 2 videos lacks audio, which was masked there; the first: " in found.err
    assert "test02.mp4: has no sound track, only video. Choose a file with sound" in found.err


def test_check_names_what_lacks_a_stream_and_does_not_fail(cliptide, tmp_path):
    data = write_tones(tmp_path)
    for number in range(SPLITS["train"]):
        np.save(tmp_path / f"train{number:02d}.npy", np.ones((3, 2)))
    words = ["check", data, "--csv", tmp_path / "c.csv", "--overwrite", "--workers", "1"]
    found = cliptide(*words, "--config", "video-audio")
    assert found.code == 0, found.err
    assert "Without sound: 4 of 42 clips" in found.out
    assert all(f"  {name}.mp4" in found.out for name in ("train00", "train05", "val01", "test02"))
    assert "Training masks audio there, and lists them in missing_streams.csv." in found.out
    both = cliptide(*words, "--data.streams", "rgb,arrays")
    assert both.code == 0 and "Without an array beside it: 26 of 42 clips" in both.out
    alone = cliptide(*words, "--data.streams", "audio")
    assert "Training on audio alone leaves them out. --data.streams rgb,audio does" in alone.out
    assert "Without" not in cliptide(*words).out
    refused = cliptide(*words, "--data.streams", "rgb,rows")
    assert (refused.code, refused.out) == (2, "") and "data.streams" in refused.err
