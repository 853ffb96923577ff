"""A Chromium and the whole embedded site, as `make run` starts it.

Where no Chromium is installed these tests are left out, and the run says so.
"""

import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    expect,
    sync_playwright,
)

from tests.browser import provider
from tests.support.ports import free_port, wait_for
from tests.support.processes import ROOT, Process, python

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What `make run` would take from a developer's shell, or from this suite.
NOT_HANDED_ON = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY")
PASSWORD = "correct horse battery staple"
_env: dict[str, str] = {}  # of the process of the site that was started last


def chromium() -> str:
    """Return the path of a Chromium, "" where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.browser)
    if mine and not chromium():
        items[:] = [item for item in items if item not in mine]
        config.hook.pytest_deselected(items=mine)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(
                f"No Chromium found: {len(mine)} browser tests are left out."
            )


@pytest.fixture(scope="session")
def provider_urls() -> dict[str, str]:
    """Where those will be whom the site asks, once a test starts them."""
    return {
        name: f"http://127.0.0.1:{free_port()}"
        for name in ("OIDC_ISSUER", "GITHUB_URL", "OPENAI_BASE_URL")
    }


@pytest.fixture(scope="session")
def site(
    tmp_path_factory: pytest.TempPathFactory, provider_urls: dict[str, str]
) -> Iterator[str]:
    """The embedded site on a free port, for all files of a test process."""
    with embedded_site(tmp_path_factory.mktemp("embedded"), provider_urls) as address:
        yield address


@contextmanager
def embedded_site(home: Path, provider_urls: dict[str, str]) -> Iterator[str]:
    """Start the site on an empty folder; yield its address."""
    port = free_port()
    env = {k: v for k, v in os.environ.items() if k not in NOT_HANDED_ON}
    env |= {"DATA_DIR": str(home), "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    env["OLLAMA_URL"] = "http://127.0.0.1:9"
    env["ADMIN_REQUIRES_MFA"] = "true"
    # Its models are offered to tiers that have them, and nobody here has one.
    env["OPENAI_API_KEY"] = "sk-of-nobody"
    env |= provider_urls
    for name in ("OIDC", "GITHUB", "GOOGLE", "MICROSOFT"):
        env[f"{name}_CLIENT_ID"] = provider.CLIENT_ID
        env[f"{name}_CLIENT_SECRET"] = provider.CLIENT_SECRET
    address = f"http://127.0.0.1:{port}"
    process = Process(
        python("-m", "aiassist.run"), log=home / "run.log", env=env, cwd=ROOT
    )
    before = dict(_env)
    with process:
        wait_for(
            lambda: process.alive and _answers(address),
            seconds=90,
            what="the embedded site",
        )
        _env.update(env)
        yield address
    _env.clear()
    _env.update(before)


def run_beside(*command: str) -> str:
    """Run a Python program on the started site's data; return what it prints."""
    return subprocess.run(
        python(*command),
        env={
            **_env,
            "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded",
            "REDIS_URL": _private_redis(Path(_env["DATA_DIR"])),
        },
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def _private_redis(home: Path) -> str:
    """Return the address of the Redis that the site started for itself."""
    config = (home / "redis" / "redis.conf").read_text().splitlines()
    told = dict(line.split(" ", 1) for line in config)
    return f"redis://:{told['requirepass']}@127.0.0.1:{told['port']}/0"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the pages' consoles said: errors, CSP reports, uncaught exceptions."""
    return []


@pytest.fixture(scope="module")
def member(site: str, browser: Browser, complaints: list[str]) -> Iterator["Visit"]:
    """A person who has signed up, and whose code is indexed and asked about."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    yield Visit(site, context, complaints)
    context.close()


class Visit:
    """One person at one browser window."""

    def __init__(self, site: str, context: BrowserContext, complaints: list[str]):
        self.site = site
        self.context = context
        self.page: Page = context.new_page()
        self.page.on("console", lambda said: _note(said, complaints))
        self.page.on("pageerror", lambda error: complaints.append(str(error)))
        self.addresses: dict[str, str] = {}

    def go(self, path: str) -> None:
        self.page.goto(path if path.startswith("http") else self.site + path)

    def sign_up(self, name: str) -> None:
        """Make an account for name@example.test by the form and the mail it sends."""
        email = f"{name.lower()}@example.test"
        self.go("/accounts/signup/")
        self.submit(full_name=name, email=email, password1=PASSWORD)
        self.page.click("text=Open the mailbox")
        self.page.click("main a[href*='confirm-email'] >> nth=0")
        self.page.click("main button[type=submit]")
        if "/login/" in self.page.url:
            self.sign_in(name)

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        self.context.clear_cookies(name="sessionid")
        self.go("/accounts/login/")
        self.submit(login=f"{name.lower()}@example.test", password=password)

    def submit(self, **fields: str) -> None:
        """Fill in the page's form and send it."""
        for name, value in fields.items():
            self.page.fill(f"main [name={name}]", value)
        self.page.click("main button[type=submit]")


def _note(said: Any, complaints: list[str]) -> None:
    if said.type in ("error", "warning"):
        complaints.append(f"{said.location.get('url')}: {said.text}")


def _answers(address: str) -> bool:
    try:
        with urlopen(f"{address}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository as a .zip, with a file of secrets and a picture in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for module in ("content/paths", "ignoring/filters", "jobs/queue", "jobs/pace"):
            source = ROOT / "workspaces" / f"{module}.py"
            made.writestr(f"project/{source.name}", source.read_bytes())
        made.writestr("project/.env", "PASSWORD=hunter2\n")
        made.writestr("project/logo.png", b"\x89PNG\r\n\x1a\n\x00\x00")
    file = tmp_path_factory.mktemp("archive") / "project.zip"
    file.write_bytes(buffer.getvalue())
    return file
