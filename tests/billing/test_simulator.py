"""The simulator's verdicts are those of real calls."""

from collections import Counter
from datetime import timedelta

import pytest

from aiassist.lib.errors import QuotaExceeded
from billing.models import Tier
from billing.simulator import Call, replay
from tests.billing.people import NOON, tier, use

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


def test_the_present_limits_reproduce_the_real_refusals(alice):
    """Each call is made for real, at its moment; the replay says the same of each."""
    limits = {"requests_per_hour": 3, "requests_per_day": 7}
    tier("free", **limits)
    made = calls(*range(0, 300, 11))
    real = []
    for call in made:
        try:
            use(alice, now=call.at)
        except QuotaExceeded as refused:
            real.append(f"{refused.code} ({refused.details['policy']})")
    found = replay(Tier.objects.get(pk="free"), made)

    assert real and found.reasons == Counter(real)


def test_a_refused_call_uses_nothing_up():
    found = replay(draft(requests_per_hour=5, requests_per_day=3), calls(*range(9)))

    assert found.reasons == {"quota_exceeded (day)": 6}


def test_calls_that_run_at_one_time_are_counted():
    long = calls(0, 1, 2, 10, latency=timedelta(minutes=5))
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
