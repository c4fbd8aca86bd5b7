"""The report of files that are not as they were written, and of folders that hold less."""

import json
from pathlib import Path
from typing import Any

import pytest
from report_folders import class_names_for, made_clips, made_rows, made_strip, write_run
from test_report import Page, metrics_in, page_of, percent, plain, rendered

from cliptide.app.evaluation.predictions import VideoPrediction, write_predictions
from cliptide.app.evaluation.report.filters import breakable, shown_facts, when
from cliptide.app.evaluation.report.folder import rebuild_page
from cliptide.app.evaluation.report.stored import ConfusedPair
from cliptide.configs.errors import DataError

NAMES = class_names_for(8)


def run_of(tmp_path: Path, **changes: Any) -> Path:
    return write_run(tmp_path / "run", made_rows(NAMES, num_videos=60), NAMES, **changes)


def changed_metrics(folder: Path, change: Any) -> None:
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text("utf-8"))
    change(metrics)
    path.write_text(json.dumps(metrics), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda metrics: metrics.pop("top5"), "it has no 'top5'"),
        (lambda metrics: metrics.update(top1="high"), "its 'top1' is 'high'"),
        (lambda metrics: metrics["per_class"]["open"].pop("support"), "a part of it is missing"),
        (lambda metrics: metrics.update(ci95=[0.1, "x"]), "a part of it is of another kind"),
    ],
)
def test_metrics_that_lack_a_part_name_it_and_the_mend(
    tmp_path: Path, change: Any, said: str
) -> None:
    folder = run_of(tmp_path)
    changed_metrics(folder, change)
    with pytest.raises(DataError) as raised:
        rebuild_page(folder)
    assert f"{folder / 'metrics.json'} is damaged: {said}" in str(raised.value)
    assert "evaluate its model again" in str(raised.value)


def test_films_of_answers_that_are_right_now_or_gone_are_left_out(tmp_path: Path) -> None:
    def row(name: str, true: str, predicted: str) -> VideoPrediction:
        scores = tuple(0.9 if one == predicted else 0.1 / 7 for one in NAMES)
        return VideoPrediction(name, true, predicted, scores, 8)

    rows = [row("a.avi", "open", "close"), row("b.avi", "open", "close")]
    rows += [row("c.avi", "push", "pull"), row("d.avi", "close", "close")]
    pair = ConfusedPair("open", "close", tuple(made_strip(n, seed=1) for n in ("a.avi", "d.avi")))
    strips = tuple(made_strip(f"{name}.avi", seed=0) for name in "abc")
    folder = write_run(tmp_path / "run", rows, NAMES, mistakes=strips, confused=(pair,))

    def films(page: Page) -> int:
        return sum(tag == "article" for tag, _ in page.tags)

    assert films(page_of(folder)) == 5
    # One is right now, one is gone: of the pair nothing is left, of the mistakes the third.
    edited = [row("a.avi", "close", "close"), *rows[2:]]
    write_predictions(folder / "predictions.csv", edited, NAMES)
    page = page_of(folder)
    assert films(page) == 1
    assert "c.avi" in page.by_id["mistakes"]


def test_an_explanation_of_another_answer_is_not_shown(tmp_path: Path) -> None:
    scores = (0.1, 0.7, 0.2, *[0.0] * 5)
    rows = [VideoPrediction("a.avi", "open", "close", scores, 8)]
    strip = made_strip("a.avi", seed=0, output="push")
    page = page_of(write_run(tmp_path / "run", rows, NAMES, mistakes=(strip,)))
    assert "polyline" not in [tag for tag, _ in page.tags]
    strip = made_strip("a.avi", seed=0, output="close")
    page = page_of(write_run(tmp_path / "run", rows, NAMES, mistakes=(strip,)))
    assert [tag for tag, _ in page.tags].count("polyline") == 2


def test_curves_of_numbers_fill_their_box_and_name_their_target(tmp_path: Path) -> None:
    rows = [VideoPrediction("a.mp4", "300|2", "150|2.5", (150.0, 2.5), 8)]
    strip = made_strip("a.mp4", seed=0, output="angle", values=(100.0, 150.0), truth=300.0)
    page = page_of(
        write_run(tmp_path / "run", rows, ["angle", "size"], task="regression", mistakes=(strip,))
    )
    true, predicted = [
        [float(point.split(",")[1]) for point in (a["points"] or "").split()]
        for tag, a in page.tags
        if tag == "polyline"
    ]
    # The greatest value is at the top of the box, the least at its foot.
    assert set(true) == {4.0}
    assert predicted[0] == 96.0
    assert predicted[-1] == pytest.approx(73.0)
    assert "value of angle" in page.by_id["mistakes"]
    assert "score" not in page.by_id["mistakes"]
    (film,) = [a for tag, a in page.tags if tag == "article"]
    assert json.loads(film["data-explained"] or "")["names"] == ["angle", "true value"]


def test_the_label_to_blame_is_named(tmp_path: Path) -> None:
    rows = [VideoPrediction("a.mp4", "rise", "", (0.1, 0.2), 8)]
    strip = made_strip("a.mp4", seed=0, output="rise")
    page = page_of(
        write_run(tmp_path / "run", rows, ["rise", "fall"], task="multi", mistakes=(strip,))
    )
    assert "score of \N{LEFT SINGLE QUOTATION MARK}rise" in page.by_id["mistakes"]
    assert "what it should be" in page.by_id["mistakes"]
    assert "the predicted class" not in page.by_id["mistakes"]


def test_a_model_of_another_split_is_not_said_to_be_proven_or_guided(tmp_path: Path) -> None:
    told = "so it is not known whether it has seen these videos."
    for split in ("test", "train", "val", "all"):
        page = page_of(run_of(tmp_path, split=split, metrics={"same_split": False}))
        assert plain(page.by_id["leakage"]).endswith(told)


def test_other_videos_of_a_leaky_split_are_not_called_the_test(tmp_path: Path) -> None:
    page = page_of(run_of(tmp_path, split="train", torn_groups=("g1",)))
    assert "learnt by heart. Leakage found (1 torn group): the score of its test" in page.text
    assert "the test score" not in page.text


def test_a_folder_without_command_or_config_has_nothing_to_repeat(tmp_path: Path) -> None:
    page = page_of(run_of(tmp_path, command=""))
    assert "repeat" not in page.by_id
    assert "#repeat" not in [a.get("href") for _, a in page.tags]
    assert "repeat" in page_of(run_of(tmp_path)).by_id


def test_probes_that_were_not_asked_for_are_told_how_to_have(tmp_path: Path) -> None:
    page = page_of(run_of(tmp_path))
    assert "evaluate again without --eval.probes false" in plain(page.by_id["time"])


def test_all_confused_classes_stand_in_a_list(tmp_path: Path) -> None:
    folder = run_of(tmp_path)
    page = page_of(folder)
    confusion = json.loads((folder / "metrics.json").read_text("utf-8"))["confusion"]
    cells = sum(bool(n) for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j)
    assert cells > 8
    assert page.by_id["confusion"].count(" taken for ") == cells


def test_the_report_command_says_what_the_page_says_of_an_edited_file(
    tmp_path: Path, cliptide: Any
) -> None:
    folder = run_of(tmp_path)
    assert cliptide("report", folder).err == ""
    write_predictions(folder / "predictions.csv", made_rows(NAMES, num_videos=30), NAMES)
    result = cliptide("report", folder)
    assert "predictions.csv was changed after the evaluation" in " ".join(result.err.split())
    assert result.code == 0


def test_times_are_told_as_people_write_them() -> None:
    assert when("2026-11-28T07:04:43+00:00") == "28 Nov 2026, 07:04 UTC"
    assert when("2026-01-02T17:04:43+02:00") == "2 Jan 2026, 17:04 UTC+02:00"
    assert when("yesterday") == "yesterday"


def test_names_break_between_their_words_and_stay_text() -> None:
    assert breakable("sitDown_a<b>") == "sit<wbr>Down_<wbr>a&lt;b&gt;"


def test_facts_link_to_pages_of_folds_that_are_there() -> None:
    facts = {"fold 1": "top-1 90 % (in fold-1/report.html)", "slowest": "more --data.workers now"}
    fold, slowest = shown_facts(facts, pages=["fold-1/report.html"])
    assert (fold["name"], fold["parts"][1]) == ("Fold 1", ("fold-1/report.html", "page"))
    assert ("--data.workers", "flag") in slowest["parts"]
    (gone, _) = shown_facts(facts, pages=[])
    assert ("fold-1/report.html", "") in gone["parts"]


def test_edited_predictions_are_computed_anew_and_said(tmp_path: Path) -> None:
    rows = made_rows(NAMES, num_videos=80)
    clips = made_clips(rows, NAMES)
    folder = tmp_path / "run"
    calm = rendered(tmp_path, rows, clips=clips, temperature=1.6, nothing_below=0.45)
    assert "changed" not in calm.by_id
    before = metrics_in(tmp_path)
    mended = [row for row in rows if row.correct]
    write_predictions(folder / "predictions.csv", mended, NAMES)
    page = page_of(folder)
    assert (
        "predictions.csv was changed after the evaluation: top-1 was "
        f"{percent(before['top1'])}, of the file as it is now it is 100.0 %."
    ) in plain(page.by_id["changed"])
    assert plain(page.by_id["top1"]) == "100.0 %"
    shown = page.json("metrics")
    assert shown["num_scored"] == len(mended)
    assert shown["calibration"]["temperature"] == 1.6
    assert shown["calibration"]["nothing_below"]["from"] == "validation"
    assert shown["order"]["verdict"]
    assert metrics_in(tmp_path) == before  # the record of the evaluation stays


def test_edited_predictions_of_several_labels_keep_their_thresholds(tmp_path: Path) -> None:
    rows = [
        VideoPrediction(f"{n}.mp4", "a", "a", (0.9, 0.1 + n / 100), 8, group=f"g{n}")
        for n in range(6)
    ]
    folder = write_run(tmp_path / "run", rows, ["a", "b"], task="multi", thresholds=(0.3, 0.7))
    write_predictions(folder / "predictions.csv", rows[1:], ["a", "b"], task="multi")
    shown = page_of(folder).json("metrics")
    assert [shown["per_class"][name]["threshold"] for name in "ab"] == [0.3, 0.7]
    assert shown["num_scored"] == 5


def test_a_run_of_before_these_figures_is_still_shown(tmp_path: Path) -> None:
    rows = made_rows(NAMES, num_videos=60)
    folder = write_run(tmp_path / "run", rows, NAMES, epochs=2)
    old = metrics_in(tmp_path)
    new = ("quality", "order", "above", "slices", "swaps", "calibration", "predictions_sha256")
    for key in (*new, "groups", "views"):
        old.pop(key, None)
    for entry in old["per_class"].values():
        del entry["ap"]
    (folder / "metrics.json").write_text(json.dumps(old), encoding="utf-8")
    (folder / "report.json").unlink()
    page = page_of(folder)
    assert plain(page.by_id["top1"]) == percent(old["top1"])
    assert "run" in page.text  # named after its folder
    assert "confidence" in page.by_id
    assert "changed" not in page.by_id


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("metrics.json", None, "metrics.json cannot be read.*Give the folder of a finished run"),
        ("metrics.json", "{", "metrics.json is damaged.*evaluate its model again"),
        ("metrics.json", "[]", "its task is none of single.*evaluate its model again"),
        ("metrics.json", '{"task": "single"}', "metrics.json is damaged: it has no 'split'"),
        ("predictions.csv", None, "csv cannot be read: No such file or directory. Give the folder"),
        ("predictions.csv", "a,b", "A predictions.csv has"),
        ("report.json", "{}", "report.json is damaged: it has no 'format_version'.*take the file"),
        ("report.json", "[]", "report.json is damaged: its parts are not those that cliptide"),
        ("report.json", "{", "report.json is damaged: it is no JSON.*take the file away"),
    ],
)
def test_a_folder_that_is_no_run_is_told_the_mend(
    tmp_path: Path, file: str, text: str | None, said: str
) -> None:
    folder = write_run(tmp_path / "run", made_rows(NAMES, num_videos=8), NAMES)
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        rebuild_page(folder)
    assert not (folder / "report.html").exists()
