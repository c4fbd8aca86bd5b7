"""Swapped names are found; what merely looks alike is not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.figures.swaps import find_swaps
from cliptide.app.evaluation.predictions import VideoPrediction

NAMES = ["open", "close", "rise", "fall"]


def confusion(**taken):
    """Ten videos a class, all right but those told: confusion(open={"close": 7})."""
    counts = 10 * np.eye(len(NAMES), dtype=int)
    for name, others in taken.items():
        for other, count in others.items():
            counts[NAMES.index(name), NAMES.index(name)] -= count
            counts[NAMES.index(name), NAMES.index(other)] += count
    return counts.tolist()


def test_two_classes_taken_for_each_other_are_a_swap():
    found = find_swaps(confusion(close={"open": 6}, open={"close": 9, "rise": 1}), NAMES)
    assert found == [["open", "close"]]


def test_a_ring_of_three_is_told_in_its_order():
    taken = confusion(fall={"close": 8}, close={"rise": 8}, rise={"fall": 8})
    assert find_swaps(taken, NAMES) == [["close", "rise", "fall"]]


def test_an_honest_confusion_is_no_swap():
    # All the less frequent go to one class, which itself is right; or two share their videos.
    assert find_swaps(confusion(open={"close": 9}, rise={"close": 9}), NAMES) == []
    assert find_swaps(confusion(open={"close": 5}, close={"open": 5}), NAMES) == []
    # A ring that a third class runs into holds two.
    joined = confusion(open={"close": 9}, close={"rise": 9}, rise={"close": 9})
    assert find_swaps(joined, NAMES) == [["close", "rise"]]


def test_two_videos_a_class_are_too_few_to_tell():
    assert find_swaps([[0, 2], [2, 0]], ["open", "close"]) == []
    assert find_swaps([[0, 3], [3, 0]], ["open", "close"]) == [["open", "close"]]


@given(st.permutations(range(6)))
def test_names_in_a_wrong_order_are_found_whatever_the_order(order):
    counts = np.zeros((6, 6), dtype=int)
    counts[np.arange(6), order] = 20
    counts += 1
    rings = find_swaps(counts.tolist(), [str(place) for place in range(6)])
    after = {
        int(name): int(follower)
        for ring in rings
        for name, follower in zip(ring, ring[1:] + ring[:1], strict=True)
    }
    assert after == {place: to for place, to in enumerate(order) if place != to}


def test_a_swap_in_predictions_reaches_the_metrics():
    swapped = {"open": "close", "close": "open"}
    rows = [
        VideoPrediction(f"{name}{n}", name, said, tuple(float(said == c) for c in NAMES), 8)
        for name in NAMES
        for n in range(4)
        for said in [swapped.get(name, name) if n else name]
    ]
    assert compute_metrics(rows, NAMES, split="test")["swaps"] == [["open", "close"]]
