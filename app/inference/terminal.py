"""Telling a person at a terminal, or a log file, what is going on. All of it goes to stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")
LINE_EVERY_S = 10.0


def log_console() -> Console:
    """A console on stderr as it is now (tests and notebooks replace it)."""
    return _plain_console(file=sys.stderr, soft_wrap=True)


def result_console() -> Console:
    """A console on stdout as it is now, for what the command was run for."""
    return _plain_console(file=sys.stdout)


def _plain_console(**options: Any) -> Console:
    # `[red]` and `:bomb:` may stand in a file's or a class's name and are no markup there.
    return Console(highlight=False, markup=False, emoji=False, **options)


def log(text: str) -> None:
    """Say something on stderr."""
    log_console().print(text)


def warn(text: str) -> None:
    """Say loudly that something is wrong, on stderr."""
    log_console().print(text, style="bold yellow")


def format_seconds(seconds: float) -> str:
    """A duration in words: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def track(
    items: Iterable[Item],
    *,
    total: int,
    what: str,
    unit: str,
    weigh: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
    """Hand items on and show how far it is; see `showing`.

    Args:
        items: What to hand on.
        total: How many there are.
        what: What is being done, such as `Evaluating`.
        unit: What is counted, such as `videos`.
        weigh: How many of `unit` an item is.
    """
    count = 0
    with showing(total=total, what=what, unit=unit) as tell:
        for item in items:
            count += weigh(item)
            tell(count)
            yield item


@contextmanager
def showing(*, total: float, what: str, unit: str) -> Iterator[Callable[[float], None]]:
    """Show how far it is: a bar with rate and time left on a terminal, else a line now and then.

    Args:
        total: How much there is to do.
        what: What is being done, such as `Evaluating`.
        unit: What is counted, such as `videos`.

    Yields:
        What to tell how much is done by now.
    """
    console = log_console()
    began = time.perf_counter()
    if console.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(what, total=total, rate="")

            def tell(done: float) -> None:
                rate = done / max(time.perf_counter() - began, 1e-9)
                progress.update(task, completed=done, rate=f"{rate:.1f} {unit}/s")

            yield tell
        return
    last_line = began

    def tell_in_lines(done: float) -> None:
        nonlocal last_line
        now = time.perf_counter()
        if now - last_line >= LINE_EVERY_S and done:
            last_line, rate = now, done / (now - began)
            left = format_seconds((total - done) / rate)
            log(f"{what}: {done:.0f}/{total:.0f} {unit}, {rate:.1f} {unit}/s, {left} left")

    yield tell_in_lines
