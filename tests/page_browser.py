"""The server's page in a real Chromium, driven by Playwright; and what WCAG asks of any page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

# As in browser.py: headless, in a container, and never a word to its makers.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}


def launch(playwright: Playwright, program: str, *flags: str) -> Browser:
    """The system's Chromium: Playwright's own would have to be downloaded."""
    return playwright.chromium.launch(executable_path=program, args=[*_FLAGS, *flags])


class Tab:
    """One page in a context of its own, and what it complained about or asked for.

    Attributes:
        page: Playwright's.
        errors: What the console said in red or yellow, exceptions included.
        elsewhere: Addresses that were asked for and are not the server's.
    """

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address, self.errors, self.elsewhere = address, list[str](), list[str]()
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        own = (address, address.replace("http", "ws", 1), "blob:" + address, "data:")
        context.on(
            "request",
            lambda request: None if request.url.startswith(own) else self._note(request.url),
        )
        self.page.on(
            "websocket",
            lambda socket: None if socket.url.startswith(own) else self._note(socket.url),
        )

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _note(self, url: str) -> None:
        self.elsewhere.append(url)

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.address + path)
        self.page.wait_for_selector("body[data-ready]")
        return self.page

    def look_at(self, video: Path) -> Page:
        """Choose a video and wait until it was looked at."""
        self.page.set_input_files("#file", video)
        expect(self.page.locator("#result")).to_be_visible()
        # The first picture is there: only then can one jump.
        self.page.wait_for_function(
            "() => { const v = document.querySelector('#result video');"
            " return !v || v.readyState > 1; }"
        )
        return self.page


@contextmanager
def opened_tab(browser: Browser, address: str, **options: Any) -> Iterator[Tab]:
    """A tab with nothing kept from others."""
    context = browser.new_context(**options)
    try:
        yield Tab(context, address)
    finally:
        context.close()


_FAULTS = (Path(__file__).parent / "page_faults.js").read_text("utf-8")


def faults(page: Page) -> list[str]:
    """What is hard to see, has no name, or cannot be reached; none of it shall be."""
    # Colours that change slowly are measured when they have changed.
    page.evaluate(
        "Promise.all(document.getAnimations().filter(a => a.effect.getTiming()"
        ".iterations !== Infinity).map(a => a.finished))"
    )
    told: list[str] = page.evaluate(_FAULTS)
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*told, f"{wide} px too wide"] if wide > 0 else told
