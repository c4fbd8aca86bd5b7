"""The model file: everything in one, nothing executed, and never half written."""

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_fusion import network_of as joined_network_of

from cliptide.configs.errors import ModelFileError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import StepsConfig
from cliptide.models.build import build_recognizer
from cliptide.models.bundle import load_model, read_info, save_model, start_from
from cliptide.models.info import FORMAT_VERSION, METADATA_KEY, PLAIN_VERSION, ModelInfo
from cliptide.models.recognizer import Recognizer

CLASS_NAMES = ("fall", "rise", "größer, ganz groß")
TINY = {"width": 0.1, "hidden": 4}
CLIPS = torch.arange(2 * 3 * 3 * 8 * 8).remainder(251).to(torch.uint8).reshape(2, 3, 3, 8, 8)
LENGTHS = torch.tensor([3, 2])


def make_model(**keys: Any) -> tuple[Recognizer, ModelInfo]:
    config = ModelConfig(**{**TINY, **keys})
    network = build_recognizer(config, num_classes=len(CLASS_NAMES)).eval()
    info = ModelInfo(
        model=asdict(config),
        class_names=CLASS_NAMES,
        size=(8, 8),
        mean=network.encoder.mean,
        std=network.encoder.std,
        sampling="uniform",
        frames=3,
        rate_fps=12.5,
        context_s=0.24,
        split_fingerprint="0123456789ab",
        run={"data": {"flip": False}, "seed": 7},
        metrics={"val": {"top1": 0.5, "loss": None}},
        versions={"torch": torch.__version__},
    )
    return network, info


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(path, *make_model())
    return path


def rewrite_description(path: Path, **changes: Any) -> None:
    """Change the JSON of a model file and leave its weights."""
    raw = {**asdict(read_info(path)), **changes}
    save_file(load_file(path), path, metadata={METADATA_KEY: json.dumps(raw)})


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"temporal": "lstm", "layers": 2, "bidirectional": True, "summary": "attention"},
        {"temporal": "none", "summary": "mean", "head": "mlp"},
        {"encoder": "mobilenet_v3_small", "width": 1.0, "freeze": True},
    ],
    ids=["gru", "lstm", "none", "torchvision"],
)
def test_a_model_comes_back_with_identical_logits(tmp_path: Path, keys: dict[str, Any]) -> None:
    network, info = make_model(**keys)
    size = (32, 32) if keys.get("encoder") else (8, 8)
    clips = CLIPS.repeat(1, 1, 1, size[0] // 8, size[1] // 8)
    network.train()(clips, LENGTHS)  # statistics of batch-norms are part of a model
    network.eval()
    path = tmp_path / "model.safetensors"
    save_model(path, network, info)
    loaded, loaded_info = load_model(path)
    assert loaded_info == info
    assert not any(module.training for module in loaded.modules())
    assert torch.equal(loaded(clips, LENGTHS), network(clips, LENGTHS))


def test_a_description_is_read_without_the_weights(model: Path) -> None:
    info = read_info(model)
    assert info.class_names == CLASS_NAMES
    assert info.size == (8, 8)
    assert info.format_version == PLAIN_VERSION
    assert info.task == "single"


def test_files_from_before_there_was_a_stride_mean_one(model: Path) -> None:
    raw = asdict(read_info(model))
    del raw["stride"]
    save_file(load_file(model), model, metadata={METADATA_KEY: json.dumps(raw)})
    assert read_info(model).stride == 1


def test_saving_replaces_the_model_and_leaves_nothing_beside_it(model: Path) -> None:
    network, info = make_model()
    save_model(model, network, replace(info, split_fingerprint="another"))
    assert read_info(model).split_fingerprint == "another"
    assert [path.name for path in model.parent.iterdir()] == [model.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_others_may_read_a_model_as_the_umask_allows(model: Path) -> None:
    plain = model.with_name("plain")
    plain.touch()
    assert model.stat().st_mode == plain.stat().st_mode


SAVE_FOREVER = """
import sys
from dataclasses import replace
from pathlib import Path
from cliptide.models.bundle import load_model, save_model

path = Path(sys.argv[1])
network, info = load_model(path)
print("saving", flush=True)
while True:
    save_model(path, network, replace(info, split_fingerprint="new"))
"""


def test_a_model_file_does_not_say_where_flow_and_a_joint_map_lay(model: Path) -> None:
    network, info = load_model(model)
    steps = StepsConfig(joints="/home/me/map.yaml", flow_cache="/home/me/flow", window=5)
    save_model(model, network, replace(info, streams=replace(info.streams, steps=steps)))
    assert b"/home/me" not in model.read_bytes()
    assert read_info(model).streams.steps.window == 5


def test_killed_while_saving_leaves_the_old_model_readable(tmp_path: Path) -> None:
    """The file is large, so that the process dies while it is being written."""
    path = tmp_path / "model.safetensors"
    network, info = make_model(width=6.0)
    save_model(path, network, info)
    writer = subprocess.Popen(
        [sys.executable, "-c", SAVE_FOREVER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "saving\n"
    scratch = path.with_name(path.name + ".part")
    deadline = time.monotonic() + 30
    while not scratch.exists() and time.monotonic() < deadline:
        time.sleep(0.0005)
    writer.kill()
    writer.wait()
    writer.stdout.close()
    loaded, loaded_info = load_model(path)
    # On a busy machine the kill may come late, but what is there is always whole.
    assert loaded_info in (info, replace(info, split_fingerprint="new"))
    assert torch.equal(loaded(CLIPS, LENGTHS), network(CLIPS, LENGTHS))
    save_model(path, network, info)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_no_file_at_all_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.safetensors"
    with pytest.raises(ModelFileError, match=r"no model file .*gone\.safetensors\. Check the path"):
        load_model(path)


def test_a_run_folder_is_answered_with_the_file_in_it(model: Path) -> None:
    with pytest.raises(ModelFileError, match="It is a run folder: give ") as caught:
        load_model(model.parent)
    assert str(model) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04" + bytes(100), bytes(64)])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"notes\.txt is no model file or is truncated") as c:
        load_model(path)
    assert "copy it again" in str(c.value)


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.999])
def test_a_truncated_model_is_named(model: Path, share: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: max(4, int(len(whole) * share))])
    with pytest.raises(ModelFileError, match=r"model\.safetensors .*truncated") as caught:
        load_model(model)
    assert "copy it again" in str(caught.value)


def test_a_newer_format_asks_for_an_upgrade(model: Path) -> None:
    rewrite_description(model, format_version=FORMAT_VERSION + 1, surprise="of the future")
    with pytest.raises(ModelFileError, match=f"is of format {FORMAT_VERSION + 1}; ") as caught:
        load_model(model)
    assert "pip install --upgrade cliptide" in str(caught.value)


def test_a_key_added_within_the_format_is_passed_over(model: Path) -> None:
    rewrite_description(model, remark="written by a later release")
    assert load_model(model)[1] == make_model()[1]


def test_tensors_of_someone_else_are_told_from_a_model(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="not written by cliptide") as caught:
        load_model(path)
    assert "--model.encoder_weights" in str(caught.value)


@pytest.mark.parametrize("description", ["{", "[]", "{}", '{"format_version": "x"}', "null"])
def test_a_damaged_description_is_named(tmp_path: Path, description: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata={METADATA_KEY: description})
    with pytest.raises(ModelFileError, match=r"model\.safetensors is damaged") as caught:
        load_model(path)
    assert "Copy the file again or retrain" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 5},
        {"hidden": 0},
        {"temporal": "lstm"},
        {"summary": "median"},
        {"head": "forest"},
        {"encoder": "resnet7"},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_their_description_are_said_in_two_lines(
    model: Path, changes: dict[str, Any]
) -> None:
    rewrite_description(model, model={**read_info(model).model, **changes})
    with pytest.raises(ModelFileError, match="do not fit their description") as caught:
        load_model(model)
    message = str(caught.value)
    assert str(model) in message
    assert "Retrain the model" in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(model))


class _Dangerous:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_loading_runs_no_code(tmp_path: Path, model: Path) -> None:
    """Neither from a pickle with a model's name nor from a name in the description."""
    trace = tmp_path / "code has run"
    poisoned = tmp_path / "poisoned.safetensors"
    for content in (pickle.dumps(_Dangerous(trace)), None):
        if content is None:
            torch.save(_Dangerous(trace), poisoned)
        else:
            poisoned.write_bytes(content)
        with pytest.raises(ModelFileError, match="is no model file"):
            load_model(poisoned)
    code = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    rewrite_description(model, model={**read_info(model).model, "encoder": code})
    with pytest.raises(ModelFileError):
        load_model(model)
    assert not trace.exists()


def test_a_network_can_start_from_a_model_file(model: Path) -> None:
    network, _ = make_model()
    assert start_from(network, model, same_classes=True) == []
    assert torch.equal(network(CLIPS, LENGTHS), load_model(model)[0](CLIPS, LENGTHS))


def test_streams_weigh_alike_again_in_what_starts_from_a_late_fusion(tmp_path: Path) -> None:
    network = joined_network_of("late")
    network.head.weights.copy_(torch.tensor([0.1, 0.2, 0.7]))
    network.head.total.fill_(2.0)
    save_model(tmp_path / "late.safetensors", network, make_model()[1])
    other = joined_network_of("late")
    start_from(other, tmp_path / "late.safetensors", same_classes=True)
    assert other.head.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert float(other.head.total) == 1


def test_other_classes_get_a_head_of_their_own(model: Path) -> None:
    network = build_recognizer(ModelConfig(**TINY), num_classes=5)
    head = {name: tensor.clone() for name, tensor in network.head.state_dict().items()}
    fresh = start_from(network, model, same_classes=False)
    assert fresh == ["head.1.weight", "head.1.bias"]
    assert all(torch.equal(head[name], now) for name, now in network.head.state_dict().items())
    given = load_model(model)[0]
    for name, tensor in given.temporal.state_dict().items():
        assert torch.equal(network.temporal.state_dict()[name], tensor)


def test_another_network_cannot_start_from_a_model_file(model: Path) -> None:
    network = build_recognizer(ModelConfig(**{**TINY, "hidden": 9}), num_classes=3)
    with pytest.raises(ModelFileError, match=r"differs .*first at temporal\.rnn\.") as caught:
        start_from(network, model, same_classes=True)
    assert "model.* keys" in str(caught.value)


def test_starting_from_no_model_is_the_same_error_as_loading_it(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        start_from(make_model()[0], tmp_path / "gone.safetensors", same_classes=True)
