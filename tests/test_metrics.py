"""Predictions as a file, and every figure against an independent computation."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from cliptide.app.evaluation.clip_facts import CONDITIONS, ClipFacts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import (
    VideoPrediction,
    most_confident_mistakes,
    read_predictions,
    write_predictions,
)
from cliptide.configs.errors import DataError
from cliptide.configs.tasks import Task

EIGHT = ["rise", "fall", "grow", "shrink", "open", "close", "left", "right"]


def made_rows(
    class_names: list[str], *, num_videos: int, num_groups: int = 0, seed: int = 0
) -> list[VideoPrediction]:
    """Predictions that are right more often than not."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num_videos):
        true = int(rng.integers(len(class_names)))
        logits = rng.normal(size=len(class_names))
        logits[true] += 1.5
        scores = np.exp(logits) / np.exp(logits).sum()
        rows.append(
            VideoPrediction(
                video=f"v{number}.avi",
                true=class_names[true],
                predicted=class_names[int(scores.argmax())],
                scores=tuple(float(score) for score in scores),
                frames_used=16,
                group=f"g{number % num_groups}" if num_groups else "",
            )
        )
    return rows


def certain(true: str | None, predicted: str, names: list[str], group: str = "") -> VideoPrediction:
    scores = tuple(float(name == predicted) for name in names)
    return VideoPrediction("v.avi", true, predicted, scores, 8, group=group)


def failed(true: str | None = "rise") -> VideoPrediction:
    return VideoPrediction("broken.avi", true, None, (), 0, error="no video stream")


# --- predictions.csv -----------------------------------------------------------------------

TEXT = st.text(max_size=12)
NAME = st.one_of(
    st.text(min_size=1, max_size=12),
    st.sampled_from(["score", "error", "video", "a,b", 'say "hi"', "line\nbreak", "über", "拍手"]),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[VideoPrediction], list[str]]:
    names = draw(st.lists(NAME, min_size=1, max_size=6, unique=True))
    rows = []
    for video in draw(st.lists(TEXT, max_size=4, unique=True)):
        weights = draw(
            st.lists(st.floats(1e-6, 1), min_size=len(names), max_size=len(names))
            # Averages over clips, float32 as a network gives them, and ties.
            | st.just([1.0] * len(names))
        )
        works = draw(st.booleans())
        scores = np.float32(np.array(weights) / sum(weights)) if works else np.zeros(0)
        rows.append(
            VideoPrediction(
                video=video,
                true=draw(st.none() | NAME),
                predicted=names[int(scores.argmax())] if works else None,
                scores=tuple(float(score) for score in scores),
                frames_used=draw(st.integers(0, 10**6)),
                group=draw(TEXT),
                error="" if works else draw(TEXT),
            )
        )
    return rows, names


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables())
def test_predictions_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[VideoPrediction], list[str]]
) -> None:
    rows, names = table
    path = tmp_path_factory.mktemp("csv") / "predictions.csv"
    write_predictions(path, rows, names)
    read, read_names = read_predictions(path)
    assert read_names == names
    for before, after in zip(rows, read, strict=True):
        assert np.array_equal(np.float32(before.scores), np.float32(after.scores))
        assert vars(after) | {"scores": ()} == vars(before) | {"scores": ()}


def test_scores_that_differ_in_the_last_bit_keep_their_winner(tmp_path: Path) -> None:
    scores = (0.5 - 2**-50, 0.5, 2**-50)
    row = VideoPrediction("v.avi", "b", "b", scores, 8)
    write_predictions(tmp_path / "p.csv", [row], ["a", "b", "c"])
    assert read_predictions(tmp_path / "p.csv")[0] == [row]


def test_the_columns_are_those_of_the_agreement(tmp_path: Path) -> None:
    row = VideoPrediction("a b.avi", "y", "x", (0.75, 0.25), 48, group="g01")
    write_predictions(tmp_path / "p.csv", [row, failed("x")], ["x", "y"])
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "video,true,predicted,score,x,y,frames_used,group,error",
        "a b.avi,y,x,0.75,0.75,0.25,48,g01,",
        "broken.avi,x,,,,,0,,no video stream",
    ]


def test_a_file_name_that_is_no_utf8_survives(tmp_path: Path) -> None:
    row = VideoPrediction("caf\udce9.avi", "x", "x", (1.0, 0.0), 8)
    write_predictions(tmp_path / "p.csv", [row], ["x", "y"])
    assert read_predictions(tmp_path / "p.csv")[0] == [row]


def _read(tmp_path: Path, *lines: str, task: Task = "single") -> object:
    head = "video,true,predicted,score,x,y,frames_used,group,error"
    (tmp_path / "p.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return read_predictions(tmp_path / "p.csv", task=task)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.avi,x,x,0.8,0.2,0.8,8,,", "predicts 'x', but 'y' has the highest score"),
        ("a.avi,x,y,0.7,0.2,0.8,8,,", r"has the score '0.7', but its highest is 0.8 \('y'\)"),
        ("a.avi,x,y,,0.2,0.8,8,,", "has the score '', but its highest is 0.8"),
        ("a.avi,x,y,0.8,nan,0.8,8,,", "has 'nan' for 'x', which is no probability from 0 to 1"),
        ("a.avi,x,y,1.8,0.2,1.8,8,,", "has '1.8' for 'y', which is no probability"),
        ("a.avi,x,y,0.8,-0.2,0.8,8,,", "has '-0.2' for 'x', which is no probability"),
        ("a.avi,x,,,0.2,0.8,8,,", "has scores but predicts nothing"),
    ],
)
def test_a_line_that_contradicts_itself_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"record 3 \(a.avi\) {said}.*Mend the line, or evaluate"):
        _read(tmp_path, "fine.avi,x,x,0.5,0.5,0.5,8,,", line)


def test_a_line_of_several_labels_or_numbers_that_contradicts_itself_is_named(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"record 2 .* has the score '0.2', but its highest is 0.8"):
        _read(tmp_path, "a.avi,x,x|y,0.2,0.8,0.7,8,,", task="multi")
    with pytest.raises(DataError, match=r"predicts '1\|2', but its targets are 1, 3"):
        _read(tmp_path, "a.avi,1|2,1|2,,1,3,8,,", task="regression")
    with pytest.raises(DataError, match="has 'inf' for 'y', which is no finite number"):
        _read(tmp_path, "a.avi,1|2,1|2,,1,inf,8,,", task="regression")


def test_a_video_that_stands_twice_is_named(tmp_path: Path) -> None:
    line = "a.avi,x,x,0.8,0.8,0.2,8,,"
    with pytest.raises(DataError, match=r"record 4 is of 'a.avi' once more, which record 2.*take"):
        _read(tmp_path, line, line.replace("a.avi", "b.avi"), line)


def test_fewer_digits_of_a_spreadsheet_are_no_contradiction(tmp_path: Path) -> None:
    _read(tmp_path, "a.avi,x,x,0.6666667,0.66666667,0.33333333,8,,")
    _read(tmp_path, "a.avi,1|2,1.0000000|2,,1,2.0000001,8,,", task="regression")


@pytest.mark.parametrize(
    ("text", "value", "mend"),
    [
        ("path,label\na.avi,x\n", "path,label", "A predictions.csv has"),
        ("", "''", "A predictions.csv has"),
        (
            "video,true,predicted,score,x,frames_used,group,error\na.avi,x\n",
            "record 2 has 2 columns",
            "Evaluate again",
        ),
        (
            "video,true,predicted,score,x,frames_used,group,error\na.avi,x,z,1,1,8,,\n",
            "'z'",
            "Evaluate again",
        ),
        (
            "video,true,predicted,score,x,frames_used,group,error\na.avi,x,x,1,high,8,,\n",
            "'high'",
            "Evaluate again",
        ),
    ],
)
def test_an_edited_file_is_refused(tmp_path: Path, text: str, value: str, mend: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_predictions(path)
    assert value in str(caught.value)
    assert mend in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none\.csv cannot be read: No such file or directory\. Give the"
    ):
        read_predictions(tmp_path / "none.csv")


def test_a_prediction_has_both_label_and_scores_or_neither() -> None:
    with pytest.raises(ValueError, match=r"0 scores and predicts 'x'.*Give both"):
        VideoPrediction("v.avi", "x", "x", (), 8)


def test_a_row_with_too_few_scores_is_refused(tmp_path: Path) -> None:
    row = VideoPrediction("v.avi", "x", "x", (1.0,), 8)
    with pytest.raises(ValueError, match=r"1 scores for 2 classes.*one score for each"):
        write_predictions(tmp_path / "p.csv", [row], ["x", "y"])
    with pytest.raises(ValueError, match=r"1 scores for 2 classes.*one score for each"):
        compute_metrics([row], ["x", "y"], split="test")


def test_the_most_confident_mistakes_come_first() -> None:
    rows = [
        VideoPrediction("right", "x", "x", (0.99, 0.01), 8),
        VideoPrediction("unsure", "x", "y", (0.45, 0.55), 8),
        VideoPrediction("sure", "y", "x", (0.9, 0.1), 8),
        VideoPrediction("unlabelled", None, "x", (0.95, 0.05), 8),
        failed("x"),
    ]
    assert [row.video for row in most_confident_mistakes(rows, limit=9)] == ["sure", "unsure"]
    assert [row.video for row in most_confident_mistakes(rows, limit=1)] == ["sure"]


# --- figures -------------------------------------------------------------------------------


def test_every_figure_equals_scikit_learn_on_predictions_csv(tmp_path: Path) -> None:
    write_predictions(
        tmp_path / "p.csv", [*made_rows(EIGHT, num_videos=300, num_groups=12), failed()], EIGHT
    )
    rows, names = read_predictions(tmp_path / "p.csv")
    figures = compute_metrics(rows, names, split="test")

    scored = [row for row in rows if row.predicted]
    true = [row.true for row in scored]
    predicted = [row.predicted for row in scored]
    scores = np.array([row.scores for row in scored])
    # scikit-learn wants the classes sorted.
    order = np.argsort(names)
    top5 = sk.top_k_accuracy_score(true, scores[:, order], k=5, labels=sorted(names))
    assert figures["split"] == "test"
    assert (figures["num_videos"], figures["num_scored"], figures["num_failed"]) == (301, 300, 1)
    assert figures["top1"] == pytest.approx(sk.accuracy_score(true, predicted))
    assert figures["top5"] == pytest.approx(top5)
    assert figures["macro_f1"] == pytest.approx(sk.f1_score(true, predicted, average="macro"))
    assert figures["balanced_accuracy"] == pytest.approx(
        sk.balanced_accuracy_score(true, predicted)
    )
    assert figures["confusion"] == sk.confusion_matrix(true, predicted, labels=names).tolist()
    report = sk.classification_report(true, predicted, output_dict=True)
    for name in names:
        entry = figures["per_class"][name]
        assert entry["precision"] == pytest.approx(report[name]["precision"])
        assert entry["recall"] == pytest.approx(report[name]["recall"])
        assert entry["f1"] == pytest.approx(report[name]["f1-score"])
        assert entry["support"] == report[name]["support"]
        ap = sk.average_precision_score(np.array(true) == name, scores[:, names.index(name)])
        assert entry["ap"] == pytest.approx(ap)
    most = max(set(true), key=true.count)
    assert figures["baselines"]["majority"] == sk.accuracy_score(true, [most] * len(true))
    assert figures["quality"] == "top1"
    assert figures["above"]["majority"]["by"] == pytest.approx(
        figures["top1"] - figures["baselines"]["majority"]
    )
    assert (figures["order"], figures["swaps"]) == (None, [])
    json.dumps(figures, allow_nan=False)


def test_top5_says_nothing_with_five_classes() -> None:
    names = EIGHT[:5]
    assert compute_metrics(made_rows(names, num_videos=20), names, split="test")["top5"] is None


def test_the_interval_over_clips_is_that_of_the_binomial() -> None:
    from scipy.stats import binom

    rows = made_rows(EIGHT, num_videos=400)
    figures = compute_metrics(rows, EIGHT, split="test")
    assert figures["ci95_over"] == "clips"
    expected = np.array(binom.interval(0.95, 400, figures["top1"])) / 400
    assert figures["ci95"] == pytest.approx(expected, abs=0.012)


def test_the_interval_over_groups_is_wider_where_groups_fail_as_a_whole() -> None:
    names = ["x", "y"]
    rows = [
        certain("x", "x" if group % 2 else "y", names, group=f"g{group}")
        for group in range(12)
        for _ in range(20)
    ]
    over_groups = compute_metrics(rows, names, split="test")
    ungrouped = [certain(row.true, str(row.predicted), names) for row in rows]
    over_clips = compute_metrics(ungrouped, names, split="test")
    assert (over_groups["ci95_over"], over_groups["num_groups"]) == ("groups", 12)
    assert (over_clips["ci95_over"], over_clips["num_groups"]) == ("clips", 0)
    widths = [m["ci95"][1] - m["ci95"][0] for m in (over_groups, over_clips)]
    assert widths[0] > 3 * widths[1]


@pytest.mark.parametrize(("num_groups", "over"), [(9, "clips"), (10, "groups"), (60, "clips")])
def test_ten_groups_that_hold_several_clips_carry_the_interval(num_groups: int, over: str) -> None:
    rows = made_rows(EIGHT, num_videos=60, num_groups=num_groups)
    figures = compute_metrics(rows, EIGHT, split="test")
    assert (figures["num_groups"], figures["ci95_over"]) == (num_groups, over)


def test_the_interval_depends_on_the_seed_alone() -> None:
    rows = made_rows(EIGHT, num_videos=83, num_groups=12)
    first, again, other = (
        compute_metrics(rows, EIGHT, split="test", seed=seed)["ci95"] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_all_failed_gives_counts_and_no_figures() -> None:
    figures = compute_metrics([failed(), failed()], EIGHT, split="test")
    assert (figures["num_videos"], figures["num_failed"], figures["num_scored"]) == (2, 2, 0)
    nothing = ("top1", "top5", "macro_f1", "balanced_accuracy", "ci95")
    for key in (*nothing, "calibration", "groups", "order"):
        assert figures[key] is None
    assert figures["baselines"] == {"majority": None}
    assert figures["confusion"] == [[0] * 8 for _ in EIGHT]


def test_what_cannot_be_scored_is_counted_and_changes_no_figure() -> None:
    rows = made_rows(EIGHT, num_videos=50)
    scores = rows[0].scores
    extra = [
        VideoPrediction("new.avi", "jump", rows[0].predicted, scores, 16),
        VideoPrediction("none.avi", None, rows[0].predicted, scores, 16),
        failed(),
        failed(None),
    ]
    without = compute_metrics(rows, EIGHT, split="test")
    figures = compute_metrics(rows + extra, EIGHT, split="test")
    assert figures["num_videos"] == 54
    assert figures["num_scored"] == 50
    assert figures["num_failed"] == 2
    assert figures["num_unlabelled"] == 1
    assert figures["unknown_labels"] == {"jump": 1}
    counts = {"num_videos", "num_failed", "num_unlabelled", "unknown_labels"}
    assert all(figures[key] == without[key] for key in figures.keys() - counts)


def test_a_class_that_is_not_there_is_undefined_and_not_zero() -> None:
    names = ["seen", "missed", "absent", "wrongly said"]
    pairs = [("seen", "seen"), ("seen", "wrongly said"), ("missed", "seen")]
    rows = [certain(true, predicted, names) for true, predicted in pairs]
    figures = compute_metrics(rows, names, split="test")
    ap = {name: entry.pop("ap") for name, entry in figures["per_class"].items()}
    # Two of three are scored 1 for `seen`, one of them wrongly; `missed` is never scored above 0.
    assert ap == {"seen": pytest.approx(7 / 12), "missed": pytest.approx(1 / 3)} | dict.fromkeys(
        ("absent", "wrongly said")
    )
    assert figures["per_class"] == {
        "seen": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
        "missed": {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1},
        "absent": {"precision": None, "recall": None, "f1": None, "support": 0},
        "wrongly said": {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0},
    }
    true, predicted = zip(*pairs, strict=True)
    assert figures["macro_f1"] == pytest.approx(
        sk.f1_score(true, predicted, average="macro", zero_division=0)
    )
    assert figures["balanced_accuracy"] == pytest.approx(0.25)


EDGE_SCORES = st.sampled_from([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (float(np.float32(0.1)), 0.9)])


@settings(max_examples=60, deadline=None)
@given(
    videos=st.lists(
        st.tuples(EDGE_SCORES, st.sampled_from("ab"), st.sampled_from(["", "g", "h"])), max_size=12
    ),
    num_clips=st.integers(0, 12),
    temperature=st.sampled_from([None, 0.05, 1.0, 20.0]),
    nothing_below=st.sampled_from([None, 0.0, 1.0]),
)
def test_no_handful_of_videos_makes_a_figure_that_is_no_number(
    videos: list[tuple[tuple[float, float], str, str]],
    num_clips: int,
    temperature: float | None,
    nothing_below: float | None,
) -> None:
    rows = [
        VideoPrediction(str(number), true, "ab"[int(np.argmax(scores))], scores, 8, group=group)
        for number, (scores, true, group) in enumerate(videos)
    ]
    # Of some videos nothing is known.
    clips = [
        ClipFacts(str(number), 1.0, 64, 64, 0.5, 0.0, dict.fromkeys(CONDITIONS, "a"))
        for number in range(num_clips)
    ]
    figures = compute_metrics(
        rows,
        ["a", "b"],
        split="x",
        clips=clips,
        temperature=temperature,
        nothing_below=nothing_below,
    )
    json.dumps(figures, allow_nan=False)
    assert figures["num_scored"] == len(videos)
    assert (figures["calibration"] is None) == (not videos)


def test_importing_the_evaluation_loads_no_framework() -> None:
    code = (
        "import sys; import cliptide.app.evaluation.report.page; "
        "import cliptide.app.evaluation.figures.metrics; "
        "print(*{'torch', 'lightning', 'torchmetrics', 'scipy', 'sklearn', 'plotly'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
