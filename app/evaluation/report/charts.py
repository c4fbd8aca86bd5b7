"""The figures of the page as plain numbers: no colours, no pixels, nothing undefined."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cliptide.app.evaluation.report.stream_words import STREAM_NAMES, stream_groups
from cliptide.app.evaluation.report.words import difference, quality
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task

# (id, title, how its axis is told, (column, role, name) of each curve). Older runs have fewer
# columns: a chart without any is left out.
_Curves = tuple[tuple[str, str, str], ...]


def _both(figure: str) -> _Curves:
    return (
        (f"train_{figure}", "train", "training"),
        (f"val_{figure}", "val", "validation"),
    )


_HISTORY: tuple[tuple[str, str, str, _Curves], ...] = (
    ("loss", "Loss", "number", _both("loss")),
    ("top1", "Top-1", "share", _both("top1")),
    ("map", "mAP", "share", _both("map")),
    ("r2", "R²", "free", _both("r2")),
    ("lr", "Learning rate", "wide", (("lr", "val", "learning rate"),)),
    (
        "grad",
        "Gradient norm",
        "wide",
        (("grad_norm", "val", "mean"), ("grad_norm_max", "train", "largest")),
    ),
    ("wait", "Time spent waiting for data", "share", (("wait_share", "val", "of the epoch"),)),
)
# Beyond this ratio of the largest to the least a straight scale shows the large ones alone.
_MANY_TIMES = 30
_CONDITIONS = {
    "shuffled": "{steps} shuffled",
    "reversed": "{steps} reversed",
    "one_frame": "one {step} only",
}
_BASELINES = {
    "mean_pool": "mean over {steps}, no order",
    "single_frame": "a single {step}",
    "majority": "always the most frequent class of these {samples}",
    "mean": "always the mean",
}


def history_figures(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Curves over epochs; an epoch without a figure leaves a gap."""
    epochs = [_finite(row.get("epoch", number)) for number, row in enumerate(history)]
    figures = []
    for name, title, kind, columns in _HISTORY:
        curves, known = [], []
        for column, role, told in columns:
            values = [_finite(row.get(column)) for row in history]
            there = [value for value in values if value is not None]
            if there:
                curves.append({"name": told, "role": role, "y": values})
                known += there
        if curves and kind == "wide":
            # A logarithm has no place for a 0, which a warm-up starts with.
            kind = "log" if 0 < _MANY_TIMES * min(known) < max(known) else "number"
        if curves:
            figures.append(
                {"id": name, "title": title, "kind": kind, "x": epochs, "curves": curves}
            )
    return figures


def history_cell(value: Any) -> str:
    """A figure of an epoch as it is told in the table."""
    number = _finite(value)
    if number is None:
        return "\N{EN DASH}" if value in (None, "") or _is_number(value) else str(value)
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e6 else f"{number:.4g}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _finite(value: Any) -> float | None:
    # A history read back from CSV holds text, and an empty text where there was nothing.
    if value is None or not _is_number(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def order_bars(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The bars of "does it use time": the model, other orders, what needs no order.

    Returns:
        Bars with `name`, `kind` (model, order, baseline, chance), `value`, `told`, `low` and
        `high` (None where there is no interval) and `distance` in words. The interval of all but
        the model's own is that of its distance to the model, laid from the model's value.
    """
    # Of samples of one step there is no order to speak of, and the summary has the rest.
    if metrics.get("most_steps") == 1:
        return []
    task: Task = metrics["task"]
    nouns = Nouns.of_metrics(metrics)
    words = {"steps": nouns.steps, "step": nouns.step, "samples": nouns.samples}
    sign = -1 if task == "regression" else 1
    order, above = metrics.get("order"), metrics.get("above") or {}
    baselines = dict(metrics.get("baselines") or {})
    model = order["in_order"] if order else metrics.get("top1", metrics.get("mae"))
    if model is None:
        return []
    bars = [_own_bar("this model, in order", model, metrics)]
    if order:
        for key, name in _CONDITIONS.items():
            if order.get(key) is not None:
                worth = order["worth"].get(key)
                told = name.format(**words)
                bars.append(_compared(told, "order", order[key], worth, model, sign, task))
    for key, name in _BASELINES.items():
        if baselines.get(key) is not None:
            told = name.format(**words)
            bars.append(
                _compared(told, "baseline", baselines[key], above.get(key), model, sign, task)
            )
    if task == "single":
        chance = 1 / len(metrics["per_class"])
        bars.append(_bar("chance", "chance", chance, None, "", task))
    return _placed(bars, task)


def stream_bars(metrics: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The bars of "what is each stream worth": all streams, without each, and each alone.

    Returns:
        Bars as of `order_bars` for each group of `stream_groups`: what all streams together reach
        differs with the videos. Empty of a model of one stream.
    """
    task: Task = metrics["task"]
    sign = -1 if task == "regression" else 1
    groups = stream_groups(metrics)
    over_all = [group.num_videos for group in groups] == [metrics["num_scored"]]
    found = []
    for group in groups:
        together = next(iter(group.streams.values()))["together"]
        # The interval that is known is that of all videos.
        own = _own_bar if over_all else _bare_bar
        bars = [own("all streams", together, metrics)]
        for key, kind, distance, name in (
            ("without", "order", "worth", "without the {}"),
            ("alone", "baseline", "beside", "the {} alone"),
        ):
            for stream, entry in group.streams.items():
                told, value = name.format(STREAM_NAMES[stream]), entry[key]
                bars.append(_compared(told, kind, value, entry[distance], together, sign, task))
        found.append(_placed(bars, task))
    return found


def _bare_bar(name: str, value: float, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The model's own bar without an interval."""
    return _bar(name, "model", value, None, "", metrics["task"])


def _own_bar(name: str, value: float, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The model's own bar."""
    task: Task = metrics["task"]
    # The interval of mAP says nothing about the F1 of single videos.
    own = metrics["ci95"] if task != "multi" else None
    interval = f"{quality(own[0], task)} to {quality(own[1], task)}" if own else ""
    return _bar(name, "model", value, own, interval, task)


def _placed(bars: list[dict[str, Any]], task: Task) -> list[dict[str, Any]]:
    """The bars with where their ends are drawn, in percent of the width."""
    most = max(bar["high"] if bar["high"] is not None else bar["value"] for bar in bars)
    full = 1.0 if task != "regression" else (max(most, *(bar["value"] for bar in bars)) or 1.0)
    for bar in bars:
        for key in ("value", "low", "high"):
            end = bar[key]
            bar[f"{key}_at"] = None if end is None else round(100 * min(max(end / full, 0), 1), 2)
    return bars


def _compared(
    name: str,
    kind: str,
    value: float,
    entry: Mapping[str, Any] | None,
    model: float,
    sign: int,
    task: Task,
) -> dict[str, Any]:
    if not entry or not entry["ci95"]:
        return _bar(name, kind, value, None, "", task)
    ends = sorted(model - sign * end for end in entry["ci95"])
    return _bar(name, kind, value, ends, difference(entry, task=task), task)


def _bar(
    name: str,
    kind: str,
    value: float,
    ends: Sequence[float] | None,
    distance: str,
    task: Task,
) -> dict[str, Any]:
    low, high = ends or (None, None)
    told = quality(value, task)
    return {
        "name": name,
        "kind": kind,
        "value": value,
        "told": told,
        "low": low,
        "high": high,
        "distance": distance,
    }


def slice_rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The slices as rows of dots, one list a dimension, on one common scale."""
    slices = metrics.get("slices") or {}
    task: Task = metrics["task"]
    ends = [
        end
        for cut in slices.values()
        for entry in cut
        for end in (entry["value"], *(entry["ci95"] or ()))
    ]
    full = 1.0 if task != "regression" else (max(ends, default=1.0) or 1.0)

    def at(value: float | None) -> float | None:
        return None if value is None else round(100 * min(max(value / full, 0), 1), 2)

    units = {"duration": "length", "group": "groups, weakest first"}
    return [
        {
            "dimension": dimension,
            "title": units.get(dimension, dimension),
            "rows": [
                {
                    "name": entry["name"],
                    "num": entry["num"],
                    "weak": entry["weak"],
                    "told": quality(entry["value"], task),
                    "value_at": at(entry["value"]),
                    "low_at": at(entry["ci95"][0]) if entry["ci95"] else None,
                    "high_at": at(entry["ci95"][1]) if entry["ci95"] else None,
                }
                for entry in cut
            ],
        }
        for dimension, cut in slices.items()
    ]


def confidence_figure(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Reliability bins and the curve of accuracy against coverage; None without them."""
    calibration = metrics.get("calibration")
    if not calibration or not calibration.get("bins"):
        return None
    nothing = calibration.get("nothing_below")
    return {
        "bins": calibration["bins"],
        "coverage": calibration.get("coverage") or [],
        "threshold": nothing["threshold"] if nothing else None,
    }
