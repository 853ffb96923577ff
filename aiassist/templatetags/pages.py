"""What the site's templates need beyond Django's own tags."""

import html
import re
import textwrap
from collections.abc import Iterable
from datetime import datetime

from django import template
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from aiassist.lib import clock
from aiassist.lib.highlight import highlight_code
from billing.metering.limits import Window
from billing.models import Tier
from billing.reporting import dashboards

register = template.Library()

_LABELS = {
    "basic_chat": "Chat",
    "code_explanation": "Explain code",
    "code_generation": "Generate code",
    "inline_completion": "Inline completion",
    "extractive": "Extractive (no model)",
    "ollama": "Ollama (local)",
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "google": "Google",
}

_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python", "Python"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


@register.filter
def device(user_agent: str) -> str:
    """Return e.g. `Firefox on Linux`; a guess, good enough to tell two apart."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"


@register.filter
def size(n_bytes: int) -> str:
    """Return e.g. `12 MB`, with a space that does not break."""
    text: str = filesizeformat(n_bytes)
    return re.sub(r"\.0(?=\D)", "", text)


@register.filter
def dollars(micros: int) -> str:
    """Return micro-dollars as `$0.0042`: enough digits to see a small sum."""
    return dashboards.dollars(micros)


@register.filter
def told_prices(tiers: Iterable[Tier]) -> bool:
    """Whether this installation tells what any of the tiers costs."""
    return any(tier.monthly_price_usd_micros is not None for tier in tiers)


@register.filter
def duration(milliseconds: int) -> str:
    """Return e.g. `340 ms` or `1.2 s`, with a space that does not break."""
    if milliseconds < 1000:
        return f"{milliseconds}\u00a0ms"
    return f"{milliseconds / 1000:.3g}\u00a0s"


@register.filter
def moment(rfc3339: str) -> datetime:
    """Return the moment that RFC 3339 text names."""
    return datetime.fromisoformat(rfc3339)


@register.filter
def plainly(sentence: object) -> str:
    """Return the sentence with its times as people read them."""
    return clock.plainly(str(sentence))


@register.filter
def span(seconds: int) -> str:
    """Return e.g. `40 seconds` or `3 minutes`: how long something still takes."""
    if seconds < 90:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    return f"{round(seconds / 60)} minutes"


@register.filter
def label(name: str) -> str:
    """Return how people call a feature or provider."""
    return _LABELS.get(name, name.replace("_", " ").capitalize())


@register.filter(is_safe=True)
def sentence(title: str) -> str:
    """Return allauth's Title Case as this site writes: `Enter device code`."""
    words = title.split()
    if not all(word[0].isupper() or len(word) < 4 for word in words):
        return title
    # Names with capitals of their own (`GitHub`, `OIDC`) keep them.
    lowered = [word.lower() if word == word.title() else word for word in words]
    told = " ".join(lowered)
    return told[:1].upper() + told[1:]


@register.filter
def level(window: Window) -> str:
    """Return how full a quota is: ``, `high` (four fifths) or `full`."""
    if window.remaining == 0:
        return "full"
    return "high" if window.used * 5 >= window.limit * 4 else ""


@register.simple_block_tag
def code(content: str, language: str, title: str, target: str) -> SafeString:
    """Return a block of code with a copy button; `target` is its id."""
    # What came from variables was escaped already; highlighting does it again.
    text = textwrap.dedent(html.unescape(content)).strip()
    return render_to_string(
        "elements/code.html",
        {"title": title, "code": highlight_code(text, language), "target": target},
    )


@register.simple_tag
def code_block(text: str, language: str, title: str, number: int) -> SafeString:
    """Return a block of code with a copy button, from text that Python made."""
    return render_to_string(
        "elements/code.html",
        {
            "title": title,
            "code": highlight_code(text.rstrip("\n"), language),
            "target": f"code-{number}",
        },
    )
