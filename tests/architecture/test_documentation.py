"""Settings and error codes are documented, every one, and the guides are found."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiassist.api.problems import _DRF
from aiassist.lib.errors import AppError

ROOT = Path(__file__).resolve().parents[2]
READS = re.compile(
    r"""env\.(?:text|secret|flag|integer|words|path|url|choice)\(\s*["']([A-Z0-9_]+)"""
)


def settings_read() -> set[str]:
    return {
        name
        for folder in ("aiassist/settings", "aiassist/run")
        for file in (ROOT / folder).rglob("*.py")
        for name in READS.findall(file.read_text())
    }


def error_codes() -> set[str]:
    for app in ("accounts", "billing", "workspaces", "assistant", "aiassist.lib"):
        for file in (ROOT / app.replace(".", "/")).rglob("*errors.py"):
            name = file.relative_to(ROOT).with_suffix("")
            importlib.import_module(".".join(name.parts))
    # Errors outside an errors.py (a page's, the egress client's) stay inside: the
    # code that calls translates them. What is imported by now must not matter.
    codes = {
        error.code for error in family(AppError) if error.__module__.endswith(".errors")
    } - {"app_error", "limit_refused"}
    return codes | {code for code, _ in _DRF.values()}


def family(kind: type[AppError]) -> Iterator[type[AppError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


@pytest.mark.parametrize("name", sorted(settings_read()))
def test_every_setting_is_documented(name: str) -> None:
    page = (ROOT / "docs/developer/configuration.md").read_text()

    assert f"`{name}`" in page


def test_every_error_code_is_documented() -> None:
    page = (ROOT / "docs/public/errors.md").read_text()
    documented = set(re.findall(r"^### ([a-z0-9_]+)$", page, re.MULTILINE))

    assert error_codes() - documented == set()
    assert documented - error_codes() == {"bad_request", "internal_error"}


def test_the_readme_leads_to_every_guide_and_to_no_other_file() -> None:
    """Links between guides are walked in tests/web/test_guides.py."""
    readme = (ROOT / "README.md").read_text()
    found = re.findall(r"\]\((?!https?:)([^)#\s]+)", readme)
    found += re.findall(r'src(?:set)?="([^"]+)"', readme)
    guides = {
        str(file.relative_to(ROOT))
        for part in ("public", "developer")
        for file in (ROOT / "docs" / part).glob("*.md")
    }

    assert guides - set(found) == set()
    assert [link for link in found if not (ROOT / link).exists()] == []
