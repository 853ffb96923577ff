"""A user's keys change in two places at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection, transaction

from assistant.own_keys import add_key, remove_key
from billing.tiers.selectors import tier_of
from tests.support.people import Person
from tests.support.ports import wait_for

KEY = "sk-own-canary-0123456789-x4Tq"


def test_a_key_added_while_another_is_removed_is_used(
    transactional_db: None, pro: Person
) -> None:
    """The hot path looks at one mark: it must not be lost between the two."""
    tier = tier_of(pro.user)
    old = add_key(user=pro.user, tier=tier, provider="openai", key=KEY)
    added, go_on = threading.Event(), threading.Event()

    def add() -> None:
        with transaction.atomic():
            add_key(user=pro.user, tier=tier, provider="anthropic", key=KEY)
            added.set()
            assert go_on.wait(10)

    with ThreadPoolExecutor(2) as threads:
        adding = threads.submit(_closing(add))
        assert added.wait(10)
        removing = threads.submit(_closing(lambda: remove_key(row=old)))
        wait_for(_somebody_waits, what="the removal to wait for the other change")
        go_on.set()
        adding.result(10)
        removing.result(10)

    pro.user.refresh_from_db()
    assert pro.user.has_provider_keys


def _closing(work: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return run


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])
