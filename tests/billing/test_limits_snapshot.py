"""The numbers of a snapshot as headers and refusals."""

from dataclasses import replace

import pytest

from billing.metering.limits import refusal_of, snapshot
from tests.billing.people import NOON, tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def limits():
    """Free: 20 of 50 this hour, 150 of 200 this day, 1 of 4 at one time."""
    return snapshot(
        tier(), NOON, hour_used=20, day_used=150, concurrent=1, enforced=True
    )


def short(limits):
    names = ("limit", "remaining", "reset")
    headers = limits.headers()
    return tuple(int(headers[f"x-ratelimit-{name}-requests"]) for name in names)


def test_headers_tell_of_every_window(limits):
    assert limits.headers() == {
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "30",
        "x-ratelimit-reset-requests": "1800",
        "RateLimit-Policy": '"hour";q=50;w=3600, "day";q=200;w=86400',
        "RateLimit": '"hour";r=30;t=1800, "day";r=50;t=41400',
    }


def test_the_short_headers_tell_of_the_window_with_least_left(limits):
    assert short(limits) == (50, 30, 1800)
    later = replace(limits, day=replace(limits.day, used=190))
    assert short(later) == (200, 10, 41400)


def test_of_two_windows_alike_the_longer_is_told(limits):
    assert short(replace(limits, day=replace(limits.day, used=170))) == (200, 30, 41400)


def test_a_tier_that_shrank_leaves_nothing_rather_than_less(limits):
    shrunk = replace(limits, hour=replace(limits.hour, limit=5))
    assert short(shrunk) == (5, 0, 1800)


@pytest.mark.parametrize(
    ("requests", "policy"), [(1, None), (30, None), (31, "hour"), (51, "day")]
)
def test_many_calls_are_judged_together(limits, requests, policy):
    refusal = refusal_of(limits, requests=requests)
    assert (refusal and refusal.details["policy"]) == policy
