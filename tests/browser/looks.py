"""How a page is looked at: by axe, at a width, in light or dark."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

AXE = Axe()
# What may differ once a page is narrow and dark.
LOOK = {"runOnly": ["color-contrast", "target-size", "scrollable-region-focusable"]}


def violations(page: Page, options: dict[str, Any] | None = None) -> list[Any]:
    found = AXE.run(page, options=options).response["violations"]
    return [(each["id"], each["nodes"][0]["target"]) for each in found]


def look(page: Page, address: str, width: int, scheme: Any) -> None:
    """Load it anew: colours on their way from one theme to the other are neither."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
