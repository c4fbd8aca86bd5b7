"""The engine that runs exported files: the numbers of PyTorch, without PyTorch."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from test_export import SIZE, graph_named

from cliptide.app import load
from cliptide.app.export.onnx_files import write_onnx
from cliptide.app.export.tracing import describe, trace
from cliptide.app.inference.onnx_engine import GRAPH_KEY, OnnxEngine, is_onnx, open_onnx
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.configs.errors import DeviceError, ModelFileError
from cliptide.models.bundle import read_info
from cliptide.models.info import METADATA_KEY


@pytest.fixture(scope="module")
def folder(small_export):
    return small_export.folder


@pytest.fixture(scope="module")
def engine(folder):
    return open_onnx(folder)


@pytest.fixture(scope="module")
def reference(small_model):
    return load(small_model, device="cpu").engine


@pytest.fixture(scope="module")
def clips(engine):
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (length, *engine.info.size, 3), dtype=np.uint8)
        for length in (5, 1, 13)
    ]


def near(found, wanted):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_it_knows_what_the_model_file_knew(engine, small_model):
    assert engine.info == read_info(small_model)
    assert engine.can_step and engine.can_encode


def test_clips_of_several_lengths_score_as_in_pytorch(engine, reference, clips):
    near(engine.score_clips(clips), reference.score_clips(clips))


def test_encoded_frames_and_windows_of_them_are_as_in_pytorch(engine, reference, clips):
    features, state = engine.encode(clips[0], None)
    near(features, reference.encode(clips[0], None)[0])
    again, _ = engine.encode(clips[0][:2], state)
    near(again, features[:2])
    padded = np.zeros((2, 6, features.shape[1]), np.float32)
    padded[0, :5], padded[1, :3] = features, features[:3]
    lengths = np.array([5, 3])
    near(engine.score_features(padded, lengths), reference.score_features(padded, lengths))


def test_streams_step_as_in_pytorch_and_begin_anew_on_the_way(engine, reference, clips):
    features = engine.encode(clips[2], None)[0]
    ours = theirs = None
    for number in range(len(features)):
        given = np.stack([features[number], features[-1 - number]])
        begin = np.array([number == 0, number in (0, 4)])
        found, ours = engine.step(given, begin, ours)
        wanted, theirs = reference.step(given, begin, theirs)
        near(found, wanted)


def test_an_encoder_with_a_state_goes_on_where_it_stopped(small_model, tmp_path):
    graph = graph_named("encoder", shift="causal", motion="frames")
    traced = trace(graph)
    facts = {
        METADATA_KEY: json.dumps(asdict(read_info(small_model))),
        GRAPH_KEY: json.dumps(describe(traced)),
    }
    write_onnx(traced, tmp_path / "encoder.onnx", metadata=facts)
    engine = OnnxEngine(tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3), dtype=np.uint8)
    whole, _ = engine.encode(frames, None)
    first, state = engine.encode(frames[:4], None)
    rest, _ = engine.encode(frames[4:], state)
    near(np.concatenate([first, rest]), whole)
    with torch.no_grad():
        packed = torch.from_numpy(frames).permute(0, 3, 1, 2)
        wanted = graph.module.encoder(packed, torch.tensor([6])).pooled
    near(whole, wanted.numpy())


def test_a_folder_or_a_file_in_it_is_an_exported_model(folder, small_model):
    assert is_onnx(folder) and is_onnx(folder / "step.onnx")
    assert not is_onnx(small_model) and not is_onnx(small_model.parent)
    assert open_onnx(folder / "step.onnx").info == read_info(small_model)


def test_without_the_graph_step_it_does_not_step(folder, tmp_path):
    for name in ("encoder", "window", "clip"):
        shutil.copy(folder / f"{name}.onnx", tmp_path)
    engine = open_onnx(tmp_path)
    assert engine.can_encode and not engine.can_step


def test_a_video_is_recognised_without_importing_torch(folder, small_data, small_model):
    clip = small_data / "rise" / "v_rise_g01_c01.mp4"
    code = (
        "import sys\n"
        "from cliptide.app.inference.onnx_engine import open_onnx\n"
        "from cliptide.app.inference.recognise import ActionRecognizer\n"
        f"prediction = ActionRecognizer(open_onnx({str(folder)!r})).predict({str(clip)!r})\n"
        "print(prediction.label, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [load(small_model, device="cpu").predict(clip).label, "False"]


def test_a_recognizer_over_it_gives_pytorch_s_scores(engine, small_model, small_data):
    clip = small_data / "fall" / "v_fall_g01_c01.mp4"
    found = ActionRecognizer(engine).predict(clip)
    wanted = load(small_model, device="cpu").predict(clip)
    assert found.scores == pytest.approx(wanted.scores, abs=1e-5)


def test_what_is_no_exported_model_is_refused(tmp_path, folder):
    with pytest.raises(ModelFileError, match="There is no exported model"):
        open_onnx(tmp_path / "nowhere")
    with pytest.raises(ModelFileError, match=r"holds none of encoder.onnx, .* cliptide export"):
        open_onnx(tmp_path)
    (tmp_path / "clip.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="is no ONNX model that can be run"):
        open_onnx(tmp_path)
    stranger = onnx.load(folder / "clip.onnx")
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "clip.onnx")
    with pytest.raises(ModelFileError, match="was not written by cliptide export"):
        open_onnx(tmp_path)


def test_a_device_that_it_does_not_compute_on_is_refused(folder):
    with pytest.raises(DeviceError, match="It is one of: auto, cpu, cuda"):
        open_onnx(folder, device="mps")


def test_a_missing_graph_is_named_when_it_is_needed(folder, tmp_path, clips):
    shutil.copy(folder / "encoder.onnx", tmp_path)
    with pytest.raises(ModelFileError, match=r"There is no .*window.onnx"):
        open_onnx(tmp_path).score_clips(clips)


def test_the_programs_of_the_docs_run_on_an_exported_model(folder, tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[1] / "docs" / "export.md").read_text("utf-8")
    clips, stream = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "model-onnx").symlink_to(folder, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    info = open_onnx(folder).info
    names: dict = {}
    # The clip of the docs is longer than this model's: its second one has 5 frames.
    exec(clips.replace('info["frames"]', str(max(5, info.frames))), names)
    assert capsys.readouterr().out.count("'") == 4  # two labels
    frames = np.random.default_rng(0).integers(0, 256, (4, 3, *info.size), dtype=np.uint8)
    exec(stream, names | {"frames": frames})
