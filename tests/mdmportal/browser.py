"""Chromium for a test: contexts that note whatever a page should not do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from axe_playwright_python.sync_playwright import Axe

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
MISSING = "needs Chromium: apt-get install -y chromium"
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# A busy machine takes its time.
PATIENCE = 30_000
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


def text_of(page: object, selector: str) -> str:
    """What stands there once the page has arrived whole: after a click the first half of it may be there already."""
    page.wait_for_load_state()
    return page.inner_text(selector)


@dataclass
class Window:
    """One browser context with one page, and all that was wrong with it."""

    page: object
    home: str
    complaints: list[str] = field(default_factory=list)

    def watch(self):
        page = self.page
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", self._asked)
        return self

    def _said(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _asked(self, request):
        if not request.url.startswith((f"{self.home}/", "data:")):
            self.complaints.append(f"request to another host: {request.url}")

    def open(self, path: str):
        """Go there; the page has to answer 200."""
        answer = self.page.goto(path if path.startswith("http") else self.home + path)
        assert answer.status == 200, (path, answer.status)
        return self.page

    def expect_refusal(self):
        """A form that comes back with an error has status 400, which Chromium notes; nothing else may be noted."""
        assert [text for text in self.complaints if "status of 400" not in text] == []
        assert self.complaints, "the form was taken"
        self.complaints.clear()

    @property
    def barriers(self) -> list[str]:
        """What axe finds critical or serious in this page, in its light and in its dark colours."""
        page, found = self.page, []
        for scheme, kind, rules in (("light", "tag", AXE_RULES), ("dark", "rule", ["color-contrast"])):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            options = {"resultTypes": ["violations"], "preload": False, "runOnly": {"type": kind, "values": rules}}
            for one in Axe().run(page, options=options).response["violations"]:
                nodes = "; ".join(node["html"][:160] for node in one["nodes"][:3])
                if one["impact"] in {"critical", "serious"}:
                    found.append(f"{scheme}: {one['id']}: {nodes}")
        # axe measures with styles of its own, which the policy refuses; they are not the page's.
        self.complaints[:] = [text for text in self.complaints if "Applying inline style" not in text]
        return found

    @property
    def sticks_out(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@contextmanager
def window(browser, home: str, *, session: str = "", **options) -> Iterator[Window]:
    """A window, signed in with the session; nothing may have been wrong when it closes."""
    context = browser.new_context(**{**DESKTOP, **options})
    context.set_default_timeout(PATIENCE)
    if session:
        context.add_cookies([{"name": "sessionid", "value": session, "url": home}])
    one = Window(context.new_page(), home).watch()
    try:
        yield one
        assert one.complaints == []
    finally:
        context.close()
