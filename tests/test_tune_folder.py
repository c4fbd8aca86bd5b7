"""Where a search lies: found again by the same command, refused to others, its password hidden."""

import json
import shlex
import subprocess
import sys
import time

import pytest

from cliptide.app.cli import main
from cliptide.app.tuning.storage import without_password
from cliptide.app.tuning.tune import tune
from cliptide.configs.errors import InputError
from cliptide.configs.schema import DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.training import TrainConfig

TINY = RunConfig(
    data=DataConfig(frames=3, size=16, flip=False, workers=0, keep="never"),
    model=ModelConfig(width=0.25, hidden=8),
    train=TrainConfig(epochs=1, batch_size=16, lr=3e-3),
    eval=EvalConfig(clips=1),
    device="cpu",
)
FLAGS = shlex.split(
    "--data.frames 3 --data.size 16 --data.flip false --data.workers 0 --data.keep never "
    "--model.width 0.25 --model.hidden 8 --train.epochs 1 --train.batch_size 16 --train.lr 3e-3 "
    "--eval.clips 1 --device cpu"
)
SPACE = {"train.lr": {"low": 1e-4, "high": 1e-2, "log": True}}
OTHER_SPACE = {"model.dropout": {"low": 0.0, "high": 0.5}}


def one_trial(data, **options):
    return tune(data, **({"config": TINY, "space": SPACE, "trials": 1} | options))


def test_a_shared_search_killed_in_its_first_trial_goes_on(small_data, tmp_path):
    out, url = tmp_path / "study", f"sqlite:///{tmp_path / 'shared.db'}"
    words = ["tune", str(small_data), "--study", url, "--out", str(out), *FLAGS]
    words += ["--trials", "1", "--train.epochs", "12"]
    with subprocess.Popen(
        [sys.executable, "-m", "cliptide.app", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if (out / "trials").exists():
                break
            time.sleep(0.01)
        process.kill()
    assert (out / "trials.csv").read_text("utf-8").startswith("trial,state,figure")
    assert len((out / "trials.csv").read_text("utf-8").splitlines()) == 1
    shared = json.loads((out / "storage.json").read_text("utf-8"))
    assert (shared["study"], shared["study_name"]) == (url, "cliptide")
    assert main(words) == 0
    rows = (out / "trials.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[1] for row in rows] == ["state", "died", "complete"]


def test_the_same_command_goes_on_after_another_search_too(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = one_trial(small_data)
    other = one_trial(small_data, space=OTHER_SPACE)
    named = one_trial(small_data, study_name="second")
    assert len({one.out, other.out, named.out}) == 3
    assert one_trial(small_data, trials=2).out == one.out
    assert one_trial(small_data, space=OTHER_SPACE).out == other.out
    assert one_trial(small_data, study_name="second").out == named.out


def test_the_same_command_with_a_shared_study_finds_its_folder(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///shared.db"
    one = one_trial(small_data, study=url)
    assert one_trial(small_data).out != one.out
    assert one_trial(small_data, study=url, study_name="second", space=OTHER_SPACE).out != one.out
    again = one_trial(small_data, study=url, trials=2)
    assert again.out == one.out and len(again.trials) == 2
    assert {path.name for path in one.out.iterdir()} == {
        "best.yaml",
        "storage.json",
        "study.html",
        "trials.csv",
    }


def test_a_study_that_is_refused_leaves_no_folder(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_trial(small_data, study="sqlite:///shared.db", out=tmp_path / "one")
    with pytest.raises(InputError, match=r"another space: model.dropout, train.lr differ"):
        one_trial(small_data, study="sqlite:///shared.db", space=OTHER_SPACE)
    with pytest.raises(InputError, match=r"cannot be opened"):
        one_trial(small_data, study="sqlite:////no/such/folder/s.db", out=tmp_path / "two")
    assert not (tmp_path / "two").exists() and not (tmp_path / "runs").exists()


def test_a_folder_of_something_else_is_refused_in_words_of_a_search(small_data, tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"not empty and holds no search.*another --out") as told:
        one_trial(small_data, out=folder)
    assert "--overwrite" not in str(told.value)
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_a_folder_is_not_gone_on_with_under_another_study(small_data, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one_trial(small_data, study=url, out=tmp_path / "shared")
    one_trial(small_data, out=tmp_path / "own")
    with pytest.raises(InputError, match=r"study is 'cliptide' in sqlite.*Give that with --study"):
        one_trial(small_data, out=tmp_path / "shared")
    with pytest.raises(InputError, match=r"study of its own, study.db. Leave out --study"):
        one_trial(small_data, study=url, out=tmp_path / "own")
    own = f"sqlite:///{tmp_path / 'own' / 'study.db'}"
    assert one_trial(small_data, study=own, out=tmp_path / "own").out == tmp_path / "own"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        # None of these drivers is a part of cliptide or of its extras.
        ("oracle://me:secret@host/x", r"needs the package oracledb.*pip install 'oracledb'"),
        ("mssql://me:secret@host/x", r"needs the package pyodbc.*pip install 'pyodbc'"),
        ("mysql://me:secret@host/x", r"needs the package MySQLdb.*pip install 'mysqlclient'"),
        ("redis://me:secret@host", r"no storage URL.*sqlite:///study.db.*not Redis or a journal"),
        ("postgresql://me:secret@host:port/x", r"no storage URL. Use one such as"),
        ("journal.log", r"'journal.log' is no storage URL. Use one such as"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_with_what_can(small_data, tmp_path, url, message):
    with pytest.raises(InputError, match=message) as told:
        one_trial(small_data, study=url, out=tmp_path / "study")
    assert "secret" not in str(told.value)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me:se@c/ret@host:5432/x", "postgresql://me:***@host:5432/x"),
        ("postgresql://:secret@host/x", "postgresql://:***@host/x"),
        ("postgresql:///x?user=me&password=secret&a=b", "postgresql:///x?user=me&password=***&a=b"),
        ("postgresql://me@host:5432/x", "postgresql://me@host:5432/x"),
        ("sqlite:////home/a@b/study.db", "sqlite:////home/a@b/study.db"),
        ("study.db", "study.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown


@pytest.mark.parametrize("form", ["--study {}", "--study={}"])
def test_a_password_stands_in_no_file_of_the_search_and_in_no_message(
    small_data, tmp_path, monkeypatch, capfd, form
):
    # SQLite takes a query it does not know for a part of its own; the password is never used.
    url = f"sqlite:///file:{tmp_path / 'shared.db'}?uri=true&password=it's secret"
    out = tmp_path / "study"
    words = ["tune", str(small_data), *FLAGS, "--trials", "1", "--out", str(out)]
    words += [part.format(url) for part in form.split()]
    monkeypatch.setattr(sys, "argv", ["cliptide", *words])
    assert main(words) == 0
    for path in out.iterdir():
        assert "secret" not in path.read_text("utf-8"), path
    assert "password=***" in (out / "study.html").read_text("utf-8")
    assert main([*words, "--model.dropout", "0.3"]) == 2
    printed = capfd.readouterr()
    assert "was begun with model.dropout" in printed.err
    assert "secret" not in printed.err + printed.out
