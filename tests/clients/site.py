"""aiassist as `make run` starts it, a person on it, and what its Connect page shows."""

import os
import re
import secrets
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Self

import httpx2

from tests.clients.wires import NAME
from tests.e2e.platform import archive
from tests.support.ports import free_port, wait_for
from tests.support.processes import ROOT, Process, python

EMAIL = "ada@example.test"
TIER = "enterprise"


@dataclass(frozen=True)
class Block:
    """One block of code of a page, as a person would copy it."""

    title: str
    text: str


_OPENAI = {"OPENAI_API_KEY": "sk-of-the-operator", "OPENAI_BASE_URL": "{url}/v1"}
# How each provider is set up; `{url}` is the scripted model's.
PROVIDERS = {
    "openai": _OPENAI,
    "responses": _OPENAI,
    "anthropic": {
        "ANTHROPIC_API_KEY": "sk-of-the-operator",
        "ANTHROPIC_BASE_URL": "{url}",
    },
}
# What staff enter so that OpenAI's models are had over its responses.
_OVER_RESPONSES = f"""
from assistant.models import AIModel
model = AIModel.objects.create(
    provider="openai", name="{NAME}", upstream_name="{NAME}", context_window=200_000,
    price_in_usd_micros=0, price_out_usd_micros=0,
)
model.upstreams.create(
    name="own", provider="openai-responses", upstream_name="{NAME}"
)
"""


class Site:
    """One aiassist on a port and a folder of its own, with one provider at `url`."""

    def __init__(self, home: Path, provider: str, url: str) -> None:
        home.mkdir(parents=True)
        self._provider = provider
        self._password = secrets.token_urlsafe(16)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        names = ("PATH", "HOME", "LANG")
        self._env = {
            **{name: os.environ[name] for name in names if name in os.environ},
            "PORT": str(self.port),
            "DATA_DIR": str(home / "data"),
            "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded",
            "OLLAMA_URL": "http://127.0.0.1:9",
            **{k: v.format(url=url) for k, v in PROVIDERS[provider].items()},
        }
        self.process = Process(
            python("-m", "aiassist.run"), log=home / "aiassist.log", env=self._env
        )
        self._browser = httpx2.Client(
            base_url=self.url, timeout=60, follow_redirects=True
        )

    def __enter__(self) -> Self:
        self.process.start()
        self.process.wait_for_output("is ready at", seconds=90)
        self._manage("create_user", EMAIL, AIASSIST_PASSWORD=self._password)
        self._manage("set_tier", EMAIL, TIER)
        if self._provider == "responses":
            self._manage("shell", "-c", _OVER_RESPONSES)
        self._sign_in()
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self.process.stop()

    def connect(self, page: str) -> list[Block]:
        """Press the button that makes a client's key; return what is to be copied."""
        blocks = _Blocks()
        blocks.feed(self._post(f"/dashboard/connect/{page}/").text)
        assert blocks.found, f"The Connect page of {page} shows nothing to copy"
        return blocks.found

    def add_workspace(self, key: str) -> str:
        """Upload some code, wait until it is searchable, and return its id."""
        headers = {"Authorization": f"Bearer {key}"}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=60) as api:
            made = api.post("/api/v1/workspaces", json={"name": "parts"})
            assert made.status_code == 201, made.text
            address = f"/api/v1/workspaces/{made.json()['id']}"
            files = {"file": ("parts.tar.gz", archive(), "application/gzip")}
            sent = api.post(f"{address}/archive", files=files)
            assert sent.status_code == 202, sent.text
            wait_for(
                lambda: api.get(address).json()["status"] == "ready",
                seconds=120,
                what="the workspace's index",
                every=0.2,
            )
        return str(made.json()["id"])

    def new_key(self) -> str:
        """Return a key with all rights, made by the operator."""
        return self._manage("create_api_key", EMAIL).splitlines()[-1]

    def _sign_in(self) -> None:
        form = {"login": EMAIL, "password": self._password}
        signed_in = self._post("/accounts/login/", **form)
        assert "/accounts/login/" not in str(signed_in.url), "the sign-in was refused"

    def _post(self, address: str, **form: str) -> httpx2.Response:
        found = re.search(
            r'name="csrfmiddlewaretoken" value="([^"]+)"',
            self._browser.get(address).raise_for_status().text,
        )
        assert found is not None, f"{address} has no form"
        body = {"csrfmiddlewaretoken": found[1], **form}
        answer = self._browser.post(address, data=body, headers={"Referer": self.url})
        return answer.raise_for_status()

    def _manage(self, *arguments: str, **environment: str) -> str:
        config = Path(self._env["DATA_DIR"], "redis", "redis.conf").read_text()
        port, password = re.findall(r"^(?:port|requirepass) (.+)$", config, re.M)
        redis_url = f"redis://:{password}@127.0.0.1:{port}/0"
        ended = subprocess.run(
            python("manage.py", *arguments),
            env={**self._env, "REDIS_URL": redis_url, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


class _Blocks(HTMLParser):
    """Reads the blocks of templates/elements/code.html."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Block] = []
        self._title = ""
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "pre":
            self._title = given.get("aria-label") or ""
        elif tag == "code" and (given.get("id") or "").startswith("code-"):
            self._text = []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "code" and self._text is not None:
            self.found.append(Block(self._title, "".join(self._text) + "\n"))
            self._text = None
