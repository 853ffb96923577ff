"""Code as people bring it, and how they let go of it over a page."""

import tarfile
import zipfile
from pathlib import Path

from playwright.sync_api import Page


def a_folder(home: Path) -> Path:
    """A folder with one file to index and one that nobody wants."""
    behind = home / "app" / "lib" / "node_modules"
    behind.mkdir(parents=True)
    (behind / "x.js").write_text("left = 'behind'")
    (behind.parent / "from_a_folder.py").write_text("size = 1\n")
    return home / "app"


def a_zip(home: Path) -> Path:
    """Two files."""
    with zipfile.ZipFile(home / "code.zip", "w") as made:
        made.writestr("lib/from_a_zip.py", "size = 2\n")
        made.writestr("lib/second.py", "n = 2\n")
    return home / "code.zip"


def a_tar(home: Path) -> Path:
    """Three files."""
    with tarfile.open(home / "code.tar.gz", "w:gz") as made:
        for name in ("from_a_tar.py", "second.py", "third.py"):
            (home / name).write_text(f"name = {name!r}\n")
            made.add(home / name, f"lib/{name}")
    return home / "code.tar.gz"


def drop(page: Page, path: Path) -> None:
    """Let go of it over the upload form, as from a file manager."""
    place = page.locator("[data-upload]").bounding_box()
    assert place is not None
    at = {"x": place["x"] + 40, "y": place["y"] + 40}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})
