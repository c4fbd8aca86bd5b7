"""The report's sentences: each verdict says what its interval allows, and no more."""

from typing import Any

import pytest

from cliptide.app.evaluation.report.words import (
    calibration_verdict,
    changed_words,
    difference,
    groups_words,
    order_verdict,
    percent,
    slice_verdict,
    swap_verdicts,
    threshold_words,
)
from cliptide.app.inference.nouns import Nouns


def plain(text: str) -> str:
    """A sentence with ordinary spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ")


def entry(by: float, low: float, high: float) -> dict[str, Any]:
    return {"by": by, "ci95": [low, high]}


def order(verdict: str, **changes: Any) -> dict[str, Any]:
    found = {
        "in_order": 0.71,
        "worth": {
            "shuffled": entry(0.21, 0.18, 0.24),
            "reversed": entry(0.3, 0.2, 0.4),
            "one_frame": entry(0.3, 0.2, 0.4),
        },
        "same_answers": {"shuffled": 0.7, "reversed": 0.5},
        "verdict": verdict,
    }
    return {"task": "single", "order": found | changes, "above": {}}


def said(metrics: dict[str, Any]) -> tuple[str, str]:
    verdict = order_verdict(metrics)
    assert verdict is not None
    assert verdict.anchor == "time"
    return verdict.tone, plain(verdict.text)


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    told = [plain(percent(share)) for share in (0.714, 1.0, 0.996, 0.004, 0.0, None)]
    assert told == ["71 %", "100 %", "99.6 %", "0.4 %", "0 %", "\N{EN DASH}"]
    assert plain(percent(0.714, 1)) == "71.4 %"


def test_a_difference_is_told_with_its_interval() -> None:
    assert difference(entry(0.21, 0.18, 0.24)) == "+21 points (18 to 24)"
    assert difference(entry(0.01, -0.02, 0.04)) == "+1 point (\N{MINUS SIGN}2 to 4)"
    assert difference(entry(0.0, 0.0, 0.0)) == "0 points (0 to 0)"
    assert difference({"by": -0.053, "ci95": None}) == "\N{MINUS SIGN}5.3 points"
    told = difference(entry(0.1824, 0.15, 0.212), task="regression")
    assert told == "+0.182 of error (0.150 to 0.212)"


def test_a_model_that_uses_order_is_told_what_it_is_worth() -> None:
    metrics = order("uses")
    assert said(metrics) == ("good", "Order is worth +21 points (18 to 24): the model uses time.")
    metrics["above"] = {"mean_pool": entry(0.16, 0.13, 0.19)}
    assert said(metrics)[1].endswith(
        "It is 16 points (13 to 19) better than averaging its frames without any order."
    )


def test_a_model_that_needs_direction_alone_is_told_so() -> None:
    worth = {"shuffled": entry(0.01, -0.02, 0.04), "reversed": entry(0.4, 0.3, 0.5)}
    tone, text = said(order("uses", worth=worth))
    assert tone == "good"
    assert text.startswith("Direction is worth +40 points (30 to 50): the model tells forwards")


def test_a_model_that_ignores_order_is_named_so() -> None:
    same = {"shuffled": 1.0, "reversed": 1.0}
    tone, text = said(order("ignores", same_answers=same))
    assert tone == "bad"
    assert text.startswith("This model ignores order: shuffled or reversed, every video gets the")
    nearly = order("ignores", worth={"shuffled": entry(0.002, -0.01, 0.01)})
    assert "changes next to nothing. Order is worth +0.2 points" in said(nearly)[1]


def test_a_model_no_better_than_averaging_frames_is_told_so() -> None:
    metrics = order("not_above_baseline")
    metrics["above"] = {"mean_pool": entry(0.01, -0.02, 0.03)}
    tone, text = said(metrics)
    assert tone == "care"
    assert "Order is worth +21 points (18 to 24), but the model is not clearly better" in text
    assert text.endswith("without any order: +1 point (\N{MINUS SIGN}2 to 3).")


def test_order_that_does_harm_and_order_that_is_unclear() -> None:
    worth = {"shuffled": entry(-0.04, -0.07, -0.012)}
    tone, text = said(order("worse", worth=worth))
    assert tone == "bad"
    assert "\N{MINUS SIGN}4 points (\N{MINUS SIGN}7 to \N{MINUS SIGN}1.2)" in text
    tone, text = said(order("unclear", worth={"shuffled": entry(0.03, -0.01, 0.07)}))
    assert tone == "care"
    assert text.startswith("Whether order matters is unclear: it is worth +3 points")


def test_what_is_unclear_is_told_by_the_order_that_leaves_most_open() -> None:
    worth = {"shuffled": entry(0.0, 0.0, 0.0), "reversed": entry(0.125, -0.25, 0.5)}
    assert said(order("unclear", worth=worth))[1].startswith(
        "Whether order matters is unclear: its direction is worth +12 points"
    )
    even = {"shuffled": entry(0.0, -0.06, 0.06)}
    assert said(order("unclear", worth=even))[1] == (
        "Whether order matters is unclear: it is worth 0 points (\N{MINUS SIGN}6 to 6). More test "
        "videos would tell."
    )
    nothing = dict.fromkeys(("shuffled", "reversed"), entry(0.0, 0.0, 0.0))
    same = {"shuffled": 1.0, "reversed": 1.0}
    assert said(order("unclear", worth=nothing, same_answers=same))[1] == (
        "No answer changed when frames were shuffled or reversed, but so few videos cannot show "
        "that order never matters."
    )
    assert said(order("unclear", worth=nothing))[1].startswith("No video was answered better or")


def test_one_answer_for_every_video_is_no_finding_on_order() -> None:
    constant = {"confusion": [[0, 4], [0, 4]], "per_class": {"rise": {}, "fall": {}}}
    told = "It answers 'fall' for every video: it has learnt nothing that order could change."
    assert said(order("ignores") | constant) == ("bad", told)
    assert "ignores order" not in told
    of_one_class = constant | {"confusion": [[0, 0], [0, 4]]}
    assert "ignores order" in said(order("ignores") | of_one_class)[1]


def test_numbers_of_a_regression_have_the_same_decimals() -> None:
    told = difference(entry(3.3406, -2.68844, 9.2555), task="regression")
    assert told == "+3.34 of error (\N{MINUS SIGN}2.69 to 9.26)"
    tiny = difference(entry(-0.000124, -0.00118, 0.00086), task="regression")
    assert tiny == "\N{MINUS SIGN}0.00012 of error (\N{MINUS SIGN}0.00118 to 0.00086)"
    assert difference(entry(0.0, 0.0, 0.0), task="regression") == "0 of error (0 to 0)"


def test_nothing_is_said_of_what_was_not_tried() -> None:
    nothing = {"task": "single", "order": None, "calibration": None, "slices": {}, "swaps": []}
    for metrics in (nothing, {"task": "single"}):
        assert order_verdict(metrics) is None
        assert calibration_verdict(metrics) is None
        assert slice_verdict(metrics) is None
        assert swap_verdicts(metrics, ["a"]) == []
        assert groups_words(metrics) == ""


@pytest.mark.parametrize(
    ("verdict", "tone", "start"),
    [
        ("over", "care", "Over-confident: it says 97 % on average and is right in 71 %."),
        ("under", "care", "Under-confident: it says 97 %"),
        ("good", "good", "Its confidence can be believed: it says 97 %"),
        ("unclear", "plain", "Its confidence is not proven right or wrong: it says 97 %"),
    ],
)
def test_confidence_is_told_beside_what_came_true(verdict: str, tone: str, start: str) -> None:
    calibration = {"mean_score": 0.97, "gap": 0.26, "verdict": verdict}
    found = calibration_verdict({"task": "single", "calibration": calibration})
    assert found is not None
    assert found.tone == tone
    assert plain(found.text).startswith(start)


def test_the_threshold_says_what_it_keeps_and_turns_away_and_where_it_is_from() -> None:
    nothing = {"threshold": 0.42, "from": "validation", "kept_right": 0.95, "kept_wrong": 0.39}
    told = plain(threshold_words(nothing, Nouns()))
    assert "42 %: it keeps 95 % of the right answers and turns away 61 % of the wrong" in told
    assert "chosen on the validation videos" in told
    here = nothing | {"from": "these videos", "kept_wrong": None}
    told = plain(threshold_words(here, Nouns("sound")))
    assert "keeps 95 % of the right answers (chosen on these very sounds" in told


def test_swapped_classes_are_named_with_their_counts() -> None:
    names = ["open", "close", "push"]
    metrics = {
        "task": "single",
        "swaps": [["open", "close"]],
        "confusion": [[1, 9, 0], [8, 2, 0], [0, 0, 5]],
    }
    (found,) = swap_verdicts(metrics, names)
    assert found.text == (
        "'open' and 'close' look swapped: 9 of 10 videos of open are taken for close and 8 of 10 "
        "the other way round. Check labels and class list."
    )
    circle = metrics | {
        "swaps": [["open", "close", "push"]],
        "confusion": [[0, 9, 1], [0, 2, 8], [5, 0, 0]],
    }
    (found,) = swap_verdicts(circle, names)
    assert found.text.startswith("'open', 'close' and 'push' look swapped in a circle: open for")
    assert "push for open (5 of 5)" in found.text


def part(name: str, value: float, num: int, *, weak: bool) -> dict[str, Any]:
    return {"name": name, "num": num, "value": value, "ci95": [value, value], "weak": weak}


def test_weak_slices_are_told_the_weakest_first() -> None:
    slices = {
        "duration": [part("under 1.2 s", 0.61, 40, weak=True)],
        "group": [part("g07", 0.3, 12, weak=True), part("g08", 0.9, 12, weak=False)],
    }
    found = slice_verdict({"task": "single", "slices": slices})
    assert found is not None
    assert plain(found.text) == "Weak: group g07, 30 % of 12; videos under 1.2 s, 61 % of 40."
    calm = slice_verdict(
        {"task": "single", "slices": {"group": [part("g1", 0.5, 9, weak=False)] * 2}}
    )
    assert calm is not None
    assert (calm.tone, calm.text) == (
        "plain",
        "No kind of video is shown to be weaker than the rest.",
    )
    few = slice_verdict({"task": "single", "num_scored": 12, "slices": {"group": []}})
    assert few is not None
    assert few.text == "Too few videos to tell which kinds are weak."
    errors = {"motion": [part("under 0.1", 0.2, 9, weak=True), part("0.1", 0.4, 8, weak=True)]}
    worst = slice_verdict({"task": "regression", "slices": errors})
    assert worst is not None
    assert worst.text.startswith("Weak: motion 0.1, error 0.4 over 8; motion under 0.1, error 0.2")


def test_the_spread_of_groups_names_both_ends() -> None:
    groups = {"count": 4, "mean": 0.5, "sd": 0.128, "min": ["g3", 0.3, 9], "max": ["g1", 0.8, 1]}
    assert plain(groups_words({"task": "single", "groups": groups})) == (
        "Over 4 groups: from 30 % (g3, 9 videos) to 80 % (g1, 1 video), standard deviation "
        "13 points."
    )
    alike = groups | {"min": ["g3", 0.75, 4], "max": ["g1", 0.75, 4], "sd": 0.0}
    assert plain(groups_words({"task": "single", "groups": alike})) == "All 4 groups score 75 %."
    assert groups_words({"task": "single", "groups": groups, "num_scored": 4}) == ""


def test_a_changed_file_is_told_before_and_after() -> None:
    assert plain(changed_words(0.931, 0.95, task="single")) == (
        "predictions.csv was changed after the evaluation: top-1 was 93.1 %, of the file as it is "
        "now it is 95.0 %."
    )
    assert "error was 0.25, of the file as it is now it is not defined" in changed_words(
        0.25, None, task="regression"
    )


def test_an_interval_beside_zero_that_the_test_does_not_bear_out_is_told_so() -> None:
    entry = {"by": 0.07, "ci95": [0.004, 0.12], "p": 0.06}
    order = {"verdict": "unclear", "worth": {"shuffled": entry}, "same_answers": {}}
    told = order_verdict({"task": "single", "order": order, "above": {}})
    assert told is not None
    assert "which an exact test of the pairs does not bear out" in told.text
    assert "may be chance" not in told.text
