"""What the figures mean, in sentences: every verdict of the report.

A sentence never says more than its interval: a difference is a finding only where the interval
leaves zero out, and what is unclear is called so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task

# A number and its sign are one word: no line breaks between them.
_PERCENT = "\N{NO-BREAK SPACE}%"
_MINUS = "\N{MINUS SIGN}"
# More examples than this make a sentence a wall; the count is always given.
MAX_EXAMPLES = 5

Tone = Literal["good", "care", "bad", "plain"]


@dataclass(frozen=True)
class Verdict:
    """One finding.

    Attributes:
        tone: How the reader should take it.
        text: One or two sentences.
        anchor: The section that shows more, by its id; empty for none.
    """

    tone: Tone
    text: str
    anchor: str = ""


def percent(share: float | None, digits: int = 0) -> str:
    """A share as `71 %`; a dash where there is none."""
    if share is None:
        return "\N{EN DASH}"
    # 99.7 % is not 100 %, and 0.3 % is not nothing.
    if digits == 0 and (0.995 <= share < 1 or 0 < share < 0.005):
        digits = 1
    return f"{100 * share:.{digits}f}{_PERCENT}"


def difference(entry: Mapping[str, Any], *, task: Task = "single") -> str:
    """A difference with its interval: `+21 points (18 to 24)`; of a regression in its units."""
    by, ends = entry["by"], entry["ci95"] or ()
    if task == "regression":
        told = _alike([abs(value) for value in (by, *ends)])
        unit = " of error"
    else:
        # All numbers as coarse as the largest: whole points from ten on.
        coarse = max(abs(value) for value in (by, *ends)) >= 0.0995
        told = [_points(value, coarse=coarse) for value in (by, *ends)]
        unit = " point" if told[0] == "1" else " points"
    signs = [
        "" if float(text) == 0 else _MINUS if value < 0 else "+" if place == 0 else ""
        for place, (text, value) in enumerate(zip(told, (by, *ends), strict=True))
    ]
    told = [sign + text for sign, text in zip(signs, told, strict=True)]
    return f"{told[0]}{unit}" + (f" ({told[1]} to {told[2]})" if ends else "")


def _alike(sizes: Sequence[float]) -> list[str]:
    """Numbers from 0 on with the same decimals: three digits of the largest."""
    most = max(sizes)
    decimals = 0 if most <= 0 else max(0, 2 - math.floor(math.log10(most)))
    # A long row of zeros is no number to read.
    return [f"{size:.3g}" if decimals > 7 else f"{size:.{decimals}f}" for size in sizes]


def _points(share: float, *, coarse: bool) -> str:
    points = abs(100 * share)
    # An end of 0.3 points is not an end of 0.
    if coarse and not 0.05 <= points < 1:
        return f"{points:.0f}"
    return f"{points:.1f}".removesuffix(".0")


def examples(names: Sequence[str], *, limit: int = MAX_EXAMPLES) -> str:
    """A few names, and how many more there are."""
    told = ", ".join(names[:limit])
    more = len(names) - limit
    return f"{told} and {more} more" if more > 0 else told


def order_verdict(metrics: Mapping[str, Any]) -> Verdict | None:
    """Whether the model really uses time; None where other orders were not tried."""
    order = metrics.get("order")
    only = _only_answer(metrics)
    nouns = Nouns.of_metrics(metrics)
    if only and (order or {}).get("verdict") not in ("uses", "worse"):
        text = f"It answers '{only}' for every {nouns.sample}"
        if metrics.get("most_steps") == 1:
            return Verdict("bad", f"{text}: it has learnt nothing.")
        nothing = "it has learnt nothing that order could change"
        return Verdict("bad", f"{text}: {nothing}.", "time" if order else "")
    if not order or "verdict" not in order:
        return None
    worth, task = order["worth"], metrics["task"]
    verdict = order["verdict"]
    shuffled = worth.get("shuffled")
    if verdict == "uses":
        return Verdict("good", _uses(metrics), "time")
    if verdict == "ignores":
        return Verdict("bad", _ignores(order, task, nouns), "time")
    if verdict == "not_above_baseline":
        above = metrics.get("above", {}).get("mean_pool")
        than = f": {difference(above, task=task)}" if above else ""
        return Verdict(
            "care",
            f"Order is worth {_strongest(worth, task)}, but the model is not clearly better than "
            f"averaging its {nouns.steps} without any order{than}.",
            "time",
        )
    if verdict == "worse":
        told = difference(shuffled, task=task) if shuffled else ""
        return Verdict(
            "bad",
            f"Order does harm: it is worth {told}, so shuffled {nouns.steps} score better than "
            f"{nouns.steps} in order. Look at how {nouns.steps} are sampled in training and here.",
            "time",
        )
    return Verdict("care", _unclear(order, task, nouns), "time")


def _only_answer(metrics: Mapping[str, Any]) -> str:
    """The class that every sample is taken for, though several are among them; else empty."""
    confusion = metrics.get("confusion") or []
    taken = [sum(column) for column in zip(*confusion, strict=True)]
    answers = [
        name for name, count in zip(metrics.get("per_class", {}), taken, strict=False) if count
    ]
    return answers[0] if len(answers) == 1 and sum(any(row) for row in confusion) > 1 else ""


def _unclear(order: Mapping[str, Any], task: Task, nouns: Nouns) -> str:
    known = {
        name: entry
        for name, entry in order["worth"].items()
        if name in ("shuffled", "reversed") and entry["ci95"]
    }
    if not known:
        return f"Whether order matters is unclear: so few {nouns.samples} cannot show it."
    if all(entry["by"] == 0 and not any(entry["ci95"]) for entry in known.values()):
        same = order.get("same_answers") or {}
        what = (
            "No answer changed"
            if same and all(share == 1 for share in same.values())
            else f"No {nouns.sample} was answered better or worse"
        )
        return (
            f"{what} when {nouns.steps} were shuffled or reversed, but so few {nouns.samples} "
            "cannot show that order never matters."
        )
    # The one that leaves most open is why it is unclear.
    name = max(known, key=lambda name: known[name]["ci95"][1] - known[name]["ci95"][0])
    told = difference(known[name], task=task)
    low, high = known[name]["ci95"]
    # An interval beside zero alone proves nothing: the exact test of pairs must agree.
    beyond = "which an exact test of the pairs does not bear out" if low > 0 or high < 0 else ""
    chance = f", {beyond or 'which may be chance'}" if known[name]["by"] else ""
    what = "it" if name == "shuffled" else "its direction"
    return (
        f"Whether order matters is unclear: {what} is worth {told}{chance}. More test "
        f"{nouns.samples} would tell."
    )


def _strongest(worth: Mapping[str, Any], task: Task) -> str:
    shuffled, turned = worth.get("shuffled"), worth.get("reversed")
    only_direction = turned and not _above_zero(shuffled) and _above_zero(turned)
    chosen = turned if only_direction or not shuffled else shuffled
    return difference(chosen, task=task) if chosen else "something"


def _uses(metrics: Mapping[str, Any]) -> str:
    worth, task = metrics["order"]["worth"], metrics["task"]
    shuffled, turned = worth.get("shuffled"), worth.get("reversed")
    if not _above_zero(shuffled) and _above_zero(turned):
        return (
            f"Direction is worth {difference(turned, task=task)}: the model tells forwards from "
            "backwards, though shuffling alone does little."
        )
    text = f"Order is worth {difference(shuffled, task=task)}: the model uses time."
    above = metrics.get("above", {}).get("mean_pool")
    if above and above["ci95"] and above["ci95"][0] > 0:
        lead = difference(above, task=task).removeprefix("+")
        steps = Nouns.of_metrics(metrics).steps
        text += f" It is {lead} better than averaging its {steps} without any order."
    return text


def _ignores(order: Mapping[str, Any], task: Task, nouns: Nouns) -> str:
    same = order.get("same_answers", {})
    if same and all(share == 1 for share in same.values()):
        return (
            f"This model ignores order: shuffled or reversed, every {nouns.sample} gets the very "
            f"same answer. It looks at {nouns.steps}, not at time."
        )
    shuffled = order["worth"].get("shuffled")
    worth = f" Order is worth {difference(shuffled, task=task)}." if shuffled else ""
    return (
        f"This model ignores order: shuffling or reversing the {nouns.steps} changes next to "
        f"nothing.{worth}"
    )


def _above_zero(entry: Mapping[str, Any] | None) -> bool:
    return bool(entry and entry["ci95"] and entry["ci95"][0] > 0)


def calibration_verdict(metrics: Mapping[str, Any]) -> Verdict | None:
    """Whether scores can be believed; None without them."""
    calibration = metrics.get("calibration")
    if not calibration or calibration.get("mean_score") is None:
        return None
    yes = calibration.get("yes")
    says, gap = calibration["mean_score"], calibration["gap"]
    if yes:
        says, gap = yes["mean_score"], yes["gap"]
        told = (
            f"where it gives a label, it says {percent(says)} on average and is right in "
            f"{percent(says - gap)}"
        )
    elif metrics["task"] == "multi":
        told = (
            f"its yes or no says {percent(says)} on average and is right in {percent(says - gap)}"
        )
    else:
        told = f"it says {percent(says)} on average and is right in {percent(says - gap)}"
    sentences: dict[str, tuple[Tone, str]] = {
        "over": ("care", f"Over-confident: {told}."),
        "under": ("care", f"Under-confident: {told}."),
        "good": ("good", f"Its confidence can be believed: {told}."),
        "unclear": (
            "plain",
            f"Its confidence is not proven right or wrong: {told}, which may be chance.",
        ),
    }
    tone, text = sentences[calibration["verdict"]]
    return Verdict(tone, text, "confidence")


def threshold_words(nothing: Mapping[str, Any], nouns: Nouns) -> str:
    """What the suggested threshold for 'nothing of these' keeps and turns away."""
    kept, passed = nothing["kept_right"], nothing["kept_wrong"]
    turned = None if passed is None else 1 - passed
    where = (
        f"chosen on the validation {nouns.samples}"
        if nothing["from"] == "validation"
        else f"chosen on these very {nouns.samples}, so a little too good"
    )
    parts = []
    if kept is not None:
        parts.append(f"keeps {percent(kept)} of the right answers")
    if turned is not None:
        parts.append(f"turns away {percent(turned)} of the wrong ones")
    told = f": it {' and '.join(parts)}" if parts else ""
    return (
        f"Suggested threshold for \N{LEFT SINGLE QUOTATION MARK}nothing of these"
        f"\N{RIGHT SINGLE QUOTATION MARK}: {percent(nothing['threshold'])}{told} ({where})."
    )


def swap_verdicts(metrics: Mapping[str, Any], class_names: Sequence[str]) -> list[Verdict]:
    """Classes whose names look exchanged, one sentence a cycle."""
    place = {name: number for number, name in enumerate(class_names)}
    samples = Nouns.of_metrics(metrics).samples
    found = []
    for cycle in metrics.get("swaps") or []:
        steps = []
        for name, taken in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            row = metrics["confusion"][place[name]]
            steps.append((name, taken, row[place[taken]], sum(row)))
        quoted = [f"'{name}'" for name in cycle]
        first = steps[0]
        if len(cycle) == 2:
            text = (
                f"{quoted[0]} and {quoted[1]} look swapped: {first[2]} of {first[3]} {samples} "
                f"of {first[0]} are taken for {first[1]} and {steps[1][2]} of {steps[1][3]} the "
                "other way round."
            )
        else:
            told = ", ".join(f"{a} for {b} ({n} of {all_})" for a, b, n, all_ in steps)
            names = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
            text = f"{names} look swapped in a circle: {told}."
        found.append(Verdict("bad", f"{text} Check labels and class list.", "classes"))
    return found


# With fewer videos no kind of them could stand out.
_ENOUGH_VIDEOS = 20
_SLICE_NAMES = {
    "duration": "{samples} {name}",
    "resolution": "{samples} of {name}",
    "brightness": "brightness {name}",
    "motion": "motion {name}",
    "group": "group {name}",
}


def slice_verdict(metrics: Mapping[str, Any]) -> Verdict | None:
    """The weak slices in one sentence; None where nothing was cut into slices."""
    slices = metrics.get("slices")
    if not slices:
        return None
    nouns = Nouns.of_metrics(metrics)
    weak = [
        (dimension, entry) for dimension, cut in slices.items() for entry in cut if entry["weak"]
    ]
    if not weak:
        few = metrics.get("num_scored", _ENOUGH_VIDEOS) < _ENOUGH_VIDEOS
        told = (
            f"Too few {nouns.samples} to tell which kinds are weak."
            if few
            else f"No kind of {nouns.sample} is shown to be weaker than the rest."
        )
        return Verdict("plain", told, "slices")
    lower_is_better = metrics["task"] == "regression"
    weak.sort(key=lambda pair: pair[1]["value"] * (-1 if lower_is_better else 1))
    named = []
    for dimension, entry in weak[:MAX_EXAMPLES]:
        kind = _SLICE_NAMES[dimension].format(samples=nouns.samples, name=entry["name"])
        value = quality(entry["value"], metrics["task"])
        told = f"error {value} over" if lower_is_better else f"{value} of"
        named.append(f"{kind}, {told} {entry['num']}")
    more = len(weak) - len(named)
    tail = f"; and {more} more" if more else ""
    return Verdict("care", f"Weak: {'; '.join(named)}{tail}.", "slices")


def quality(value: float | None, task: Task) -> str:
    """Mean quality of some videos as it is told: a share, or an error in the target's units."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.4g}" if task == "regression" else percent(value)


def groups_words(metrics: Mapping[str, Any]) -> str:
    """How far groups differ from each other; empty where each is of one sample, as if unknown."""
    groups = metrics.get("groups")
    if not groups or groups["count"] == metrics.get("num_scored"):
        return ""
    task, nouns = metrics["task"], Nouns.of_metrics(metrics)
    (low, lowest, few), (high, highest, many) = groups["min"], groups["max"]
    if lowest == highest and groups["count"] > 1:
        return f"All {groups['count']} groups score {quality(lowest, task)}."
    spread = (
        f"{groups['sd']:.3g}"
        if task == "regression"
        else f"{_points(groups['sd'], coarse=True)} points"
    )
    return (
        f"Over {groups['count']} groups: from {quality(lowest, task)} ({low}, "
        f"{nouns.counted(few)}) to {quality(highest, task)} ({high}, "
        f"{nouns.counted(many)}), standard deviation {spread}."
    )


def clips_changed_words(metrics: Mapping[str, Any]) -> str:
    """That clips.csv is not what was evaluated."""
    return (
        "clips.csv was changed after the evaluation: what is said here of time and of kinds of "
        f"{Nouns.of_metrics(metrics).sample} is of the file as it is now."
    )


def changed_words(was: float | None, now: float | None, *, task: Task) -> str:
    """That predictions.csv is not what was evaluated."""
    name = {"single": "top-1", "multi": "mAP", "regression": "the mean absolute error"}[task]

    def told(value: float | None) -> str:
        if value is None:
            return "not defined"
        return f"{value:.4g}" if task == "regression" else percent(value, 1)

    return (
        f"predictions.csv was changed after the evaluation: {name} was {told(was)}, of the file as "
        f"it is now it is {told(now)}."
    )
