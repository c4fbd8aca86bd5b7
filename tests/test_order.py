"""What the order of frames is worth, and what the model is worth beside simpler ones."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import MultiLabelBinarizer

from cliptide.app.evaluation.clip_facts import (
    CONDITIONS,
    ClipFacts,
    read_clip_facts,
    write_clip_facts,
)
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.figures.quality import qualities
from cliptide.app.evaluation.predictions import (
    VideoPrediction,
    read_predictions,
    write_predictions,
)

NAMES = ["left", "right"]
LABELS = st.lists(st.sampled_from(["fall", "flash", "rise"]), unique=True).map(sorted)


def facts(video, answers):
    return ClipFacts(video, 2.0, 64, 48, 0.5, 0.1, answers)


def other(name):
    return NAMES[1 - NAMES.index(name)]


def made(num_videos=400, *, in_order=0.8, seed=0, num_groups=0, **accuracies):
    """Videos whose answers are right with a known chance, or as right as the model's (SAME)."""
    rng = np.random.default_rng(seed)
    rows, clips = [], []
    for number in range(num_videos):
        true = NAMES[number % 2]
        said = true if rng.random() < in_order else other(true)
        answers = {}
        for condition, chance in accuracies.items():
            right = rng.random() < chance if chance is not None else said == true
            answers[condition] = true if right else other(true)
        scores = tuple(float(name == said) for name in NAMES)
        group = f"g{number % num_groups}" if num_groups else ""
        rows.append(VideoPrediction(f"v{number}", true, said, scores, 8, group=group))
        clips.append(facts(f"v{number}", answers))
    return rows, clips


def order_of(rows, clips, **options):
    figures = compute_metrics(rows, NAMES, split="test", clips=clips, **options)
    return figures["order"]


def verdict(num_videos=400, **accuracies):
    return order_of(*made(num_videos, **accuracies))["verdict"]


SAME = None  # what the model itself answers


# --- the quality of one video --------------------------------------------------------------


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=6))
def test_the_quality_of_labels_is_the_f1_of_each_video(pairs):
    true, said = zip(*pairs, strict=True)
    found = qualities(["|".join(t) for t in true], ["|".join(s) for s in said], "multi")
    table = MultiLabelBinarizer(classes=["fall", "flash", "rise"])
    expected = sk.f1_score(
        table.fit_transform(true), table.transform(said), average="samples", zero_division=1
    )
    assert found.mean() == pytest.approx(expected)


def test_the_quality_of_a_class_is_being_right_and_of_numbers_their_error():
    assert qualities(["a|b", "x"], ["b|a", "x"], "single").tolist() == [0, 1]
    assert qualities(["1|10", "2|20"], ["2|13", "2|20"], "regression").tolist() == [2, 0]


# --- figures -------------------------------------------------------------------------------


def test_figures_equal_those_of_the_files(tmp_path):
    rows, clips = made(shuffled=0.6, reversed=0.3, one_frame=0.5, single_frame=0.55, mean_pool=0.7)
    write_predictions(tmp_path / "p.csv", rows, NAMES)
    write_clip_facts(tmp_path / "c.csv", clips)
    read, names = read_predictions(tmp_path / "p.csv")
    answers = [clip.answers for clip in read_clip_facts(tmp_path / "c.csv")]
    figures = compute_metrics(
        read, names, split="test", clips=read_clip_facts(tmp_path / "c.csv"), seed=3
    )
    true = [row.true for row in read]
    said = [row.predicted for row in read]
    order = figures["order"]
    assert order["in_order"] == pytest.approx(sk.accuracy_score(true, said))
    for name in ("shuffled", "reversed", "one_frame"):
        accuracy = sk.accuracy_score(true, [each[name] for each in answers])
        assert order[name] == pytest.approx(accuracy)
        assert order["worth"][name]["by"] == pytest.approx(order["in_order"] - accuracy)
        low, high = order["worth"][name]["ci95"]
        assert low < order["worth"][name]["by"] < high
    for name in ("shuffled", "reversed"):
        same = sk.accuracy_score(said, [each[name] for each in answers])
        assert order["same_answers"][name] == pytest.approx(same)
    for name in ("single_frame", "mean_pool"):
        accuracy = sk.accuracy_score(true, [each[name] for each in answers])
        assert figures["baselines"][name] == pytest.approx(accuracy)
        assert figures["above"][name]["by"] == pytest.approx(figures["top1"] - accuracy)
    assert (
        list(figures["baselines"])
        == list(figures["above"])
        == [
            "majority",
            "single_frame",
            "mean_pool",
        ]
    )


def test_the_interval_of_a_difference_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(60):
        rows, clips = made(150, in_order=0.8, shuffled=0.5, reversed=0.5, seed=seed)
        low, high = order_of(rows, clips, seed=seed)["worth"]["shuffled"]["ci95"]
        held += low <= 0.3 <= high
    assert held >= 52  # 57 on average; below 52 in fewer than one of a hundred trials


def test_videos_are_compared_with_themselves():
    # As right as the model on the very same videos: there is nothing to doubt.
    rows, clips = made(mean_pool=SAME)
    figures = compute_metrics(rows, NAMES, split="test", clips=clips)
    assert figures["above"]["mean_pool"] == {"by": 0.0, "ci95": [0.0, 0.0], "p": 1.0}
    assert figures["order"] is None


def test_groups_are_drawn_as_a_whole_here_too():
    rows, clips = made(240, in_order=1.0, shuffled=1.0, reversed=0.5, num_groups=12)
    torn = [
        facts(clip.video, {**clip.answers, "shuffled": row.true if number % 12 % 2 else "-"})
        for number, (row, clip) in enumerate(zip(rows, clips, strict=True))
    ]
    ungrouped = [VideoPrediction(r.video, r.true, r.predicted, r.scores, 8) for r in rows]
    widths = []
    for each in (rows, ungrouped):
        low, high = order_of(each, torn)["worth"]["shuffled"]["ci95"]
        widths.append(high - low)
    assert widths[0] > 3 * widths[1]


def test_a_video_of_which_nothing_is_known_is_left_out_of_the_comparison():
    rows, clips = made(60, shuffled=0.5, reversed=0.5, mean_pool=0.5)
    incomplete = [facts(clips[0].video, {"shuffled": "left"}), *clips[1:40]]
    some = compute_metrics(rows, NAMES, split="test", clips=incomplete)
    alone = compute_metrics(rows[1:40], NAMES, split="test", clips=clips)
    assert some["order"]["in_order"] == alone["order"]["in_order"] == alone["top1"]
    assert some["order"]["worth"]["shuffled"]["by"] == alone["order"]["worth"]["shuffled"]["by"]
    assert some["baselines"]["mean_pool"] == alone["baselines"]["mean_pool"]
    assert some["top1"] != alone["top1"]


def test_without_answers_there_is_no_order():
    rows, clips = made(30)
    for given_clips in ([], clips, [facts("another", dict.fromkeys(CONDITIONS, "left"))]):
        figures = compute_metrics(rows, NAMES, split="test", clips=given_clips)
        assert figures["order"] is None
        assert list(figures["above"]) == ["majority"]


# --- verdicts ------------------------------------------------------------------------------


def test_a_model_that_never_changes_its_answer_ignores_order():
    order = order_of(*made(shuffled=SAME, reversed=SAME, one_frame=0.5, mean_pool=0.5))
    assert order["verdict"] == "ignores"
    assert order["same_answers"] == {"shuffled": 1.0, "reversed": 1.0}


def test_a_model_for_which_order_is_worth_next_to_nothing_ignores_it():
    rows, clips = made(3000, shuffled=SAME, reversed=SAME)
    few = {number: {"shuffled": "left", "reversed": "right"} for number in range(0, 3000, 200)}
    clips = [facts(c.video, few.get(number, c.answers)) for number, c in enumerate(clips)]
    order = order_of(rows, clips)
    assert order["same_answers"]["shuffled"] < 1
    assert order["verdict"] == "ignores"


def test_a_model_that_needs_order_uses_it():
    assert verdict(shuffled=0.5, reversed=0.5) == "uses"
    assert verdict(shuffled=0.5, reversed=0.5, mean_pool=0.6) == "uses"


def test_the_direction_alone_counts_as_order():
    assert verdict(shuffled=SAME, reversed=0.2) == "uses"


def test_a_model_no_better_than_the_mean_of_its_frames_is_not_above_the_baseline():
    assert verdict(shuffled=0.5, reversed=0.5, mean_pool=0.8) == "not_above_baseline"
    assert verdict(shuffled=0.5, reversed=0.5, mean_pool=SAME) == "not_above_baseline"


def test_a_model_that_is_better_shuffled_is_worse():
    assert verdict(in_order=0.5, shuffled=0.8, reversed=0.5) == "worse"


def test_few_videos_leave_it_unclear():
    assert verdict(9, shuffled=SAME, reversed=SAME) == "unclear"
    assert verdict(60, in_order=0.7, shuffled=0.65, reversed=0.65, seed=1) == "unclear"


def test_shuffled_alone_cannot_show_that_order_is_ignored():
    assert verdict(shuffled=SAME) == "unclear"
    assert verdict(shuffled=0.5) == "uses"


# --- other tasks ---------------------------------------------------------------------------


def made_numbers(*, order_error, num_videos=200, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=num_videos) * 10
    said = true + rng.normal(size=num_videos)
    rows, clips = [], []
    for number in range(num_videos):
        wrong = {name: float(said[number] + order_error * rng.normal()) for name in CONDITIONS}
        answers = {name: repr(value) for name, value in wrong.items()}
        said_text, video = repr(float(said[number])), f"v{number}"
        score = (float(said[number]),)
        rows.append(VideoPrediction(video, repr(float(true[number])), said_text, score, 8))
        clips.append(facts(video, answers))
    return rows, clips


def test_of_numbers_what_order_is_worth_is_the_error_it_saves():
    rows, clips = made_numbers(order_error=5.0)
    figures = compute_metrics(rows, ["target"], split="test", task="regression", clips=clips)
    order = figures["order"]
    shuffled = [float(clip.answers["shuffled"]) for clip in clips]
    true = [float(row.true) for row in rows]
    assert order["in_order"] == pytest.approx(figures["mae"])
    assert order["shuffled"] == pytest.approx(sk.mean_absolute_error(true, shuffled))
    assert order["worth"]["shuffled"]["by"] == pytest.approx(order["shuffled"] - order["in_order"])
    assert order["worth"]["shuffled"]["ci95"][0] > 0
    assert figures["above"]["mean_pool"]["by"] == pytest.approx(
        figures["baselines"]["mean_pool"] - figures["mae"]
    )
    assert list(figures["baselines"]) == ["mean", "single_frame", "mean_pool"]
    assert order["verdict"] == "uses"


def test_numbers_that_differ_by_rounding_are_the_same_answer():
    rows, clips = made_numbers(order_error=1e-5)
    figures = compute_metrics(rows, ["target"], split="test", task="regression", clips=clips)
    assert figures["order"]["same_answers"] == {"shuffled": 1.0, "reversed": 1.0}
    assert figures["order"]["verdict"] == "ignores"


def test_of_several_labels_order_is_worth_f1():
    rows = [
        VideoPrediction(f"v{n}", "fall|rise", "rise|fall", (0.9, 0.1, 0.9), 8) for n in range(20)
    ]
    clips = [
        facts(
            row.video,
            {"shuffled": "fall", "reversed": "fall|rise", "one_frame": "", "mean_pool": "flash"},
        )
        for row in rows
    ]
    names = ["fall", "flash", "rise"]
    figures = compute_metrics(rows, names, split="test", task="multi", clips=clips)
    order = figures["order"]
    means = [order[name] for name in ("in_order", "shuffled", "reversed", "one_frame")]
    assert means == pytest.approx([1.0, 2 / 3, 1.0, 0.0])
    assert order["same_answers"] == {"shuffled": 0.0, "reversed": 1.0}
    assert figures["quality"] == "f1"
    assert figures["baselines"]["mean_pool"] == 0.0
    assert order["verdict"] == "uses"


@pytest.mark.parametrize("num_videos", [12, 60])
def test_few_videos_without_a_changed_answer_prove_nothing_unless_no_score_changes(num_videos):
    rows, clips = made(num_videos, shuffled=SAME, reversed=SAME)
    answers = [replace(clip, order_change=0.2) for clip in clips]
    assert order_of(rows, answers)["verdict"] == "unclear"
    exact = [replace(clip, order_change=1e-7) for clip in clips]
    assert order_of(rows, exact)["verdict"] == "ignores"


def test_a_model_that_order_neither_helps_nor_harms_is_rarely_called_one_that_uses_it():
    found = Counter(
        verdict(80, in_order=0.7, shuffled=0.7, reversed=0.7, seed=seed) for seed in range(100)
    )
    assert found["uses"] + found["worse"] <= 9  # five on average, at the level of the tests
    assert found["ignores"] == 0
