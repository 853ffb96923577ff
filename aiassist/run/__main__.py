"""`python -m aiassist.run`: start everything, serve, stop everything."""

import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

from aiassist import __version__
from aiassist.run import guard
from aiassist.run.redis import PrivateRedis

ROOT = Path(__file__).resolve().parents[2]


def say(line: str = "") -> None:
    """Show progress at once, also through a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Return the exit code: 0 after a stop on demand, 1 when we cannot start."""
    began = time.monotonic()
    folder = Path(os.environ.get("DATA_DIR", "").strip() or ROOT / "var").resolve()
    try:
        host, port = _address()
        with guard.lock(folder) as lock, guard.listen(host, port) as listener:
            shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
            url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
            guard.sign(lock, url)
            return _run(folder, listener, url=url, began=began)
    except guard.Refused as refusal:
        say(f"aiassist: {refusal}")
        return 1


def _run(folder: Path, listener: socket.socket, *, url: str, began: float) -> int:
    """Start Redis and the site, serve, stop both; raises Refused."""
    _stop_quietly_on_signals()
    redis = None if os.environ.get("REDIS_URL") else PrivateRedis(folder / "redis")
    try:
        if redis is not None:
            redis.start()
            os.environ["REDIS_URL"] = redis.url
        os.environ["DATA_DIR"] = str(folder)
        os.environ["DJANGO_SETTINGS_MODULE"] = "aiassist.settings.embedded"
        say(f"aiassist {__version__}: starting with the data in {folder}")
        # Django is imported while Redis reads its file.
        from aiassist.run.site import serve  # noqa: PLC0415

        return serve(listener, url=url, redis=redis, began=began, say=say)
    except KeyboardInterrupt:
        say("Stopped before the start was complete.")
        return 0
    finally:
        if redis is not None:
            redis.stop()


def _address() -> tuple[str, int]:
    host = os.environ.get("HOST", "").strip() or "127.0.0.1"
    raw = os.environ.get("PORT", "").strip() or "8000"
    if not raw.isdecimal() or not 0 < int(raw) < 65536:
        raise guard.Refused("PORT must be a whole number from 1 to 65535.")
    return host, int(raw)


def _stop_quietly_on_signals() -> None:
    """Until the server takes over, SIGTERM and SIGHUP stop like Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)


if __name__ == "__main__":
    code = main()
    # Threads of a task in hand would hold up a plain exit; their rows are the truth and
    # the sweeper sends them again.
    sys.stdout.flush()
    os._exit(code)
