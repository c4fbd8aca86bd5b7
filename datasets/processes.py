"""How worker processes start and end, whoever starts them. Imports nothing heavy."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any


def end_with_parent() -> None:
    """Make this worker end when the process that started it does, however that ends.

    Neither torch nor Python sees to it: a worker from a fork server is the server's child.
    """
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def usable_cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_context(*, augmenting: bool = True) -> Any:
    """How workers start: from a server that has imported what they need, or anew without one.

    Args:
        augmenting: Whether they will augment, which takes albumentations.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Imported once, while the server has no threads; a worker then starts in milliseconds.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    needed = ["cliptide.datasets.clips", *(["albumentations"] if augmenting else [])]
    context.set_forkserver_preload(needed)
    return context


def start_worker_server() -> None:
    """Let the server that workers come from import what they need, while this process goes on.

    Otherwise the first loader waits for it. Nothing where workers start anew.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        worker_context(augmenting=False)
        forkserver.ensure_running()


def limit_memory(memory_mb: int) -> None:
    """Let this worker take so much memory, MiB, on top of what it has. Linux alone enforces it."""
    if sys.platform != "linux":
        return
    import resource

    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    used = int(fields["VmData"].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + memory_mb * 2**20
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def how_it_ended(exit_code: int | None) -> str:
    """What the exit code of a process says, in words."""
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"{name}; perhaps the system is short of memory" if name == "SIGKILL" else name
