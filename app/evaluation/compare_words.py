"""What a comparison says in words: verdicts, warnings, and what one must know."""

from collections.abc import Sequence

from cliptide.app.evaluation.figures.paired import PairedTest
from cliptide.app.evaluation.matching import EvaluatedRun, Matched
from cliptide.app.inference.nouns import Nouns
from cliptide.configs.tasks import Task

# What a score on other samples than those of the test split is worth.
_NOT_TEST = {
    "train": "was scored on its training {samples}, which it may know by heart",
    "val": "was scored on its validation {samples}, by which its training was guided",
    "all": "was scored on all {samples}, those it was trained on among them",
}
_OTHER_DATA = (
    "was trained on another split or other data, so it is not known whether it has seen these "
    "{samples}"
)


def verdict_words(
    verdict: str,
    name: str,
    reference: str,
    *,
    task: Task,
    gain: float | None,
    ci95: tuple[float, float] | None,
    test: PairedTest,
    p: float,
    corrected: bool,
    nouns: Nouns,
) -> str:
    """Say in a sentence how a run stands to the reference.

    Args:
        verdict: `better`, `worse`, `none` or `unclear`.
        name: The run.
        reference: The first run.
        task: What was predicted.
        gain: How much better the run is.
        ci95: Interval of the gain.
        test: The paired test.
        p: Its p-value, corrected or not.
        corrected: Whether it was.
        nouns: What the samples are called.
    """
    who = _test_words(test, name, reference, task=task, corrected=corrected, nouns=nouns)
    tested = f"{p_words(p)} ({who})"
    if not test.wins + test.losses and not gain:
        return f"no difference shown: {name} does as {reference} on every {nouns.sample}"
    if gain is None or ci95 is None:
        return f"no difference shown between {name} and {reference}: {tested}"
    clear = ci95[0] > 0 or ci95[1] < 0
    smaller = "smaller" if gain >= 0 else "larger"
    told = verdict in ("better", "worse")
    # Where a word says the direction, the number has no sign to contradict it.
    turned = verdict == "worse" or (task == "regression" and not told and gain < 0)
    if turned:
        gain, ci95 = -gain, (-ci95[1], -ci95[0])
    low, high = (number_words(end, task) for end in ci95)
    size = f"{number_words(gain, task)} ({low} to {high})"
    if task == "regression":
        by = (
            f"{size} in mean absolute error" if told else f"mean absolute error {smaller} by {size}"
        )
    else:
        sign = "" if verdict == "worse" or gain < 0 else "+"
        unit = "points of mAP" if task == "multi" else "points"
        by = f"{sign}{number_words(gain, task)} {unit} ({low} to {high})"
    if verdict in ("better", "worse"):
        return f"{name} is {verdict} than {reference} by {by}, {tested}"
    if verdict == "none":
        return f"no difference shown between {name} and {reference}: {by}, {tested}"
    why = (
        "the interval leaves out 0, but the test does not confirm it"
        if clear
        else "the test says so, but the interval reaches 0"
    )
    return f"not clear whether {name} differs from {reference}: {by}, {tested}; {why}"


def number_words(gain: float, task: Task) -> str:
    """A gain as it is shown: in points of a hundred, or in the targets' own unit."""
    text = f"{gain:.3g}" if task == "regression" else f"{100 * gain:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text


def p_words(p: float) -> str:
    """A p-value: `p < 0.001`, `p = 0.012`, `p = 0.62`."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _test_words(
    test: PairedTest, name: str, reference: str, *, task: Task, corrected: bool, nouns: Nouns
) -> str:
    holm = ", Holm" if corrected else ""
    better = {"multi": "alone has every label right", "regression": "errs less"}.get(
        task, "alone is right"
    )
    wins = nouns.counted(test.wins)
    return f"{test.name}{holm}: {name} {better} on {wins}, {reference} on {test.losses}"


def warnings_on(runs: Sequence[EvaluatedRun], nouns: Nouns) -> list[str]:
    """Why the runs may not be compared fairly, in sentences."""
    samples = nouns.samples
    found = []
    if len({run.fingerprints for run in runs}) > 1:
        splits = ", ".join(f"{run.name} {_fingerprint(run)}" for run in runs)
        found.append(
            f"The splits differ (fingerprints: {splits}): a run may have been trained on "
            f"{samples} that are compared here, and then it looks too good."
        )
    for run in runs:
        if run.num_torn:
            groups = "group stands" if run.num_torn == 1 else "groups stand"
            found.append(
                f"The split of {run.name} is leaky: {run.num_torn} {groups} in both training and "
                "test data, so its score is too good."
            )
        if run.num_copies:
            copies = f"{nouns.sample} is a copy" if run.num_copies == 1 else f"{samples} are copies"
            found.append(
                f"{run.num_copies} test {copies} of what {run.name} was trained or chosen with, so "
                "its score is too good."
            )
        if run.changed:
            found.append(
                f"predictions.csv of {run.name} was changed after the evaluation: its figures here "
                "are of the file as it is now."
            )
        if not run.same_split:
            found.append(f"{run.name} {_OTHER_DATA.format(samples=samples)}.")
        elif run.split in _NOT_TEST:
            scored = _NOT_TEST[run.split].format(samples=samples)
            found.append(f"{run.name} {scored}: it looks too good.")
    return found


def _fingerprint(run: EvaluatedRun) -> str:
    if len(run.fingerprints) > 1:
        return f"{len(run.fingerprints)} folds from {run.fingerprints[0]}"
    return run.fingerprints[0] if run.fingerprints else "unknown"


def notes_on(
    runs: Sequence[EvaluatedRun], matched: Matched, nouns: Nouns, *, over: str, num_groups: int
) -> list[str]:
    """What else one must know of the figures, in sentences."""
    notes = []
    beyond = [
        f"{run.name} has {len(run.rows) - matched.num_named} more"
        for run in runs
        if len(run.rows) > matched.num_named
    ]
    num_common = len(matched.groups)
    if beyond:
        notes.append(
            f"Only the {nouns.counted(matched.num_named)} that all runs have are compared: "
            f"{', '.join(beyond)}."
        )
    if unscored := matched.num_named - num_common:
        verb = f"{nouns.sample} is" if unscored == 1 else f"{nouns.samples} are"
        notes.append(
            f"{unscored} common {verb} left out of every figure: not read, or without a true label "
            "that the model knows, in one of the runs."
        )
    if over == "clips" and 1 < num_groups < num_common:
        notes.append(
            f"There are only {num_groups} groups, so the intervals were drawn over "
            f"{nouns.records}. {nouns.records.capitalize()} of one group resemble each other: "
            "they are likely too narrow."
        )
    elif over == "groups":
        notes.append(
            f"Intervals are drawn over {num_groups} groups. The test counts each {nouns.sample} "
            f"by itself: where {nouns.records} of one group resemble each other, its p is too "
            "small."
        )
    return notes
