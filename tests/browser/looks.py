"""How a page is looked at: by axe, at a width, in light or dark."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

# What may differ once a page is narrow and dark.
LOOK = {"runOnly": ["color-contrast", "target-size", "scrollable-region-focusable"]}
# Only faults are gathered in full: listing what is right takes longer than judging it.
RUN = "(options) => axe.run({ resultTypes: ['violations'], ...options })"


def faults_of(page: Page, address: str) -> list[Any]:
    """Return what is wrong with a page, wide and light, then narrow and dark.

    Contrast hangs on the scheme and layout on the width: two pairs show all four.
    """
    found = []
    for width, scheme, options in ((1280, "light", None), (390, "dark", LOOK)):
        look(page, address, width, scheme)
        found += violations(page, options)
        needed = page.evaluate("document.documentElement.scrollWidth")
        if needed > width:
            found.append((f"{needed} wide in a window of {width}", []))
    return found


def violations(page: Page, options: dict[str, Any] | None = None) -> list[Any]:
    """Return the rule and the place of each fault."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(RUN, options or {})["violations"]
    return [(each["id"], each["nodes"][0]["target"]) for each in found]


def look(page: Page, address: str, width: int, scheme: Any) -> None:
    """Load it anew: colours on their way from one theme to the other are neither."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
