"""The fixtures that every test may ask for; loaded after `django.setup()`."""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import TransactionTestCase

from aiassist.lib import redis as lib_redis
from tests.support import pool
from tests.support.leaks import Leaks
from tests.support.memory import forget_everything, forget_what_waits
from tests.support.people import Person
from tests.support.queue import SentTasks
from tests.support.redis import RedisServer
from tests.support.site import Site
from tests.support.tables import keep_what_is_sown, put_back_what_was_sown


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The whole cluster goes at the end, so the database need not."""
    return True


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """After a test that committed, put back what migrations sowed (tiers, groups)."""
    with django_db_blocker.unblock():
        keep_what_is_sown()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", put_back_what_was_sown)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """No test begins in an hour's last moments: half of its calls would not count."""
    left = 3600 - time.time() % 3600
    if left < 5:
        time.sleep(left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """No test meets what another one left; S8: no thread keeps a connection."""
    forget_what_waits()  # while a thread that is writing it may ask the database
    yield
    forget_everything()
    # Browser tests ask no database: Playwright's event loop runs in this thread.
    if item.get_closest_marker("browser") is None:
        pool.all_given_back()


@pytest.fixture
def alice(db: None) -> Person:
    """The owner, on the free tier."""
    return Person("Alice")


@pytest.fixture
def charlie(db: None) -> Person:
    """A stranger: signed up, owns nothing of Alice's."""
    return Person("Charlie")


@pytest.fixture
def stella(db: None) -> Person:
    """Staff."""
    return Person("Stella", is_staff=True, is_superuser=True)


@pytest.fixture(scope="session")
def _leaks() -> Leaks:
    leaks = Leaks()
    leaks.watch()
    return leaks


@pytest.fixture(autouse=True)
def _no_log_line_leaks(_leaks: Leaks) -> Iterator[None]:
    """M5: see tests/support/leaks.py."""
    yield
    found, _leaks.found = _leaks.found, []
    assert not found


@pytest.fixture
def redis_client() -> "redis.Redis":
    """The suite's own Redis; emptied after each test."""
    return lib_redis.client()


@pytest.fixture
def redis_server(settings: Any) -> Iterator[RedisServer]:
    """A second Redis that everything in this test uses: kill, freeze, start it."""
    server = RedisServer().start()
    before = settings.REDIS_URL
    settings.REDIS_URL = server.url
    lib_redis.client.cache_clear()
    yield server
    server.thaw()
    server.stop()
    settings.REDIS_URL = before
    lib_redis.client.cache_clear()


@pytest.fixture
def queue(db: None, redis_client: "redis.Redis") -> SentTasks:
    """The tasks that were sent: `.names`, `.sent`, `.run()`."""
    return SentTasks(redis_client)


@pytest.fixture
def asgi_server(transactional_db: None) -> Iterator[str]:
    """The whole site on a real socket, for streams; yields its address."""
    from aiassist.asgi import application  # noqa: PLC0415 - builds the whole site

    with Site(application) as site:
        yield site.url


@pytest.fixture
def vectors(tmp_path: Path, settings: Any) -> Iterator[Any]:
    """A fresh vector store in a folder of its own."""
    # Loads Qdrant's engine.
    from workspaces.vectors import close_store, get_store  # noqa: PLC0415

    close_store()
    settings.QDRANT_EDGE_DIR = tmp_path / "vectors"
    yield get_store()
    close_store()
