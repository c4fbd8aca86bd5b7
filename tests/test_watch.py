"""`cliptide watch`: lines, JSON, events on change, and a clear end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
from engines import BrightnessEngine
from rich.console import Console

from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.watching import Update
from cliptide.app.watch import ChangeRunner, Tally, _Screen, say_delay
from cliptide.configs.errors import InputError
from cliptide.datasets.synthetic import write_long_video


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("watch") / "film.mp4"
    write_long_video(path, ["rise", "close"], repeats=2, side=32, num_frames=20)
    return path


def update_of(labels=("a",), time_s=1.0, **keys):
    values = {
        "time_s": time_s,
        "task": "single",
        "labels": labels,
        "scores": {"a": 0.7, "b": 0.2, "c": 0.1},
        "values": {},
        "changed": True,
        "begins": False,
        "dropped": 0,
        "lag_s": 0.01,
    }
    return Update(**(values | keys))


def test_json_is_a_line_for_each_frame_taken_with_nothing_else_on_stdout(
    cliptide, small_model, film
):
    result = cliptide("watch", small_model, film, "--json")
    assert result.code == 0
    lines = [json.loads(line) for line in result.out.splitlines()]
    times_s = [line["time_s"] for line in lines]
    assert times_s == sorted(times_s) and len(lines) > 10
    assert set(lines[0]) >= {"label", "score", "labels", "scores", "changed", "dropped", "lag_s"}
    assert f"{len(lines)} frames" in result.err


def test_without_json_a_pipe_gets_a_line_for_each_change(cliptide, small_model, film):
    result = cliptide("watch", small_model, film, "--nothing_below", "0.05")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert rows and all(len(row) == 3 for row in rows)
    assert all(before[1] != after[1] for before, after in pairwise(rows))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nope.mp4"], r"no file nope\.mp4.*rtsp://"),
        (["77"], "no camera 77"),
        (["{film}", "--on-change", "no-such-program x"], "no program 'no-such-program'.*sh -c"),
        (["{film}", "--on-change", "sh -c 'x"], "cannot be split"),
        (["{film}", "--reconnect_s", "-1"], "Give them above 0"),
        (["{film}", "--stop_after_s", "0"], "Give them above 0"),
    ],
)
def test_wrong_words_are_refused_with_the_mend(cliptide, small_model, film, words, told):
    result = cliptide("watch", small_model, *(word.replace("{film}", str(film)) for word in words))
    assert result.code == 2 and re.search(told, result.err.replace("\n", " "))


def test_a_command_is_told_what_changed_and_never_piles_up(tmp_path):
    log = tmp_path / "log"
    script = (
        "import os, time; time.sleep(0.3); "
        f"open({str(log)!r}, 'a').write(os.environ['CLIPTIDE_LABEL'] + ' ' + "
        "os.environ['CLIPTIDE_SCORE'] + ' ' + os.environ['CLIPTIDE_TIME_S'] + '\\n')"
    )
    runner = ChangeRunner(f'{sys.executable} -c "{script}"')
    for number, label in enumerate(("a", "b", "c", "a")):
        runner.run(update_of((label,), time_s=float(number)))
    runner.close()
    # While the first ran three changes came: the newest of them waited, the others are passed over.
    assert log.read_text().splitlines() == ["a 0.7000 0.000", "a 0.7000 3.000"]


def test_a_change_that_waited_is_told_when_the_command_is_done_and_not_at_the_next_change(tmp_path):
    log = tmp_path / "log"
    script = (
        f"import os, time; time.sleep(0.2); open({str(log)!r}, 'a').write("
        "os.environ['CLIPTIDE_LABEL'] + ' ' + os.environ['CLIPTIDE_SCORE'] + '\\n')"
    )
    runner = ChangeRunner(f'{sys.executable} -c "{script}"')
    runner.run(update_of(("a",)))
    runner.run(update_of(("a", "b"), task="multi"))
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s and (not log.exists() or log.read_text().count("\n") < 2):
        runner.go_on()  # what the updates without a change do
        time.sleep(0.02)
    assert log.read_text().splitlines() == ["a 0.7000", "a|b 0.7000|0.2000"]
    runner.close()


def test_what_a_command_prints_is_not_among_the_lines_of_json(small_model, film):
    command = [sys.executable, "-m", "cliptide.app", "watch", str(small_model), str(film), "--json"]
    prints = f"{sys.executable} -c \"print('hello there')\""
    result = subprocess.run(
        [*command, "--nothing_below", "0", "--on-change", prints],
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(json.loads(line) for line in result.stdout.splitlines())
    assert "hello there" in result.stderr


def test_a_program_that_is_not_there_is_said_at_once():
    with pytest.raises(InputError, match="no program 'nonsense'"):
        ChangeRunner("nonsense")


def test_the_screen_shows_label_bars_speed_and_what_was_dropped():
    recognizer = ActionRecognizer(BrightnessEngine())
    tally = Tally("0")
    screen = _Screen(recognizer, tally, live=None)
    update = update_of(dropped=7, lag_s=0.04)
    tally.add(update)
    console = Console(width=90, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(screen._picture(update))
    console.file.close()
    text = console.export_text()
    assert re.search(r"a +█+░+ +70\.0%", text)
    assert "7 dropped" in text and "40 ms behind" in text and "Ctrl-C" in text


def test_what_was_watched_is_counted_in_the_models_steps():
    for step, told in (("frame", ", 1 frame in "), ("step", ", 1 step in ")):
        tally = Tally("a.wav", step=step)
        tally.add(update_of())
        assert told in tally.summary()


def test_what_it_costs_to_look_ahead_is_said(capsys):
    engine = BrightnessEngine(info={"context_s": 1.6})
    engine.can_step = False
    say_delay(ActionRecognizer(engine))
    assert re.search(
        r"looks at what comes next.*up\s+to 0\.10 s old", capsys.readouterr().err, re.DOTALL
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
def test_ctrl_c_is_how_one_ends_it_and_no_error(small_model, film):
    command = [sys.executable, "-m", "cliptide.app", "watch", str(small_model), str(film)]
    # A background job of a shell ignores Ctrl-C, and so would its children.
    process = subprocess.Popen(
        [*command, "--realtime", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Watched" in err and "Traceback" not in err


def test_numbers_are_watched_too():
    update = update_of(task="regression", labels=(), scores={}, values={"speed": 1.5})
    assert update.to_json()["values"] == {"speed": 1.5}
    with pytest.raises(AttributeError, match=r"\.values"):
        _ = update.label
    assert np.isfinite(update.time_s)
