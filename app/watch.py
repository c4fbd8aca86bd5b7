"""`cliptide watch`: what a model sees now, on a webcam, a network stream or a file."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cliptide.app.caption import colour_of
from cliptide.app.inference.loading import load
from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.stream import StreamScorer
from cliptide.app.inference.terminal import format_seconds, log, result_console, warn
from cliptide.app.inference.timeline_formats import clock
from cliptide.app.inference.watching import Update
from cliptide.app.results import percent
from cliptide.configs.errors import ConfigError, InputError, VideoError
from cliptide.datasets.catalog import SAMPLES
from cliptide.datasets.labels import SEPARATOR
from cliptide.datasets.live import is_live, without_password

SHOWN_CLASSES = 5
DRAWN_PER_S = 10
BAR = 30  # columns
RECENT = 100  # updates that the rate and the lag are taken over


@dataclass(frozen=True)
class WatchOptions:
    """How to watch.

    Attributes:
        as_json: A line of JSON for each update.
        on_change: Command that is run when the labels change.
        realtime: Whether a file is played at its own speed.
        nothing_below: Score under which nothing of the classes is seen; as fitted when None.
        reconnect_s: How long a lost source is tried to be had again, seconds.
        stop_after_s: Seconds after which to stop; None goes on for ever.
    """

    as_json: bool = False
    on_change: str | None = None
    realtime: bool = False
    nothing_below: float | None = None
    reconnect_s: float = 60.0
    stop_after_s: float | None = None


def watch_source(model: str, source: str, *, options: WatchOptions, device: str = "auto") -> int:
    """Watch until the source ends, Ctrl-C, or the time is over.

    Args:
        model: A model file.
        source: A webcam's number, a URL or a file.
        options: How.
        device: Where to compute.

    Returns:
        The exit code, 0.

    Raises:
        InputError: Model, source or options are wrong.
        VideoError: The source cannot be read, or was lost for too long.
    """
    if not options.reconnect_s >= 0 or not (
        options.stop_after_s is None or options.stop_after_s > 0
    ):
        raise ConfigError("--reconnect_s and --stop_after_s are seconds. Give them above 0.")
    if not is_live(source) and not Path(source).exists():
        raise InputError(
            f"There is no file {source}. Give a video, the number of a webcam, or a URL such as "
            "rtsp://..."
        )
    runner = ChangeRunner(options.on_change) if options.on_change else None
    recognizer = load(model, device=device)
    if not recognizer.info.streams.has_seconds:
        what = SAMPLES[recognizer.info.streams.samples].plural
        raise InputError(
            f"{model} reads {what}, which have no seconds to watch. Use cliptide predict."
        )
    if runner is not None and recognizer.task == "regression":
        raise ConfigError(
            "--on-change waits for another label, and the model predicts numbers. Leave it out; "
            "--json gives the numbers of each frame."
        )
    say_delay(recognizer)
    tally = Tally(source, step=Nouns.of_streams(recognizer.info.streams).step)
    try:
        with _view(recognizer, options, tally) as view:
            for update in _updates(recognizer, source, options=options, say=view.say):
                tally.add(update)
                view.show(update)
                if runner is not None:
                    if update.changed:
                        runner.run(update)
                    else:
                        runner.go_on()
    except KeyboardInterrupt:
        pass  # how a person ends it
    finally:
        if runner is not None:
            runner.close()
        if tally.count:
            log(tally.summary())
    return 0


def say_delay(recognizer: ActionRecognizer) -> None:
    """Tell what it costs that a model looks ahead."""
    delay_s = StreamScorer(recognizer.engine).delay_s
    if not recognizer.engine.can_step:
        log(
            "This model also looks at what comes next (bidirectional, or shift both), so it is "
            f"given the last {recognizer.info.context_s:.1f} s again and again: an answer is up "
            f"to {delay_s:.2f} s old."
        )


def _updates(
    recognizer: ActionRecognizer, source: str, *, options: WatchOptions, say: Any
) -> Iterator[Update]:
    reconnect_s, ends_s = options.reconnect_s, float("inf")
    if options.stop_after_s is not None:
        ends_s = time.monotonic() + options.stop_after_s
        reconnect_s = min(reconnect_s, options.stop_after_s)
    try:
        for update in recognizer.watch(
            source,
            realtime=options.realtime,
            nothing_below=options.nothing_below,
            reconnect_s=reconnect_s,
            on_status=say,
        ):
            yield update
            if time.monotonic() > ends_s:
                return
    except VideoError:
        if time.monotonic() < ends_s:  # else it is over anyway
            raise


class ChangeRunner:
    """Runs a command when the labels change; it is not waited for, and the next waits its turn.

    Args:
        command: Its words as a shell would split them; no shell is run.

    Raises:
        InputError: There is no such program.
    """

    def __init__(self, command: str) -> None:
        try:
            self._words = shlex.split(command, posix=os.name != "nt")
        except ValueError as error:
            raise InputError(f"--on-change {command!r} cannot be split ({error}).") from error
        if not self._words or shutil.which(self._words[0]) is None:
            raise InputError(
                f"--on-change {command!r}: there is no program "
                f"{self._words[0] if self._words else ''!r}. Give a command of this machine, or "
                "sh -c '...' for a line of shell."
            )
        self._running: subprocess.Popen[bytes] | None = None
        self._waiting: Update | None = None

    def run(self, update: Update) -> None:
        """Start it, or remember the newest change for when the last one is done."""
        self._waiting = update
        self.go_on()

    def go_on(self) -> None:
        """Start what waits, if nothing runs."""
        if self._running is not None:
            code = self._running.poll()
            if code is None:
                return
            if code:
                warn(f"The command of --on-change ended with exit code {code}.")
            self._running = None
        if self._waiting is not None:
            update, self._waiting = self._waiting, None
            scores = [f"{update.scores[label]:.4f}" for label in update.labels]
            self._running = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__,  # ours is for the updates, line by line
                env=os.environ
                | {
                    "CLIPTIDE_LABEL": SEPARATOR.join(update.labels),
                    "CLIPTIDE_SCORE": SEPARATOR.join(scores) or "0.0000",
                    "CLIPTIDE_TIME_S": f"{update.time_s:.3f}",
                },
            )

    def close(self) -> None:
        """Wait for the last one, a little."""
        for _ in range(2):
            if self._running is not None:
                try:
                    self._running.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    warn("The command of --on-change still runs; it is left alone.")
                    return
            self.go_on()


@dataclass
class Tally:
    """What a watch was like so far."""

    source: str
    step: str = "frame"
    count: int = 0
    dropped: int = 0
    last_s: float = 0.0
    began_s: float = field(default_factory=time.monotonic)
    lags_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    at_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, update: Update) -> None:
        """Count an update."""
        self.count += 1
        self.dropped, self.last_s = update.dropped, update.time_s
        self.lags_s.append(update.lag_s)
        self.at_s.append(time.monotonic())

    @property
    def rate_fps(self) -> float:
        """Frames a second of late."""
        return (len(self.at_s) - 1) / max(1e-9, self.at_s[-1] - self.at_s[0]) if self.at_s else 0.0

    @property
    def lag_s(self) -> float:
        """The median lag of late, seconds."""
        return sorted(self.lags_s)[len(self.lags_s) // 2] if self.lags_s else 0.0

    def summary(self) -> str:
        """What to say at the end."""
        took = format_seconds(time.monotonic() - self.began_s)
        lost = f", {self.dropped} dropped, for the machine was too slow" if self.dropped else ""
        return (
            f"Watched {without_password(self.source)}: {format_seconds(self.last_s)}, "
            f"{self.count} {self.step}{'' if self.count == 1 else 's'} in {took}{lost}."
        )


class _Lines:
    """For a pipe or a file: JSON for each update, or a line for each change."""

    def __init__(self, as_json: bool) -> None:
        self._as_json, self._is_first = as_json, True

    def show(self, update: Update) -> None:
        if self._as_json:
            print(json.dumps(update.to_json(), ensure_ascii=False), flush=True)
        elif update.task == "regression":
            values = "\t".join(f"{value:.6g}" for value in update.values.values())
            print(f"{update.time_s:.3f}\t{values}", flush=True)
        elif update.changed or self._is_first:
            scores = SEPARATOR.join(f"{update.scores[label]:.4f}" for label in update.labels)
            labels = SEPARATOR.join(update.labels)
            print(f"{update.time_s:.3f}\t{labels}\t{scores}", flush=True)
        self._is_first = False

    def say(self, text: str) -> None:
        log(text)


class _Screen:
    """For a terminal: the label, bars, and how well the machine keeps up; changes scroll above."""

    def __init__(self, recognizer: ActionRecognizer, tally: Tally, live: Live) -> None:
        self._index = {name: index for index, name in enumerate(recognizer.class_names)}
        self._tally, self._live, self._drawn_s = tally, live, 0.0

    def show(self, update: Update) -> None:
        if update.changed:
            words = ", ".join(update.labels) or "nothing"
            self._live.console.print(Text(f"{clock(update.time_s):>9}  {words}"))
        now_s = time.monotonic()
        if update.changed or now_s - self._drawn_s >= 1 / DRAWN_PER_S:
            self._drawn_s = now_s
            self._live.update(self._picture(update), refresh=True)

    def say(self, text: str) -> None:
        self._live.console.print(Text(text, style="yellow"))

    def _picture(self, update: Update) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(overflow="ellipsis", no_wrap=True, max_width=28)
        table.add_column()
        table.add_column(justify="right")
        if update.task == "regression":
            for name, value in update.values.items():
                table.add_row(name, "", f"{value:.4g}")
        else:
            ranked = sorted(update.scores.items(), key=lambda item: -item[1])
            for name, score in ranked[:SHOWN_CLASSES]:
                red, green, blue = colour_of(self._index[name])
                filled = round(BAR * score)
                bar = Text("█" * filled, style=f"rgb({red},{green},{blue})")
                bar.append("░" * (BAR - filled), style="dim")
                style = "bold" if name in update.labels else ""
                table.add_row(Text(name, style=style), bar, percent(score))
        tally = self._tally
        facts = [
            clock(update.time_s),
            f"{tally.rate_fps:.1f} {tally.step}s/s",
            f"{1000 * tally.lag_s:.0f} ms behind" if update.lag_s else "",
            f"{tally.dropped} dropped" if tally.dropped else "none dropped",
        ]
        line = "  ·  ".join(fact for fact in facts if fact)
        words = ", ".join(update.labels) or "nothing"
        heading = Text(words if update.task != "regression" else "", style="bold")
        return Group(heading, table, Text(f"{line}   (Ctrl-C ends)", style="dim"))


@contextmanager
def _view(
    recognizer: ActionRecognizer, options: WatchOptions, tally: Tally
) -> Iterator[_Lines | _Screen]:
    console = result_console()
    if options.as_json or not console.is_terminal:
        yield _Lines(options.as_json)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _Screen(recognizer, tally, live)
