"""The report in a real browser: it opens without a complaint or a request, and its parts work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, find_browser
from report_folders import class_names_for, made_clips, made_rows, write_run

from cliptide.app.evaluation.report.folder import write_page

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed to open it with")

NAMES = class_names_for(40)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = made_rows(NAMES, num_videos=400)
    folder = write_run(
        tmp_path_factory.mktemp("run"),
        rows,
        NAMES,
        clips=made_clips(rows, NAMES),
        strips=True,
        epochs=5,
        temperature=1.6,
        nothing_below=0.4,
    )
    write_page(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM) as opened:
        opened.open(report)
        opened.wait_for("document.documentElement.dataset.drawn")
        yield opened


def test_it_opens_without_a_complaint_or_a_request(browser: Browser) -> None:
    sections = browser.run("[...document.querySelectorAll('main > section')].map(s => s.id)")
    assert sections == [
        "summary",
        "time",
        "classes",
        "confusion",
        "confidence",
        "mistakes",
        "slices",
        "learning",
        "data",
        "repeat",
    ]
    charts = browser.run("document.querySelectorAll('.chart').length")
    assert browser.run("document.querySelectorAll('.chart svg').length") == charts == 7
    assert browser.errors == []
    assert browser.requests == []


def test_pressing_a_heading_sorts_the_classes(browser: Browser) -> None:
    recalls = (
        "[...document.querySelectorAll('.per-class tbody tr')].map(r => +r.cells[3].dataset.value)"
    )
    press = "document.querySelectorAll('.per-class thead button')[3].click()"
    browser.run(press)
    assert browser.run(recalls) == sorted(browser.run(recalls))
    browser.run(press)
    assert browser.run(recalls) == sorted(browser.run(recalls), reverse=True)
    assert browser.run("document.querySelectorAll('.per-class th')[3].ariaSort") == "descending"


def test_a_class_is_found_by_a_part_of_its_name(browser: Browser) -> None:
    shown = "[...document.querySelectorAll('.per-class tbody tr:not([hidden])')].length"
    field = "document.querySelector('.find')"
    type_in = f"{field}.value = '%s'; {field}.dispatchEvent(new Event('input'))"
    browser.run(type_in % "PUSH")
    assert browser.run(shown) == 1
    browser.run(type_in % "")
    assert browser.run(shown) == 40


def test_the_matrix_changes_its_cells_its_order_and_its_classes(browser: Browser) -> None:
    drawn = "document.querySelector('.matrix canvas').toDataURL()"
    pictures = [browser.run(drawn)]
    for name, value in [
        ("cells", "counts"),
        ("sorting", "alphabet"),
        ("sorting", "model"),
        ("shown", "most"),
    ]:
        browser.run(f"document.querySelector('input[name={name}][value={value}]').click()")
        pictures.append(browser.run(drawn))
    assert len(set(pictures)) == 5
    assert browser.run("matrix.grid().places.length") == 24


def test_pointing_at_a_cell_names_both_classes(browser: Browser) -> None:
    browser.run("document.querySelector('input[name=sorting][value=model]').click()")
    browser.run("document.querySelector('.matrix').scrollIntoView({behavior: 'instant'})")
    x, y, text = browser.run(
        "(() => { const box = document.querySelector('.matrix canvas').getBoundingClientRect();"
        " const g = matrix.grid(); const name = figures.confusion.names[g.places[1]];"
        " return [box.left + g.left + 1.5 * g.cell, box.top + g.top + 1.5 * g.cell, name]; })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tip = browser.wait_for("document.querySelector('.tip:not([hidden])')?.textContent")
    assert tip.startswith(f"true {text}predicted {text}")
    assert " videos, " in tip


def test_pointing_at_a_chart_tells_the_figures_there(browser: Browser) -> None:
    browser.run("document.getElementById('learning').scrollIntoView({behavior: 'instant'})")
    x, y = browser.run(
        "(() => { const b = document.querySelector('#history-loss svg').getBoundingClientRect();"
        " return [b.right - 30, b.top + 90]; })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tip = browser.wait_for(
        "document.querySelector('#history-loss .tip:not([hidden])')?.textContent"
    )
    assert tip.startswith("epoch 5training ")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    browser.wait_for("document.querySelector('#history-loss .tip').hidden")


def test_a_film_plays_under_the_mouse_and_rests_without_it(browser: Browser) -> None:
    browser.run(
        "document.querySelector('#mistakes .screen')"
        ".scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    x, y = browser.run(
        "(() => { const b = document.querySelector('#mistakes .screen').getBoundingClientRect();"
        " return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    film = "document.querySelector('#mistakes article')"
    resting = browser.run(f"{film}.querySelector('.readout').textContent")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.wait_for(f"{film}.matches('.playing')")
    browser.wait_for(f"{film}.querySelector('.readout').textContent.includes('without this')")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    browser.wait_for(f"!{film}.matches('.playing')")
    assert browser.run(f"{film}.querySelector('.readout').textContent") == resting


def test_who_wants_less_motion_plays_by_pressing_alone(browser: Browser) -> None:
    browser.media(prefers_reduced_motion="reduce")
    screen = "document.querySelector('#mistakes .screen')"
    enter = "new PointerEvent('pointerenter', {pointerType: 'mouse'})"
    browser.run(f"{screen}.dispatchEvent({enter})")
    assert not browser.run("document.querySelector('#mistakes article').matches('.playing')")
    browser.run(f"{screen}.click()")
    assert browser.run("document.querySelector('#mistakes article').matches('.playing')")
    browser.run(f"{screen}.click()")
    assert not browser.run("document.querySelector('#mistakes article').matches('.playing')")
    browser.media(prefers_reduced_motion="no-preference")


def test_the_switch_lays_what_it_looked_at_over_the_frames(browser: Browser) -> None:
    shown = "getComputedStyle(document.querySelector('.frames .cam')).display"
    assert browser.run(shown) == "none"
    browser.run("document.getElementById('cam-switch').click()")
    assert browser.run(shown) == "block"


def test_nothing_sticks_out_of_a_phone(browser: Browser) -> None:
    browser.resize(390, 844, phone=True)
    browser.wait_for("document.documentElement.scrollWidth === 390")
    # The screen stands above its frames, each as wide as the phone allows.
    boxes = "[...document.querySelector('#mistakes .reel').children].map(e => e.offsetWidth)"
    assert min(browser.run(boxes)) > 250
    browser.resize(1280, 900)


def test_after_all_that_the_console_is_still_empty(browser: Browser) -> None:
    assert browser.errors == []
    assert browser.requests == []
