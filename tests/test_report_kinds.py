"""The report of samples that are no videos: they are called what they are, and told no seconds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_folders import (
    class_names_for,
    made_clips,
    made_rows,
    made_strip,
    with_streams,
    write_run,
)
from test_report import Page, page_of, plain

from cliptide.app.evaluation.evaluate import Evaluation
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.folder import rebuild_page
from cliptide.app.evaluation.report.stored import Explanation, Strip
from cliptide.app.inference.nouns import Nouns
from cliptide.app.results import show_evaluation
from cliptide.configs.tasks import Task

NAMES = class_names_for(4)
SOUND = Nouns("sound", "step", "s")
TEXT = Nouns("text", "step", "token")
IMAGE = Nouns("image", "step", "")


def rows_of(count: int, *, steps: int = 16) -> list[VideoPrediction]:
    """Their names end like files of no known kind."""
    rows = made_rows(NAMES, num_videos=count, skill=1.0)
    return [replace(row, video=row.video.replace(".avi", ".x"), frames_used=steps) for row in rows]


def page_for(folder: Path, nouns: Nouns, rows: list[VideoPrediction], **changes: Any) -> Page:
    wrong = [row for row in rows if not row.correct]
    broken = VideoPrediction("broken.x", NAMES[0], None, (), 0, error="damaged")
    rows = [*rows, broken]
    told: dict[str, Any] = {
        "clips": [
            replace(clip, width=None, height=None, brightness=None, motion=None)
            for clip in made_clips(rows, NAMES)
        ],
        "mistakes": tuple(made_strip(row.video, seed=1) for row in wrong[:2]),
        "command": "cliptide train data",
        "epochs": 2,
    }
    return page_of(write_run(folder, rows, NAMES, nouns=nouns, **(told | changes)))


def words_of(page: Page) -> str:
    """All that a reader meets, descriptions of pictures among it."""
    told = [
        value
        for _, tags in page.tags
        for name, value in tags.items()
        if value and name in ("alt", "aria-label", "placeholder", "title")
    ]
    return " ".join([page.text, *told]).lower()


@pytest.mark.parametrize("nouns", [SOUND, TEXT])
def test_no_word_of_videos_and_frames_is_left(nouns: Nouns, tmp_path: Path) -> None:
    page = page_for(tmp_path / "run", nouns, rows_of(80))
    words = words_of(page)
    assert "video" not in words
    assert "frame" not in words
    assert f"Which {nouns.samples} are hard for it?" in page.text
    assert "steps shuffled" in page.text and "mean over steps, no order" in page.text


def test_texts_have_tokens_for_seconds(tmp_path: Path) -> None:
    page = page_for(tmp_path / "run", TEXT, rows_of(80))
    lengths = page.by_id["slices"]
    assert " tokens" in lengths and " s " not in plain(lengths)
    assert "tokens 0 to 2" in plain(page.by_id["mistakes"])
    (moments,) = {tags["data-moments"] for _, tags in page.tags if "data-moments" in tags}
    assert json.loads(str(moments))[:2] == ["token 0", "token 0"]


def test_the_words_of_a_text_are_shown_and_can_break_nothing(tmp_path: Path) -> None:
    rows = rows_of(40)
    wrong = next(row for row in rows if not row.correct)
    strip = replace(made_strip(wrong.video, seed=1), text="<b>not</b> good & bad")
    page = page_for(tmp_path / "run", TEXT, rows, mistakes=(strip,))
    assert "<b>not</b> good & bad" in page.by_id["mistakes"]
    assert "<b>not" not in page.source


# --- one step ------------------------------------------------------------------------------


def image_strip(video: str) -> Strip:
    strip = made_strip(video, seed=1)
    drivers = Explanation((0.0,), (0.7,), (0.2,), (0.0,), strip.explanation.cam, "")  # type: ignore[union-attr]
    return replace(strip, count=1, times_s=(0.0,), explanation=drivers)


def test_single_images_have_no_order_and_no_curves(tmp_path: Path) -> None:
    rows = rows_of(60, steps=1)
    wrong = next(row for row in rows if not row.correct)
    page = page_for(tmp_path / "run", IMAGE, rows, mistakes=(image_strip(wrong.video),))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert (metrics["order"], metrics["most_steps"]) == (None, 1)
    assert not {"mean_pool", "single_frame"} & set(metrics["baselines"])
    assert "time" not in page.by_id
    assert "order" not in page.by_id["summary"]
    mistakes = page.by_id["mistakes"]
    assert "score of the predicted class after" not in mistakes
    assert "relied on" not in mistakes
    assert "press it to play" not in mistakes
    assert "cam-switch" in page.source
    assert not [tags for _, tags in page.tags if "data-explained" in tags]


def test_an_image_model_of_one_answer_is_told_so_without_a_word_of_order(tmp_path: Path) -> None:
    rows = [
        replace(row, predicted=NAMES[0], scores=(0.7, 0.1, 0.1, 0.1))
        for row in rows_of(40, steps=1)
    ]
    page = page_for(tmp_path / "run", IMAGE, rows, mistakes=())
    assert f"It answers '{NAMES[0]}' for every image: it has learnt nothing." in page.text


# --- folders of before ---------------------------------------------------------------------


@pytest.mark.parametrize("task", ["single", "regression"])
def test_a_run_of_before_there_were_other_kinds_opens_as_one_of_videos(
    task: Task, tmp_path: Path
) -> None:
    names = NAMES if task == "single" else ["speed"]
    rows = made_rows(NAMES, num_videos=40)
    if task == "regression":
        rows = [replace(row, true="1.5", predicted="2", scores=(2.0,)) for row in rows]
    clips = made_clips(rows, names, task=task)
    folder = write_run(tmp_path / "run", rows, names, task=task, clips=clips)
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text("utf-8"))
    for key in ("nouns", "streams", "most_steps", "missing_streams"):
        del metrics[key]
    path.write_text(json.dumps(metrics), encoding="utf-8")
    assert rebuild_page(folder) == ""
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert "Does it use time?" in page.text and "frames shuffled" in page.text
    assert "Videos scored" in page.text


def test_edited_predictions_keep_the_words(tmp_path: Path) -> None:
    rows = rows_of(40)
    page_for(tmp_path / "run", TEXT, rows)
    path = tmp_path / "run" / "predictions.csv"
    path.write_text(path.read_text("utf-8").replace("damaged", "lost"), encoding="utf-8")
    page = page_of(tmp_path / "run")
    assert "changed after the evaluation" in page.text
    assert "Texts scored" in page.text and " tokens" in page.by_id["slices"]


# --- the terminal --------------------------------------------------------------------------


def test_the_terminal_calls_them_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(60)
    clips = made_clips(rows, NAMES)
    metrics = compute_metrics(rows, NAMES, split="all", clips=clips, nouns=SOUND)
    show_evaluation(Evaluation(metrics, tuple(rows), tmp_path))
    told = capsys.readouterr().out
    assert "Results on all sounds" in told
    for words in ("sounds scored", "mean over steps, no order", "a single step", " sounds "):
        assert words in told
    assert "video" not in told and "frame" not in told


def test_the_terminal_says_what_each_stream_is_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(90)
    clips = with_streams(made_clips(rows, NAMES), rows, sound=0.5)
    metrics = compute_metrics(rows, NAMES, split="test", clips=clips)
    show_evaluation(Evaluation(metrics, tuple(rows), tmp_path))
    told = capsys.readouterr().out
    assert "- The sound is worth +" in told
    assert "- Whether the picture is worth anything is unclear" in told
    assert "- 30 of 90 videos have no sound: there it was masked." in told
