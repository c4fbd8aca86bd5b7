"""The live tab in a real browser with Chromium's fake camera, against a real server with a key."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import find_browser

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from page_browser import PHONE, Tab, faults, launch, opened_tab  # noqa: E402
from page_server import SIDE, serving, write_model, write_y4m  # noqa: E402
from playwright.sync_api import Browser, Page, Playwright, expect  # noqa: E402

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed to open it with")

KEY = "s3cret"
RATE_FPS = 5
# What is sent is noted on its way: Playwright tells of no binary messages.
_NOTE_SENT = """
  window.sentSizes = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    if (data instanceof Blob) createImageBitmap(data).then(picture =>
      sentSizes.push([picture.width, picture.height, data.type]));
    return send.call(this, data);
  };
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    tasks = ("single", "multi", "regression")
    models = [write_model(folder / f"{task}.safetensors", task=task) for task in tasks]
    with serving(*models, "--max_streams", "1", "--workers", "1", key=KEY) as address:
        yield address


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright, folder: Path) -> Iterator[Browser]:
    """A browser whose camera shows red."""
    assert PROGRAM is not None
    pictures = write_y4m(folder / "red.y4m", "red")
    opened = launch(
        playwright,
        PROGRAM,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={pictures}",
    )
    yield opened
    opened.close()


def opened_live(tab: Tab) -> Page:
    """The live tab, the key given before."""
    tab.page.add_init_script(f"sessionStorage.setItem('cliptide-key', '{KEY}')")
    return tab.open("/#live")


def start(page: Page) -> None:
    page.get_by_role("button", name="Start the camera").click()


def test_the_webcam_is_told_live_and_let_go_of_at_the_end(browser: Browser, address: str) -> None:
    with opened_tab(browser, address) as tab:
        tab.page.add_init_script(_NOTE_SENT)
        page = opened_live(tab)
        start(page)
        live = page.locator("#panel-live")
        expect(live.locator(".now")).to_contain_text("red")
        expect(live.locator(".bars li").first).to_have_text(re.compile(r"red(> 99|\d\d) %"))
        expect(live.locator(".strip span")).to_have_text("red")
        expect(live.locator(".figures")).to_contain_text(re.compile(r"Latency\d+ ms"))
        expect(page.locator("#status")).to_have_text("red")
        page.wait_for_timeout(1500)
        assert faults(page) == []
        figures = live.locator(".figures").inner_text()
        rate = re.search(r"Answers\s+([\d.]+) a second", figures)
        assert rate is not None
        assert float(rate[1]) == pytest.approx(RATE_FPS, rel=0.4)
        assert re.search(r"Dropped\s+\d+", figures)

        # At twice the model's size, whatever the camera's.
        assert page.evaluate("sentSizes")[0] == [2 * SIDE, 2 * SIDE, "image/jpeg"]

        track = page.evaluate_handle(
            "document.querySelector('#panel-live video').srcObject.getTracks()[0]"
        )
        page.get_by_role("button", name="Stop").click()
        assert track.evaluate("track => track.readyState") == "ended"
        expect(page.get_by_role("button", name="Start the camera")).to_be_focused()
        start(page)
        expect(live.locator(".now")).to_contain_text("red")
        page.get_by_role("tab", name="Video").click()
        expect(page.get_by_role("button", name="Start the camera")).to_be_hidden()
        assert page.evaluate("document.querySelector('#panel-live video').srcObject") is None
        assert tab.errors == []
        assert tab.elsewhere == []


def test_another_model_takes_over_while_the_camera_runs(browser: Browser, address: str) -> None:
    with opened_tab(browser, address, color_scheme="dark", **PHONE) as tab:
        page = opened_live(tab)
        start(page)
        live = page.locator("#panel-live")
        expect(live.locator(".now")).to_contain_text("red")
        page.select_option("#model", label="regression")
        expect(live.locator(".now")).to_contain_text(re.compile(r"redness\d{2}"))
        expect(live.locator(".bars li")).to_have_count(2)
        expect(live.locator(".strip polyline")).to_have_count(1)
        page.select_option("#model", label="multi")
        expect(live.locator(".now .chip")).to_have_text([re.compile("^red")])
        assert faults(page) == []
        assert tab.errors == []


def test_a_refused_stream_says_why(browser: Browser, address: str) -> None:
    with opened_tab(browser, address) as first, opened_tab(browser, address) as second:
        start(opened_live(first))
        expect(first.page.locator("#panel-live .now")).to_contain_text("red")
        page = opened_live(second)
        start(page)
        alert = page.locator("#panel-live").get_by_role("alert")
        expect(alert).to_have_text("1 streams are open, the most. Try again later.")
        expect(page.get_by_role("button", name="Start the camera")).to_be_visible()
        # The other goes on.
        expect(first.page.get_by_role("button", name="Stop")).to_be_visible()


def test_a_camera_that_cannot_be_had_is_told_in_words(playwright: Playwright, address: str) -> None:
    assert PROGRAM is not None
    port = address.rsplit(":", 1)[1]
    flags = ("--deny-permission-prompts", "--use-fake-device-for-media-stream")
    names = "--host-resolver-rules=MAP far.example 127.0.0.1"
    opened = launch(playwright, PROGRAM, *flags, names)
    try:
        with opened_tab(opened, address) as tab:
            page = opened_live(tab)
            start(page)
            alert = page.locator("#panel-live").get_by_role("alert")
            expect(alert).to_contain_text("The browser may not use the camera. Allow it")
        with opened_tab(opened, f"http://far.example:{port}") as tab:
            page = opened_live(tab)
            alert = page.locator("#panel-live").get_by_role("alert")
            expect(alert).to_contain_text("Browsers give the camera only to secure pages.")
            expect(page.get_by_role("button", name="Start the camera")).to_be_disabled()
    finally:
        opened.close()
