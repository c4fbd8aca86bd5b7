"""What each of several streams is worth: figures, verdicts, sentences and the page's section."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_folders import class_names_for, made_clips, made_rows, with_streams, write_run
from test_report import Page, page_of, plain

from cliptide.app.evaluation.clip_facts import ClipFacts
from cliptide.app.evaluation.figures.metrics import compute_metrics
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.charts import stream_bars
from cliptide.app.evaluation.report.stream_words import (
    compared_words,
    missing_words,
    stream_verdicts,
)

NAMES = class_names_for(4)
LEFT_RIGHT = ["left", "right"]


def figures(
    count: int = 200, *, steps: int = 8, seed: int = 0, missing: int = 0, **right: float | None
) -> dict[str, Any]:
    """Of a model that is right in eight of ten; without a stream as often as told, or the same."""
    rng = np.random.default_rng(seed)
    rows, clips = [], []
    for number in range(count):
        true = LEFT_RIGHT[number % 2]
        wrong = LEFT_RIGHT[1 - number % 2]
        said = true if rng.random() < 0.8 else wrong
        answers = {}
        for name, chance in right.items():
            without = said if chance is None else true if rng.random() < chance else wrong
            answers |= {f"without_{name}": without, f"only_{name}": said}
        scores = tuple(float(name == said) for name in LEFT_RIGHT)
        rows.append(VideoPrediction(f"v{number}", true, said, scores, steps))
        lacks = ("audio",) if number < missing else ()
        answers = {} if lacks else answers
        clips.append(ClipFacts(f"v{number}", 2.0, 64, 48, 0.5, 0.1, answers, missing=lacks))
    return compute_metrics(rows, LEFT_RIGHT, split="test", clips=clips)


def verdicts(**right: float | None) -> dict[str, str]:
    return {name: entry["verdict"] for name, entry in figures(**right)["streams"].items()}


# --- figures -------------------------------------------------------------------------------


def test_each_stream_has_its_figures() -> None:
    found = figures(rgb=None, audio=0.5)
    audio = found["streams"]["audio"]
    assert list(found["streams"]) == ["rgb", "audio"]
    assert audio["together"] == audio["alone"] == found["top1"]
    assert audio["worth"]["by"] == pytest.approx(audio["together"] - audio["without"])
    assert audio["beside"] == {"by": 0.0, "ci95": [0.0, 0.0], "p": 1.0}


def test_verdicts_say_what_interval_and_test_agree_on() -> None:
    assert verdicts(rgb=None, audio=0.5) == {"rgb": "nothing", "audio": "helps"}
    assert verdicts(rgb=0.98, audio=0.79) == {"rgb": "harms", "audio": "unclear"}


def test_so_few_videos_show_nothing() -> None:
    small = figures(9, rgb=0.0, audio=None)["streams"]
    assert {entry["verdict"] for entry in small.values()} == {"unclear"}
    middling = figures(40, rgb=None, audio=None)["streams"]
    assert {entry["verdict"] for entry in middling.values()} == {"unclear"}


def test_a_model_without_a_difference_is_seldom_told_of_one() -> None:
    told = [
        entry["verdict"]
        for seed in range(60)
        for entry in figures(80, seed=seed, rgb=0.8, audio=0.8)["streams"].values()
    ]
    # Holm over the two: at most 5 % of the models have any; 8 of 60 in fewer than one of 100.
    assert sum(verdict in ("helps", "harms") for verdict in told) <= 8


def test_a_model_of_one_stream_has_none() -> None:
    found = figures()
    assert (found["streams"], found["missing_streams"]) == ({}, {})
    assert stream_bars(found) == stream_verdicts(found) == missing_words(found) == []


def test_samples_of_one_step_have_streams_but_no_order() -> None:
    found = figures(steps=1, rgb=None, audio=0.5)
    assert found["order"] is None
    assert found["streams"]["audio"]["verdict"] == "helps"
    assert stream_bars(found)


def test_a_stream_is_compared_over_the_samples_that_have_it_and_another() -> None:
    said = dict.fromkeys(
        [f"{kind}_{name}" for name in ("rgb", "audio", "arrays") for kind in ("without", "only")],
        "left",
    )

    def clip(number: int, *lacks: str) -> ClipFacts:
        answers = {
            key: "right" if key == "without_audio" else answer
            for key, answer in said.items()
            if key.partition("_")[2] not in lacks and len(lacks) < 2
        }
        return ClipFacts(f"v{number}", 2.0, 64, 48, 0.5, 0.1, answers, missing=lacks)

    clips = [
        *(clip(number) for number in range(30)),
        *(clip(number, "audio") for number in range(30, 50)),
        *(clip(number, "rgb", "arrays") for number in range(50, 60)),
    ]
    # Right where there is sound, wrong in half of the clips without.
    rows = [
        VideoPrediction(f"v{n}", "left", LEFT_RIGHT[30 <= n < 50 and n % 2], (0.5, 0.5), 8)
        for n in range(60)
    ]
    found = compute_metrics(rows, LEFT_RIGHT, split="test", clips=clips)["streams"]
    assert {name: entry["num_videos"] for name, entry in found.items()} == {
        "rgb": 50,
        "audio": 30,
        "arrays": 50,
    }
    assert found["audio"]["together"] == 1 and found["audio"]["without"] == 0
    assert found["rgb"]["together"] == pytest.approx(0.8)
    assert found["audio"]["worth"]["by"] == 1


def test_a_stream_that_no_sample_has_beside_another_has_no_figures() -> None:
    assert figures(40, missing=40, rgb=None, audio=None)["streams"] == {}


# --- sentences -----------------------------------------------------------------------------


def entry(verdict: str, by: float, low: float, high: float) -> dict[str, Any]:
    return {"verdict": verdict, "worth": {"by": by, "ci95": [low, high], "p": 0.5}}


def said(**streams: dict[str, Any]) -> list[tuple[str, str]]:
    metrics = {"task": "single", "streams": streams}
    found = stream_verdicts(metrics)
    assert {verdict.anchor for verdict in found} == {"streams"}
    return [(verdict.tone, verdict.text) for verdict in found]


def test_a_stream_that_helps_and_one_that_does_harm_are_told_so() -> None:
    assert said(
        rgb=entry("helps", 0.21, 0.18, 0.24), audio=entry("harms", -0.05, -0.08, -0.02)
    ) == [
        ("good", "The picture is worth +21 points (18 to 24): without it the model answers worse."),
        (
            "bad",
            "The sound does harm: it is worth \N{MINUS SIGN}5 points (\N{MINUS SIGN}8 to "
            "\N{MINUS SIGN}2), so the model answers better without it.",
        ),
    ]


def test_what_is_unclear_is_called_so() -> None:
    ((tone, text),) = said(flow=entry("unclear", 0.03, -0.01, 0.07))
    assert tone == "care"
    assert text.startswith("Whether the optical flow is worth anything is unclear: it is worth +3")
    assert "which may be chance" in text
    ((_, beside),) = said(arrays=entry("unclear", 0.03, 0.01, 0.07))
    assert "which an exact test of the pairs does not bear out" in beside
    ((_, same),) = said(rgb=entry("unclear", 0.0, 0.0, 0.0))
    assert "so few videos cannot show that it never matters" in same
    ((tone, nothing),) = said(audio=entry("nothing", 0.001, -0.01, 0.01))
    assert tone == "care"
    assert nothing.startswith("The sound is worth nothing: it is worth +0.1 points")


def test_samples_that_lack_a_stream_are_counted() -> None:
    found = figures(40, missing=12, rgb=None, audio=None)
    assert found["missing_streams"] == {"audio": 12}
    assert missing_words(found) == ["12 of 40 videos have no sound: there it was masked."]
    assert missing_words(figures(40, missing=1, rgb=None)) == [
        "1 of 40 videos has no sound: there it was masked."
    ]


def test_over_how_many_samples_streams_are_compared_is_said() -> None:
    def compared(**counts: int) -> list[str]:
        streams = {
            name: {"num_videos": count, "together": count / 100} for name, count in counts.items()
        }
        return compared_words({"num_scored": 90, "streams": streams})

    assert compared(rgb=90, audio=90) == ["Over all 90 videos."]
    assert compared(rgb=60, audio=60) == ["Over 60 of 90 videos, those that have both streams."]
    assert compared(rgb=90, flow=90, audio=60) == [
        "Over all 90 videos.",
        "Over 60 of 90 videos, those that have the sound and another stream beside it.",
    ]
    before = {"num_scored": 90, "streams": {"rgb": {"together": 0.5}}}
    assert compared_words(before) == ["Over all 90 videos."]


# --- the page ------------------------------------------------------------------------------


def page_with_streams(folder: Path) -> Page:
    rows = made_rows(NAMES, num_videos=90)
    clips = with_streams(made_clips(rows, NAMES), rows, sound=0.4)
    return page_of(write_run(folder, rows, NAMES, clips=clips))


def test_the_page_has_a_section_with_all_bars(tmp_path: Path) -> None:
    page = page_with_streams(tmp_path / "run")
    section = plain(page.by_id["streams"])
    places = [
        section.index(name)
        for name in (
            "What is each stream worth?",
            "all streams",
            "without the picture",
            "without the sound",
            "the picture alone",
            "the sound alone",
        )
    ]
    assert places == sorted(places)
    assert "30 of 90 videos have no sound: there it was masked." in section
    assert "Over 60 of 90 videos, those that have both streams." in section
    assert ("a", {"href": "#streams"}) in page.tags
    assert "The sound is worth +" in plain(page.by_id["summary"])
    assert "30 of 90 videos have no sound" in plain(page.by_id["summary"])


def test_a_model_of_one_stream_has_no_such_section(tmp_path: Path) -> None:
    rows = made_rows(NAMES, num_videos=40)
    page = page_of(write_run(tmp_path / "run", rows, NAMES, clips=made_clips(rows, NAMES)))
    assert "streams" not in page.by_id
    assert ("a", {"href": "#streams"}) not in page.tags
