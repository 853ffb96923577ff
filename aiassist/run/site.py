"""The schema, the worker and the site, in this process."""

import logging
import socket
import threading
import time
from collections.abc import Callable

import django
import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from aiassist import __version__
from aiassist.run.redis import PrivateRedis

Say = Callable[..., None]
logger = logging.getLogger(__name__)

# A stream that is open when we stop gets this long.
GRACE_SECONDS = 3


class Site(uvicorn.Server):
    """Calls `on_ready` once requests are taken."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def serve(
    listener: socket.socket,
    *,
    url: str,
    redis: PrivateRedis | None,
    began: float,
    say: Say,
) -> int:
    """Serve until a signal ends it; return the exit code."""
    django.setup()
    _bring_schema_up_to_date(say)
    if redis is not None:
        redis.wait()
        redis.keep(say)

    # These need Django to be set up. The first loads all addresses and the engine of
    # the vector database: what cannot serve does not start.
    from aiassist.asgi import application  # noqa: PLC0415
    from aiassist.celery import app  # noqa: PLC0415
    from aiassist.run.worker import EmbeddedWorker  # noqa: PLC0415
    from billing.metering.outbox import write_everything  # noqa: PLC0415
    from billing.metering.returning import return_grants  # noqa: PLC0415
    from workspaces.jobs.sweeping import resume_interrupted  # noqa: PLC0415

    worker = EmbeddedWorker(app)
    if redis is not None:
        # With a Redis of our own nobody else is at work: what the last stop cut off
        # waits for no lease to run out.
        resume_interrupted()

    def ready() -> None:
        worker.start()
        say(_welcome(url, time.monotonic() - began))
        threading.Thread(target=_warm_up, name="warm up", daemon=True).start()

    config = uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        log_level="warning",  # our own lines tell of start and stop
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    site = Site(config, ready)
    try:
        site.run(sockets=[listener])
    except KeyboardInterrupt:
        # uvicorn raises the signal again once it has shut down in good order.
        pass
    finally:
        say("\nStopping: letting the work in hand finish …")
        worker.stop()
        # While Redis still answers: it comes back as another one to us.
        write_everything()
        return_grants()
        say("Stopped. Everything is kept; 'make run' goes on from here.")
    return 0


def _bring_schema_up_to_date(say: Say) -> None:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        say(f"Bringing the database up to date ({len(plan)} steps) …")
        call_command("migrate", verbosity=0, interactive=False)
    connection.close()


def _warm_up() -> None:
    """Load the embedding model, so that the first search need not wait for it."""
    from workspaces.indexing.embedding import embed_query  # noqa: PLC0415

    embed_query("warm up")


def _welcome(url: str, seconds: float) -> str:
    lines: list[tuple[str, str]] = [
        ("Sign up", f"{url}/accounts/signup/"),
        ("Read your mail", f"{url}/mailbox/"),
        ("Make an API key", f"{url}/dashboard/keys/"),
        ("Guides", f"{url}/guides/"),
        ("API reference", f"{url}/docs"),
    ]
    width = max(len(name) for name, _ in lines)
    usual = settings.BASE_DIR / "var"
    data = "" if settings.DATA_DIR == usual else f"DATA_DIR={settings.DATA_DIR} "
    steps = "\n".join(f"  {name:<{width}}   {link}" for name, link in lines)
    return (
        f"\naiassist {__version__} is ready at {url}  ({seconds:.1f} s)\n\n{steps}\n\n"
        f"Staff: {data}.venv/bin/python manage.py createsuperuser, then "
        f"{url}/admin/\nStop with Ctrl-C; nothing is lost.\n"
    )
