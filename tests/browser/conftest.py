"""A real browser in front of the server, a real API server and a real store.

    browse("dora").goto(address("runs"))     a page of a browser that only Dora uses

A page that violates its content security policy, or whose scripts raise an error, fails the test.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.server.conftest import Site, Team, app, as_user, governed, site, team

__all__ = ["Site", "app", "as_user", "governed", "site", "team"]

#: Nothing but the page under test uses the network.
_QUIET = (
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync",
    "--no-first-run", "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. It ends with these tests: its event loop would be in the way of other tests' loops."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("the browser tests need Debian's package chromium: .ci/install installs it")
        pytest.skip("no chromium here: `apt-get install chromium` (.ci/install does)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_QUIET), chromium_sandbox=False)
        yield browser
        browser.close()


@dataclass
class Complaints:
    """What pages should not do. ``allowed``: messages of the console that a test expects."""

    found: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ("Failed to load resource",)

    def watch(self, page: Page) -> None:
        """Collect the page's errors and violations of its policy."""
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("console", self._said)
        page.on("dialog", lambda dialog: (self.found.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(self.allowed):
            self.found.append(f"{message.type}: {message.text}")


#: Other tests keep the machine busy.
PATIENCE_SECONDS = 30
expect.set_options(timeout=PATIENCE_SECONDS * 1000)

Browse = Callable[..., Page]


@pytest.fixture
def browse(chromium: Browser, team: Team) -> Iterator[Browse]:
    """Open a browser of its own for a person."""
    complaints, contexts = Complaints(), []

    def opened(person: str, **options: object) -> Page:
        headers = {"Authorization": f"Bearer {team.tokens[person]}"}
        size = {"width": 1280, "height": 900}
        context = chromium.new_context(**{"viewport": size, **options}, extra_http_headers=headers)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints.found, json.dumps(complaints.found, indent=1)
