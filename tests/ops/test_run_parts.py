"""The parts of `make run`: refusals in one sentence, a private Redis that is kept."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import current_app
from celery.worker import state

from aiassist.run import __main__ as run
from aiassist.run import guard
from aiassist.run import redis as private
from aiassist.run.guard import Refused
from aiassist.run.redis import PrivateRedis
from aiassist.run.worker import EmbeddedWorker
from tests.support.ports import free_port, wait_for


@pytest.fixture
def started(tmp_path: Path) -> Iterator[PrivateRedis]:
    made = PrivateRedis(tmp_path / "redis")
    made.start()
    made.wait()
    yield made
    made.stop()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What `make run` reads and changes, put back afterwards."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("PORT", str(free_port()))
    monkeypatch.delenv("REDIS_URL")
    yield monkeypatch
    for number, handler in before.items():
        signal.signal(number, handler)


def pid_of(server: PrivateRedis) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("server")["process_id"])


@pytest.mark.parametrize("port", ["http", "0", "65536", "80.5"])
def test_a_port_that_is_none_is_refused(environment: Any, capsys: Any, port: str):
    environment.setenv("PORT", port)

    assert run.main() == 1
    assert capsys.readouterr().out == (
        "aiassist: PORT must be a whole number from 1 to 65535.\n"
    )


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(Refused, match="cannot be written .* make run DATA_DIR="):
        guard.lock(tmp_path / "file" / "var")


def test_a_port_that_needs_more_rights_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As root, who runs this suite in a container, may take every port."""

    class Socket(socket.socket):
        def bind(self, address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Socket)

    with pytest.raises(Refused, match="Port 80 needs more rights"):
        guard.listen("127.0.0.1", 80)


def test_a_missing_redis_is_refused_with_what_to_do(environment: Any, capsys: Any):
    environment.setattr(private, "find_spec", lambda name: None)
    environment.setenv("PATH", "")

    assert run.main() == 1
    assert "No redis-server found" in capsys.readouterr().out


def test_the_redis_of_the_system_serves_where_ours_is_not_installed(
    environment: Any, tmp_path: Path
):
    theirs = tmp_path / "redis-server"
    theirs.touch(mode=0o755)
    environment.setattr(private, "find_spec", lambda name: None)
    environment.setenv("PATH", str(tmp_path))

    assert private._binary() == str(theirs)


def test_a_redis_that_cannot_start_is_refused_and_names_its_log(tmp_path: Path):
    made = PrivateRedis(tmp_path / "redis")
    with socket.create_server(("127.0.0.1", made.port)):
        made.start()
        with pytest.raises(Refused, match=r"the reason is in .*redis\.log"):
            made.wait()
    made.stop()


def test_a_redis_that_ends_by_itself_comes_back_with_its_data(started: PrivateRedis):
    said: list[str] = []
    started.keep(said.append)
    with redis.Redis.from_url(started.url) as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")

    os.kill(pid_of(started), signal.SIGKILL)

    wait_for(lambda: len(said) == 2, what="its return")
    assert said[0].startswith("The private Redis ended by itself")
    assert said[1] == "The private Redis runs again; nothing of it was lost."
    with redis.Redis.from_url(started.url) as client:
        assert client.get("kept") == b"yes"


def test_a_redis_that_cannot_come_back_says_why_and_is_tried_again(
    started: PrivateRedis,
):
    said: list[str] = []
    config = started.folder / "redis.log"
    started.keep(said.append)
    pid = pid_of(started)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(pid, signal.SIGKILL)
        _take(taken, started.port)
        taken.listen()
        wait_for(lambda: any(str(config) in line for line in said), what="the reason")

    wait_for(lambda: said[-1].endswith("nothing of it was lost."), what="its return")


def _take(taken: socket.socket, port: int) -> None:
    def try_it() -> bool:
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

    wait_for(try_it, every=0.002, what="the port")


def test_a_redis_that_does_not_stop_is_not_waited_for(started: PrivateRedis):
    pid = pid_of(started)
    os.kill(pid, signal.SIGSTOP)
    try:
        started.stop(seconds=0.2)

        wait_for(lambda: not started.alive, what="the end of its shell")
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_worker_that_was_never_started_stops_in_peace(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(state, "should_stop", None)

    EmbeddedWorker(current_app).stop()
