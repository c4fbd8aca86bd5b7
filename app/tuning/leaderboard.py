"""The trials as lines, as a table on the terminal and as a CSV file."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cliptide.app.inference.terminal import format_seconds
from cliptide.app.tuning.study import Trial, ranked

MOST_ROWS = 10
MOST_ROWS_RUNNING = 5
MOST_CHARS = 160
_HEAD = ("trial", "state", "figure", "loss", "epoch", "seconds", "base")


def short(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def figure_text(figure: float | None, *, digits: int = 3) -> str:
    """A validation figure; `-` where it is undefined."""
    return "-" if figure is None or not math.isfinite(figure) else f"{figure:.{digits}f}"


def trial_line(
    row: Trial, rows: Sequence[Trial], *, figure: str, wanted: int, left_s: float
) -> str:
    """One line for a trial that has ended: state, figure, the best so far, times, and its values.

    Args:
        row: The trial.
        rows: Every trial.
        figure: What they are judged by.
        wanted: How many trials there shall be.
        left_s: How long the others may take.
    """
    words = [f"{_num_finished(rows):>{len(str(wanted))}}/{wanted}", f"trial {row.number:<3}"]
    words.append(f"{row.state:<8}")
    if row.error:
        return "  ".join([*words, row.error])
    if row.figure is not None:
        words.append(f"{figure} {figure_text(row.figure)}")
    best = ranked(list(rows))
    if best:
        words.append(f"best {figure_text(best[0].figure)} (trial {best[0].number})")
    took = "" if row.seconds is None else f"took {format_seconds(row.seconds)}, "
    words.append(f"{took}about {format_seconds(left_s)} left")
    line = "  ".join(words) + "  "
    return line + difference_words(row, rows, chars=MOST_CHARS - len(line))


def leaderboard(trials: Sequence[Trial], *, figure: str) -> Table:
    """The best complete trials, and the config that the search started from."""
    order = ranked(list(trials))
    shown = order[:MOST_ROWS]
    shown += [trial for trial in order[MOST_ROWS:] if trial.base]
    table = _table("Leaderboard", figure=figure)
    for trial in shown:
        _add(table, trial, trials, rank=order.index(trial) + 1)
    counts = state_counts(trials)
    table.caption = ", ".join(f"{count} {state}" for state, count in counts.items())
    return table


def running_board(trials: Sequence[Trial], now: Trial, *, figure: str, wanted: int) -> Table:
    """The few best complete trials so far, a line each, and below them the one under way.

    Args:
        trials: Every trial.
        now: The one under way, with its figure and epoch so far.
        figure: What they are judged by.
        wanted: How many trials there shall be.
    """
    title = f"{_num_finished(trials)} of {wanted} trials are finished"
    table = _table(title, figure=figure)
    for rank, trial in enumerate(ranked(list(trials))[:MOST_ROWS_RUNNING], start=1):
        _add(table, trial, trials, rank=rank, one_line=True)
    table.add_section()
    _add(table, now, trials, rank=None, one_line=True)
    return table


def _num_finished(trials: Sequence[Trial]) -> int:
    return sum(trial.state in ("complete", "pruned") for trial in trials)


def _table(title: str, *, figure: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("", "trial", figure, "loss", "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what differs from the start")
    return table


def _add(
    table: Table,
    trial: Trial,
    trials: Sequence[Trial],
    *,
    rank: int | None,
    one_line: bool = False,
) -> None:
    # The text is cut, not the column: rich would narrow the numbers' columns first.
    cut: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"} if one_line else {}
    table.add_row(
        "" if rank is None else str(rank),
        str(trial.number),
        figure_text(trial.figure),
        "-" if trial.loss is None else f"{trial.loss:.3f}",
        trial.epoch,
        Text(difference_words(trial, trials), **cut),
        style="bold" if rank == 1 else None,
    )


def difference_words(trial: Trial, trials: Sequence[Trial], *, chars: int | None = None) -> str:
    """In what a trial differs from the config that the search started from: `lr=0.003 layers=2`.

    Args:
        trial: The trial.
        trials: Every trial.
        chars: How long the words may be; what finds no room is counted. Any length by default.
    """
    if trial.base:
        return "the start"
    start = next((one.values for one in trials if one.base), {})
    other = {key: v for key, v in trial.values.items() if repr(v) != repr(start.get(key))}
    names = short_names(list(trial.values))
    words = [f"{names[key]}={short(value)}" for key, value in other.items()]
    for kept in range(len(words), -1, -1):
        more = [f"and {len(words) - kept} more"] if kept < len(words) else []
        text = " ".join([*words[:kept], *more])
        if chars is None or len(text) <= chars or kept == 0:
            return text or "the same as the start"
    raise AssertionError("none kept returns")


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, the whole key where that would be taken for something else."""
    tails = [key.rpartition(".")[2] for key in keys]
    taken = {tail for tail in tails if tails.count(tail) > 1} | {*_HEAD, "rank", "#"}
    return {key: key if tail in taken else tail for key, tail in zip(keys, tails, strict=True)}


def state_counts(trials: Sequence[Trial]) -> Mapping[str, int]:
    """How many trials there are of each state that occurs."""
    names = ("complete", "pruned", "failed", "died", "running")
    counts = {name: sum(trial.state == name for trial in trials) for name in names}
    return {name: count for name, count in counts.items() if count}


def write_trials(path: Path, trials: Sequence[Trial], *, keys: Sequence[str]) -> None:
    """Write a line a trial; only a whole file replaces the one before."""
    scratch = path.with_name(path.name + ".part")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_HEAD, *keys, "error"])
        for trial in trials:
            seconds = "" if trial.seconds is None else round(trial.seconds, 2)
            about = [trial.number, trial.state, _cell(trial.figure), _cell(trial.loss)]
            about += [trial.epoch, seconds, str(trial.base).lower()]
            values = [_cell(trial.values[key]) for key in keys]
            writer.writerow([*about, *values, trial.error])
    scratch.replace(path)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value
