"""The summary in sentences: what a reader must know first, and how far the figures carry."""

from collections.abc import Mapping, Sequence
from typing import Any

from cliptide.app.evaluation.report.stored import StoredReport
from cliptide.app.evaluation.report.stream_words import missing_words, stream_verdicts
from cliptide.app.evaluation.report.tasks import OUTPUT_WORDS, no_skill_remark
from cliptide.app.evaluation.report.words import (
    MAX_EXAMPLES,
    Verdict,
    calibration_verdict,
    examples,
    groups_words,
    order_verdict,
    slice_verdict,
    swap_verdicts,
)
from cliptide.app.inference.nouns import Nouns

# What to say in place of the leak check where it is not the test split that was scored.
_NOT_TEST = {
    "train": "These are the training {samples}: the score says what the model has learnt by heart.",
    "val": "These are the validation {samples}, by which the training was guided: "
    "the score is a little too good.",
    "all": "All {samples} were scored, whatever their split: if the model was trained on some of "
    "them, the score is too good.",
}
_OTHER_DATA = (
    "The model was trained on another split or other data, so it is not known whether it has seen "
    "these {samples}."
)


def leakage_verdict(stored: StoredReport, metrics: Mapping[str, Any]) -> Verdict:
    """Whether test videos were known in training."""
    nouns = Nouns.of_metrics(metrics)
    not_test = _NOT_TEST.get(metrics["split"], "").format(samples=nouns.samples)
    # Older runs have the number of torn groups alone.
    torn = len(stored.torn_groups) or metrics.get("torn_groups", 0)
    copies = len(stored.copies) or metrics.get("copies", 0)
    if torn or copies:
        found = []
        if torn:
            found.append(f"{torn} torn {'group' if torn == 1 else 'groups'}")
        if copies:
            found.append(f"{nouns.counted(copies)} byte-identical to one that was learnt from")
        score = "test score" if metrics["split"] == "test" else f"score of its test {nouns.samples}"
        told = f"Leakage found ({' and '.join(found)}): the {score} is not to be believed."
        if not_test:
            told = f"{not_test} {told}"
        return Verdict("bad", told, "leak" if stored.torn_groups or stored.copies else "")
    if metrics.get("same_split") is False:
        return Verdict("care", _OTHER_DATA.format(samples=nouns.samples))
    if not_test:
        return Verdict("care", not_test)
    if stored.groups_known:
        count = metrics["num_groups"] if stored.num_groups is None else stored.num_groups
        return Verdict(
            "good",
            "No group stands in both training and test data "
            f"({count} {'group' if count == 1 else 'groups'}, proven).",
        )
    return Verdict("care", "Groups are not known, so leakage cannot be excluded.")


def verdicts(stored: StoredReport, metrics: Mapping[str, Any]) -> list[Verdict]:
    """What the page found, the gravest kinds first, each with its section."""
    no_skill = no_skill_remark(metrics, num_classes=len(stored.class_names))
    found = [
        Verdict("bad", no_skill) if no_skill else None,
        *swap_verdicts(metrics, stored.class_names),
        order_verdict(metrics),
        *stream_verdicts(metrics),
        calibration_verdict(metrics),
        slice_verdict(metrics),
    ]
    return [verdict for verdict in found if verdict]


def remarks(metrics: Mapping[str, Any]) -> list[str]:
    """How far the figures carry, in sentences."""
    told, nouns = [], Nouns.of_metrics(metrics)
    failed = metrics["num_failed"]
    if failed:
        verb = "stands" if failed == 1 else "stand"
        told.append(
            f"{nouns.counted(failed)} could not be read and {verb} in no figure; "
            "the reasons are under Data."
        )
    if metrics["num_unlabelled"]:
        told.append(f"{nouns.counted(metrics['num_unlabelled'])} without a true label: not scored.")
    unknown = metrics["unknown_labels"]
    if unknown:
        told.append(
            f"{nouns.counted(sum(unknown.values()))} of classes the model does not know "
            f"({examples(list(unknown))}): not scored."
        )
    per_class = metrics.get("per_class", {})
    absent = [name for name, entry in per_class.items() if not entry["support"]]
    if absent and metrics["num_scored"]:
        told.append(
            f"{len(absent)} of {len(per_class)} {OUTPUT_WORDS[metrics['task']]} "
            f"{'has' if len(absent) == 1 else 'have'} no scored {nouns.sample}: nothing is known "
            f"about {'it' if len(absent) == 1 else 'them'} ({examples(absent)})."
        )
    told += missing_words(metrics)
    spread = groups_words(metrics)
    return [*told, *_interval_remarks(metrics, spread=spread)]


def _interval_remarks(metrics: Mapping[str, Any], *, spread: str) -> list[str]:
    if metrics["ci95"] is None:
        return []
    low, high = metrics["ci95"]
    told, nouns = [], Nouns.of_metrics(metrics)
    records = nouns.records
    if 1 < metrics["num_groups"] < metrics["num_scored"] and metrics["ci95_over"] == "clips":
        told.append(
            f"There are only {metrics['num_groups']} groups, so the interval was drawn over "
            f"{records}. {records.capitalize()} of one group resemble each other: it is likely "
            "too narrow." + (f" {spread}" if spread else "")
        )
    elif spread:
        told.append(spread)
    if low == high and metrics["task"] != "regression":
        # Rule of three: Hanley and Lippman-Hand, JAMA 249 (1983).
        over = nouns.drawn(metrics["ci95_over"])
        units = metrics["num_groups"] if over == "groups" else metrics["num_scored"]
        told.append(
            f"Every resample scores the same, so the interval has no width. With {units} {over} "
            f"seen, up to {min(100, round(300 / units))}\N{NO-BREAK SPACE}% of new {over} may "
            "still turn out otherwise (rule of three)."
        )
    return told


def first_copies(copies: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The first few byte-identical pairs, as (training or validation clip, test clip)."""
    return list(copies[:MAX_EXAMPLES])
