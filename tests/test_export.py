"""`cliptide export`: graphs that give PyTorch's numbers for any batch, length and size."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from cliptide.app.export import export as export_module
from cliptide.app.export.cost import cost_on
from cliptide.app.export.export import _missing, export
from cliptide.app.export.graphs import graphs_of
from cliptide.app.export.onnx_files import onnx_runner, write_onnx
from cliptide.app.export.parity import check
from cliptide.app.export.quantise import quantize_file, quantized
from cliptide.app.export.torch_files import torch_runner, write_torch
from cliptide.app.export.tracing import trace
from cliptide.configs.errors import CliptideError, InputError
from cliptide.configs.schema import ModelConfig
from cliptide.configs.streams import Streams
from cliptide.models.build import build_recognizer
from cliptide.models.info import METADATA_KEY, parse_info

SIZE = (24, 32)


def make_network(**options):
    torch.manual_seed(0)
    given = {"width": 0.1, "hidden": 6, "dropout": 0.0, **options}
    task = given.pop("task", "single")
    network = build_recognizer(ModelConfig(**given), num_classes=3, task=task, size=SIZE)
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def graph_named(name, **options):
    return next(g for g in graphs_of(make_network(**options), size=SIZE) if g.name == name)


def test_a_model_becomes_four_graphs_that_give_the_numbers_of_pytorch(small_export):
    assert [parity.graph for parity in small_export.parities] == [
        "encoder",
        "step",
        "window",
        "clip",
    ]
    assert all(parity.holds and parity.worst < 1e-5 for parity in small_export.parities)
    assert sorted(path.name for path in small_export.folder.iterdir()) == [
        "clip.onnx",
        "encoder.onnx",
        "graphs.json",
        "step.onnx",
        "window.onnx",
    ]


def test_one_frame_one_clip_mixed_lengths_and_another_size_are_tried(small_export):
    by_name = {parity.graph: parity.cases for parity in small_export.parities}
    assert by_name["encoder"] == ("batch 1", "batch 2", "batch 5", "batch 2, size 48x64")
    assert "batch 1, frames 1" in by_name["clip"]
    assert "batch 1, frames 9" in by_name["clip"]
    assert "batch 5, frames 2, 1, 4, 1, 4" in by_name["clip"]
    assert "batch 2, frames 3, 1, size 48x64" in by_name["clip"]
    assert "batch 1, a stream of 8 frames" in by_name["step"]


def test_graphs_json_names_inputs_outputs_and_state(small_export):
    graphs = json.loads((small_export.folder / "graphs.json").read_text("utf-8"))["graphs"]
    step = next(graph for graph in graphs if graph["graph"] == "step")
    assert step["inputs"][1] == {"name": "begin", "type": "bool", "shape": ["batch"]}
    assert step["outputs"][0]["name"] == "logits"
    assert step["state"] == {
        "temporal_0": "next_temporal_0",
        "summary_0": "next_summary_0",
    }


def test_each_file_carries_the_model_s_description_and_no_path_of_this_machine(small_export):
    for path in small_export.folder.glob("*.onnx"):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert len(parse_info(metadata[METADATA_KEY], path=path).class_names) == 8
        assert b"site-packages" not in path.read_bytes()


@pytest.mark.parametrize(
    ("graph", "options"),
    [
        ("window", {"temporal": "lstm", "bidirectional": True, "layers": 2, "residual": True}),
        ("window", {"temporal": "convlstm", "summary": "mean", "motion": "features"}),
        ("clip", {"temporal": "minlstm", "shift": "both", "summary": "attention"}),
        ("encoder", {"shift": "causal", "motion": "frames"}),
        ("step", {"temporal": "tcn", "kernel": 2, "summary": "max", "task": "regression"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_every_kind_of_part_gives_the_numbers_of_pytorch(graph, options, tmp_path):
    traced = trace(graph_named(graph, **options))
    write_onnx(traced, tmp_path / "graph.onnx", metadata={})
    found = check(traced, onnx_runner(tmp_path / "graph.onnx"), frames=4)
    assert found.holds, found


def test_torch_export_holds_for_any_batch_and_length_too(tmp_path):
    traced = trace(graph_named("clip", temporal="rnn", motion="both", shift="causal"))
    write_torch(traced, tmp_path / "clip.pt2", metadata={"note": "kept"})
    assert check(traced, torch_runner(tmp_path / "clip.pt2"), frames=4).holds
    kept = {"note": ""}
    torch.export.load(tmp_path / "clip.pt2", extra_files=kept)
    assert kept == {"note": "kept"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"bidirectional": True}, ["encoder", "window", "clip"]),
        ({"shift": "both"}, ["clip"]),
        ({}, ["encoder", "step", "window", "clip"]),
    ],
)
def test_models_that_look_ahead_have_no_step(options, names):
    assert [graph.name for graph in graphs_of(make_network(**options), size=SIZE)] == names


@pytest.mark.parametrize(
    ("streams", "told"),
    [
        (Streams(), "no graph step: the model looks at frames that"),
        (Streams(("audio",), samples="audio"), "no graph step: the model looks at steps that"),
        (Streams(("text",), samples="text"), ""),
        (Streams(("rows",), samples="images"), ""),
    ],
)
def test_why_there_is_no_step_is_told_of_what_is_a_stream(streams, told):
    said = _missing(streams, can_step=False, encoder=True)
    assert told in said and bool(told) == bool(said)
    assert _missing(streams, can_step=True, encoder=True) == ""


def test_a_difference_is_found_and_said_where(tmp_path):
    graph = graph_named("step", temporal="none")
    traced = trace(graph)
    write_onnx(traced, tmp_path / "step.onnx", metadata={})
    with torch.no_grad():
        graph.module.head[-1].bias += 0.01
    found = check(traced, onnx_runner(tmp_path / "step.onnx"), frames=2)
    assert not found.holds
    assert found.worst == pytest.approx(0.01, rel=0.01)
    assert found.worst_case.startswith("batch")


def test_a_graph_that_fails_on_a_batch_does_not_hold():
    def run(arrays):
        if len(arrays[0]) != 3:
            raise ValueError("3 alone")
        raise AssertionError

    found = check(trace(graph_named("step", temporal="none")), run, frames=2)
    assert (found.holds, found.error) == (False, "3 alone.")


def test_other_numbers_leave_nothing_behind(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr("cliptide.app.export.parity.TOLERANCE", 0.0)
    monkeypatch.setattr(export_module, "graphs_of", lambda *args, **kw: graphs_of(*args, **kw)[:1])
    with pytest.raises(CliptideError, match=r"differs from PyTorch by .* Nothing was written"):
        export(small_model, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "tflite"}, "--format is 'tflite'. It is one of: onnx, torch."),
        ({"quantize": "int4"}, "--quantize is 'int4'. It is int8, or left out."),
        ({"quantize": "int8", "format": "torch"}, "--quantize takes --format onnx, not torch"),
        ({"data": "videos"}, "--data is what --quantize int8 is measured on. Give both"),
    ],
)
def test_wrong_options_are_refused_with_the_mend(options, told, small_model):
    with pytest.raises(InputError) as error:
        export(small_model, **options)
    assert told in str(error.value)


def test_an_earlier_export_is_replaced_only_when_told_and_other_folders_never(
    small_export, small_model, tmp_path
):
    with pytest.raises(InputError, match=r"holds an export\. Give another --out, or --overwrite"):
        export(small_model, out=small_export.folder)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than an export"):
        export(small_model, out=tmp_path, overwrite=True)


def test_what_lies_beside_an_earlier_export_outlives_it(
    small_export, small_model, tmp_path, monkeypatch
):
    folder = tmp_path / "out"
    shutil.copytree(small_export.folder, folder)
    (folder / "mine.txt").write_text("mine")
    monkeypatch.chdir(folder)  # a folder that cannot be replaced by another, as a mount cannot
    export(small_model, out=".", overwrite=True, format="torch")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *(f"{name}.pt2" for name in ("encoder", "step", "window", "clip")),
        "graphs.json",
        "mine.txt",
    }


def test_an_export_is_not_exported_again(small_export):
    with pytest.raises(InputError, match=r"is an export\. Give the model\.safetensors"):
        export(small_export.folder)


def test_a_missing_package_is_named_with_the_line_that_installs_it(small_model):
    code = (
        "import sys; sys.modules['onnxscript'] = None\n"
        "from cliptide.app.cli import main\n"
        f"sys.exit(main(['export', {str(small_model)!r}]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 2
    assert "needs onnxscript" in run.stderr
    assert "pip install 'cliptide[export]'" in run.stderr


def test_weights_in_8_bits_are_as_near_as_8_bits_allow():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    weights[2] = 0
    small, scales = quantized(weights)
    assert small.dtype == np.int8
    back = small * scales.reshape(-1, 1, 1, 1)
    assert np.abs(back - weights).max() <= scales.max() / 2 + 1e-7
    assert not back[2].any()


def test_8_bits_make_files_smaller_and_their_cost_is_measured(small_export, small_data, tmp_path):
    small = tmp_path / "int8"
    shutil.copytree(small_export.folder, small)
    for path in small.glob("*.onnx"):
        quantize_file(path)
    # The other graphs of so small a network hold fewer weights than words.
    for name in ("encoder.onnx", "clip.onnx"):
        assert (small / name).stat().st_size < (small_export.folder / name).stat().st_size / 2
    cost = cost_on(small_data, [small_export.folder, small])
    plain, int8 = cost.comparison.runs
    assert (plain.name, int8.name) == ("float32", "int8")
    assert plain.num_videos == int8.num_videos > 0
    assert cost.num_failed == 0
    assert len(cost.comparison.differences) == 1


def test_the_command_prints_each_graph_and_where_it_lies(cliptide, small_model, monkeypatch):
    monkeypatch.setattr(export_module, "graphs_of", lambda *args, **kw: graphs_of(*args, **kw)[1:2])
    result = cliptide("export", small_model, "--format", "torch")
    folder = small_model.with_name("model-torch")
    assert result.code == 0
    assert "next_temporal_0" in result.out
    assert result.out.splitlines()[-1] == f"Written: {folder}"
    assert (folder / "step.pt2").is_file()
