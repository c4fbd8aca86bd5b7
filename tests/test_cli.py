"""The command line as a person meets it: what is printed where, exit codes, one-line errors."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from cliptide.app import cli, commands
from cliptide.models.bundle import read_tensors
from cliptide.models.info import METADATA_KEY


def is_user_error(result, *parts):
    """One or two lines on stderr that name all `parts`, exit code 2, nothing else printed."""
    assert result.code == 2, result
    assert result.out == ""
    assert 1 <= len(result.err.splitlines()) <= 2, result.err
    assert result.err.startswith("cliptide: ")
    for part in parts:
        assert part in result.err
    return True


def test_without_arguments_the_commands_are_listed(cliptide):
    for words in ([], ["--help"], ["-h"], ["help"]):
        result = cliptide(*words)
        assert (result.code, result.err) == (0, "")
        for name in commands.COMMANDS:
            assert f"\n  {name} " in result.out


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_each_command_explains_itself_without_type_noise(cliptide, command):
    result = cliptide(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: cliptide {command}")
    assert commands.COMMANDS[command].about in result.out
    for noise in ("type:", "Literal[", "null", "NoneType", "--data CONFIG", "--model CONFIG"):
        assert noise not in result.out


def test_help_says_what_holds_without_a_flag(cliptide):
    help_text = " ".join(cliptide("train", "--help").out.split())
    assert "--data.frames N Frames in a clip (T); a shorter video gives fewer. (default: 16)" in (
        help_text
    )
    assert "(default: true)" in help_text


def test_version_is_told(cliptide):
    assert cliptide("--version").out == "cliptide 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trian"], ["no command 'trian'", "Use: train."]),
        (["xyzzy"], ["no command 'xyzzy'", "Use: demo, train, tune, evaluate"]),
        (["train"], ["No DATA was given", "cliptide train DATA"]),
        (["train", "x", "y"], ["'y' is one argument too many", "cliptide train --help"]),
        (["train", "x", "--data.framse", "3"], ["no flag '--data.framse'", "--data.frames."]),
        (["train", "x", "--epochs=3"], ["no flag '--epochs'", "Nearest: --train.epochs."]),
        (["train", "x", "--data.fra", "3"], ["no flag '--data.fra'", "--data.frames"]),
        (["train", "x", "--xyzzy"], ["no flag '--xyzzy'", "See cliptide train --help."]),
        (["train", "x", "--data", "3"], ["--data alone sets nothing", "such as --data.frames"]),
        (["train", "x", "--data.frames"], ["--data.frames needs a value"]),
        (["train", "--out", "--seed", "3", "x"], ["--out needs a value"]),
        (["train", "x", "--config"], ["--config needs a value"]),
        (["train", "x", "--data.frames", "x"], ["data.frames is 'x'", "Use a whole number"]),
        (["train", "x", "--data.frames", "3.5"], ["data.frames is '3.5'", "Use a whole number"]),
        (["train", "x", "--train.lr", "fast"], ["train.lr is 'fast'", "Use a number"]),
        (["train", "x", "--train.lr", "nan"], ["train.lr is 'nan'", "Use a number"]),
        (["train", "x", "--data.flip", "maybe"], ["data.flip is 'maybe'", "Use true or false"]),
        (["train", "x", "--model.temporal", "lsmt"], ["is 'lsmt'", "one of: none, rnn, lstm, gru"]),
        (["train", "x", "--data.workers", "all"], ["is 'all'", "Use a whole number or auto"]),
        (["train", "x", "--data.frames", "0"], ["data.frames is 0", "Use 1 or more"]),
        (["train", "x", "--data.size", "0"], ["data.size is '0'", "such as 112 or 128x171"]),
        (["train", "x", "--seed", "-1"], ["seed is -1", "from 0 to 4294967295"]),
        (["evaluate", "x"], ["Missing: DATA", "cliptide evaluate --help"]),
        (["evaluate", "x", "y", "--splt", "z"], ["no flag '--splt'", "Nearest: --split."]),
        (["predict"], ["Missing: MODEL, SOURCE", "cliptide predict --help"]),
        (["predict", "x", "y", "--config", "z"], ["no flag '--config'"]),
        (["compare", "x", "--sed", "3"], ["no flag '--sed'", "Nearest: --seed."]),
        (["demo", "--seed", "x"], ["seed is 'x'", "Use a whole number"]),
    ],
)
def test_a_wrong_argument_is_one_line_with_the_mend(cliptide, words, parts):
    assert is_user_error(cliptide(*words), *parts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--model.encoder", "resnet81"], ["no encoder 'resnet81'", "resnet18"]),
        (["--model.encoder", "tinny"], ["no encoder 'tinny'", "Nearest: tiny"]),
        (["--data.fold", "7"], ["Fold 7", "Use one of: 1."]),
        (["--data.group_regex", "("], ["group_regex '('", "Write one such as"]),
        (["--device", "cuda:99"], ["The device 'cuda:99'", "--device auto or --device cpu"]),
        (["--device", "gpu"], ["no device 'gpu'", "auto, cpu, cuda"]),
        (["--init", "nowhere.safetensors"], ["no model file nowhere.safetensors", "Check"]),
        (["--model.pretrained", "true"], ["tiny has no pretrained weights", "Leave out"]),
    ],
)
def test_a_value_that_fits_nothing_is_refused_before_anything_is_written(
    cliptide, small_data, tmp_path, monkeypatch, words, parts
):
    monkeypatch.chdir(tmp_path)
    assert is_user_error(cliptide("train", small_data, *words), *parts)
    assert list(tmp_path.iterdir()) == []


MANIFESTS = {
    "columns.csv": ("file,class\na.mp4,x\n", ["lacks the column 'path' and 'label'", "path,label"]),
    "label.csv": ("path,label\na.mp4,x\na.mp4,\n", ["empty label in line 3", "Write the class"]),
    "end.csv": (
        "path,label,start_s,end_s\na.mp4,x,5,3\n",
        ["line 2: end_s 3 is not after start_s 5", "in seconds"],
    ),
    "missing.csv": (
        "path,label\nno1.mp4,x\na.mp4,x\nno2.mp4,y\n",
        ["2 of 3 files", "no1.mp4, no2.mp4", "mend them or remove"],
    ),
    "one.csv": ("path,label\na.mp4,x\n", ["one class only: 'x'", "add some"]),
    "split.csv": ("path,label,split\na.mp4,x,tset\n", ["'tset' in line 2", "'test'"]),
    "empty.csv": ("", ["is empty", "path,label"]),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_wrong_manifest_is_one_line_with_the_place_and_the_mend(cliptide, tmp_path, name):
    text, parts = MANIFESTS[name]
    (tmp_path / name).write_text(text)
    (tmp_path / "a.mp4").touch()
    assert is_user_error(cliptide("train", tmp_path / name), name, *parts)


def test_a_wrong_folder_is_one_line_with_the_mend(cliptide, tmp_path, small_data):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "walk").mkdir(parents=True)
    (tmp_path / "one" / "walk" / "a.mp4").touch()
    assert is_user_error(cliptide("train", tmp_path / "empyt"), "empyt does not exist", "'empty'")
    assert is_user_error(cliptide("train", tmp_path / "empty"), "holds no videos", "Give a folder")
    assert is_user_error(cliptide("train", tmp_path / "one"), "one class only: 'walk'", "add some")
    video = next(small_data.rglob("*.mp4"))
    assert is_user_error(cliptide("train", video), "is a single video", "Give a folder")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_wrong_model_file_is_one_line_with_the_mend(
    cliptide, tmp_path, small_run, small_data, command
):
    model = small_run / "model.safetensors"
    (tmp_path / "text.safetensors").write_text("no model")
    (tmp_path / "cut.safetensors").write_bytes(model.read_bytes()[:-100])
    save_file(read_tensors(model), tmp_path / "other.safetensors")
    newer = {METADATA_KEY: json.dumps({"format_version": 99})}
    save_file(read_tensors(model), tmp_path / "newer.safetensors", metadata=newer)
    for file, parts in {
        tmp_path / "none.safetensors": ["no model file", "Check the path"],
        tmp_path / "text.safetensors": ["is no model file or is truncated", "copy it again"],
        tmp_path / "cut.safetensors": ["is no model file or is truncated", "copy it again"],
        tmp_path / "other.safetensors": ["not written by cliptide", "Give a model.safetensors"],
        tmp_path / "newer.safetensors": ["of format 99", "pip install --upgrade cliptide"],
        small_run: ["is a run folder", str(model)],
    }.items():
        assert is_user_error(cliptide(command, file, small_data), str(file), *parts)


def test_a_folder_with_something_in_it_is_not_written_into(cliptide, small_data, tmp_path):
    (tmp_path / "thesis.txt").touch()
    result = cliptide("train", small_data, "--out", tmp_path)
    assert is_user_error(result, f"{tmp_path} is not empty", "--overwrite")
    result = cliptide("train", small_data, "--out", tmp_path / "thesis.txt")
    assert is_user_error(result, "is a file", "Give the name of a folder")
    result = cliptide("train", small_data, "--out", tmp_path / "thesis.txt" / "x")
    assert is_user_error(result, "cannot be made: Not a directory", "Give another --out")


def test_resume_wants_a_run_folder_and_nothing_beside_it(cliptide, small_run, tmp_path):
    result = cliptide("train", "--resume", tmp_path)
    assert is_user_error(result, f"{tmp_path} is no run folder", "Check --resume")
    # Even a value that equals the default would not be obeyed, so it is refused.
    for flag, value in (("--train.epochs", 30), ("--out", tmp_path / "x"), ("--config", "ucf101")):
        for words in (["--resume", small_run, flag, value], [flag, value, f"--resume={small_run}"]):
            result = cliptide("train", *words)
            assert is_user_error(result, f"so {flag} cannot be given", "start a new run")


def test_init_takes_the_network_and_the_clips_of_the_model(cliptide, small_model):
    printed = cliptide("train", "x", "--init", small_model, "--data.frames", 5, "--print_config")
    for line in ("  width: 0.25", "  hidden: 8", "  size: 32", "  frames: 5"):
        assert f"\n{line}\n" in printed.out


def test_debug_shows_the_traceback_before_the_same_line(cliptide):
    plain = cliptide("train", "nowhere")
    debug = cliptide("train", "nowhere", "--debug")
    assert "Traceback" not in plain.err
    assert debug.code == 2
    assert debug.err.startswith("Traceback")
    assert debug.err.endswith(plain.err)


@pytest.mark.parametrize(
    ("error", "code", "parts"),
    [
        (RuntimeError("the\nmoon"), 1, ["RuntimeError: the moon", "--debug"]),
        (MemoryError("no more"), 1, ["memory is not enough", "smaller --train.batch_size"]),
        (OSError(28, "No space left on device"), 1, ["No space left", "Make room"]),
        (KeyboardInterrupt(), 130, ["cliptide: stopped."]),
    ],
)
def test_a_failed_run_is_one_or_two_lines_too(cliptide, monkeypatch, error, code, parts):
    def fail(words):
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    result = cliptide("train", "x")
    assert (result.code, result.out) == (code, "")
    assert len(result.err.splitlines()) <= 2
    for part in parts:
        assert part in result.err


def test_the_installed_command_and_the_module_are_one_program(tmp_path):
    command = str(Path(sys.executable).with_name("cliptide"))
    outputs = []
    for program in ([command], [sys.executable, "-m", "cliptide.app"]):
        run = subprocess.run([*program, "train", "nowhere"], capture_output=True, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (2, b"")
        outputs.append(run.stderr)
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith(b"cliptide: nowhere does not exist.")


def test_a_reader_that_goes_away_is_no_error():
    run = subprocess.run(
        f"{sys.executable} -m cliptide.app train --help | true",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert run.stderr == ""


def test_a_name_that_the_terminal_cannot_show_is_written_with_escapes(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    assert cli.main(["train", "größe"]) == 2
    stream.flush()
    assert rb"gr\xf6\xdfe does not exist" in stream.buffer.getvalue()


def test_python_finds_load_train_and_evaluate_without_importing_torch():
    code = (
        "import sys, cliptide.app; from cliptide.app import *; "
        "assert 'torch' in sys.modules; print(load.__name__, train.__name__, evaluate.__name__)"
    )
    lazy = "import sys, cliptide.app; print('torch' in sys.modules, hasattr(cliptide.app, 'nope'))"
    for text, expected in ((lazy, "False False\n"), (code, "load train evaluate\n")):
        run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
        assert (run.stdout, run.stderr) == (expected, "")


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of the GNU C library")
def test_memory_of_one_batch_is_kept_for_the_next():
    code = (
        "import resource; from cliptide.app.allocator import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "for _ in range(20): b'x' * 2**26\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 4 * 2**26  # fetched anew each time, it would be 20
