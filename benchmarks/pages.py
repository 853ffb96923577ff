"""How soon a page shows something, and what it weighs: `python -m benchmarks.pages`.

Starts the embedded site with a month of demo data and one indexed workspace, and opens
each page in a Chromium with an empty cache, three times; prints the median of the first
contentful paint.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import chromium
from tests.support.demo import PASSWORD
from tests.support.ports import free_port, wait_for
from tests.support.processes import ROOT, Process, python

_TIMES = 3
_OUTSIDE = ("/", "/pricing/", "/guides/", "/guides/quickstart/", "/accounts/login/")
_INSIDE = (
    *("/dashboard/", "/dashboard/usage/?period=month", "/dashboard/limits/"),
    *("/dashboard/keys/", "/dashboard/connect/", "/dashboard/connect/vscode/"),
    *("/dashboard/workspaces/", "/dashboard/chat/", "/dashboard/webhooks/"),
    *("/dashboard/settings/", "/dashboard/settings/sessions/", "/accounts/2fa/"),
)
_STAFF = ("/admin/", "/admin/billing/usagerecord/", "/admin/accounts/user/")
_TOLD = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const files = performance.getEntriesByType("resource");
  const sent = files.concat(performance.getEntriesByType("navigation"));
  return [
    paint ? paint.startTime : 0,
    sent.reduce((sum, file) => sum + file.transferSize, 0),
    sent.length,
  ];
}"""


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="aiassist-bench-"))
    port = free_port()
    env = {**os.environ, "DATA_DIR": str(home), "PORT": str(port)}
    env["OLLAMA_URL"] = "http://127.0.0.1:9"
    site = f"http://127.0.0.1:{port}"
    try:
        with Process(python("-m", "aiassist.run"), log=home / "log", env=env) as run:
            wait_for(lambda: run.alive and _answers(site), seconds=90, what="the site")
            subprocess.run(
                [sys.executable, "-m", "tests.support.demo"],
                env={**env, "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded"},
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            _measure(site)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _measure(site: str) -> None:
    print("| page | first paint, ms | sent, KB | requests |\n| --- | --- | --- | --- |")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        ada = _signed_in(browser, site, "ada@example.test")
        for cookies, paths in (
            ([], _OUTSIDE),
            (ada, [*_INSIDE, *_made(browser, site, ada)]),
            (_signed_in(browser, site, "stella@example.test"), _STAFF),
        ):
            for path in paths:
                times, sizes, n = zip(
                    *(_view(browser, site + path, cookies) for _ in range(_TIMES)),
                    strict=True,
                )
                print(
                    f"| {path} | {statistics.median(times):.0f} "
                    f"| {statistics.median(sizes) / 1000:.0f} | {n[0]} |",
                    flush=True,
                )
        browser.close()


def _view(browser: Browser, url: str, cookies: list[dict[str, str]]) -> list[float]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_cookies(cookies)  # type: ignore[arg-type]
    page: Page = context.new_page()
    page.goto(url)
    # Playwright's own waiting compiles a string, which the content policy forbids.
    wait_for(lambda: page.evaluate(_TOLD)[0], what="the first paint")
    told: list[float] = page.evaluate(_TOLD)
    context.close()
    return told


def _signed_in(browser: Browser, site: str, email: str) -> list[dict[str, str]]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site}/accounts/login/")
    page.fill("main [name=login]", email)
    page.fill("main [name=password]", PASSWORD)
    page.click("main button[type=submit] >> nth=0")
    page.wait_for_url(re.compile("/dashboard/"))
    cookies = context.cookies()
    context.close()
    return [dict(each) for each in cookies]  # type: ignore[arg-type]


def _made(browser: Browser, site: str, cookies: list[dict[str, str]]) -> list[str]:
    """Index a workspace and ask about it; return the paths of its pages."""
    context = browser.new_context()
    context.add_cookies(cookies)  # type: ignore[arg-type]
    page = context.new_page()
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        with tarfile.open(file.name, "w:gz") as made:
            made.add(Path(ROOT) / "workspaces", "workspaces")
        page.goto(f"{site}/dashboard/workspaces/new/")
        page.fill("main [name=name]", "workspaces")
        page.click("main button[type=submit]")
        page.set_input_files("[name=file]", file.name)
        page.click("text=Upload and index")
        page.locator("#workspace-status", has_text="Ready").wait_for(timeout=300_000)
    workspace = page.url.removeprefix(site)
    page.click("text=Ask about it")
    page.fill("#message", "Which paths are refused?")
    page.press("#message", "Enter")
    page.locator("[data-retry]").wait_for()
    conversation = page.url.removeprefix(site)
    context.close()
    pages = ("files/", "source/workspaces/content/paths.py/", "search/?q=path")
    return [
        workspace,
        *(f"{workspace}{each}" for each in (*pages, "rules/", "import/", "rename/")),
        conversation,
    ]


def _answers(site: str) -> bool:
    try:
        with urlopen(f"{site}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    main()
