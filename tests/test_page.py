"""The page of `cliptide serve` in a real browser and against a real server: the video tab."""

import base64
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import find_browser

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from page_browser import PHONE, Tab, faults, launch, opened_tab  # noqa: E402
from page_server import serving, started, write_colours, write_model, write_sound_model  # noqa: E402
from playwright.sync_api import Browser, Page, expect  # noqa: E402
from video_files import write_wav  # noqa: E402

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed to open it with")

STRETCHES = [("red", 2.5), ("white", 2.5), ("red", 2.5), ("blue", 3.0)]
KEY = "s3cret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def video(folder: Path) -> Path:
    return write_colours(folder / "colours, of mine.mp4", stretches=STRETCHES)


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[tuple[Callable[[], str], Callable[[], str]]]:
    tasks = ("single", "multi", "regression")
    models = [write_model(folder / f"{task}.safetensors", task=task) for task in tasks]
    few = ("--queue", "1", "--max_upload_mb", "1", "--workers", "1")
    with started(*models) as open_one, started(models[0], *few, key=KEY) as locked_one:
        yield open_one, locked_one


@pytest.fixture(scope="module")
def address(servers: tuple[Callable[[], str], Callable[[], str]]) -> str:
    return servers[0]()


@pytest.fixture(scope="module")
def locked(servers: tuple[Callable[[], str], Callable[[], str]]) -> str:
    """A server with a key and room for one request."""
    return servers[1]()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM is not None
    with sync_api.sync_playwright() as playwright:
        opened = launch(playwright, PROGRAM, "--autoplay-policy=no-user-gesture-required")
        yield opened
        opened.close()


@pytest.fixture
def new_tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    with ExitStack() as stack:
        yield lambda address, **options: stack.enter_context(
            opened_tab(browser, address, **options)
        )


def time_of(page: Page) -> float:
    seconds: float = page.locator("#result video").evaluate("video => video.currentTime")
    return seconds


# --- From a video to its timeline ----------------------------------------------------------------


def test_a_model_of_sounds_asks_for_a_sound(
    new_tab: Callable[..., Tab], folder: Path, tmp_path: Path
) -> None:
    sound = write_wav(tmp_path / "door.wav", 3)
    with serving(write_sound_model(folder / "doors.safetensors")) as address:
        tab = new_tab(address)
        page = tab.open()
        drop = page.locator("#drop")
        expect(drop).to_contain_text("Drop a sound here")
        expect(page.locator("#knows")).to_contain_text("as long as the sound is")
        assert "audio/*" in str(page.locator("#file").get_attribute("accept"))
        tab.look_at(sound)
        expect(page.get_by_role("button", name="Another sound")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("video")


def test_a_video_plays_with_its_timeline_and_a_click_jumps(
    new_tab: Callable[..., Tab], address: str, video: Path
) -> None:
    tab = new_tab(address)
    page = tab.open()
    expect(page.locator("#knows")).to_contain_text("single knows 3 labels")
    tab.look_at(video)
    segments = page.locator(".segment")
    expect(segments).to_have_count(4)
    assert segments.first.get_attribute("aria-label") == "red, 0:00.0 to 0:02.6, score 94 %"
    expect(page.locator(".name.lane-row")).to_have_text(["red", "blue", "white"])  # longest first
    expect(page.locator("#result .now")).to_contain_text("red")

    page.get_by_role("button", name=re.compile("^blue, 0:07")).click()
    assert time_of(page) == pytest.approx(7.6, abs=0.05)
    expect(page.locator("#result .now")).to_contain_text("blue")
    expect(page.locator("tr[aria-current]")).to_contain_text("blue")
    expect(page.locator(".segment.current")).to_have_count(1)

    page.get_by_role("button", name="Jump to 0:02.6, white").click()
    assert time_of(page) == pytest.approx(2.6, abs=0.05)

    track = page.locator(".track.curve-row")
    box = track.bounding_box()
    assert box is not None
    track.click(position={"x": box["width"] / 2, "y": 20})
    assert time_of(page) == pytest.approx(5.25, abs=0.1)
    expect(page.locator(".tip")).to_contain_text("0:05")
    assert tab.errors == []
    assert tab.elsewhere == []


def test_the_playhead_follows_a_playing_video(
    new_tab: Callable[..., Tab], address: str, video: Path
) -> None:
    tab = new_tab(address)
    tab.open()
    page = tab.look_at(video)
    page.get_by_role("button", name=re.compile("^white")).click()
    place = "e => Number.parseFloat(e.style.left)"
    assert page.locator(".playhead").evaluate(place) == pytest.approx(24.8, abs=1)
    page.locator("#result video").evaluate("video => video.play()")
    page.wait_for_function(
        "() => Number.parseFloat(document.querySelector('.playhead').style.left) > 30"
    )
    assert page.locator(".playhead").evaluate(place) == pytest.approx(time_of(page) / 0.105, abs=3)


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_file_may_be_dropped_anywhere_or_pasted(
    new_tab: Callable[..., Tab], address: str, video: Path, way: str
) -> None:
    tab = new_tab(address)
    page = tab.open()
    page.evaluate(
        """([way, data]) => {
          const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), box = new DataTransfer();
          // A name is other people's words: it must stay text.
          box.items.add(new File([bytes], "<img src=x onerror=alert(1)>.mp4", {type: "video/mp4"}));
          const told = {bubbles: true, cancelable: true};
          document.querySelector("footer").dispatchEvent(way === "drop"
            ? new DragEvent("drop", {...told, dataTransfer: box})
            : new ClipboardEvent("paste", {...told, clipboardData: box}));
        }""",
        [way, base64.b64encode(video.read_bytes()).decode()],
    )
    expect(page.locator(".segment")).to_have_count(4)
    expect(page.locator("h2.file")).to_contain_text("onerror=alert(1)")
    assert page.locator("main img").count() == 0
    assert tab.errors == []


def test_downloads_hold_what_is_shown(
    new_tab: Callable[..., Tab], address: str, video: Path
) -> None:
    tab = new_tab(address)
    tab.open()
    page = tab.look_at(video)
    texts = {}
    for kind in ("JSON", "SRT", "CSV"):
        with page.expect_download() as told:
            page.get_by_role("button", name=kind, exact=True).click()
        assert told.value.suggested_filename == f"colours, of mine.{kind.lower()}"
        texts[kind] = Path(told.value.path()).read_bytes().decode()
    answer = json.loads(texts["JSON"])
    assert [one["label"] for one in answer["segments"]] == ["red", "white", "red", "blue"]
    assert answer["model"] == "single"
    assert len(answer["curve"]["times_s"]) == len(answer["curve"]["scores"]["red"]) > 40
    lines = texts["CSV"].split("\r\n")
    assert lines[0] == "start_s,end_s,label,score"
    first = answer["segments"][1]
    assert lines[2] == f"{first['start_s']:.3f},{first['end_s']:.3f},white,{first['score']:.4f}"
    assert texts["SRT"].startswith("1\n00:00:00,000 --> 00:00:02,600\nred\n\n2\n00:00:02,600 -->")


def test_it_all_works_without_a_mouse(
    new_tab: Callable[..., Tab], address: str, video: Path
) -> None:
    tab = new_tab(address)
    page = tab.open()

    def until(words: str) -> None:
        """Go on by Tab until something of that name has the focus."""
        for _ in range(25):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and re.search(
                words, focused.evaluate("e => e.getAttribute('aria-label') ?? e.textContent")
            ):
                return
        raise AssertionError(f"Tab never reached {words}")

    until("Drop a video here")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(video)
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("h2.file")).to_be_focused()
    expect(page.locator("#status")).to_have_text("Done: 4 segments of 3 labels in 10.5 s")
    until("^red, 0:00.0")
    page.keyboard.press("ArrowRight")
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("^white, 0:02.6"))
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("^red, 0:05.0"))
    page.keyboard.press("Enter")
    assert time_of(page) == pytest.approx(5.0, abs=0.05)
    page.keyboard.press(" ")
    page.wait_for_function("() => !document.querySelector('#result video').paused")
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('#result video').paused")
    # One segment alone is in the tab order: the next is the table behind the lanes.
    page.keyboard.press("Tab")
    expect(page.locator(".segment:focus")).to_have_count(0)
    page.locator("#tab-video").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-live")).to_be_focused()
    expect(page.locator("#panel-live")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("#panel-video")).to_be_visible()


# --- Other tasks, other files --------------------------------------------------------------------


def test_labels_of_a_multi_model_overlap_and_numbers_are_curves(
    new_tab: Callable[..., Tab], address: str, video: Path
) -> None:
    tab = new_tab(address)
    page = tab.open()
    page.select_option("#model", label="multi")
    expect(page.locator("#knows")).to_contain_text("multi knows 3 labels")
    tab.look_at(video)
    page.get_by_role("button", name=re.compile("^white")).click()
    expect(page.locator(".segment.current")).to_have_count(2)
    expect(page.locator("#result .now .chip")).to_have_count(2)

    page.select_option("#model", label="regression")
    page.get_by_role("button", name="Look again with this model").click()
    expect(page.locator(".value-row.track")).to_have_count(2)
    expect(page.locator(".segment")).to_have_count(0)
    expect(page.locator(".summary table")).to_contain_text("redness")
    expect(page.locator("#result .now")).to_contain_text("redness99")
    assert page.get_by_role("button", name="SRT", exact=True).count() == 0
    with page.expect_download() as told:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert Path(told.value.path()).read_text().splitlines()[0] == "time_s,redness,blueness"
    assert tab.errors == []


def test_what_the_browser_cannot_play_has_a_timeline_all_the_same(
    new_tab: Callable[..., Tab], address: str, folder: Path
) -> None:
    path = write_colours(folder / "old.avi", stretches=STRETCHES, codec="mpeg4")
    tab = new_tab(address)
    tab.open()
    page = tab.look_at(path)
    expect(page.locator(".unplayable")).to_contain_text("Your browser cannot play AVI.")
    page.get_by_role("button", name=re.compile("^blue")).click()
    expect(page.locator("#result .now")).to_contain_text("blue")
    expect(page.locator(".still")).to_have_text("0:07.6")


# --- What goes wrong is said ---------------------------------------------------------------------


def test_errors_are_told_in_words_and_the_page_goes_on(
    new_tab: Callable[..., Tab], address: str, folder: Path, video: Path
) -> None:
    tab = new_tab(address)
    page = tab.open()
    (folder / "notes.mp4").write_text("no video at all")
    (folder / "empty.mp4").write_bytes(b"")
    page.set_input_files("#file", folder / "notes.mp4")
    expect(page.locator("#trouble")).to_contain_text("notes.mp4")
    expect(page.locator("#drop")).to_be_visible()
    page.set_input_files("#file", folder / "empty.mp4")
    expect(page.locator("#trouble")).to_contain_text("empty.mp4 is empty.")
    page.context.set_offline(True)
    page.set_input_files("#file", video)
    expect(page.locator("#trouble")).to_contain_text("The connection broke off.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".segment")).to_have_count(4)
    expect(page.locator("#trouble")).to_be_hidden()


def test_an_upload_tells_how_far_it_is_and_can_be_cancelled(
    new_tab: Callable[..., Tab], address: str, folder: Path
) -> None:
    path = folder / "long.mp4"
    path.write_bytes(bytes(400_000))
    tab = new_tab(address)
    page = tab.open()
    session = page.context.new_cdp_session(page)
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000},
    )
    page.set_input_files("#file", path)
    expect(page.locator("#busy-what")).to_have_text("Uploading long.mp4")
    expect(page.locator("#busy-more")).to_have_text(re.compile(r"\d+ % of 400 kB"))
    assert faults(page) == []
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#drop")).to_be_focused()
    expect(page.locator("#status")).to_have_text("Cancelled")
    assert tab.errors == []


def test_a_key_is_asked_for_until_it_is_right_and_kept_for_the_tab(
    new_tab: Callable[..., Tab], locked: str, folder: Path, video: Path
) -> None:
    tab = new_tab(locked)
    page = tab.page
    page.goto(locked)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    expect(dialog).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Give the key").click()
    dialog.get_by_label("Key").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("That key was not accepted.")
    dialog.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready]")
    tab.open()
    assert page.evaluate("localStorage.length") == 0
    (folder / "big.mp4").write_bytes(bytes(2_000_000))
    page.set_input_files("#file", folder / "big.mp4")
    expect(page.locator("#trouble")).to_contain_text(
        "big.mp4 has 2 MB; this server takes up to 1 MB"
    )
    tab.look_at(video)
    expect(page.locator(".segment")).to_have_count(4)


def test_where_the_server_is_busy_the_page_waits_and_tries_again(
    new_tab: Callable[..., Tab], locked: str, video: Path
) -> None:
    tab = new_tab(locked)
    page = tab.page
    page.goto(locked)
    page.get_by_label("Key", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready]")
    with half_an_upload(locked):
        page.set_input_files("#file", video)
        expect(page.locator("#busy-what")).to_have_text("The server is busy")
        expect(page.locator("#busy-more")).to_contain_text("Trying again by itself in 1 s.")
    expect(page.locator(".segment")).to_have_count(4)


@contextmanager
def half_an_upload(address: str) -> Iterator[None]:
    """Take the one place that the server has."""
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    )
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall(head.encode())
        yield


# --- How it looks, and to whom -------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_all_can_be_read_named_and_reached(
    new_tab: Callable[..., Tab], address: str, video: Path, tmp_path: Path, scheme: str, size: str
) -> None:
    tab = new_tab(address, color_scheme=scheme, **(PHONE if size == "phone" else {}))
    page = tab.open()
    assert faults(page) == []
    page.screenshot(path=tmp_path / "empty.png", full_page=True)
    tab.look_at(video)
    jump = page.get_by_role("button", name=re.compile("^white"))
    if size == "phone":
        jump.tap()
    else:
        jump.click()
    assert time_of(page) == pytest.approx(2.6, abs=0.05)
    expect(page.locator("tr[aria-current]")).to_contain_text("white")
    assert faults(page) == []
    page.screenshot(path=tmp_path / "result.png", full_page=True)
    page.get_by_role("tab", name="Live").click()
    assert faults(page) == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 24, 29)"
    assert dark is (scheme == "dark")
    assert tab.errors == []


def test_a_chosen_theme_is_kept_and_motion_is_left_out_where_unwanted(
    new_tab: Callable[..., Tab], address: str
) -> None:
    tab = new_tab(address, color_scheme="light", reduced_motion="reduce")
    page = tab.open()
    background = "getComputedStyle(document.body).backgroundColor"
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(background) == "rgb(15, 24, 29)"
    tab.open()
    assert page.evaluate(background) == "rgb(15, 24, 29)"
    expect(page.get_by_role("button", name="Light colours")).to_be_visible()
    page.evaluate("document.getElementById('busy').hidden = false")
    assert page.evaluate("document.getAnimations().length") == 0
