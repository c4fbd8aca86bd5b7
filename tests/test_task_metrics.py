"""Figures of several labels and of numbers, against scikit-learn and by hand."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from cliptide.app.evaluation.figures.bootstrap import interval_of_map, weighted_average_precisions
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.figures.ranking import best_thresholds, mean_average_precision
from cliptide.app.evaluation.mistakes import worst
from cliptide.app.evaluation.predictions import (
    VideoPrediction,
    read_predictions,
    write_predictions,
)

LABELS = ["fall", "flash", "rise"]
CUTS = (0.4, 0.5, 0.6)


def made_multi(num_videos=80, *, num_groups=0, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num_videos):
        true = rng.random(3) < 0.4
        scores = np.clip(0.35 * rng.normal(size=3) + np.where(true, 0.65, 0.35), 0, 1).round(6)
        said = [name for name, score, cut in zip(LABELS, scores, CUTS, strict=True) if score >= cut]
        rows.append(
            VideoPrediction(
                f"v{number}.avi",
                "|".join(name for name, has in zip(LABELS, true, strict=True) if has),
                "|".join(said),
                tuple(map(float, scores)),
                8,
                group=f"g{number % num_groups}" if num_groups else "",
            )
        )
    return rows


def made_numbers(num_videos=50, *, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num_videos):
        true = rng.normal(size=2) * (1, 100)
        said = true + rng.normal(size=2) * (0.3, 20)
        texts = ("|".join(f"{float(v)!r}" for v in each) for each in (true, said))
        rows.append(VideoPrediction(f"v{number}.avi", *texts, tuple(map(float, said)), 8))
    return rows


FAILED = VideoPrediction("broken.avi", "fall", None, (), 0, error="no video stream")


def test_figures_of_several_labels_equal_scikit_learn(tmp_path):
    write_predictions(tmp_path / "p.csv", [*made_multi(), FAILED], LABELS, task="multi")
    rows, names = read_predictions(tmp_path / "p.csv", task="multi")
    assert rows == [*made_multi(), FAILED]
    figures = compute_metrics(rows, names, split="test", task="multi", thresholds=CUTS)
    kept = rows[:-1]
    true = np.array([[name in row.true.split("|") for name in LABELS] for row in kept])
    scores = np.array([row.scores for row in kept])
    said = scores >= np.array(CUTS)
    assert any(row.true == "" for row in kept) and any(row.predicted == "" for row in kept)
    assert (figures["num_scored"], figures["num_failed"], figures["num_unlabelled"]) == (80, 1, 0)
    assert figures["map"] == pytest.approx(sk.average_precision_score(true, scores))
    assert figures["micro_f1"] == pytest.approx(sk.f1_score(true, said, average="micro"))
    assert figures["macro_f1"] == pytest.approx(sk.f1_score(true, said, average="macro"))
    assert figures["subset_accuracy"] == pytest.approx(sk.accuracy_score(true, said))
    assert figures["baselines"]["constant"] == pytest.approx(true.mean())
    for place, name in enumerate(LABELS):
        entry = figures["per_class"][name]
        assert entry["ap"] == pytest.approx(
            sk.average_precision_score(true[:, place], scores[:, place])
        )
        assert entry["precision"] == pytest.approx(
            sk.precision_score(true[:, place], said[:, place])
        )
        assert entry["recall"] == pytest.approx(sk.recall_score(true[:, place], said[:, place]))
        assert entry["f1"] == pytest.approx(sk.f1_score(true[:, place], said[:, place]))
        assert (entry["support"], entry["threshold"]) == (true[:, place].sum(), CUTS[place])
    low, high = figures["ci95"]
    assert low < figures["map"] < high
    json.dumps(figures, allow_nan=False)


def test_a_label_that_no_video_has_is_undefined_and_not_zero():
    rows = [
        VideoPrediction("a", "fall", "fall", (0.9, 0.1, 0.2), 8),
        VideoPrediction("b", "", "", (0.2, 0.1, 0.1), 8),
    ]
    figures = compute_metrics(rows, LABELS, split="test", task="multi")
    absent = figures["per_class"]["flash"]
    assert absent == {
        "ap": None,
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
        "threshold": 0.5,
    }
    assert (figures["map"], figures["macro_f1"], figures["subset_accuracy"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("task", ["multi", "regression"])
def test_without_a_scored_video_every_figure_is_none(task):
    failed = VideoPrediction("x", "1|2|3", None, (), 0, error="broken")
    figures = compute_metrics([failed], LABELS, split="test", task=task)
    keys = {"multi": ("map", "micro_f1", "macro_f1", "subset_accuracy"), "regression": ("mae",)}
    assert all(figures[key] is None for key in (*keys[task], "ci95"))
    assert all(value is None for value in figures["baselines"].values())
    assert (figures["num_failed"], figures["num_scored"]) == (1, 0)
    json.dumps(figures, allow_nan=False)


def test_videos_with_labels_the_model_does_not_know_are_counted_and_change_no_figure():
    rows = made_multi(30)
    extra = [
        VideoPrediction("new", "fall|jump", "fall", (0.9, 0.1, 0.1), 8),
        VideoPrediction("none", None, "fall", (0.9, 0.1, 0.1), 8),
    ]
    without, figures = (
        compute_metrics(each, LABELS, split="test", task="multi") for each in (rows, rows + extra)
    )
    assert figures["unknown_labels"] == {"jump": 1}
    assert (figures["num_unlabelled"], figures["num_videos"]) == (1, 32)
    assert (figures["map"], figures["ci95"]) == (without["map"], without["ci95"])


def test_drawing_each_clip_once_gives_the_average_precision_itself():
    rng = np.random.default_rng(0)
    true, scores = rng.random(60) < 0.3, np.round(rng.random(60), 1)  # with ties
    weights = np.stack([np.ones(60), rng.integers(0, 4, 60).astype(float)])
    ours = weighted_average_precisions(true, scores, weights)
    assert ours[0] == pytest.approx(sk.average_precision_score(true, scores))
    repeated = np.repeat(np.arange(60), weights[1].astype(int))
    assert ours[1] == pytest.approx(sk.average_precision_score(true[repeated], scores[repeated]))


def test_a_resample_without_a_label_leaves_that_label_out():
    true = np.array([[True, False], [False, True]] + [[True, False]] * 3)
    scores = true.astype(float)
    assert interval_of_map(true, scores, list(range(5)), seed=0) == [1.0, 1.0]


def test_the_interval_of_map_is_wider_where_groups_fail_as_a_whole():
    rows = []
    for group in range(12):
        for clip in range(10):
            has, right = clip % 2 == 0, group % 6 > 0
            score = 0.9 if has == right else 0.1
            true = "fall" if has else ""
            said = "fall" if score > 0.5 else ""
            rows.append(VideoPrediction("v", true, said, (score,), 8, group=f"g{group}"))
    ungrouped = [VideoPrediction("v", r.true, r.predicted, r.scores, 8) for r in rows]
    grouped, single = (
        compute_metrics(each, ["fall"], split="test", task="multi") for each in (rows, ungrouped)
    )
    assert (grouped["ci95_over"], single["ci95_over"]) == ("groups", "clips")
    widths = [figures["ci95"][1] - figures["ci95"][0] for figures in (grouped, single)]
    assert widths[0] > 2 * widths[1]


def test_a_threshold_has_the_best_f1_and_stands_half_way():
    true = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], dtype=bool)
    scores = np.array([[0.9, 0.3], [0.8, 0.2], [0.4, 0.1], [0.1, 0.9]])
    # Between 0.4 and 0.8; and a label that no clip has keeps the usual one.
    assert best_thresholds(true, scores) == pytest.approx((0.6, 0.5))


def test_no_other_threshold_has_a_better_f1():
    rng = np.random.default_rng(1)
    true = rng.random((50, 1)) < 0.3
    scores = np.clip(np.where(true, 0.5, 0.3) + 0.2 * rng.normal(size=(50, 1)), 0, 1)
    (cut,) = best_thresholds(true, scores)
    best = max(sk.f1_score(true[:, 0], scores[:, 0] >= other) for other in np.linspace(0, 1, 500))
    assert sk.f1_score(true[:, 0], scores[:, 0] >= cut) == pytest.approx(best)


def test_figures_of_numbers_equal_scikit_learn(tmp_path):
    names = ["target_1", "target_2"]
    write_predictions(tmp_path / "p.csv", made_numbers(), names, task="regression")
    line = (tmp_path / "p.csv").read_text().splitlines()[1].split(",")
    assert line[3] == "", "a number has no score"
    rows, _ = read_predictions(tmp_path / "p.csv", task="regression")
    figures = compute_metrics(rows, names, split="test", task="regression")
    true, said = (
        np.array([[float(part) for part in text.split("|")] for text in texts])
        for texts in zip(*((row.true, row.predicted) for row in made_numbers()), strict=True)
    )
    assert figures["mae"] == pytest.approx(sk.mean_absolute_error(true, said))
    assert figures["rmse"] == pytest.approx(sk.root_mean_squared_error(true, said))
    assert figures["r2"] == pytest.approx(sk.r2_score(true, said))
    for place, name in enumerate(names):
        entry = figures["per_target"][name]
        assert entry["r2"] == pytest.approx(sk.r2_score(true[:, place], said[:, place]))
        assert entry["mae"] == pytest.approx(np.abs(true - said)[:, place].mean())
        assert entry["true_std"] == pytest.approx(true[:, place].std())
    assert figures["baselines"]["mean"] == pytest.approx(np.abs(true - true.mean(axis=0)).mean())
    low, high = figures["ci95"]
    assert low < figures["mae"] < high
    json.dumps(figures, allow_nan=False)


def test_r2_is_undefined_where_the_truth_does_not_vary():
    rows = [VideoPrediction(str(n), "2", f"{n}", (float(n),), 8) for n in range(3)]
    figures = compute_metrics(rows, ["target"], split="test", task="regression")
    assert figures["r2"] is None and figures["mae"] == 1.0


def test_the_worst_predictions_come_first():
    multi = [
        VideoPrediction("right", "fall", "fall", (0.6, 0.0, 0.0), 8),
        VideoPrediction("near", "fall", "", (0.4, 0.0, 0.0), 8),
        VideoPrediction("far", "", "fall|rise", (0.6, 0.0, 0.95), 8),
        FAILED,
    ]
    found = worst(multi, class_names=LABELS, task="multi", limit=9)
    assert [(row.video, LABELS[output]) for row, output in found] == [
        ("far", LABELS[2]),
        ("near", LABELS[0]),
    ]
    numbers = [
        VideoPrediction("a", "1|100", "1|160", (1.0, 160.0), 8),
        VideoPrediction("b", "2|900", "4|900", (4.0, 900.0), 8),
        VideoPrediction("c", "3|500", "3|500", (3.0, 500.0), 8),
    ]
    found = worst(numbers, class_names=["x", "y"], task="regression", limit=2)
    # 2 of x is a lot, 60 of y is little.
    assert [(row.video, output) for row, output in found] == [("b", 0), ("a", 1)]


def test_map_without_any_label_is_none():
    assert mean_average_precision(np.zeros((3, 2), bool), np.zeros((3, 2))) is None
