"""Real processes for tests: started, watched, killed and always cleaned up."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import wait_for

ROOT = Path(__file__).resolve().parents[2]
# The kernel ends what we started when we are gone, however we went. A function run in
# the forked child (`preexec_fn`) would do it, too, yet may wait for ever for a lock
# that another thread held at that moment: coverage's tracer has one.
_SETPRIV = shutil.which("setpriv") if sys.platform == "linux" else None
_DIES_WITH_PARENT = (_SETPRIV, "--pdeathsig", "KILL") if _SETPRIV else ()


class Process:
    """One process of our own, in its own group, with its output in a file.

    >>> with Process(["celery", "-A", "aiassist", "worker"], log=path) as worker:
    ...     worker.wait_for_output("ready.")
    ...     worker.kill()  # kill -9, as the kernel's OOM killer does
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.env = dict(os.environ if env is None else env)
        self.user = user
        self.cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; appends to the log, so that restarts keep their history."""
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_DIES_WITH_PARENT, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                user=self.user,
                group=None if self.user is None else _group_of(self.user),
                start_new_session=True,
            )
        return self

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._popen is not None, "not started"
        return self._popen

    def wait_for_output(self, text: str, *, seconds: float = 60.0) -> None:
        """Wait until the log holds `text`; a process that ended fails at once."""

        def found() -> bool:
            if text in self.output:
                return True
            assert self.alive, f"{self.command[0]} ended:\n{self.output[-3000:]}"
            return False

        wait_for(found, seconds=seconds, what=f"{text!r} in:\n{self.output[-3000:]}")

    def wait(self, *, seconds: float = 15.0) -> int:
        """Wait for its end and return the exit code (negative: the signal)."""
        return self._running.wait(seconds)

    def signal(self, number: int) -> None:
        """Signal this one process."""
        if self.alive:
            self._running.send_signal(number)

    def kill(self) -> None:
        """kill -9 the whole group: process and children, nobody tidies up."""
        self._signal_group(signal.SIGKILL)
        self._running.wait(10)

    def freeze(self) -> None:
        """SIGSTOP the group: sockets stay open, nobody answers."""
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT the group."""
        self._signal_group(signal.SIGCONT)

    def stop(self, *, seconds: float = 10.0) -> int:
        """SIGTERM, and SIGKILL for the group if that did not help."""
        if self._popen is None:
            return 0
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return self._popen.wait(10)
        finally:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self._running.pid, number)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        return self if self.alive else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - POSIX only, and only as root

    return pwd.getpwnam(user).pw_gid


def python(*arguments: str) -> list[str]:
    """Return the command line of this very interpreter."""
    return [sys.executable, *arguments]


def django_env(**changes: str) -> dict[str, str]:
    """Return the environment for a process that uses the test database.

    Call it in a test with `transactional_db`: the child sees committed rows only.
    """
    from django.db import connection  # noqa: PLC0415 - after django.setup()

    settings = connection.settings_dict
    url = (
        f"postgresql://{settings['USER']}@{settings['HOST']}:{settings['PORT']}"
        f"/{settings['NAME']}"
    )
    return {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "aiassist.settings.test",
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def unmeasured(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that counts for no coverage.

    For load and for what runs no code of its own: counting costs half as much again.
    """
    return {**env, "COVERAGE_PROCESS_CONFIG": ""}


def celery_worker(
    *, log: Path, env: Mapping[str, str], queues: str = "index,default", pool: str = ""
) -> Process:
    """Return a real Celery worker process, not yet started.

    `pool="solo"`: the process that runs the task is the one that kill() hits.
    """
    command = python("-m", "celery", "-A", "aiassist", "worker", "-Q", queues)
    command += ["--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    command += ["--pool", pool] if pool else ["--concurrency", "2"]
    return Process(command, log=log, env=env)
