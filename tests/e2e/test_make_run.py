"""`make run`: starts on nothing, refuses politely, stops all that it started."""

import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psutil  # type: ignore[import-untyped]
import pytest
import redis
from celery import Celery

from tests.support.ports import free_port, wait_for
from tests.support.processes import Process, python, unmeasured
from tests.support.redis import RedisServer

pytestmark = pytest.mark.e2e

# A job in the hands of a worker that died; its lease would last for a day.
_CUT_OFF = """
import django; django.setup()
from datetime import timedelta
from accounts.models import User
from aiassist.lib.clock import now
from workspaces.models import IndexJob, Workspace
from workspaces.services import create_workspace

user = User.objects.create_user("dora@example.test")
workspace = create_workspace(user=user, name="cut off")
Workspace.objects.update(lease_token="dead", lease_until=now() + timedelta(days=1))
IndexJob.objects.create(
    workspace=workspace, user=user, sent_at=now(), attempts=1
)
"""


class Copy:
    """One copy of the embedded platform on a port and a folder of its own."""

    def __init__(self, home: Path, folder: Path, port: int, **env: str) -> None:
        self.port = port
        self.folder = folder
        names = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")
        kept = {k: v for k, v in os.environ.items() if k in names}
        self.process = Process(
            python("-m", "aiassist.run"),
            log=home / f"run-{port}.log",
            env={
                **kept,
                "PORT": str(port),
                "DATA_DIR": str(folder),
                "OLLAMA_URL": "http://127.0.0.1:9",
                **env,
            },
        )

    def up(self) -> None:
        """Start it and wait until it says that it is ready."""
        self.process.start()
        self.process.wait_for_output("is ready at", seconds=120)

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def is_well(self) -> bool:
        """Tell whether database, Redis, worker and vectors are up."""
        parts = self.get("/health/detailed").json()["dependencies"]
        return all(part["status"] == "up" for part in parts.values())

    def redis(self) -> redis.Redis:
        """Return a client of its private Redis."""
        config = (self.folder / "redis" / "redis.conf").read_text()
        port, password = re.findall(r"^(?:port|requirepass) (.+)$", config, re.M)
        return redis.Redis(port=int(port), password=password)

    def servers(self) -> list[psutil.Process]:
        """Return its private Redis."""
        return [
            process
            for process in psutil.Process(self.process.pid).children(recursive=True)
            if process.name() in ("valkey-server", "redis-server")
        ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def copy(home: Path) -> Iterator[Copy]:
    made = Copy(home, home / "var", free_port())
    made.up()
    yield made
    made.process.kill()


def refusal(home: Path, folder: Path, port: int) -> str:
    other = Copy(home, folder, port)
    other.process.start()
    assert other.process.wait(seconds=60) == 1
    return other.process.output.strip().splitlines()[-1]


def test_it_serves_works_and_says_what_to_do_next(copy: Copy):
    said = copy.process.output

    for path in ("/accounts/signup/", "/mailbox/", "/dashboard/keys/", "/guides/"):
        assert f"http://127.0.0.1:{copy.port}{path}" in said
    assert copy.get("/").status_code == 200
    assert copy.get("/mailbox/").status_code == 200
    assert copy.get("/static/css/tokens.css").status_code == 200
    wait_for(copy.is_well, seconds=60, what="database, redis, worker and vectors")
    assert "Warning" not in copy.process.output


def test_a_second_copy_on_the_same_data_is_refused(copy: Copy, home: Path):
    said = refusal(home, copy.folder, free_port())

    assert f"is in use by process {copy.process.pid}" in said
    assert f"http://127.0.0.1:{copy.port}" in said
    assert copy.get("/health").status_code == 200


def test_a_taken_port_is_refused(copy: Copy, home: Path):
    said = refusal(home, home / "other", copy.port)

    assert f"Port {copy.port} on 127.0.0.1 is taken" in said
    assert f"make run PORT={copy.port + 1}" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_what_it_started_and_keeps_the_data(copy: Copy, number: int):
    servers = copy.servers()
    assert len(servers) == 1

    copy.process.signal(number)

    assert copy.process.wait(seconds=60) == 0
    assert copy.process.output.endswith(
        "\nStopping: letting the work in hand finish …\n"
        "Stopped. Everything is kept; 'make run' goes on from here.\n"
    )
    assert "uvicorn" not in copy.process.output
    psutil.wait_procs(servers, timeout=20)
    assert not any(server.is_running() for server in servers)
    with sqlite3.connect(copy.folder / "db.sqlite3") as database:
        (n_tiers,) = database.execute("SELECT count(*) FROM billing_tier").fetchone()
    assert n_tiers == 3


def test_an_early_ctrl_c_stops_it_too(home: Path):
    early = Copy(home, home / "early", free_port())
    early.process.start()
    early.process.wait_for_output("starting with the data")
    servers = early.servers()

    early.process.signal(signal.SIGINT)

    assert early.process.wait(seconds=60) == 0
    assert early.process.output.endswith("Stopped before the start was complete.\n")
    psutil.wait_procs(servers, timeout=20)
    assert not any(server.is_running() for server in servers)


def test_a_private_redis_that_dies_is_started_again_with_its_data(copy: Copy):
    with copy.redis() as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
        (server,) = copy.servers()

        server.kill()

        copy.process.wait_for_output("The private Redis runs again", seconds=60)
        assert "The private Redis ended by itself" in copy.process.output
        assert client.get("kept") == b"yes"
    wait_for(copy.is_well, seconds=60, what="every part to be up again")
    assert copy.get("/health").status_code == 200


def test_an_outside_redis_is_used_and_its_tasks_are_worked_off(home: Path):
    outside = RedisServer().start()
    copy = Copy(home, home / "var", free_port(), REDIS_URL=outside.url)
    try:
        copy.up()
        assert copy.servers() == []
        with outside.client() as client:
            wait_for(
                lambda: client.exists("workers:alive"), seconds=60, what="the worker"
            )
            # It comes back empty, as a Redis without a file does.
            outside.kill()
            outside.start()
            with Celery(broker=outside.url, set_as_current=False) as sender:
                sender.send_task("accounts.tidy", queue="default")
            assert client.llen("default") + client.hlen("unacked") > 0

            def worked_off() -> bool:
                return not client.llen("default") and not client.hlen("unacked")

            wait_for(worked_off, seconds=90, what="the worker to take the task")
    finally:
        copy.process.stop()
        outside.stop()


def test_nothing_is_left_when_it_is_killed(copy: Copy):
    servers = copy.servers()

    os.kill(copy.process.pid, signal.SIGKILL)

    psutil.wait_procs(servers, timeout=20)
    assert not any(server.is_running() for server in servers)


def test_j1_what_a_kill_cut_off_is_taken_up_by_the_next_start(copy: Copy, home: Path):
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded",
        "DATABASE_URL": "",
        "DATA_DIR": str(copy.folder),
    }
    log = home / "cut-off.log"
    with Process(python("-c", _CUT_OFF), log=log, env=unmeasured(env)) as script:
        assert script.wait(seconds=60) == 0, script.output
    os.kill(copy.process.pid, signal.SIGKILL)
    copy.process.wait()
    again = Copy(home, copy.folder, free_port())

    def state() -> str:
        with closing(sqlite3.connect(copy.folder / "db.sqlite3")) as database:
            (found,) = database.execute("SELECT state FROM workspaces_indexjob")
        return str(found[0])

    try:
        again.up()
        wait_for(lambda: state() == "succeeded", seconds=60, what="the job's end")
    finally:
        again.process.kill()


def test_no_other_user_can_read_the_secrets(copy: Copy):
    for file in (
        *(copy.folder / "secrets").iterdir(),
        copy.folder / "redis" / "password",
        copy.folder / "redis" / "redis.conf",
    ):
        assert file.stat().st_mode & 0o077 == 0, file
