"""What `cliptide compare` prints: figures on stdout, warnings on stderr."""

from typing import TYPE_CHECKING

from rich.table import Table

from cliptide.app.inference.terminal import log, result_console, warn
from cliptide.app.results import number, percent

if TYPE_CHECKING:
    from cliptide.app.evaluation.compare import Comparison
    from cliptide.app.evaluation.compare_folders import ComparedRuns

_MOST_CLASSES = 5


def show_comparison(compared: "ComparedRuns") -> None:
    """Print warnings, figures of each run, verdicts, the classes that differ most, and paths."""
    comparison = compared.comparison
    for warning in comparison.warnings:
        warn(f"Warning: {warning}")
    for note in comparison.notes:
        log(f"Note: {note}")
    console = result_console()
    count, nouns = comparison.num_common, comparison.nouns
    common = f"the one {nouns.sample}" if count == 1 else f"the {count} {nouns.samples}"
    console.print(f"Results on {common} that all runs scored", style="bold", soft_wrap=True)
    console.print(_figures_table(comparison))
    for difference in comparison.differences:
        console.print(difference.words, style="bold", soft_wrap=True)
    if any(gain for one in comparison.classes for gain in one.gains):
        console.print("Where they differ most", style="bold")
        console.print(_classes_table(comparison))
    # print, not rich: a path that is wrapped cannot be copied.
    print(f"page:        {compared.page}")
    print(f"differences: {compared.table} ({nouns.counted(len(comparison.videos))})")


def _figures_table(comparison: "Comparison") -> Table:
    from cliptide.app.evaluation.compare import FIGURES

    show = number if comparison.task == "regression" else percent
    names = {
        key: name
        for key, name in FIGURES[comparison.task].items()
        if any(run.figures[key] is not None for run in comparison.runs)
    }
    first = next(iter(names))
    table = Table()
    table.add_column("figure")
    for run in comparison.runs:
        table.add_column(run.name, justify="right")
    for key, name in names.items():
        values = [show(run.figures[key]) for run in comparison.runs]
        table.add_row(name, *values, style="bold" if key == first else None)
        if key == first:
            intervals = [
                "-" if run.ci95 is None else f"{show(run.ci95[0])} to {show(run.ci95[1])}"
                for run in comparison.runs
            ]
            table.add_row(
                f"95 % interval, over {comparison.nouns.drawn(comparison.ci95_over)}", *intervals
            )
    table.add_row(comparison.nouns.samples, *(str(run.num_videos) for run in comparison.runs))
    table.add_row("beyond the common ones", *(str(run.num_beyond) for run in comparison.runs))
    return table


def _classes_table(comparison: "Comparison") -> Table:
    from cliptide.app.evaluation.compare import CLASS_WORDS

    _, what, figure = CLASS_WORDS[comparison.task]
    show = number if comparison.task == "regression" else percent
    table = Table()
    table.add_column(f"{what}, by {figure}")
    table.add_column(comparison.nouns.samples, justify="right")
    for run in comparison.runs:
        table.add_column(run.name, justify="right")
    for one in comparison.classes[:_MOST_CLASSES]:
        table.add_row(one.name, str(one.num_videos), *(show(figure) for figure in one.figures))
    return table
