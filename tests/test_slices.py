"""Weak kinds of clips are found, and noise is not called one."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliptide.app.evaluation.clip_facts import ClipFacts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.figures.quality import qualities
from cliptide.app.evaluation.figures.slices import slice_figures
from cliptide.app.evaluation.predictions import VideoPrediction

NAMES = ["a", "b"]
TASKS = ["single", "multi", "regression"]


def made(num_videos=200, *, task="single", weak_size=None, seed=0, num_groups=8):
    """Clips of two resolutions and random kinds, wrong more often in one resolution."""
    rng = np.random.default_rng(seed)
    rows, clips = [], []
    for number in range(num_videos):
        size = ((320, 240), (640, 360))[number % 2]
        bad = rng.random() < (0.7 if size == weak_size else 0.2)
        if task == "regression":
            score = rng.normal() * (5 if bad else 1)
            true, said = "0", repr(float(score))
        else:
            wrong = ("b", "a|b", "")[int(rng.integers(3))] if task == "multi" else "b"
            true, said = "a", wrong if bad else "a"
        group = f"g{number % num_groups}" if num_groups else ""
        scores = (float(score),) if task == "regression" else (float(not bad), float(bad))
        rows.append(VideoPrediction(f"v{number}", true, said, scores, 8, group=group))
        numbers = (float(rng.gamma(4)), *size, float(rng.random()), float(rng.random()))
        clips.append(ClipFacts(f"v{number}", *numbers))
    return rows, clips


def slices_of(rows, clips, *, task="single"):
    quality = qualities([r.true for r in rows], [r.predicted for r in rows], task)
    return slice_figures(rows, quality, clips, task=task, seed=0)


def weak_names(slices):
    return [entry["name"] for each in slices.values() for entry in each if entry["weak"]]


def with_durations(durations):
    rows = [VideoPrediction(f"v{n}", "a", "a", (1.0, 0.0), 8) for n in range(len(durations))]
    return rows, [ClipFacts(f"v{n}", d, 64, 64, 0.5, 0.5) for n, d in enumerate(durations)]


# --- weak slices ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_planted_weakness_is_found_and_nothing_else(task):
    slices = slices_of(*made(task=task, weak_size=(320, 240), num_groups=7), task=task)
    assert set(slices) == {"duration", "resolution", "brightness", "motion", "group"}
    assert weak_names(slices) == ["320x240"]


@pytest.mark.parametrize(("task", "trials"), [("single", 120), ("multi", 120), ("regression", 60)])
def test_noise_is_seldom_called_weak(task, trials, monkeypatch):
    # The intervals take most of the time and say nothing here.
    monkeypatch.setattr(
        "cliptide.app.evaluation.figures.slices._interval", lambda *_, **__: [0.0, 1.0]
    )
    alarms = sum(
        bool(weak_names(slices_of(*made(160, task=task, seed=seed, num_groups=32), task=task)))
        for seed in range(trials)
    )
    assert alarms / trials < 0.05


def test_a_better_slice_is_not_weak():
    rows, clips = made(weak_size=(640, 360), num_groups=0)
    by_name = {entry["name"]: entry for entry in slices_of(rows, clips)["resolution"]}
    assert by_name["640x360"]["weak"] and not by_name["320x240"]["weak"]


@pytest.mark.parametrize("right", [True, False])
def test_where_all_or_none_are_right_nothing_is_weak(right):
    said = "a" if right else "b"
    rows, clips = made(40)
    rows = [VideoPrediction(r.video, "a", said, r.scores, 8, group=r.group) for r in rows]
    assert weak_names(slices_of(rows, clips)) == []
    assert weak_names(slices_of(rows, clips, task="multi")) == []


def test_a_group_that_fails_is_found_among_many():
    rows, clips = made(400, num_groups=40)
    rows = [
        VideoPrediction(r.video, "a", "b", (0.0, 1.0), 8, group=r.group) if r.group == "g7" else r
        for r in rows
    ]
    slices = slices_of(rows, clips)
    assert weak_names(slices) == ["g7"]
    assert slices["group"][0]["name"] == "g7"


# --- how dimensions fall apart -------------------------------------------------------------


@given(
    st.lists(st.one_of(st.floats(0.1, 100), st.sampled_from([2.0, 2.5, 10.0])), max_size=60),
)
def test_parts_hold_five_clips_and_what_their_names_say(durations):
    slices = slices_of(*with_durations(durations)).get("duration", [])
    assert len(slices) in (0, 2, 3, 4)
    if len(set(durations)) == len(durations) >= 10:
        assert len(slices) == min(4, len(durations) // 5)
    bounds = [float(entry["name"].split()[-4]) for entry in slices[1:-1]]
    bounds += [float(entry["name"].split()[0]) for entry in slices[-1:]]
    edges = [-math.inf, *bounds, math.inf]
    for entry, low, high in zip(slices, edges, edges[1:], strict=False):
        assert entry["num"] >= 5
        assert entry["num"] == sum(low <= duration < high for duration in durations)
    assert not slices or sum(entry["num"] for entry in slices) == len(durations)


def test_a_cut_is_a_round_number_where_that_parts_clips_as_well():
    durations = [1 + number / 100 for number in range(400)]
    names = [entry["name"] for entry in slices_of(*with_durations(durations))["duration"]]
    assert names == ["under 2 s", "2 to 3 s", "3 to 4 s", "4 s or more"]


def test_clips_of_one_length_stay_together():
    slices = slices_of(*with_durations([2.0] * 30 + [5.0] * 6))
    assert [(each["name"], each["num"]) for each in slices["duration"]] == [
        ("under 3.5 s", 30),
        ("3.5 s or more", 6),
    ]
    assert "duration" not in slices_of(*with_durations([2.0] * 30 + [5.0] * 4))
    assert "duration" not in slices_of(*with_durations([2.0] * 30))


def test_many_resolutions_are_told_by_their_shorter_side():
    rows, _ = with_durations([1.0] * 80)
    clips = [ClipFacts(f"v{n}", 1.0, 250, 100 + 10 * (n // 8), 0.5, 0.5) for n in range(80)]
    found = slices_of(rows, clips)["resolution"]
    assert 2 <= len(found) <= 4 and sum(entry["num"] for entry in found) == 80
    assert all("px short side" in entry["name"] for entry in found)


def test_rare_resolutions_are_put_together():
    rows, _ = with_durations([1.0] * 20)
    sizes = [(640, 360)] * 9 + [(320, 240)] * 6 + [(100, 80)] * 2 + [(90, 80)] * 3
    clips = [ClipFacts(f"v{n}", 1.0, *size, 0.5, 0.5) for n, size in enumerate(sizes)]
    found = [(entry["name"], entry["num"]) for entry in slices_of(rows, clips)["resolution"]]
    assert found == [("320x240", 6), ("640x360", 9), ("others", 5)]


def test_a_clip_whose_facts_are_unknown_is_in_no_part():
    rows, clips = made(60)
    slices = slices_of(rows, clips[:40])
    assert sum(entry["num"] for entry in slices["duration"]) == 40
    assert sum(entry["num"] for entry in slices["group"]) == 60
    assert set(slices_of(rows, [])) == {"group"}
    assert slices_of([], clips) == {}


def test_values_and_intervals_are_those_of_the_slice():
    rows, clips = made(100)
    for entry in slices_of(rows, clips)["group"]:
        right = [row.correct for row in rows if row.group == entry["name"]]
        share, num = np.mean(right), len(right)
        assert (entry["value"], entry["num"]) == (pytest.approx(share), num)
        # Wilson 1927.
        z = 1.959964
        middle = (share + z * z / (2 * num)) / (1 + z * z / num)
        half = z * math.sqrt(share * (1 - share) / num + z * z / (4 * num**2)) / (1 + z * z / num)
        assert entry["ci95"] == pytest.approx([middle - half, middle + half], abs=1e-6)


def test_groups_that_fail_as_a_whole_widen_the_interval_of_a_slice():
    rows, clips = made(480, num_groups=24)
    torn = [
        VideoPrediction(r.video, "a", "ab"[n % 24 % 5 == 0], (1.0, 0.0), 8, group=r.group)
        for n, r in enumerate(rows)
    ]
    alone = [VideoPrediction(r.video, "a", r.predicted, r.scores, 8) for r in torn]
    widths = [
        np.diff([entry["ci95"] for entry in slices_of(each, clips)["duration"]]).mean()
        for each in (torn, alone)
    ]
    assert widths[0] > 1.2 * widths[1]


# --- groups --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_groups_come_weakest_first(task):
    rows, clips = made(task=task)
    values = [entry["value"] for entry in slices_of(rows, clips, task=task)["group"]]
    assert values == sorted(values, reverse=task == "regression")


def test_a_group_for_every_clip_is_no_kind_of_clip():
    rows, clips = made(60, num_groups=60)
    assert "group" not in slices_of(rows, clips)


@pytest.mark.parametrize("task", TASKS)
def test_how_much_groups_differ(task):
    rows, _ = made(95, task=task)
    rows += [VideoPrediction("x", "0", "0", rows[0].scores, 8)]  # of no known group
    rows = rows if task == "regression" else rows[:-1]
    names = ["target"] if task == "regression" else NAMES
    figures = compute_metrics(rows, names, split="x", task=task)["groups"]
    quality = qualities([r.true for r in rows], [r.predicted for r in rows], task)
    means = {
        name: np.mean([q for q, row in zip(quality, rows, strict=True) if row.group == name])
        for name in {row.group for row in rows} - {""}
    }
    assert figures["count"] == 8
    assert figures["mean"] == pytest.approx(np.mean(list(means.values())))
    assert figures["sd"] == pytest.approx(np.std(list(means.values()), ddof=1))
    for key, choose in (("min", min), ("max", max)):
        name, value, num = figures[key]
        assert value == pytest.approx(choose(means.values())) == means[name]
        assert num == sum(row.group == name for row in rows)
    json.dumps(figures, allow_nan=False)


def test_one_group_or_none_does_not_differ():
    for num_groups in (0, 1):
        rows, _ = made(20, num_groups=num_groups)
        assert compute_metrics(rows, NAMES, split="x")["groups"] is None
