"""The guides: `docs/` as the site shows it. A changed file shows at once."""

import html
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import strip_tags

from aiassist.lib.errors import NotFound
from aiassist.lib.markdown import Page, render_page

# Folder, heading, slugs that come first in this order.
_USING = (
    *("quickstart", "dashboard", "clients", "workspaces", "sync", "ignore-rules"),
    *("git-import", "search-and-chat", "sign-in"),
)
SECTIONS = (
    (
        "public",
        "Using aiassist",
        _USING,
    ),
    (
        "clients",
        "Editors, agents and libraries",
        ("vscode", "continue", "cline", "tabby", "claude-code", "codex", "opencode"),
    ),
    (
        "developer",
        "Running and extending it",
        ("operation", "configuration", "administration", "architecture", "changing"),
    ),
)
LEGAL = "legal"
EXCERPT_CHARS = 180
_CODE_HEAD = re.compile(r'<div class="code-head">.*?</div>', re.DOTALL)
_HEADING = re.compile(r'<h[23] id="([^"]+)">.*?</h[23]>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Guide:
    """A page of docs/ with its address."""

    slug: str
    url: str
    page: Page


@dataclass(frozen=True, slots=True)
class Found:
    """A guide that holds the words, and where."""

    guide: Guide
    url: str  # with the section's anchor
    heading: str  # of the section; "": the page's beginning
    excerpt: str


@dataclass(frozen=True, slots=True)
class Section:
    heading: str
    guides: list[Guide]


def all_sections() -> list[Section]:
    """Return the guides in reading order."""
    return [
        Section(heading, [get_guide(folder, slug) for slug in _slugs(folder, first)])
        for folder, heading, first in SECTIONS
    ]


def get_guide(folder: str, slug: str) -> Guide:
    """Return one guide. Raises NotFound for a name that is not in the folder."""
    if slug not in _slugs(folder):
        raise NotFound
    file = _root() / folder / f"{slug}.md"
    page = _rendered(file, file.stat().st_mtime_ns)
    return Guide(slug=slug, url=_url(folder, slug), page=page)


def search_guides(words: str) -> list[Found]:
    """Return the guides that hold every word, those with it in the title first.

    Each leads to its first section that holds them all, and shows the place.
    """
    wanted = words.lower().split()
    guides = [guide for section in all_sections() for guide in section.guides]
    found = [g for g in guides if all(w in _text(g) for w in wanted)]
    found.sort(key=lambda g: not any(w in g.page.title.lower() for w in wanted))
    return [_place(guide, wanted) for guide in found]


def _place(guide: Guide, wanted: list[str]) -> Found:
    headings = {heading.anchor: heading.text for heading in guide.page.headings}
    for anchor, text in _parts(guide.page.html):
        told = f"{headings.get(anchor, '')} {text}".lower()
        if anchor and all(word in told for word in wanted):
            url = f"{guide.url}#{anchor}"
            return Found(guide, url, headings.get(anchor, ""), _excerpt(text, wanted))
    text = _words(guide.page.html)
    return Found(guide, guide.url, "", _excerpt(text, wanted))


def _parts(page: str) -> Iterator[tuple[str, str]]:
    """Yield (anchor, text) of each section, the text without its tags."""
    pieces = _HEADING.split(page)
    yield "", _words(pieces[0])
    for anchor, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        yield anchor, html.unescape(_words(piece))


def _excerpt(text: str, wanted: list[str]) -> str:
    """Return the words around the first one that was asked for."""
    plain = " ".join(html.unescape(text).split())
    at = min((i for w in wanted if (i := plain.lower().find(w)) >= 0), default=0)
    start = max(0, plain.rfind(" ", 0, max(0, at - 60)) + 1) if at > 60 else 0
    cut = plain[start : start + EXCERPT_CHARS]
    before, after = "…" if start else "", "…" if start + len(cut) < len(plain) else ""
    return f"{before}{cut}{after}"


def _root() -> Path:
    return Path(settings.BASE_DIR) / "docs"


def _slugs(folder: str, first: tuple[str, ...] = ()) -> list[str]:
    found = {file.stem for file in (_root() / folder).glob("*.md")}
    leading = [slug for slug in first if slug in found]
    return leading + sorted(found - set(leading))


def _url(folder: str, slug: str) -> str:
    if folder == LEGAL:
        return reverse("legal", args=[slug])
    if folder == "public":
        return reverse("guide", args=[slug])
    return reverse("guide_in", args=[folder, slug])


def _text(guide: Guide) -> str:
    return f"{guide.page.title} {_words(guide.page.html)}".lower()


def _words(page: str) -> str:
    """Return the text, without the names and buttons above blocks of code."""
    return strip_tags(_CODE_HEAD.sub(" ", page))


@lru_cache(maxsize=128)
def _rendered(file: Path, _changed_at: int) -> Page:
    return render_page(file.read_text("utf-8"), link=_linker(file.parent.name))


def _linker(folder: str) -> Callable[[str], str]:
    """Return what turns a link between files into one between pages."""

    def link(target: str) -> str:
        path, hash_, anchor = target.partition("#")
        if not path or "://" in path or path.startswith(("/", "mailto:")):
            return target
        place = posixpath.normpath(posixpath.join(folder, path))
        parent, name = posixpath.split(place)
        if parent == "img":
            return static(f"docs/{name}")
        if name.endswith(".md") and (_root() / place).is_file():
            return _url(parent, name.removesuffix(".md")) + hash_ + anchor
        return target

    return link
