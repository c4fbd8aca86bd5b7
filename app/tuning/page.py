"""The study as one HTML file that works offline: leaderboard, history, curves, what matters."""

import html
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cliptide.app.evaluation.command_line import repeat_command
from cliptide.app.evaluation.report.page import page_environment
from cliptide.app.evaluation.writing import library_versions
from cliptide.app.inference.terminal import format_seconds
from cliptide.app.tuning.leaderboard import figure_text, short, short_names, state_counts
from cliptide.app.tuning.storage import without_password
from cliptide.app.tuning.study import Trial, ranked

_MOST_AXES = 9


def write_page(
    path: Path,
    *,
    title: str,
    figure: str,
    trials: Sequence[Trial],
    space: Mapping[str, Any],
    facts: Mapping[str, str],
    train_command: str,
    storage: str | None = None,
    importances: Mapping[str, float] | None = None,
) -> None:
    """Write the page; only a whole file replaces the one before.

    Args:
        path: The file.
        title: Its heading.
        figure: What the trials are judged by.
        trials: Every trial, in order.
        space: The searched keys and their values.
        facts: Short lines for the summary.
        train_command: What trains the best config.
        storage: The URL given with --study, whose password is not shown.
        importances: The share of each key in how the figures differ.
    """
    from plotly.offline import get_plotlyjs

    order = ranked(list(trials))
    start = next((trial for trial in order if trial.base), None)
    context = {
        "title": title,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "figure": figure,
        "trials": trials,
        "best": order[0] if order else None,
        "start": start,
        "ranks": {trial.number: rank for rank, trial in enumerate(order, start=1)},
        "shown": [*order, *(trial for trial in trials if trial.state != "complete")],
        "keys": list(space),
        "names": short_names(list(space)),
        "counts": state_counts(trials),
        "space": {key: _space_words(part) for key, part in space.items()},
        "facts": {**facts, "trained for": format_seconds(sum(t.seconds or 0 for t in trials))},
        "train_command": train_command,
        "command": _command(storage),
        "environment": library_versions(),
        "figures": _figures(figure, trials, order, list(space), space, importances or {}),
        "short": short,
        "figure_text": figure_text,
        "plotly_js": Markup(get_plotlyjs()) if trials else None,
    }
    template = page_environment(Path(__file__).parent).get_template("study.html.jinja")
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(template.render(context).encode("utf-8", errors="replace"))
    scratch.replace(path)


def _command(storage: str | None) -> str:
    """The command line, without the password of the storage in it."""
    command = repeat_command()
    if storage is None:
        return command
    quoted = storage.replace("'", "'\"'\"'")  # as `shlex` writes it inside of quotes
    return command.replace(quoted, without_password(storage))


def _space_words(part: Any) -> str:
    if isinstance(part, Mapping):
        log = ", each factor equally likely" if part.get("log") else ""
        step = f", in steps of {short(part['step'])}" if part.get("step") else ""
        return f"{short(part['low'])} to {short(part['high'])}{step}{log}"
    return ", ".join(short(value) for value in part)


def _figures(
    figure: str,
    trials: Sequence[Trial],
    order: Sequence[Trial],
    keys: Sequence[str],
    space: Mapping[str, Any],
    importances: Mapping[str, float],
) -> dict[str, Any]:
    """What the script draws: plain numbers and texts, no colours."""
    judged, order = drawable(trials), drawable(order)
    # A key that is the same in all of them is no axis.
    varied = [k for k in keys if len({repr(trial.values[k]) for trial in order}) > 1]
    if importances:
        varied.sort(key=lambda key: -importances.get(key, 0.0))
    return {
        "name": figure,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "figure": trial.figure,
                "base": trial.base,
                "text": "<br>".join(
                    plotly_text(f"{key} {short(value)}", chars=60)
                    for key, value in trial.values.items()
                ),
                "curve": [list(point) for point in trial.curve if math.isfinite(point[1])],
            }
            for trial in judged
        ],
        "best": order[0].number if order else None,
        "axes": [_axis(key, space[key], order) for key in varied],
        "lines": [trial.figure for trial in order],
        "numbers": [trial.number for trial in order],
        "most_axes": _MOST_AXES,
        "importances": [
            {"name": plotly_text(key), "share": share} for key, share in importances.items()
        ],
    }


def plotly_text(name: str, *, chars: int | None = None) -> str:
    """A name as Plotly shows it, cut to a number of characters."""
    # Plotly reads a few tags (<b>, <a>, ...) in labels; a class name is never markup. Cut
    # first: half an entity would show.
    short = name if chars is None or len(name) <= chars else name[: chars - 1] + "…"
    return html.escape(short, quote=False)


def drawable(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a figure; a training that diverged has none that could be drawn."""
    return [one for one in trials if one.figure is not None and math.isfinite(one.figure)]


def _axis(key: str, part: Any, order: Sequence[Trial]) -> dict[str, Any]:
    """A searched key: numbers as they are, other values counted, with their texts as ticks."""
    values = [trial.values[key] for trial in order]
    name = plotly_text(key)
    numeric = isinstance(part, Mapping)
    if numeric:
        log = bool(part.get("log"))
        # The start may have nothing there, or a 0 that has no logarithm.
        shown = [None if v is None or (log and v <= 0) else v for v in values]
        return {"key": name, "values": shown, "log": log, "ticks": None}
    choices = list(part) + [v for v in dict.fromkeys(values) if v not in part]
    return {
        "key": name,
        "values": [choices.index(value) for value in values],
        "log": False,
        "ticks": [plotly_text(short(choice), chars=16) for choice in choices],
    }
