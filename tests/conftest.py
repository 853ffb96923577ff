"""Start the suite's own PostgreSQL and Redis before Django loads its settings.

Every process of the suite (each xdist worker, too) has servers of its own on free
ports, so that runs never meet. The fixtures live in tests/support/fixtures.py, which
may import models, as it is loaded after `django.setup()`.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import django
import hypothesis
import pytest

from tests.support.postgres import start_postgres
from tests.support.redis import RedisServer

# Of the tests that come last; the longest go first, so that no process ends alone.
_LONG_LAST = ("tests/browser/test_main_job.py", "tests/browser/test_staff.py")
_stop: list[Callable[[], None]] = []
# What a developer's shell may hold must not reach the suite.
_OUTSIDE = (
    *("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    *("GOOGLE_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_BASE_URL"),
    *("OLLAMA_URL", "SECRET_KEY", "JWT_SECRET", "API_KEY_PEPPER", "DEBUG"),
    *("ALLOWED_HOSTS", "CORS_ORIGINS", "TRUSTED_PROXIES", "RATE_LIMIT_ENABLED"),
)

# The same examples in each run, however long a busy machine takes over one of them.
hypothesis.settings.register_profile(
    "suite", derandomize=True, deadline=None, database=None
)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, set up Django, then load the fixtures."""
    for name in _OUTSIDE:
        os.environ.pop(name, None)
    if _only_hands_out_work(config):
        # Were it named here, pytest-django would load the settings in each worker
        # before that has started its servers.
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = "aiassist.settings.test"
    home = Path(tempfile.mkdtemp(prefix="aiassist-test-"))
    _stop.append(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["DATA_DIR"] = str(home)
    (home / "static").mkdir()
    postgres = start_postgres()
    _stop.append(postgres.stop)
    os.environ["DATABASE_URL"] = postgres.url("aiassist")
    redis = RedisServer().start()
    _stop.append(redis.stop)
    os.environ["REDIS_URL"] = redis.url
    # Nothing listens here, so that no test talks to a developer's own Ollama.
    os.environ["OLLAMA_URL"] = "http://127.0.0.1:9"
    django.setup()
    config.pluginmanager.import_plugin("tests.support.fixtures")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what starts processes, and mostly waits, first, and browsers last.

    Playwright keeps an event loop running in the main thread, in which no async
    test could start its own.
    """
    items.sort(
        key=lambda item: (
            item.get_closest_marker("browser") is not None,
            item.get_closest_marker("e2e") is None,
            not item.nodeid.startswith(_LONG_LAST),
        )
    )


def pytest_unconfigure() -> None:
    """Stop what was started; Ctrl-C comes through here as well."""
    while _stop:
        _stop.pop()()


def _only_hands_out_work(config: pytest.Config) -> bool:
    """Tell whether this is xdist's controller, which runs no test itself."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    # With `-n 0` there are no others to hand work to.
    return not is_worker and bool(config.getoption("numprocesses", None))
