"""What axe says about a page, light and wide, then dark and narrow, and whether it fits and its charts have tables."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, Page

#: The colour schemes and widths in which each page is looked at.
LOOKS = (("light", 1280), ("dark", 390))
#: What makes a page wider than its window, if it is.
_WIDE = """document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
    .filter(each => each.getBoundingClientRect().right > innerWidth && !each.closest(".scroll, pre"))
    .map(each => each.outerHTML.slice(0, 120))"""
#: Charts with a drawing, whose tables have no rows.
_BARE = """[...document.querySelectorAll("canvas, svg.parallel, svg.scatter")]
    .map(each => each.closest("figure, section")).filter(each => !each.querySelector(".numbers tbody tr"))
    .map(each => each.textContent.slice(0, 80))"""


def look(page: Page, scheme: str, width: int) -> None:
    """Choose the colour scheme and the width of the window."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})


def problems(page: Page, name: str) -> list[str]:
    """Return what is wrong with a page that is loaded. Its policy is not in force: axe adds elements of its own."""
    found = []
    page.locator(".numbers").evaluate_all("tables => tables.forEach(table => { table.open = true; })")
    for scheme, width in LOOKS:
        look(page, scheme, width)
        where = f"{name}, {scheme}, {width}"
        try:
            page.wait_for_function(f"() => !{_BARE}.length")
        except Error:
            found.append(f"{where}: charts without a table: {page.evaluate(_BARE)}")
        found += [f"{where}: {each}" for each in _violations(page)]
        found += [f"{where}: wider than the window: {each}" for each in page.evaluate(_WIDE)]
    return found


def _violations(page: Page) -> list[str]:
    options = {"resultTypes": ["violations"], "preload": False}
    return [
        f"{each['id']} ({each['help']}): {node['html'][:150]} {node.get('failureSummary', '')[:200]}"
        for each in Axe().run(page, options=options).response["violations"]
        for node in each["nodes"][:3]
    ]
