"""The trials as lines, as a table on the terminal and as a CSV file."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from cliptide.app.inference.terminal import format_seconds
from cliptide.app.tuning.study import Trial, ranked

MOST_ROWS = 10
_HEAD = ("trial", "state", "figure", "loss", "epoch", "seconds", "base")


def short(value: Any) -> str:
    """A value in few characters."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def figure_text(figure: float | None, *, digits: int = 3) -> str:
    """A validation figure; `-` where it is undefined."""
    return "-" if figure is None or not math.isfinite(figure) else f"{figure:.{digits}f}"


def trial_line(row: Trial, rows: Sequence[Trial], *, figure: str, wanted: int, left: str) -> str:
    """One line for a trial that has ended: state, figure, the best so far, values, time left."""
    finished = sum(one.state in ("complete", "pruned") for one in rows)
    words = [f"{finished:>{len(str(wanted))}}/{wanted}", f"trial {row.number:<3}"]
    words.append(f"{row.state:<8}")
    if row.error:
        return "  ".join([*words, row.error])
    if row.figure is not None:
        words.append(f"{figure} {figure_text(row.figure)}")
    best = ranked(list(rows))
    if best:
        words.append(f"best {figure_text(best[0].figure)} (trial {best[0].number})")
    if row.seconds is not None:
        words.append(format_seconds(row.seconds))
    words.append(left)
    words.append("the config it starts from" if row.base else words_of(row.values))
    return "  ".join(words)


def leaderboard(trials: Sequence[Trial], *, figure: str) -> Table:
    """The best complete trials, and the config that the search started from."""
    order = ranked(list(trials))
    shown = order[:MOST_ROWS]
    shown += [trial for trial in order[MOST_ROWS:] if trial.base]
    start = next((trial.values for trial in trials if trial.base), {})
    table = Table(title="Leaderboard", title_justify="left", title_style="bold")
    for name in ("", "trial", figure, "loss", "epoch"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what differs from the config it started from")
    for trial in shown:
        other = {key: v for key, v in trial.values.items() if repr(v) != repr(start.get(key))}
        table.add_row(
            str(order.index(trial) + 1),
            str(trial.number),
            figure_text(trial.figure),
            "-" if trial.loss is None else f"{trial.loss:.3f}",
            trial.epoch,
            "nothing: the start" if trial.base else words_of(other),
            style="bold" if trial is order[0] else None,
        )
    counts = state_counts(trials)
    table.caption = ", ".join(f"{count} {state}" for state, count in counts.items())
    return table


def words_of(values: Mapping[str, Any]) -> str:
    """Values in a line: `lr=0.003 hidden=64`."""
    return " ".join(f"{key.rpartition('.')[2]}={short(value)}" for key, value in values.items())


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
