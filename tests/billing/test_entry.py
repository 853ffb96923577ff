"""aenter: one Redis call says who it is and whether they may spend."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.errors import AmbiguousCredential, MalformedCredential
from accounts.keys import change_key, create_key, revoke_key, rotate_key
from accounts.models import ApiKey, User
from accounts.signing_in.tokens import revoke, sign_in
from aiassist.lib import clock
from aiassist.lib.db import in_db
from aiassist.lib.errors import (
    FeatureNotInTier,
    InvalidCredential,
    NotAuthenticated,
    QuotaExceeded,
    ScopeMissing,
)
from aiassist.lib.redis import client
from billing.metering import entry, windows
from billing.metering.admission import limits_for
from billing.metering.entry import aenter
from billing.metering.holds import n_open
from billing.metering.ledger import Settlement, arelease, asettle
from billing.models import Tier, UsageRecord
from billing.tiers.subscriptions import change_tier

pytestmark = pytest.mark.django_db(transaction=True)

CALL = {
    "feature": "basic_chat",
    "endpoint": "POST /v1/chat/completions",
    "request_id": "req_1",
    "scope": "assistant",
}


def bearer(secret):
    return [(b"host", b"x"), (b"authorization", f"Bearer {secret}".encode())]


@pytest.fixture
def key(alice):
    """Alice's secret, made before the event loop runs."""
    return alice.key


@pytest.fixture
def no_sql(monkeypatch):
    """Fail whoever asks a thread for the database."""

    def arm():
        async def refuse(work, *args):
            raise AssertionError(f"the hot path asked for {work.__name__}")

        monkeypatch.setattr(entry, "in_background", refuse)

    return arm


async def test_a_key_is_resolved_and_admitted(alice, key):
    entered = await aenter(bearer(key), **CALL)

    assert entered.principal.user_id == alice.user.pk
    assert entered.principal.key_id == alice.api_key.pk
    assert entered.principal.kind == "api_key"
    assert entered.admission.tier.code == "free"
    assert entered.admission.limits.hour.used == 1
    assert await in_db(n_open, alice.user.pk) == 1


async def test_the_hot_path_asks_redis_once_and_the_database_not_at_all(
    key, redis_client, settings, no_sql
):
    """The second call within a second: two round trips with its settlement."""
    settings.USAGE_WRITE_SECONDS = 60
    await asettle((await aenter(bearer(key), **CALL)).admission, Settlement())
    before = redis_client.info("commandstats")
    no_sql()
    entered = await aenter(bearer(key), **CALL)
    await asettle(entered.admission, Settlement(tokens_in=3))

    after = redis_client.info("commandstats")
    evals = [s["cmdstat_evalsha"]["calls"] for s in (before, after)]
    assert evals[1] - evals[0] == 2
    added = [s["cmdstat_xadd"]["calls"] for s in (before, after)]
    assert added[1] - added[0] == 1


async def test_x_api_key_and_bearer_are_alike(alice, key):
    """U6."""
    entered = await aenter([(b"x-api-key", key.encode())], **CALL)
    assert entered.principal.user_id == alice.user.pk


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([], NotAuthenticated),
        ([(b"authorization", b"Basic abc")], MalformedCredential),
        ([(b"x-api-key", b"aia_tooshort")], MalformedCredential),
        ([(b"x-api-key", b"")], MalformedCredential),
        ([(b"x-api-key", b"\xff\x00")], MalformedCredential),
        ([(b"x-api-key", b"a"), (b"authorization", b"Bearer b")], AmbiguousCredential),
        ([(b"x-api-key", b"nonsense")], InvalidCredential),
    ],
)
async def test_u5_hostile_headers_are_refused(headers, error):
    with pytest.raises(error):
        await aenter(headers, **CALL)


async def test_two_headers_of_one_name_are_refused(key):
    with pytest.raises(MalformedCredential):
        await aenter([(b"x-api-key", key.encode())] * 2, **CALL)


async def test_an_access_token_is_as_good_until_its_family_ends(alice):
    pair = await in_db(sign_in, alice.user)
    entered = await aenter(bearer(pair.access), **CALL)
    assert (entered.principal.kind, entered.principal.key_id) == ("jwt", None)

    await in_db(revoke, pair.refresh)
    with pytest.raises(InvalidCredential):
        await aenter(bearer(pair.access), **CALL)


async def test_what_is_refused_spends_nothing(alice, key):
    with pytest.raises(ScopeMissing):
        await aenter(bearer(key), **CALL | {"scope": "admin"})
    with pytest.raises(FeatureNotInTier):
        await aenter(bearer(key), **CALL | {"feature": "code_generation"})

    assert (await in_db(limits_for, alice.user)).hour.used == 0


async def test_a_full_window_is_refused_with_headers(alice, key):
    await in_db(Tier.objects.filter(pk="free").update, requests_per_hour=1)
    await asettle((await aenter(bearer(key), **CALL)).admission, Settlement())

    with pytest.raises(QuotaExceeded) as refused:
        await aenter(bearer(key), **CALL)
    assert refused.value.details["policy"] == "hour"
    headers: Any = refused.value.details["headers"]
    assert headers["x-ratelimit-remaining-requests"] == "0"


async def test_with_limits_off_all_are_admitted(alice, key, settings):
    settings.RATE_LIMIT_ENABLED = False
    await in_db(Tier.objects.filter(pk="free").update, requests_per_hour=1)
    for _ in range(3):
        await aenter(bearer(key), **CALL)

    assert (await in_db(limits_for, alice.user)).hour.used == 3


ENDINGS = {
    "revoked": lambda person: revoke_key(person.api_key),
    "expired": lambda person: change_key(
        person.api_key, expires_at=clock.now() - timedelta(seconds=1)
    ),
    "deleted": lambda person: person.api_key.delete(),
    "disabled": lambda person: _save(person.user, is_active=False),
    "scopes taken": lambda person: change_key(person.api_key, scopes=["usage"]),
}


def _save(row, **fields):
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()


@pytest.mark.parametrize("how", ENDINGS)
async def test_u8_what_is_taken_away_is_gone_with_the_next_call(alice, key, how):
    await aenter(bearer(key), **CALL)
    await in_db(ENDINGS[how], alice)

    with pytest.raises((InvalidCredential, ScopeMissing)):
        await aenter(bearer(key), **CALL)


async def test_u8_what_nobody_told_redis_ends_within_a_second(alice, key):
    """By `update`, or while Redis could not be reached."""
    await aenter(bearer(key), **CALL)
    revoked_at = time.monotonic()
    revoke = ApiKey.objects.filter(pk=alice.api_key.pk).update
    await in_db(revoke, revoked_at=clock.now())

    with pytest.raises(InvalidCredential):
        while time.monotonic() - revoked_at < 10:
            await arelease((await aenter(bearer(key), **CALL)).admission)
            await asyncio.sleep(0.02)
    assert time.monotonic() - revoked_at < 3  # one second, and a busy machine's


async def test_u8_a_fill_that_comes_late_fills_nothing(
    alice, key, monkeypatch, redis_client
):
    """A process that read the key before it was revoked, and then stood still."""
    read = entry._read

    def slowly(*args):
        found = read(*args)
        # As `update` does, or a revocation whose message was lost.
        ApiKey.objects.filter(pk=alice.api_key.pk).update(revoked_at=clock.now())
        time.sleep(1.05)
        return found

    monkeypatch.setattr(entry, "_read", slowly)
    with pytest.raises(InvalidCredential):
        await aenter(bearer(key), **CALL)
    assert redis_client.keys("who:*") == []


async def test_u8_a_fill_that_crosses_a_revocation_is_void(alice, key, monkeypatch):
    read = entry._read

    def crossed(*args):
        found = read(*args)
        revoke_key(alice.api_key)
        return found

    monkeypatch.setattr(entry, "_read", crossed)
    with pytest.raises(InvalidCredential):
        await aenter(bearer(key), **CALL)


async def test_u8_a_redis_frozen_at_the_revocation_serves_nothing_stale(
    alice, key, redis_server
):
    await aenter(bearer(key), **CALL)
    redis_server.freeze()
    await in_db(revoke_key, alice.api_key)
    revoked_at = time.monotonic()
    with pytest.raises(InvalidCredential):  # the database decides
        await aenter(bearer(key), **CALL)
    await asyncio.sleep(max(0, revoked_at + 1 - time.monotonic()))
    redis_server.thaw()
    windows.breaker.succeeded()  # its rest is over

    with pytest.raises(InvalidCredential):
        await aenter(bearer(key), **CALL)


async def test_a_smaller_tier_bites_at_once(alice, key):
    pro = await in_db(Tier.objects.get, pk="pro")
    await in_db(change_tier, alice.user, pro, None)
    assert (await aenter(bearer(key), **CALL)).admission.tier.code == "pro"
    await in_db(change_tier, alice.user, await in_db(Tier.objects.get, pk="free"), None)

    assert (await aenter(bearer(key), **CALL)).admission.tier.code == "free"


async def test_an_edited_tier_bites_at_once(alice, key):
    await aenter(bearer(key), **CALL)
    free = await in_db(Tier.objects.get, pk="free")
    await in_db(_save, free, requests_per_hour=7)

    assert (await aenter(bearer(key), **CALL)).admission.limits.hour.limit == 7


async def test_a_rotated_key_and_its_successor_both_work(alice, key):
    await aenter(bearer(key), **CALL)
    _, successor = await in_db(rotate_key, alice.api_key)

    for secret in (key, successor):
        await arelease((await aenter(bearer(secret), **CALL)).admission)


async def test_t8_the_cache_names_the_whole_key_and_holds_no_secret(
    alice, key, redis_client
):
    _, other = await in_db(create_key, alice.user, "other")
    for secret in (key, other):
        await aenter(bearer(secret), **CALL)

    names = redis_client.keys("who:?*")
    assert len(names) == 2
    stored = json.dumps([names, [redis_client.hgetall(name) for name in names]])
    assert key not in stored
    assert key[:12] not in stored
    assert alice.api_key.digest not in stored
    assert alice.user.email not in stored


async def test_q6_without_redis_the_database_answers(alice, key, redis_server):
    redis_server.kill()
    entered = await aenter(bearer(key), **CALL)
    await asettle(entered.admission, Settlement(tokens_in=3))

    assert entered.admission.by_database
    assert (await in_db(UsageRecord.objects.get)).tokens_in == 3


async def test_q2_redis_that_dies_during_a_call_does_not_make_it_free(
    alice, key, redis_server, settings
):
    settings.USAGE_WRITE_SECONDS = 60
    entered = await aenter(bearer(key), **CALL)
    redis_server.kill()
    await asettle(entered.admission, Settlement(tokens_in=3))

    assert (await in_db(UsageRecord.objects.get)).tokens_in == 3


async def test_s1_who_leaves_while_being_admitted_gives_the_call_back(alice, key):
    await arelease((await aenter(bearer(key), **CALL)).admission)
    for pauses in range(12):
        entering = asyncio.ensure_future(aenter(bearer(key), **CALL))
        for _ in range(pauses):
            await asyncio.sleep(0)
        entering.cancel()
        try:
            entered = await entering
        except asyncio.CancelledError:
            continue
        await arelease(entered.admission)

    async with asyncio.timeout(5):
        while await in_db(n_open, alice.user.pk):
            await asyncio.sleep(0.01)
    assert (await in_db(limits_for, alice.user)).hour.used == 0


async def test_many_that_miss_at_once_ask_the_database_once(key, monkeypatch):
    """A second's end must not send a hundred calls to the database together."""
    limits = {"requests_per_hour": 1000, "max_concurrent": 1000}
    await in_db(Tier.objects.filter(pk="free").update, **limits)
    read, reads = entry._read, []

    def counted(*args):
        reads.append(args)
        return read(*args)

    monkeypatch.setattr(entry, "_read", counted)
    calls = (aenter(bearer(key), **CALL) for _ in range(100))
    assert len(await asyncio.gather(*calls)) == 100
    assert len(reads) == 1


async def test_many_at_once_are_exact(alice, key):
    limits = {"requests_per_hour": 100, "max_concurrent": 1000}
    await in_db(Tier.objects.filter(pk="free").update, **limits)

    async def call():
        try:
            return await aenter(bearer(key), **CALL)
        except QuotaExceeded:
            return None

    entered = await asyncio.gather(*(call() for _ in range(300)))
    assert sum(e is not None for e in entered) == 100


def test_the_database_is_asked_nothing_once_it_is_cached(alice, key):
    """From synchronous code, too."""
    asyncio.run(aenter(bearer(key), **CALL))
    with CaptureQueriesContext(connection) as queries:
        asyncio.run(aenter(bearer(key), **CALL))
    assert len(queries) == 0
    assert User.objects.count() == 1
    assert client().exists("who:generation") in (0, 1)
