"""Work that hangs, crashes or eats the memory costs only itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile_work import work

from cliptide.datasets.checking.workers import Failure, Limits, in_workers

FOREVER = Limits(time_s=100.0, memory_mb=4096)


def results(items, *, workers=2, limits=FOREVER):
    return dict(in_workers(work, items, workers=workers, limits=limits, preload="hostile_work"))


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A child of the fork server that nobody has asked for yet.
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_every_item_is_done_once():
    assert results([1, 2, 3, 4, 5]) == {1: 2, 2: 4, 3: 6, 4: 8, 5: 10}
    assert results([]) == {}


def test_a_crash_costs_only_its_item():
    found = results([1, "crash", 2, "killed", 3], workers=1)
    assert [found[item] for item in (1, 2, 3)] == [2, 4, 6]
    assert found["crash"] == Failure("the decoder's process died on it (SIGSEGV)")
    assert "SIGKILL; perhaps the system is short of memory" in found["killed"].cause


def test_what_hangs_is_stopped_in_time():
    began = time.perf_counter()
    found = results(["hang", 1, 2], limits=Limits(time_s=1.0, memory_mb=4096))
    assert time.perf_counter() - began < 20
    assert found == {"hang": Failure("reading it took longer than 1 s"), 1: 2, 2: 4}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces it")
def test_what_eats_the_memory_is_stopped():
    found = results(["eat", 1], workers=1, limits=Limits(time_s=100.0, memory_mb=200))
    assert found == {"eat": Failure("reading it needs more than 200 MB of memory"), 1: 2}
    assert results(["eat"], workers=1)["eat"] == 64


def test_an_error_nobody_foresaw_is_named():
    assert results(["raise"])["raise"] == Failure("reading it failed: KeyError: 'lost'")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_when_nobody_wants_more():
    running = in_workers(
        work, ["pid", "hang", "hang"], workers=2, limits=FOREVER, preload="hostile_work"
    )
    item, pid = next(running)
    assert item == "pid"
    running.close()
    assert is_gone(pid)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from hostile_work import work
from cliptide.datasets.checking.workers import Limits, in_workers

if __name__ == "__main__":
    limits = Limits(time_s=100.0, memory_mb=4096)
    for _, pid in in_workers(work, ["pid", "hang"], workers=1, limits=limits, preload="signal"):
        print(pid, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    with process:
        pid = int(process.stdout.readline())
        assert not is_gone(pid)
        process.send_signal(signal.SIGKILL)
    for _ in range(100):
        if is_gone(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"worker {pid} outlived its parent")
