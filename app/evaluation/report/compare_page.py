"""The comparison as one HTML file that works offline, in the report's colours.

Intervals are drawn as inline SVG, so that the page needs no script to be read; a script sorts
and filters its tables.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cliptide.app.evaluation.command_line import repeat_command
from cliptide.app.evaluation.compare import (
    CLASS_WORDS,
    FIGURES,
    Answer,
    Comparison,
    VideoDifference,
)
from cliptide.app.evaluation.report.page import page_environment
from cliptide.app.evaluation.report.words import percent
from cliptide.datasets.labels import numbers_in

# More rows than this are slow to sort on a phone; differences.csv has all of them.
_MOST_ROWS = 2000
_MOST_TICKS = 6
_UNDEFINED = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def write_page(path: Path, comparison: Comparison, *, folders: Sequence[Path]) -> None:
    """Write the page; only a whole file replaces the one before.

    Args:
        path: The file.
        comparison: What it shows.
        folders: Where each run lies.
    """
    template = page_environment().get_template("compare.html.jinja")
    scratch = path.with_name(path.name + ".part")
    page = template.render(_context(comparison, folders))
    # Names of files that are no UTF-8 hold lone surrogates, which no page can show.
    scratch.write_bytes(page.encode("utf-8", errors="replace"))
    scratch.replace(path)


def _context(comparison: Comparison, folders: Sequence[Path]) -> dict[str, Any]:
    task = comparison.task
    regression = task == "regression"
    figures = {
        key: name
        for key, name in FIGURES[task].items()
        if any(run.figures[key] is not None for run in comparison.runs)
    }
    return {
        "comparison": comparison,
        "nouns": comparison.nouns,
        "names": [run.name for run in comparison.runs],
        "runs": [
            (run, folder, [_figure(run.figures[key], regression) for key in figures])
            for run, folder in zip(comparison.runs, folders, strict=True)
        ],
        "figures": list(figures.values()),
        "main": next(iter(figures.values())),
        "regression": regression,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": repeat_command(),
        "charts": _charts(comparison, next(iter(FIGURES[task]))),
        "class_words": CLASS_WORDS[task],
        "rows": [
            (video, " ".join(map(str, best_runs(video))))
            for video in comparison.videos[:_MOST_ROWS]
        ],
        "show": lambda value: _figure(value, regression),
        "numbers": lambda label: ", ".join(_figure(one, True) for one in numbers_in(label)),
        "first_number": lambda label: numbers_in(label)[0],
        "gain": lambda value: _gain(value, regression),
    }


def best_runs(video: VideoDifference) -> list[int]:
    """The places of the runs that are right, or whose error is the least."""

    def good(answer: Answer) -> bool:
        return bool(answer.right) if answer.error is None else answer.error == least

    least = min((a.error for a in video.answers if a.error is not None), default=None)
    return [place for place, answer in enumerate(video.answers) if good(answer)]


def _charts(comparison: Comparison, main: str) -> list[dict[str, Any]]:
    """Intervals of the runs, and of their gains over the first, each on a scale of its own."""
    regression = comparison.task == "regression"
    runs = [(run.name, run.figures[main], run.ci95, "point") for run in comparison.runs]
    gains = [(one.name, one.gain, one.ci95, one.verdict) for one in comparison.differences]
    first = comparison.runs[0].name
    name = FIGURES[comparison.task][main]
    charts = []
    for title, entries, show, zero, bounds in (
        (
            f"{name if name == 'mAP' else name.capitalize()} of each run",
            runs,
            _figure,
            False,
            not regression,
        ),
        (f"Gain over {first}", gains, _gain, True, False),
    ):
        ends = [end for _, _, ci95, _ in entries if ci95 for end in ci95]
        ends += [value for _, value, _, _ in entries if value is not None]
        if not ends:
            continue
        ticks = nice_ticks(min(ends + [0.0] * zero), max(ends + [0.0] * zero), share=bounds)
        # Gains are in points, which are no percentage of anything.
        unit = None if regression else "" if zero else "%"
        low, width = ticks[0], ticks[-1] - ticks[0]

        def place(value: float, low: float = low, width: float = width) -> float:
            return round(100 * (value - low) / width, 2)

        charts.append(
            {
                "title": title,
                "zero": place(0.0) if zero else None,
                "ticks": [(place(tick), _tick(tick, ticks, unit)) for tick in ticks],
                "rows": [
                    {
                        "name": row_name,
                        "kind": kind,
                        "point": None if value is None else place(value),
                        "band": (place(ci95[0]), place(ci95[1])) if ci95 else None,
                        "text": show(value, regression),
                        "ci95": f"{show(ci95[0], regression)} to {show(ci95[1], regression)}"
                        if ci95
                        else "",
                    }
                    for row_name, value, ci95, kind in entries
                ],
            }
        )
    return charts


def nice_ticks(low: float, high: float, *, share: bool) -> list[float]:
    """Round numbers from at or below the least to at or above the greatest, in equal steps.

    Args:
        low: The least value.
        high: The greatest.
        share: Whether nothing below 0 or above 1 can be.
    """
    spread = high - low or abs(high) or 1.0
    pad = 0.04 * spread
    low, high = low - pad, high + pad
    if share:
        low, high = max(low, 0.0), min(high, 1.0)
    rough = (high - low) / (_MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _tick(tick: float, ticks: Sequence[float], unit: str | None) -> str:
    """A tick's number; a share as hundredths with their unit, which may be nothing."""
    factor = 1 if unit is None else 100
    step = (ticks[1] - ticks[0]) * factor
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    value = factor * tick
    text = f"{abs(value):.{digits}f}"
    sign = _MINUS if value < 0 and float(text) else ""
    return sign + text + (unit or "")


def _figure(value: float | None, regression: bool) -> str:
    if value is None:
        return _UNDEFINED
    return f"{value:.4g}".replace("-", _MINUS) if regression else percent(value, 1)


def _gain(value: float | None, regression: bool) -> str:
    """A difference with its sign; shares in points of a hundred."""
    if value is None:
        return _UNDEFINED
    text = f"{abs(value):.3g}" if regression else f"{abs(100 * value):.1f}"
    if not float(text):
        return text
    return ("+" if value > 0 else _MINUS) + text
