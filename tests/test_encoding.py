"""Features of a frozen encoder, computed once: the same as encoding the drawn frames each time."""

import csv
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from picture_data import picture_options
from reproducible import reproducible
from video_files import numbered_frames, write_video

from cliptide.app.training import encoding
from cliptide.app.training.encoding import EncodedStore, encode_clips, encoder_stays
from cliptide.app.training.train import train
from cliptide.app.tuning.tune import tune
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig
from cliptide.datasets.clips import ClipDataset
from cliptide.datasets.encoded import BLOCK_FRAMES, EncodedClip, EncodedDataset
from cliptide.datasets.folds import read_fold
from cliptide.datasets.lengths import clip_times
from cliptide.datasets.loaders import collate
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.synthetic import write_dataset
from cliptide.models.build import build_recognizer

ONCE = "go through it, once"
TINY = RunConfig(
    data=DataConfig(frames=4, size=24, augment="none", flip=True, workers=0),
    model=ModelConfig(width=0.25, hidden=16, motion="features", freeze=True, dropout=0.3),
    train=TrainConfig(epochs=6, batch_size=8, lr=3e-3),
    eval=EvalConfig(clips=1),
    device="cpu",
)


def changed(config, section, **values):
    return replace(config, **{section: replace(getattr(config, section), **values)})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    list(write_dataset(root, groups=4, clips_per_group=1, num_frames=10, side=32))
    return root


@pytest.fixture(scope="module")
def learnt(data, tmp_path_factory):
    """A model to take an encoder from."""
    config = changed(changed(TINY, "model", freeze=False), "train", epochs=1)
    return train(data, config=config, out=tmp_path_factory.mktemp("learnt") / "run").model


@pytest.fixture(scope="module")
def kept(data, learnt, tmp_path_factory):
    """A run whose features were kept."""
    return train(data, config=TINY, init=learnt, out=tmp_path_factory.mktemp("kept") / "run")


def records_of(data):
    _, plan = read_fold(
        data,
        kind="auto",
        folds=0,
        fold=1,
        group_regex=None,
        seed=0,
        val_share=0.15,
        test_share=0.2,
    )
    return plan.records


def network_of(config):
    torch.manual_seed(0)
    return build_recognizer(config.model, num_classes=8)


def encode(records, config, *, mirrored=0, store=None, network=None):
    return encode_clips(
        network or network_of(config),
        records,
        num_mirrored=mirrored,
        config=config,
        precision="32-true",
        workers=0,
        store=store or EncodedStore(),
    )


def history_of(folder):
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    timing = {"seconds", "clips_per_s", "wait_share"}
    return [{k: float(v) for k, v in row.items() if v and k not in timing} for row in rows]


@pytest.mark.parametrize("augment", [None, "none"], ids=["validation", "training"])
@pytest.mark.parametrize("kind", ["uniform", "rate", "dense"])
def test_the_features_are_those_of_the_frames_that_would_be_drawn(augment, kind, data):
    records = records_of(data)[:12]
    options = {
        "class_names": sorted({record.label for record in records}),
        "rule": SamplingRule(kind, 4, rate_fps=9.0, stride=2),
        "size": (24, 24),
        "augment": augment,
        "flip": True,
        "seed": 3,
    }
    network = network_of(TINY)
    clips = encode(records, TINY, mirrored=len(records), network=network)
    frames, features = (
        ClipDataset(records, **picture_options(**options)),
        EncodedDataset(records, clips, **picture_options(**options)),
    )
    mirrored = 0
    for epoch in range(3):
        for index, clip in enumerate(clips):
            one, other = frames[epoch, index], features[epoch, index]
            expected, _ = network.encode(one.clips[0][None], torch.tensor([len(one.clips[0])]))
            torch.testing.assert_close(other.clips[0], expected, rtol=1e-4, atol=1e-5)
            assert replace(one, clips=(), looks=None) == replace(other, clips=(), looks=None)
            mirrored += not torch.isin(other.clips[0], clip.plain).all()
    drawn = 3 * len(records)
    assert mirrored == 0 if augment is None else drawn / 5 < mirrored < drawn * 4 / 5


def test_a_clip_longer_than_a_block_and_a_part_of_a_video_are_encoded_frame_by_frame(tmp_path):
    path = tmp_path / "long.mp4"
    write_video(path, numbered_frames(BLOCK_FRAMES + 20))
    whole = SampleRecord(path, "a", "g", "train")
    part = replace(whole, start_s=0.5, end_s=1.5)
    network = network_of(TINY)
    clips = encode([whole, part], changed(TINY, "data", frames=64), network=network)
    (times,) = clip_times([part])
    assert len(clips[0].plain) == BLOCK_FRAMES + 20
    within = slice(times.first, times.first + len(times.pts_s))
    assert times.first > 0 and len(clips[1].plain) < BLOCK_FRAMES
    torch.testing.assert_close(clips[1].plain, clips[0].plain[within], rtol=1e-4, atol=1e-5)


def test_a_run_with_kept_features_learns_as_one_that_encodes_each_time(
    data, learnt, kept, tmp_path, capsys
):
    config = changed(TINY, "data", keep="never")
    each_time = train(data, config=config, init=learnt, out=tmp_path / "run")
    assert ONCE not in capsys.readouterr().err
    assert len(history_of(kept.out)) == 6
    for one, other in zip(history_of(kept.out), history_of(each_time.out), strict=True):
        assert one == pytest.approx(other, rel=1e-2, abs=1e-3)


def test_that_the_features_are_kept_is_said(data, learnt, tmp_path, capsys):
    train(data, config=changed(TINY, "train", epochs=6), init=learnt, out=tmp_path / "run")
    assert ONCE in capsys.readouterr().err


def test_a_killed_run_resumes_to_the_bit(data, learnt, tmp_path, capsys):
    # Epochs of milliseconds: many, so that one can be killed between them on a busy machine too.
    config, out = changed(TINY, "train", epochs=40), tmp_path / "killed"
    unbroken = train(data, config=config, init=learnt, out=tmp_path / "unbroken")
    command = [sys.executable, "-m", "cliptide.app", "train", str(data), "--out", str(out)]
    command += ["--config", str(unbroken.out / "config.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if (out / "last.ckpt").exists():
                break
            time.sleep(0.005)
        process.kill()
    assert len(history_of(out)) < 40, "the process was to be killed between its epochs"
    capsys.readouterr()
    resumed = train(resume=out)
    assert ONCE in capsys.readouterr().err
    assert history_of(resumed.out) == history_of(unbroken.out)
    assert reproducible(resumed.metrics) == reproducible(unbroken.metrics)


def test_an_unreadable_clip_is_quarantined_and_costs_only_itself(data, learnt, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    bad = next(r for r in records_of(root) if r.split == "train")
    bad.source.write_bytes(b"no video")
    run = train(root, config=TINY, init=learnt, out=tmp_path / "run")
    assert run.num_quarantined == 1
    assert bad.source.name in (run.out / "quarantine.csv").read_text("utf-8")


def test_folds_encode_each_clip_once(data, learnt, tmp_path, capsys):
    config = changed(TINY, "train", epochs=2)
    result = train(data, folds=4, config=config, init=learnt, out=tmp_path / "run")
    told = [line for line in capsys.readouterr().err.splitlines() if ONCE in line]
    # The first run leaves out its test fold, whose clips follow with the second, and with it the
    # mirror images of its validation clips.
    assert 2 <= len(told) <= 4
    counts = [int(line.split(" frames go")[0].split()[-1].replace(",", "")) for line in told]
    assert sum(counts) <= 32 * 10 * 2
    assert result.metrics["num_videos"] == 32


def test_trials_of_a_search_share_the_features(data, tmp_path, capsys):
    from torchvision.models import squeezenet1_1

    weights = tmp_path / "w.pt"
    torch.save(squeezenet1_1(weights=None).state_dict(), weights)
    config = changed(TINY, "model", encoder="squeezenet1_1", width=1.0)
    config = changed(config, "model", encoder_weights=str(weights))
    config = changed(changed(config, "data", size=32), "train", epochs=2)
    tune(data, trials=3, config=config, space={"model.hidden": [4, 8]}, out=tmp_path / "study")
    told = capsys.readouterr().err
    assert told.count(ONCE) == 1 and told.count("trial") >= 3


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("data", {"keep": "never"}),
        ("data", {"augment": "light"}),
        ("train", {"unfreeze_after": 2}),
        ("train", {"mixup": 0.2}),
        ("train", {"cutmix": 0.2}),
        ("model", {"freeze": False}),
        ("model", {"shift": "causal"}),
        ("model", {"freeze": False, "motion": "frames"}),
    ],
)
def test_what_would_change_a_frame_from_epoch_to_epoch_keeps_no_features(section, values):
    assert encoder_stays(TINY, network_of(TINY))
    config = changed(TINY, section, **values)
    assert not encoder_stays(config, network_of(config))


def test_more_frames_than_are_ever_drawn_are_not_encoded(data):
    records = records_of(data)[:4]
    once = changed(changed(TINY, "train", epochs=1), "data", frames=4)
    assert encode(records, once) is None, "10 frames a clip, 4 drawn"
    assert encode(records, once, store=EncodedStore(runs=3)) is not None


def test_features_that_do_not_fit_into_memory_are_not_kept(data, monkeypatch):
    records = records_of(data)[:4]
    monkeypatch.setattr(encoding, "free_memory_bytes", lambda: 1000)
    assert encode(records, TINY) is None


def test_another_encoder_another_size_or_other_maps_are_other_features(data):
    records, store = records_of(data)[:2], EncodedStore()
    torch.manual_seed(1)
    other = build_recognizer(TINY.model, num_classes=8)
    found = [
        encode(records, TINY, store=store),
        encode(records, changed(TINY, "data", size=16), store=store),
        encode(records, changed(TINY, "model", temporal="convgru"), store=store),
        encode(records, changed(TINY, "model", norm="group"), store=store),
        encode(records, TINY, store=store, network=other),
    ]
    assert all(clips is not None for clips in found)
    again = encode(records, TINY, store=store)
    assert torch.equal(again[0].plain, found[0][0].plain)
    assert len(store.kept) == len(found)
    for at, clips in enumerate(found):
        for others in found[:at]:
            one, two = clips[0].plain, others[0].plain
            assert one.shape != two.shape or not torch.allclose(one, two)
    # Of square videos a crop is the whole, but that is not known of the next one.
    assert encode(records, changed(TINY, "data", fit="crop"), store=store) is not None
    assert len(store.kept) == len(found) + 1


def test_networks_of_one_shape_that_normalise_otherwise_are_told_apart():
    names = ("timm/mobilenetv3_small_050", "timm/tf_mobilenetv3_small_minimal_100")
    config = changed(TINY, "model", encoder=names[0], width=1.0, motion="none")
    network = network_of(config)
    ways = {encoding._way(network, config, "32-true")}
    network.encoder.mean = (0.5, 0.5, 0.5)
    ways.add(encoding._way(network, config, "32-true"))
    ways.add(encoding._way(network, changed(config, "model", encoder=names[1]), "32-true"))
    assert len(ways) == 3


def test_a_second_run_uses_what_is_kept_however_full_the_memory_is(data, monkeypatch):
    records, store = records_of(data)[:4], EncodedStore()
    first = encode(records, TINY, store=store)
    monkeypatch.setattr(encoding, "free_memory_bytes", lambda: 0)
    again = encode(records, TINY, store=store)
    assert again is not None and again[0].plain is first[0].plain


def test_features_of_another_size_make_room_for_those_that_are_wanted(data, monkeypatch):
    records, store = records_of(data)[:4], EncodedStore()
    encode(records, TINY, store=store)
    # Within the share of three times as much there is room for one of the two.
    whole = 3 * store.num_bytes
    monkeypatch.setattr(encoding, "free_memory_bytes", lambda: whole - store.num_bytes)
    other = changed(TINY, "data", size=16)
    assert encode(records, other, store=store) is not None
    assert len(store.kept) == 1


def test_videos_are_opened_once_for_all_runs(data, monkeypatch):
    records, store = records_of(data)[:4], EncodedStore()
    encode(records, TINY, store=store)
    monkeypatch.setattr(encoding, "clip_times", lambda *_, **__: pytest.fail("opened again"))
    assert encode(records, changed(TINY, "data", size=16), store=store) is not None


def test_mirrored_clips_want_mirrored_features():
    clip = EncodedClip(torch.zeros(1).numpy(), 1.0, torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"flip is True.*without its mirror"):
        EncodedDataset(
            [],
            [clip],
            class_names=["a"],
            rule=SamplingRule("uniform", 4),
            **picture_options(size=(8, 8), augment="none", flip=True),
        )


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_features_come_in_the_precision_of_the_run(data, learnt, precision, tmp_path, capsys):
    config = changed(TINY, "train", epochs=4, precision=precision)
    run = train(data, config=config, init=learnt, out=tmp_path / "run")
    assert ONCE in capsys.readouterr().err
    assert all(row["val_loss"] < 10 for row in history_of(run.out))


def test_encoded_clips_cannot_be_augmented_otherwise():
    clip = EncodedClip(torch.zeros(1).numpy(), 1.0, torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"augment is strong.*only be mirrored"):
        EncodedDataset(
            [],
            [clip],
            class_names=["a"],
            rule=SamplingRule("uniform", 4),
            **picture_options(size=(8, 8), augment="strong"),
        )


def test_a_batch_knows_whether_its_clips_are_encoded(data):
    records = records_of(data)[:3]
    rule = SamplingRule("uniform", 4)
    options = picture_options(class_names=["a"], rule=rule, size=(24, 24))
    clips = encode(records, TINY)
    samples = [EncodedDataset(records, clips, **options)[0, i] for i in range(3)]
    encoded = collate(samples, encoded=EncodedDataset.encoded)
    frames = collate([ClipDataset(records, **options)[0, i] for i in range(3)])
    assert encoded.encoded and not frames.encoded
    network = network_of(TINY).eval()
    torch.testing.assert_close(
        network(encoded.clips, encoded.lengths, encoded=True),
        network(frames.clips, frames.lengths),
        rtol=1e-4,
        atol=1e-5,
    )
    with pytest.raises(ValueError, match="Give uint8 RGB"):
        network(encoded.clips, encoded.lengths)
