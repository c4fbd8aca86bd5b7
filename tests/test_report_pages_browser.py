"""Pages of every kind in a real browser: nothing sticks out at a desk or on a phone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, find_browser
from compare_runs import multi_rows, single_rows
from compare_runs import write_run as write_plain_run
from report_folders import (
    class_names_for,
    made_clips,
    made_rows,
    made_strip,
    with_streams,
    write_run,
)

from cliptide.app import compare
from cliptide.app.evaluation.predictions import VideoPrediction
from cliptide.app.evaluation.report.folder import write_page
from cliptide.app.inference.nouns import Nouns

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed to open it with")

# What is wider than what it stands in, by its text; inside of a table that scrolls all may be.
STICKS_OUT = """
[...document.querySelectorAll('section .distance, section td, section th, section figure, '
  + 'section p, section li, section dd, section .figure, section svg, section .under span')]
  .filter(one => !one.closest('.scroll') && one.offsetParent !== null)
  .filter(one => {
    const box = one.closest('section').getBoundingClientRect(), own = one.getBoundingClientRect();
    return own.right > box.right + 0.5 || one.scrollWidth > one.clientWidth + 1
      && one.clientWidth && getComputedStyle(one).display !== 'inline';
  }).map(one => one.className + ': ' + one.textContent.trim().slice(0, 60))
"""
# Tables that one has to scroll sideways.
SCROLLS = """
[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)
  .map(one => one.getAttribute('aria-label') || one.className)
"""
# A shape that no rule fills is black.
BLACK = """
[...document.querySelectorAll('svg rect, svg circle, svg polyline, svg path')]
  .filter(one => getComputedStyle(one).fill === 'rgb(0, 0, 0)')
  .map(one => one.closest('section')?.id + ' ' + one.outerHTML.slice(0, 80))
"""


def single_page(folder: Path) -> Path:
    names = class_names_for(12)
    rows = made_rows(names, num_videos=150)
    clips = made_clips(rows, names)
    write_run(folder, rows, names, clips=clips, strips=True, epochs=4, metrics={"best_epoch": 3})
    write_page(folder)
    return folder / "report.html"


def multi_page(folder: Path) -> Path:
    names = ("open", "close", "lift")
    rows = multi_rows(80, skill=0.5, seed=0)
    wrong = next(row for row in rows if not row.correct)
    write_run(
        folder,
        rows,
        names,
        task="multi",
        clips=made_clips(rows, names, task="multi"),
        mistakes=(made_strip(wrong.video, seed=0, output="close"),),
        epochs=3,
    )
    write_page(folder)
    return folder / "report.html"


def regression_page(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        scores = (float(rng.normal() * 0.05), 250 + 100 * float(rng.random()))
        true = f"{scores[0] + 0.02 * rng.normal():.6g}|{scores[1] + 30 * rng.normal():.6g}"
        said = "|".join(map(str, scores))
        rows.append(VideoPrediction(f"{number}.mp4", true, said, scores, 8, group=f"g{number % 9}"))
    names = ("slope_of_arm", "angle")
    strip = made_strip("0.mp4", seed=0, output="angle", values=(120.0, 310.0), truth=280.0)
    clips = made_clips(rows, names, task="regression")
    write_run(folder, rows, names, task="regression", clips=clips, mistakes=(strip,), epochs=3)
    write_page(folder)
    return folder / "report.html"


def streams_page(folder: Path) -> Path:
    names = class_names_for(6)
    rows = made_rows(names, num_videos=90)
    clips = with_streams(made_clips(rows, names), rows, sound=0.3)
    write_run(folder, rows, names, clips=clips, strips=True)
    write_page(folder)
    return folder / "report.html"


def text_page(folder: Path) -> Path:
    names = class_names_for(4)
    rows = made_rows(names, num_videos=60, skill=1.0)
    wrong = next(row for row in rows if not row.correct)
    strip = replace(made_strip(wrong.video, seed=0), text="good but never bad " * 20)
    nouns = Nouns("text", "step", "token")
    write_run(folder, rows, names, clips=made_clips(rows, names), mistakes=(strip,), nouns=nouns)
    write_page(folder)
    return folder / "report.html"


def image_page(folder: Path) -> Path:
    names = class_names_for(4)
    rows = [replace(row, frames_used=1) for row in made_rows(names, num_videos=60, skill=1.0)]
    wrong = [row for row in rows if not row.correct]
    strips = tuple(
        replace(made_strip(row.video, seed=seed, explained=False), count=1, times_s=(0.0,))
        for seed, row in enumerate(wrong[:5])
    )
    nouns = Nouns("image", "step", "")
    write_run(folder, rows, names, clips=made_clips(rows, names), mistakes=strips, nouns=nouns)
    write_page(folder)
    return folder / "report.html"


def compare_page(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    runs = [
        write_plain_run(folder / name, single_rows(rng.random(90) < share, seed=seed))
        for seed, (name, share) in enumerate([("mean-pool", 0.4), ("gru", 0.9), ("lstm", 0.45)])
    ]
    return compare(runs, out=folder / "compared").page


PAGES = {
    "single": single_page,
    "multi": multi_page,
    "regression": regression_page,
    "streams": streams_page,
    "text": text_page,
    "image": image_page,
    "compare": compare_page,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM) as opened:
        yield opened


@pytest.fixture(scope="module", params=PAGES)
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    return request.param, PAGES[request.param](tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_and_nothing_is_black(
    browser: Browser, page: tuple[str, Path], width: int
) -> None:
    kind, path = page
    browser.resize(width, 900, phone=width < 500)
    browser.open(path)
    if kind != "compare":
        browser.wait_for("document.documentElement.dataset.drawn")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(STICKS_OUT) == []
    # Tables with a column a run, and the one of all epochs, may scroll; those of figures fit.
    scrolls: list[str] = browser.run(SCROLLS)
    if kind != "compare":
        assert not [label for label in scrolls if label.startswith("Figures for")]
    if width == 1280:
        assert set(scrolls) <= {"History"}
    assert browser.run(BLACK) == []
    assert browser.errors == []
    assert browser.requests == []


def test_a_film_of_numbers_tells_numbers(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    browser.resize(1280, 900)
    browser.open(regression_page(tmp_path_factory.mktemp("runs") / "run"))
    browser.wait_for("document.documentElement.dataset.drawn")
    browser.run("document.querySelector('#mistakes .screen').click()")
    film = "document.querySelector('#mistakes article')"
    told = browser.wait_for(
        f"{film}.matches('.playing') && {film}.querySelector('.readout').textContent"
        ".includes('angle') && " + f"{film}.querySelector('.readout').textContent"
    )
    assert "true value 280" in told
    assert "%" not in told
    assert "points" not in told
    # The curves and the strip are as tall as the picture beside them.
    heights = f"[...{film}.querySelector('.reel').children].map(one => one.offsetHeight)"
    picture, tape = browser.run(heights)
    assert abs(tape - picture) < 6


def test_a_film_of_tokens_tells_tokens(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    browser.resize(1280, 900)
    browser.open(text_page(tmp_path_factory.mktemp("runs") / "run"))
    browser.wait_for("document.documentElement.dataset.drawn")
    browser.run("document.querySelector('#mistakes .screen').click()")
    readout = "document.querySelector('#mistakes .readout').textContent"
    told = browser.wait_for(f"{readout}.includes('predicted') && {readout}")
    assert told.startswith("token ")
    assert " s " not in told


def test_a_single_image_is_its_own_screen(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    browser.resize(1280, 900)
    browser.open(image_page(tmp_path_factory.mktemp("runs") / "run"))
    browser.wait_for("document.documentElement.dataset.drawn")
    films = "[...document.querySelectorAll('#mistakes article')]"
    assert browser.run(f"{films}.every(one => !one.querySelector('.tape').offsetHeight)")
    assert browser.run(f"{films}.every(one => one.querySelector('.screen').offsetHeight > 100)")
    tops = browser.run(f"{films}.map(one => one.offsetTop)")
    assert len(set(tops)) < len(tops)  # side by side
