"""Scores taken at their word: the temperature, the threshold and the figures."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from cliptide.app.evaluation.figures.calibration import (
    coverage_curve,
    fit_temperature,
    suggest_threshold,
)
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import (
    VideoPrediction,
    read_predictions,
    write_predictions,
)
from cliptide.app.inference.temperature import scaled

NAMES = ["a", "b", "c", "d"]


def drawn(num_videos, *, num_classes=4, spread=1.5, seed=0):
    """Scores that mean what they say: each label is drawn with its own score."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(num_videos, num_classes))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((num_videos, 1)) > scores.cumsum(axis=1)).sum(axis=1)
    return scores, np.minimum(labels, num_classes - 1)


def rows_of(scores, labels):
    return [
        VideoPrediction(
            f"v{number}", NAMES[label], NAMES[int(np.argmax(each))], tuple(map(float, each)), 8
        )
        for number, (each, label) in enumerate(zip(scores, labels, strict=True))
    ]


def calibration_of(scores, labels, **options):
    names = NAMES[: scores.shape[1]]
    return compute_metrics(rows_of(scores, labels), names, split="x", **options)["calibration"]


@st.composite
def score_rows(draw, *, smallest=0.0):
    shape = (draw(st.integers(1, 6)), draw(st.integers(2, 5)))
    weights = draw(hnp.arrays(np.float64, shape, elements=st.floats(smallest, 1, width=32)))
    weights[np.arange(shape[0]), draw(st.integers(0, shape[1] - 1))] += 0.1
    return weights / weights.sum(axis=1, keepdims=True)


# --- temperature ---------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5, 6.0])
def test_a_known_sharpening_is_found_again(temperature):
    honest, labels = drawn(3000)
    given_scores = scaled(honest, 1 / temperature)
    found = fit_temperature(given_scores, labels)
    assert found == pytest.approx(temperature, rel=0.07)
    # What the search finds is no worse than any other.
    losses = [
        sk.log_loss(labels, scaled(given_scores, t)) for t in (found, 0.9 * found, found / 0.9)
    ]
    assert losses[0] == min(losses)


def test_float32_scores_that_ran_out_of_digits_have_a_temperature_too():
    honest, labels = drawn(3000)
    sharp = scaled(honest, 0.02).astype(np.float32)
    assert (sharp == 0).any() and (sharp == 1).any()
    assert fit_temperature(sharp, labels) > 5


@given(score_rows(), st.floats(0.05, 20))
def test_no_temperature_changes_an_answer(scores, temperature):
    found = scaled(scores, temperature)
    assert (found.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert found.sum(axis=1) == pytest.approx(1)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    assert (found[scores == 0] == 0).all()


def test_a_winner_by_the_last_digit_stays_the_winner():
    scores = np.array([[0.5 - 2**-50, 0.5, 2**-50], [0.25, 0.5, 0.25]])
    assert scaled(scores, 20.0).argmax(axis=1).tolist() == [1, 1]
    assert scaled(scores[0], 20.0).argmax() == 1


@given(score_rows(smallest=2.0**-10), st.floats(0.05, 20))
def test_the_inverse_temperature_gives_the_scores_back(scores, temperature):
    again = scaled(scaled(scores, temperature), 1 / temperature)
    np.testing.assert_allclose(again, scores, rtol=1e-6)


def test_a_perfect_validation_does_not_blow_up():
    scores, _ = drawn(50, spread=3)
    for labels in (scores.argmax(axis=1), scores.argmin(axis=1)):
        temperature = fit_temperature(scores, labels)
        assert 0.05 <= temperature <= 20
        assert np.isfinite(scaled(scores, temperature)).all()
    certain = np.eye(4)[[0, 1, 2, 3]]
    # Four right answers leave room for a fifth that is wrong.
    assert fit_temperature(certain, np.arange(4)) > 1


def test_the_more_right_videos_the_surer():
    scores, _ = drawn(400)
    sizes = (5, 50, 400)
    found = [fit_temperature(scores[:n], scores[:n].argmax(axis=1)) for n in sizes]
    assert found == sorted(found, reverse=True) and found[-1] > 0.05


def test_where_nothing_speaks_for_a_temperature_it_is_one():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0
    assert fit_temperature(np.ones((4, 1)), np.zeros(4, dtype=int)) == 1.0
    assert fit_temperature(np.full((4, 2), 0.5), np.array([0, 0, 1, 1])) == 1.0


# --- figures -------------------------------------------------------------------------------


def expected_ece(top, right):
    accuracy, score = calibration_curve(right, top, n_bins=15)
    num = np.histogram(top, np.linspace(0, 1, 16))[0]
    return float((num[num > 0] * abs(accuracy - score)).sum() / len(top))


def test_figures_equal_scikit_learn_on_predictions_csv(tmp_path):
    honest, labels = drawn(500)
    write_predictions(tmp_path / "p.csv", rows_of(scaled(honest, 0.5), labels), NAMES)
    rows, names = read_predictions(tmp_path / "p.csv")
    figures = compute_metrics(rows, names, split="test", temperature=2.0)
    found = figures["calibration"]
    scores = np.array([row.scores for row in rows])
    scores /= scores.sum(axis=1, keepdims=True)  # nine digits do not quite sum to 1
    for entry, each in ((found, scores), (found["uncalibrated"], scores**2)):
        each = each / each.sum(axis=1, keepdims=True)
        right = each.argmax(axis=1) == labels
        assert entry["ece"] == pytest.approx(expected_ece(each.max(axis=1), right), rel=1e-6)
        assert entry["nll"] == pytest.approx(sk.log_loss(labels, each), rel=1e-6)
        assert entry["brier"] == pytest.approx(sk.brier_score_loss(labels, each), rel=1e-6)
        assert entry["mean_score"] == pytest.approx(each.max(axis=1).mean())
    assert found["temperature"] == 2.0
    assert found["gap"] == pytest.approx(found["mean_score"] - figures["top1"])
    assert found["gap_ci95"][0] < found["gap"] < found["gap_ci95"][1]
    bins = found["bins"]
    assert sum(each["num"] for each in bins) == 500
    assert all(each["low"] < each["score"] <= each["high"] for each in bins)
    share = sum(each["num"] * each["accuracy"] for each in bins) / 500
    assert share == pytest.approx(figures["top1"])


def test_scores_of_0_and_1_have_figures():
    found = calibration_of(np.eye(4)[[0, 1, 2, 3]], np.array([0, 1, 2, 2]), temperature=0.05)
    assert (found["brier"], found["ece"], found["gap"]) == (0.5, 0.25, 0.25)
    # One answer is as wrong as can be, as scikit-learn bounds it.
    assert found["nll"] == pytest.approx(-np.log(np.finfo(float).eps) / 4)
    json.dumps(found, allow_nan=False)


def test_without_a_temperature_nothing_was_calibrated():
    found = calibration_of(*drawn(30))
    assert (found["temperature"], found["uncalibrated"]) == (None, None)


# --- verdicts ------------------------------------------------------------------------------


@pytest.mark.parametrize(("sharpened", "verdict"), [(1.0, "good"), (3.0, "over"), (1 / 3, "under")])
def test_a_set_gets_its_verdict(sharpened, verdict):
    honest, labels = drawn(2000)
    assert calibration_of(scaled(honest, 1 / sharpened), labels)["verdict"] == verdict


def test_honest_scores_are_hardly_ever_called_otherwise():
    found = [calibration_of(*drawn(60, seed=seed))["verdict"] for seed in range(60)]
    assert sum(each in ("over", "under") for each in found) <= 6


def test_too_sure_here_and_not_sure_enough_there_is_not_good():
    # 0.9 is right in 7 of 10, 0.7 in 9 of 10: on average all is well.
    scores = np.array([[0.9, 0.1], [0.7, 0.3]] * 500)
    labels = np.array([[int(n % 10 >= 7), int(n % 10 >= 9)] for n in range(500)]).ravel()
    found = calibration_of(scores, labels)
    assert abs(found["gap"]) < 0.01
    assert found["verdict"] == "unclear"


def test_nine_videos_give_no_verdict():
    scores = np.full((9, 2), [0.99, 0.01])
    assert calibration_of(scores, np.ones(9, dtype=int))["verdict"] == "unclear"
    scores = np.full((10, 2), [0.99, 0.01])
    assert calibration_of(scores, np.ones(10, dtype=int))["verdict"] == "over"


# --- thresholds ----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(50, 100), st.booleans()), min_size=1, max_size=60))
def test_the_threshold_keeps_95_of_100_right_answers_and_the_next_fewer(videos):
    top = np.array([score / 100 for score, _ in videos])
    right = np.array([each for _, each in videos])
    scores = np.stack([top, 1 - top], axis=1)
    labels = np.where(right == (scores.argmax(axis=1) == 0), 0, 1)
    threshold = suggest_threshold(scores, labels)
    right = scores.argmax(axis=1) == labels
    if not right.any():
        assert threshold == 0.0
        return
    assert (top[right] >= threshold).mean() >= 0.95
    assert (top[right] >= threshold + 2e-6).mean() < 0.95 or right.sum() == 0
    found = calibration_of(scores, labels)["nothing_below"]
    assert (found["threshold"], found["from"]) == (threshold, "these videos")


def test_a_threshold_of_validation_is_taken_as_it_is():
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.55, 0.45]])
    labels = np.array([0, 0, 1, 1])
    found = calibration_of(scores, labels, nothing_below=0.7)["nothing_below"]
    assert found == {"threshold": 0.7, "from": "validation", "kept_right": 0.5, "kept_wrong": 0.5}


def test_shares_of_no_answers_are_none():
    scores = np.array([[0.9, 0.1]])
    assert calibration_of(scores, np.array([0]))["nothing_below"]["kept_wrong"] is None
    assert calibration_of(scores, np.array([1]))["nothing_below"] == {
        "threshold": 0.0,
        "from": "these videos",
        "kept_right": None,
        "kept_wrong": 1.0,
    }
    assert suggest_threshold(np.zeros((0, 2)), np.zeros(0, dtype=int)) == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=300))
def test_coverage_falls_from_all_answers_and_counts_them_right(videos):
    top = np.array([score / 400 for score, _ in videos])
    right = np.array([each for _, each in videos])
    points = coverage_curve(top, right)
    assert len(points) <= 100
    assert points[0]["coverage"] == 1.0
    assert points[-1]["threshold"] == top.max()
    for point in points:
        kept = top >= point["threshold"]
        assert point["coverage"] == pytest.approx(kept.mean())
        assert point["accuracy"] == pytest.approx(right[kept].mean())
    thresholds = [point["threshold"] for point in points]
    assert thresholds == sorted(set(thresholds))


# --- several labels ------------------------------------------------------------------------


def made_multi(num_videos, *, sharpened, seed=0):
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(num_videos, 4))
    true = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    scores = 1 / (1 + np.exp(-sharpened * logits))
    rows = []
    for number, (has, each) in enumerate(zip(true, scores, strict=True)):
        texts = ("|".join(n for n, h in zip(NAMES, t, strict=True) if h) for t in (has, each > 0.4))
        rows.append(VideoPrediction(f"v{number}", *texts, tuple(map(float, each)), 8))
    return rows, true, scores


@pytest.mark.parametrize(("sharpened", "verdict"), [(1.0, "good"), (3.0, "over"), (0.3, "under")])
def test_every_yes_and_no_of_several_labels_counts(sharpened, verdict):
    rows, true, scores = made_multi(600, sharpened=sharpened)
    found = compute_metrics(rows, NAMES, split="x", task="multi")["calibration"]
    true, scores = true.ravel(), scores.ravel()
    right = (scores > 0.5) == true
    top = np.maximum(scores, 1 - scores)
    assert found["ece"] == pytest.approx(expected_ece(top, right))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(true, scores))
    assert found["nll"] == pytest.approx(sk.log_loss(true, scores))
    assert found["gap"] == pytest.approx(top.mean() - right.mean())
    assert found["verdict"] == verdict
    assert not {"temperature", "coverage", "nothing_below"} & found.keys()


def test_the_calibration_error_is_that_of_torchmetrics():
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    honest, labels = drawn(400, seed=5)
    for scores in (honest, scaled(honest, 0.4), scaled(honest, 3.0)):
        theirs = multiclass_calibration_error(
            torch.from_numpy(scores), torch.from_numpy(labels), 4, n_bins=15, norm="l1"
        )
        assert calibration_of(scores, labels)["ece"] == pytest.approx(float(theirs), abs=1e-6)


def test_labels_that_are_given_too_surely_are_not_hidden_by_many_easy_refusals():
    """Fifty labels, of which hardly any is there: nearly every no is right, and no yes is."""
    rng = np.random.default_rng(0)
    names = [f"l{number}" for number in range(50)]
    rows = []
    for number in range(60):
        scores = np.full(50, 0.02)
        given = rng.choice(50, size=1)
        scores[given] = 0.95
        said = "|".join(sorted(names[place] for place in given))
        true = names[(int(given[0]) + 1) % 50]
        rows.append(VideoPrediction(f"v{number}", true, said, tuple(map(float, scores)), 8))
    found = compute_metrics(rows, names, split="x", task="multi")["calibration"]
    assert found["verdict"] == "over"
    assert found["yes"]["num"] == 60
    assert found["yes"]["mean_score"] == pytest.approx(0.95)
    assert found["yes"]["gap"] == pytest.approx(0.95)
