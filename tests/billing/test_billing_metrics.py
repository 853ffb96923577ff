"""What operators count: admissions by verdict, tokens and cost."""

import pytest
from prometheus_client import REGISTRY

from aiassist.lib.errors import QuotaExceeded
from billing.metering.ledger import Settlement, settle
from tests.billing.people import ask, tier

pytestmark = pytest.mark.django_db


def value(name, **labels):
    return REGISTRY.get_sample_value(f"aiassist_{name}_total", labels) or 0


def test_admissions_are_counted_by_verdict(alice):
    tier(requests_per_hour=1)
    admitted = {"verdict": "admitted", "feature": "basic_chat"}
    refused = {"verdict": "quota_exceeded", "feature": "basic_chat"}
    before = value("admissions", **admitted), value("admissions", **refused)
    ask(alice)
    for _ in range(2):
        with pytest.raises(QuotaExceeded):
            ask(alice)

    after = value("admissions", **admitted), value("admissions", **refused)
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2)


def test_a_call_settled_twice_is_counted_once(alice):
    spent = Settlement(
        provider="p", model="m", tokens_in=5, tokens_out=2, cost_usd_micros=9
    )
    admission = ask(alice)
    settle(admission, spent)
    settle(admission, spent)

    assert value("tokens", provider="p", model="m", direction="in") == 5
    assert value("tokens", provider="p", model="m", direction="out") == 2
    assert value("cost_usd_micros", provider="p", model="m") == 9
