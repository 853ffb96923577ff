"""The production platform without Docker: compose.yml's own commands, real servers.

Each container's command runs as compose.yml and the Dockerfile give it; only the
addresses of the servers differ. PostgreSQL and Redis are real, Qdrant's REST
interface is served by tests/fakes/qdrant_server.py.
"""

import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import httpx2
import psycopg
import yaml

from tests.support.ports import free_port, listens, wait_for
from tests.support.processes import ROOT, Process, python, unmeasured
from tests.support.redis import RedisServer

HOST = "aiassist.example.test"
# What the TLS proxy in front adds.
PROXY = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
PASSWORD = "correct horse battery staple"


class Platform:
    """Every container of compose.yml as a process; `start()` brings them up."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.compose = yaml.safe_load((ROOT / "compose.yml").read_text())
        self.redis = RedisServer()
        self.port = free_port()
        self.qdrant_port = free_port()
        self.database = f"production_{secrets.token_hex(4)}"
        self.processes: dict[str, Process] = {}

    def start(self) -> Self:
        """Bring everything up in compose's order."""
        with psycopg.connect(self._server_url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self.database}"')
        self.redis.start()
        self.start_qdrant()
        for command in _build_commands():
            self._finish(command)
        self._finish(self.command("migrate"))
        for name in ("web", "worker", "beat"):
            self.start_container(name)
        wait_for(self.answers, seconds=120, what=self.processes["web"].output)
        return self

    def stop(self) -> None:
        """Stop all; the suite's cluster drops the database with itself."""
        for process in self.processes.values():
            process.kill()
        self.redis.stop()

    def command(self, name: str) -> list[str]:
        """Return the image's entry point with the container's command."""
        dockerfile = (ROOT / "Dockerfile").read_text()
        found = re.search(r"^ENTRYPOINT (\[.*\])$", dockerfile, re.MULTILINE)
        assert found is not None
        (entrypoint,) = json.loads(found[1])
        inside = str(entrypoint).replace("/app/", f"{ROOT}/")
        return [inside, *self.compose["services"][name]["command"]]

    def env(self, name: str = "web") -> dict[str, str]:
        """Return the container's environment with our servers' addresses."""
        given = {
            key: _interpolated(str(value))
            for key, value in self.compose["services"][name]["environment"].items()
        }
        base = self._server_url().rpartition("/")[0]
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
            **{k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")},
            "DATA_DIR": str(self.home / "data"),
            "STATIC_ROOT": str(self.home / "static"),
            "EMBEDDING_CACHE_DIR": str(self.home / "model"),
            "METRICS_DIR": str(self.home / f"metrics-{name}"),
            "BEAT_SCHEDULE": str(self.home / "beat-schedule"),
            **given,
            "DATABASE_URL": f"{base}/{self.database}",
            "REDIS_URL": self.redis.url,
            "QDRANT_URL": f"http://127.0.0.1:{self.qdrant_port}",
            "PORT": str(self.port),
            "WORKER_METRICS_PORT": "0",
            "STREAM_DRAIN_SECONDS": "2",
            "GRACEFUL_SECONDS": "8",
            "INDEX_LEASE_SECONDS": "5",
            # Nothing listens there: the extractive provider answers.
            "OLLAMA_URL": "http://127.0.0.1:9",
        }

    def start_container(self, name: str) -> Process:
        """Start a container's process, in the place of one that was killed."""
        log = self.home / f"{name}.log"
        env = self.env(name)
        if name == "beat":  # only sends what is due
            env = unmeasured(env)
        process = Process(self.command(name), log=log, env=env)
        self.processes[name] = process.start()
        return process

    def start_qdrant(self) -> None:
        """Start the shared vector database."""
        self.processes["qdrant"] = Process(
            python("-m", "tests.fakes.qdrant_server", str(self.qdrant_port)),
            log=self.home / "qdrant.log",
            env=unmeasured(os.environ),
        ).start()
        wait_for(lambda: listens(self.qdrant_port), seconds=30, what="Qdrant")

    def answers(self) -> bool:
        """Tell whether the image's own health probe is content."""
        probe = python("deploy/healthcheck.py")
        return subprocess.run(probe, env=self.env(), cwd=ROOT).returncode == 0

    def client(self, **headers: str) -> httpx2.Client:
        """Return a client that speaks as the proxy in front would."""
        return httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={**PROXY, **headers},
            timeout=30,
        )

    def manage(self, *arguments: str, **environment: str) -> str:
        """Run a management command in a container of its own."""
        ended = subprocess.run(
            [self.command("migrate")[0], *arguments],
            env=unmeasured({**self.env(), **environment}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def new_key(self, email: str) -> str:
        """Make a user and return an API key of theirs."""
        self.manage("create_user", email, AIASSIST_PASSWORD=PASSWORD)
        return self.manage("create_api_key", email).splitlines()[-1]

    def _finish(self, command: list[str]) -> None:
        ended = subprocess.run(
            command,
            env=unmeasured(self.env()),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr

    def _server_url(self) -> str:
        return os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres"


def _build_commands() -> Iterator[list[str]]:
    """Return the `manage.py` commands that the image is built with."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for found in re.findall(r"python (manage\.py [^&\n]+)", text):
        yield python(*shlex.split(found))


_VALUES: Mapping[str, str] = {
    "SECRET_KEY": secrets.token_hex(32),
    "JWT_SECRET": secrets.token_hex(32),
    "API_KEY_PEPPER": secrets.token_hex(32),
    "POSTGRES_PASSWORD": "unused",
    "REDIS_PASSWORD": "unused",
    "QDRANT_API_KEY": "",
    "ALLOWED_HOSTS": HOST,
}


def _interpolated(value: str) -> str:
    """Fill in `${NAME:-default}` and `${NAME:?message}` as compose does."""

    def fill(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        return _VALUES.get(name, rest if kind == "-" else "")

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", fill, value)


def archive(n_files: int = 3) -> bytes:
    """Return a .tar.gz with `n_files` modules, a README and a file worth finding."""
    files = {
        "README.md": "# Parts\n\nSmall functions that multiply.\n",
        "src/retries.py": (
            "def retry_delay(attempt: int) -> float:\n"
            '    """Wait longer before each new attempt."""\n'
            "    return 0.25 * 2**attempt\n"
        ),
        **{
            f"src/part{n}.py": f"def part{n}(value):\n    return value * {n}\n" * 8
            for n in range(n_files)
        },
    }
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            tar.addfile(info, BytesIO(text.encode()))
    return packed.getvalue()


def job_of(client: httpx2.Client, workspace: str, job: str) -> Any:
    """Return the job as the API shows it."""
    answer = client.get(f"/api/v1/workspaces/{workspace}/jobs/{job}")
    assert answer.status_code == 200, answer.text
    return answer.json()
