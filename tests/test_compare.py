"""Comparing runs: every figure by an independent computation, and what makes runs incomparable."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics as sk
from compare_runs import NAMES, made_run, multi_rows, regression_rows, single_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cliptide.app.evaluation.compare import compare_runs
from cliptide.app.evaluation.figures.paired import (
    holm,
    mcnemar,
    wilcoxon,
)
from cliptide.configs.errors import DataError


def pattern(both=0, first=0, second=0, neither=0):
    """Who is right on each video, for two runs."""
    pairs = [(True, True)] * both + [(True, False)] * first + [(False, True)] * second
    pairs += [(False, False)] * neither
    order = np.random.default_rng(7).permutation(len(pairs))
    return tuple([pairs[place][run] for place in order] for run in (0, 1))


def two_runs(**counts):
    before, after = pattern(**counts)
    return [made_run("a", single_rows(before)), made_run("b", single_rows(after, seed=1))]


def tail(wins, losses):
    """The two-sided binomial p by counting, for a fair coin."""
    count, most = wins + losses, max(wins, losses)
    upper = sum(math.comb(count, heads) for heads in range(most, count + 1)) / 2**count
    return min(1.0, 2 * upper)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 0), (7, 2), (3, 3), (40, 22)])
def test_mcnemar_is_the_binomial_of_the_videos_that_one_alone_has_right(wins, losses):
    first, second = pattern(both=5, first=losses, second=wins, neither=4)
    test = mcnemar(np.array(first), np.array(second))
    assert (test.wins, test.losses) == (wins, losses)
    assert test.p == pytest.approx(tail(wins, losses))
    assert test.direction == np.sign(wins - losses)


def test_wilcoxon_leaves_out_videos_without_a_difference():
    rng = np.random.default_rng(0)
    first, second = rng.random(20), rng.random(20)
    second[:4] = first[:4]
    test = wilcoxon(first, second)
    assert test.p == pytest.approx(stats.wilcoxon(first[4:], second[4:]).pvalue)
    assert test.wins + test.losses == 16
    assert wilcoxon(first, first).p == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2]


def test_figures_of_single_are_those_of_scikit_learn():
    names = tuple("abcdefg")
    rng = np.random.default_rng(3)
    runs = [
        made_run(name, single_rows(rng.random(70) < share, names=names, seed=seed), names=names)
        for seed, (name, share) in enumerate([("x", 0.5), ("y", 0.8)])
    ]
    found = compare_runs(runs)
    for run, figures in zip(runs, (one.figures for one in found.runs), strict=True):
        true = [row.true for row in run.rows]
        said = [row.predicted for row in run.rows]
        scores = np.array([row.scores for row in run.rows])
        assert figures["top1"] == pytest.approx(sk.accuracy_score(true, said))
        assert figures["top5"] == pytest.approx(sk.top_k_accuracy_score(true, scores, k=5))
        assert figures["macro_f1"] == pytest.approx(sk.f1_score(true, said, average="macro"))
        assert figures["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(true, said))
    for place, one in enumerate(found.classes):
        for run, recall in zip(runs, one.figures, strict=True):
            rows = [row for row in run.rows if row.true == one.name]
            assert recall == pytest.approx(np.mean([row.correct for row in rows]))
        assert one.gains == pytest.approx((one.figures[1] - one.figures[0],))
        assert abs(one.gains[0]) <= abs(found.classes[max(0, place - 1)].gains[0]) + 1e-12


def test_the_interval_is_a_bootstrap_of_the_difference_over_groups():
    runs = two_runs(both=40, first=5, second=30, neither=15)
    one = compare_runs(runs, seed=4).differences[0]
    before, after = (np.array([row.correct for row in run.rows]) for run in runs)
    gains = after.astype(int) - before
    groups = np.array([row.group for row in runs[0].rows])
    each = [gains[groups == group] for group in dict.fromkeys(groups)]
    rng = np.random.default_rng(4)
    draws = [rng.integers(12, size=12) for _ in range(1000)]
    means = [np.concatenate([each[place] for place in drawn]).mean() for drawn in draws]
    assert one.gain == pytest.approx(25 / 90)
    assert one.ci95 == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))
    assert compare_runs(runs).ci95_over == "groups"


def test_figures_of_multi_and_the_interval_of_the_difference_in_map():
    first, second = multi_rows(60, skill=0.2, seed=1), multi_rows(60, skill=0.8, seed=2)
    found = compare_runs([made_run(n, r, task="multi") for n, r in (("a", first), ("b", second))])
    true = np.array([[name in row.true.split("|") for name in NAMES] for row in first])
    maps, right = [], []
    for rows, run in zip((first, second), found.runs, strict=True):
        scores = np.array([row.scores for row in rows])
        said = scores >= 0.5
        maps.append(sk.average_precision_score(true, scores, average="macro"))
        right.append((true == said).all(axis=1))
        assert run.figures["map"] == pytest.approx(maps[-1])
        assert run.figures["micro_f1"] == pytest.approx(sk.f1_score(true, said, average="micro"))
        assert run.figures["macro_f1"] == pytest.approx(sk.f1_score(true, said, average="macro"))
    one = found.differences[0]
    assert one.gain == pytest.approx(maps[1] - maps[0])
    assert one.ci95[0] < one.gain < one.ci95[1]
    assert one.test.wins == (right[1] & ~right[0]).sum()
    assert one.test.losses == (right[0] & ~right[1]).sum()
    assert {v.video for v in found.videos} == {
        row.video for row, differs in zip(first, right[0] != right[1], strict=True) if differs
    }
    assert (
        "points of mAP" in one.words
        and "(McNemar: " in one.words
        and "alone has every label right on" in one.words
    )


def test_figures_of_regression_and_wilcoxon_on_absolute_errors():
    first, second = regression_rows(40, noise=1, seed=1), regression_rows(40, noise=0.2, seed=2)
    kind = {"task": "regression", "names": ("target",)}
    found = compare_runs([made_run(n, r, **kind) for n, r in (("a", first), ("b", second))])
    true = np.array([float(row.true) for row in first])
    errors = []
    for rows, run in zip((first, second), found.runs, strict=True):
        said = np.array([row.scores[0] for row in rows])
        errors.append(np.abs(true - said))
        assert run.figures["mae"] == pytest.approx(sk.mean_absolute_error(true, said))
        assert run.figures["rmse"] == pytest.approx(sk.root_mean_squared_error(true, said))
        assert run.figures["r2"] == pytest.approx(sk.r2_score(true, said))
    one = found.differences[0]
    assert one.gain == pytest.approx(errors[0].mean() - errors[1].mean())
    assert one.p == pytest.approx(stats.wilcoxon(errors[0], errors[1]).pvalue)
    assert one.verdict == "better"
    assert (
        "in mean absolute error" in one.words
        and "(Wilcoxon: " in one.words
        and " errs less on " in one.words
    )


counts = st.integers(0, 25)


@settings(max_examples=25, deadline=None)
@given(both=counts, first=counts, second=counts, neither=counts, seed=st.integers(0, 99))
def test_swapping_two_runs_turns_every_sign_round(both, first, second, neither, seed):
    runs = two_runs(both=both + 1, first=first, second=second, neither=neither)
    one = compare_runs(runs, seed=seed)
    other = compare_runs(runs[::-1], seed=seed)
    there, back = one.differences[0], other.differences[0]
    assert there.gain == pytest.approx(-back.gain)
    assert there.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]))
    assert there.p == back.p
    assert (there.test.wins, there.test.losses) == (back.test.losses, back.test.wins)
    turned = {"better": "worse", "worse": "better", "none": "none", "unclear": "unclear"}
    assert turned[there.verdict] == back.verdict
    assert [video.video for video in one.videos] == [video.video for video in other.videos]


def test_verdicts_in_words():
    (better,) = compare_runs(two_runs(both=40, first=3, second=52, neither=5)).differences
    low, high = (f"{100 * end:.1f}" for end in better.ci95)
    assert better.words == (
        f"b is better than a by +49.0 points ({low} to {high}), p < 0.001 "
        "(McNemar: b alone is right on 52 videos, a on 3)"
    )
    (worse,) = compare_runs(two_runs(both=40, first=52, second=3, neither=5)).differences
    assert worse.words.startswith("b is worse than a by 49.0 points (")
    (none,) = compare_runs(two_runs(both=40, first=9, second=11, neither=5)).differences
    assert none.words.startswith("no difference shown between b and a: +3.1 points (-")
    (same,) = compare_runs(two_runs(both=9, neither=5)).differences
    assert same.words == "no difference shown: b does as a on every video"
    (unclear,) = compare_runs(two_runs(both=20, second=5)).differences
    kind = {"task": "regression", "names": ("target",)}
    first, other, noisy = (
        made_run(name, regression_rows(40, noise=noise, seed=seed), **kind)
        for seed, (name, noise) in enumerate([("a", 0.5), ("b", 0.5), ("c", 2)])
    )
    (larger,) = compare_runs([first, other]).differences
    smaller = "smaller" if larger.gain > 0 else "larger"
    assert f"no difference shown between b and a: mean absolute error {smaller} by 0." in (
        larger.words
    )
    (worse,) = compare_runs([first, noisy]).differences
    assert re.match(r"c is worse than a by 1\.\d+ \(\S+ to \S+\) in mean abs", worse.words)
    assert unclear.words.startswith("not clear whether b differs from a: +20.0 points (")
    assert "p = 0.062" in unclear.words


def test_more_than_two_runs_are_corrected_by_holm_and_compared_with_the_first():
    rights = [np.random.default_rng(seed).random(90) < 0.5 + 0.1 * seed for seed in range(3)]
    rows = [single_rows(right) for right in rights]
    found = compare_runs([made_run(n, r) for n, r in zip("abc", rows, strict=True)])
    plain = [mcnemar(rights[0], right).p for right in rights[1:]]
    assert [one.name for one in found.differences] == ["b", "c"]
    assert [one.p for one in found.differences] == pytest.approx(holm(plain))
    assert all("(McNemar, Holm: " in one.words for one in found.differences)


def test_only_common_videos_count_and_the_others_are_told():
    rows = single_rows([True] * 30)
    failed = replace(rows[3], predicted=None, scores=(), error="truncated")
    other = [*rows[:3], failed, *rows[4:20], *single_rows([False] * 5, prefix="w")]
    found = compare_runs([made_run("a", rows), made_run("b", other)])
    assert found.num_common == 19
    assert found.num_unscored == 1
    assert [(run.num_videos, run.num_beyond) for run in found.runs] == [(30, 10), (25, 5)]
    assert [run.figures["top1"] for run in found.runs] == [1, 1]
    assert "a has 10 more, b has 5 more" in found.notes[0]
    assert "1 common video is left out of every figure" in found.notes[1]


def test_videos_that_differ_carry_what_each_run_said_the_farthest_apart_first():
    runs = two_runs(both=10, first=4, second=6, neither=3)
    found = compare_runs(runs)
    rows = [{row.video: row for row in run.rows} for run in runs]
    expected = {name for name in rows[0] if rows[0][name].correct != rows[1][name].correct}
    assert {video.video for video in found.videos} == expected
    assert len(expected) == 10
    for video in found.videos:
        for answer, table in zip(video.answers, rows, strict=True):
            row = table[video.video]
            assert (answer.predicted, answer.right) == (row.predicted, row.correct)
            assert answer.score == max(row.scores)
        place = NAMES.index(video.true)
        scores = [table[video.video].scores[place] for table in rows]
        assert video.gap == pytest.approx(abs(scores[0] - scores[1]))
    gaps = [video.gap for video in found.videos]
    assert gaps == sorted(gaps, reverse=True)


def test_classes_in_another_order_are_the_same_classes():
    rows = single_rows([True, False, True, True] * 6)
    turned = [replace(row, scores=row.scores[::-1]) for row in rows]
    found = compare_runs([made_run("a", rows), made_run("b", turned, names=NAMES[::-1])])
    assert found.runs[0].figures == found.runs[1].figures


def test_unfair_comparisons_are_warned_of():
    rows = single_rows([True, False] * 8)
    fair = compare_runs([made_run(n, rows, fingerprints=("f",)) for n in "ab"])
    assert fair.warnings == ()
    found = compare_runs(
        [
            made_run("a", rows, fingerprints=("f1",), num_torn=2),
            made_run("b", rows, fingerprints=("f1", "f2"), split="all"),
            made_run("c", rows),
        ]
    )
    splits, leaky, everything = found.warnings
    assert "a f1, b 2 folds from f1, c unknown" in splits
    assert "The split of a is leaky: 2 groups stand in both" in leaky
    assert "b was scored on all videos" in everything
    copies, changed, other = compare_runs(
        [
            made_run("a", rows, num_copies=1),
            made_run("b", rows, changed=True),
            made_run("c", rows, same_split=False, split="val"),
        ]
    ).warnings
    assert "1 test video is a copy of what a was trained or chosen with" in copies
    assert "predictions.csv of b was changed after the evaluation" in changed
    assert "c was trained on another split or other data, so it is not known" in other


def test_runs_that_cannot_be_compared_say_why():
    rows = single_rows([True] * 6)
    first = made_run("a", rows)

    def refused(rows, **more):
        with pytest.raises(DataError) as caught:
            compare_runs([first, made_run("b", rows, **more)])
        return str(caught.value)

    text = refused(multi_rows(6, skill=1, seed=0), task="multi")
    assert "a is of task 'single', b of 'multi'. Compare runs of one task" in text
    names = ("open", "shut", "lift")
    text = refused(single_rows([True] * 6, names=names), names=names)
    assert "it lacks 'close' and has 'shut' more" in text
    text = refused(single_rows([True] * 6, prefix="w"))
    assert "no video in common: a scored such as 'v0.avi', b such as 'w0.avi'" in text
    text = refused([*rows[:4], replace(rows[4], true="lift"), rows[5]])
    assert "The true label of 'v4.avi' is 'close' in a but 'lift' in b" in text
    text = refused([*rows, rows[2]])
    assert "b scored the video 'v2.avi' 2 times" in text
    text = refused([replace(row, predicted=None, scores=(), error="x") for row in rows])
    assert "have 6 videos in common, but none that all of them could read" in text
