"""The simulator's verdicts are those of real calls."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from aiassist.lib.errors import LimitRefused
from assistant.catalogue import Offer, allowed
from billing.metering.admission import Admission
from billing.metering.gates import require_feature, require_provider
from billing.metering.ledger import Settlement, settle
from billing.metering.refusals import note, reason_of
from billing.models import Refusal, Tier
from billing.reporting import simulator
from billing.reporting.simulator import Call, by_reason, excesses, replay, simulate
from tests.billing.people import NOON, ask, tier, use
from workspaces.content.files import put_file
from workspaces.models import Workspace

pytestmark = pytest.mark.django_db


def calls(*minutes, **fields):
    return [
        Call(
            "user_a", NOON + timedelta(minutes=m), **{"feature": "basic_chat"} | fields
        )
        for m in minutes
    ]


def draft(**limits):
    changed = Tier.objects.get(pk="free")
    for name, value in limits.items():
        setattr(changed, name, value)
    return changed


def test_an_hours_window_opens_again_with_the_next_hour():
    found = replay(draft(requests_per_hour=2), calls(0, 1, 2, 29, 30))

    assert (found.calls, found.blocked) == (5, 2)
    assert found.reasons == {"quota_exceeded (hour)": 2}


LIMITS: dict[str, dict[str, Any]] = {
    "hour": {"requests_per_hour": 3},
    "day": {"requests_per_day": 7},
    "both": {"requests_per_hour": 3, "requests_per_day": 7},
    "concurrency": {"max_concurrent": 1},
    "feature": {"features": ["code_explanation"]},
    "provider": {"providers": ["ollama"]},
}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_present_limits_reproduce_the_real_refusals(alice, limit):
    """Each call is made for real, at its moment; ledger and refusals are replayed."""
    tier("free", **LIMITS[limit])
    latency_ms = 14 * 60_000 if limit == "concurrency" else 0
    made = [
        call._replace(provider=provider, latency_ms=latency_ms)
        for i, call in enumerate(calls(*range(0, 300, 9)))
        for provider in [("openai", "ollama", "extractive")[i % 3]]
    ]
    if limit != "provider":
        made = [call._replace(provider="ollama") for call in made]
    real = refusals_of(alice, made)
    (found,) = simulate(Tier.objects.get(pk="free"), now=NOON + timedelta(hours=6))

    assert real and found.reasons == found.really == real
    assert (found.calls, found.n_let_in) == (len(made), 0)


def refusals_of(person, made):
    """Make the calls, oldest first; count what they were refused for."""
    real: Counter[str] = Counter()
    running: list[tuple[datetime, Admission, Settlement]] = []
    for call in made:
        for ends_at, held, spent in [each for each in running if each[0] <= call.at]:
            settle(held, spent)
            running.remove((ends_at, held, spent))
        try:
            require(person, tier("free"), call)
            held = ask(person, now=call.at, feature=call.feature)
        except LimitRefused as refused:
            real[reason_of(refused)] += 1
        else:
            ends_at = call.at + timedelta(milliseconds=call.latency_ms)
            spent = Settlement(provider=call.provider, latency_ms=call.latency_ms)
            running.append((ends_at, held, spent))
    for _, held, spent in running:
        settle(held, spent)
    return real


def require(person, held, call):
    """Judge as the gateway does before it asks for admission."""
    try:
        require_feature(held, call.feature)
        if not allowed([an_offer(call.provider)], held):
            require_provider(held, call.provider)
    except LimitRefused as refused:
        note(person.user.pk, held, call.feature, refused, now=call.at)
        raise


def an_offer(provider):
    return Offer(provider=provider, name="m", upstream_name="m")


def test_a_draft_with_more_room_lets_in_what_was_refused(alice):
    """What had been refused meets the draft as it would have, and costs as others."""
    tier("free", requests_per_hour=2, requests_per_day=99)
    for minute in range(2):
        use(alice, now=NOON + timedelta(minutes=minute), cost_usd_micros=50)
    refusals_of(alice, calls(2, 3, 4, 5, provider="ollama"))
    later = NOON + timedelta(hours=1)
    today, found = simulate(draft(), draft(requests_per_hour=5), now=later)

    assert (today.blocked, today.n_let_in) == (4, 0)
    assert (found.blocked, found.n_let_in, found.let_in_usd_micros) == (1, 3, 150)
    assert by_reason(today, found) == [("quota_exceeded (hour)", 4, 4, 1)]
    assert (found.affected[0].calls, found.affected[0].really) == (6, 4)


def test_a_flood_of_refusals_is_replayed_at_a_few_moments_of_its_minute(alice):
    Refusal.objects.create(
        user=alice.user,
        minute=NOON,
        tier_code="free",
        feature="basic_chat",
        reason="quota_exceeded (hour)",
        n_calls=1_000_003,
        first_at=NOON,
        last_at=NOON + timedelta(seconds=59),
    )
    full = draft(requests_per_hour=0)
    (found,) = simulate(full, now=NOON + timedelta(hours=1))

    assert (found.calls, found.blocked) == (1_000_003, 1_000_003)


def test_what_runs_in_here_or_on_a_key_of_ones_own_asks_for_no_provider():
    made = [
        *calls(0, provider="local"),
        *calls(1, provider="extractive"),
        *calls(2, provider="openai", own_key=True),
    ]
    lacking = {"providers": [], "own_provider_keys": True}

    assert replay(draft(**lacking), made).blocked == 0
    lacking["own_provider_keys"] = False
    assert replay(draft(**lacking), made).reasons == {"provider_not_in_tier": 1}


def test_a_call_that_a_local_model_answered_in_place_of_a_refusal_takes_no_room():
    """Its refusal is replayed by itself."""
    spare = calls(2, fallback="quota", cost_usd_micros=3)
    made = [*calls(0, 1), *spare, *calls(2, refused=1)]
    found = replay(draft(requests_per_hour=2), made)

    assert (found.calls, found.blocked, found.cost_usd_micros) == (3, 1, 3)


def test_prompts_over_the_drafts_context_are_counted():
    found = replay(draft(context_tokens=1000), calls(0, 1, tokens_in=1001))

    assert (found.larger, found.blocked) == (2, 0)


def test_of_a_very_large_ledger_the_newest_calls_are_replayed(alice, monkeypatch):
    for minute in range(5):
        use(alice, now=NOON + timedelta(minutes=minute))
    monkeypatch.setattr(simulator, "MAX_CALLS", 3)
    (found,) = simulate(draft(), now=NOON + timedelta(hours=1))

    assert (found.calls, found.since) == (3, NOON + timedelta(minutes=1))


def test_who_has_more_than_the_draft_allows_is_named(alice, charlie):
    Workspace.objects.create(user=alice.user, name="another")
    put_file(workspace=alice.workspace, path="a.py", data=b"x = 1\n" * 99)
    before = Tier.objects.get(pk="free")
    smaller = draft(
        max_workspaces=1, max_storage_bytes=99, max_file_bytes=99, requests_per_day=1
    )
    found = {each.limit: each for each in excesses(before, smaller)}

    assert {limit: (each.most, len(each.users)) for limit, each in found.items()} == {
        "max workspaces": (2, 1),
        "max storage bytes": (594, 1),
        "max file bytes": (594, 1),
    }
    assert found["max workspaces"].users[0][1] == alice.user.email
    assert list(excesses(before, before)) == []


def test_a_refused_call_uses_nothing_up():
    found = replay(draft(requests_per_hour=5, requests_per_day=3), calls(*range(9)))

    assert found.reasons == {"quota_exceeded (day)": 6}


def test_calls_that_run_at_one_time_are_counted():
    long = calls(0, 1, 2, 10, latency_ms=5 * 60_000)
    found = replay(draft(max_concurrent=2), long)

    assert found.reasons == {"quota_exceeded (concurrency)": 1}


def test_a_feature_and_a_provider_that_the_draft_lacks_are_refused():
    made = [
        *calls(0, feature="code_generation", cost_usd_micros=7),
        *calls(1, provider="openai"),
        *calls(2, feature="search"),
    ]
    found = replay(draft(), made)

    assert set(found.reasons) == {"feature_not_in_tier", "provider_not_in_tier"}
    assert (found.blocked, found.saved_usd_micros) == (2, 7)
