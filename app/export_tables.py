"""What `cliptide export` says at its end, on stdout."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cliptide.app.inference.terminal import result_console, warn
from cliptide.app.results import number, percent

if TYPE_CHECKING:
    from cliptide.app.export.cost import Cost
    from cliptide.app.export.export import Exported

MOST_PORTS = 8  # of a graph; shifts alone may bring dozens of states


def show_export(exported: "Exported") -> None:
    """Print what was written: graphs, inputs and outputs, and how far they lie from PyTorch."""
    console = result_console()
    console.print(_graphs_table(exported))
    if exported.missing:
        console.print(exported.missing, style="yellow", soft_wrap=True)
    quantized = exported.quantized
    if quantized is not None and quantized.cost is not None:
        console.print(_cost_table(quantized.cost))
        nouns = quantized.cost.comparison.nouns
        for difference in quantized.cost.comparison.differences:
            console.print(difference.words, soft_wrap=True)
        if quantized.cost.num_failed:
            warn(f"Not read: {nouns.counted(quantized.cost.num_failed)}.")
    elif quantized is not None:
        warn("What 8 bits cost is not measured: give a data set with --data.")
    # print, not rich: a path that is wrapped cannot be copied.
    print(f"Written: {exported.folder}")


def _graphs_table(exported: "Exported") -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("graph", "input", "output"):
        table.add_column(column, overflow="fold")
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("differs by", justify="right", no_wrap=True)
    quantized = exported.quantized
    for graph, parity in zip(exported.graphs, exported.parities, strict=True):
        name = parity.graph
        size, worst = _megabytes(exported.sizes[name]), f"{parity.worst:.0e}"
        if quantized is not None:
            size = f"{_megabytes(quantized.sizes[name])} -> {size}"
            worst = f"{worst} -> {quantized.worst[name]:.0e}"
        table.add_row(name, _ports(graph["inputs"]), _ports(graph["outputs"]), size, worst)
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _ports(ports: list[Mapping[str, Any]]) -> str:
    lines = [
        f"{port['name']} {port['type']} {', '.join(str(size) for size in port['shape'])}"
        for port in ports
    ]
    if len(lines) > MOST_PORTS:
        lines[MOST_PORTS - 1 :] = [f"and {len(lines) - MOST_PORTS + 1} more: graphs.json"]
    return "\n".join(lines)


def _cost_table(cost: "Cost") -> Table:
    from cliptide.app.evaluation.compare import FIGURES

    comparison = cost.comparison
    show = number if comparison.task == "regression" else percent
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("test split")
    for run in comparison.runs:
        table.add_column(run.name, justify="right")
    for key, name in FIGURES[comparison.task].items():
        values = [run.figures[key] for run in comparison.runs]
        if any(value is not None for value in values):
            table.add_row(name, *map(show, values))
    table.add_row(comparison.nouns.samples, *(str(run.num_videos) for run in comparison.runs))
    table.add_row(
        f"{comparison.nouns.records} a second", *(f"{rate:.1f}" for rate in cost.clips_per_s)
    )
    return table
