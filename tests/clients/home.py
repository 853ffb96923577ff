"""A fresh home and project for one client, set up as the Connect page says."""

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.clients.site import Block
from tests.support.processes import Process

NOTE = "note.txt"
_EXPORT = re.compile(r"^export (\w+)=(\S+)$", re.MULTILINE)
_FILE = re.compile(r"(?<!\S)[\w.-]+\.\w+$")  # "The agent's mcp.json"
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9])")


class Failed(Exception):
    """A client did not do what it should; the sentence says what."""


class TooSlow(Failed):
    """A client was not done within its time; holds what it had said."""


@dataclass(frozen=True)
class Ran:
    """One run of a client's program."""

    code: int
    output: str
    seconds: float


@dataclass
class Home:
    """Where a client runs: `home` is its HOME, `project` its working directory."""

    folder: Path
    path: str
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.home, self.project):
            folder.mkdir(parents=True)
        self.env = {
            "PATH": self.path,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "DO_NOT_TRACK": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            **self.env,
        }

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def follow(self, blocks: Sequence[Block]) -> None:
        """Put each file where its title says; take over what a shell exports."""
        for block in blocks:
            if block.title.startswith("~/"):
                self.write(self.home / block.title.removeprefix("~/"), block.text)
            elif found := _FILE.search(block.title):
                self.write(self.project / found[0], block.text)
            self.env |= dict(_EXPORT.findall(block.text))

    def write(self, file: Path, text: str) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def begin_project(self, secret: str) -> None:
        """Make the project a repository with a note that holds the secret."""
        self.write(self.project / NOTE, f"The word is {secret}.\n")
        git = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.test")
        for command in (
            ("init", "--quiet"),
            ("add", NOTE),
            ("commit", "--quiet", "-m", "Begin"),
        ):
            subprocess.run(
                [*git, *command], cwd=self.project, env=self.env, check=True, timeout=20
            )

    def run(self, command: Sequence[str], *, seconds: float) -> Ran:
        """Run a program in the project. Raises TooSlow."""
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        process = Process(command, log=log, env=self.env, cwd=self.project)
        began = time.monotonic()
        process.start()
        try:
            code = process.wait(seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise TooSlow(_plain(process.output)) from error
        finally:
            process.stop(seconds=2)
            self._end_daemons()
        took = time.monotonic() - began
        return Ran(code, _plain(process.output), took)

    def must_run(self, script: str, *, seconds: float = 60.0) -> None:
        """Run the page's lines for a shell. Raises Failed."""
        ran = self.run(["bash", "-eu", "-c", script], seconds=seconds)
        if ran.code:
            raise Failed(f"{script.split(chr(10))[0]} …: {ran.output.strip()[-500:]}")

    def _end_daemons(self) -> None:
        """End what a client left running: it has this home, and no other has."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("HOME") == self.env["HOME"]:
                    process.kill()
            except psutil.Error:
                continue


def _plain(text: str) -> str:
    return _ESCAPES.sub("", text)
