"""Limits that staff give one person: who, how long, where they bite, what is noted."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent
from aiassist.lib import clock
from aiassist.lib.db import in_db
from aiassist.lib.errors import FeatureNotInTier, QuotaExceeded
from billing.metering.entry import aenter
from billing.models import LimitOverride, Tier
from billing.reporting.simulator import Call, replay
from billing.tiers.overrides import end_override, override_limits
from billing.tiers.selectors import tier_of
from tests.billing.people import NOON, ask, put_on, tier

pytestmark = pytest.mark.django_db

NEW = "/admin/billing/limitoverride/add/"


def give(person, ends_at=None, **limits):
    return override_limits(
        person.user, limits, actor=None, reason="a trial", ends_at=ends_at
    )


def form(person, **fields):
    empty = {"own_provider_keys": "", "ends_at_0": "", "ends_at_1": ""}
    return {"user": person.user.pk, "reason": "a trial", **empty, **fields}


def test_only_the_named_limits_differ_from_the_tiers(alice, charlie):
    give(alice, requests_per_hour=7, features=["code_generation"])
    mine, usual = tier_of(alice.user), Tier.objects.get(pk="free")

    assert (mine.requests_per_hour, mine.features) == (7, ["code_generation"])
    assert mine.requests_per_day == usual.requests_per_day
    assert tier_of(charlie.user).requests_per_hour == usual.requests_per_hour


def test_it_follows_the_person_to_another_tier(alice):
    give(alice, max_workspaces=99)
    put_on(alice, "pro")

    assert tier_of(alice.user).code == "pro"
    assert tier_of(alice.user).max_workspaces == 99


def test_it_holds_until_its_end_and_the_newest_counts(alice):
    give(alice, clock.now() + timedelta(days=1), requests_per_day=1)
    give(alice, clock.now() + timedelta(days=1), requests_per_day=2)
    assert tier_of(alice.user).requests_per_day == 2
    LimitOverride.objects.filter(ends_at__gt=clock.now()).update(ends_at=clock.now())

    assert tier_of(alice.user).requests_per_day == 200


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"rank": 1},
        {"requests_per_hour": -1},
        {"requests_per_hour": 2**31},  # more than the ledger counts
        {"requests_per_hour": True},
        {"max_file_bytes": "many"},
        {"features": ["telepathy"]},
        {"own_provider_keys": 1},
    ],
)
def test_a_limit_that_no_tier_has_is_refused(alice, limits):
    with pytest.raises(ValidationError):
        give(alice, **limits)
    assert not LimitOverride.objects.exists()


def test_the_copy_with_ones_limits_cannot_become_everybodys(alice):
    give(alice, requests_per_hour=7)
    with pytest.raises(ValueError, match="one person's"):
        tier_of(alice.user).save()


def test_admission_and_gates_judge_by_it(alice):
    give(alice, requests_per_hour=1, features=["basic_chat"])
    ask(alice, now=NOON)
    with pytest.raises(QuotaExceeded) as refused:
        ask(alice, now=NOON)
    assert refused.value.details["limit"] == 1

    verdict = alice.api.post(
        "/api/v1/limits/check", {"feature": "code_explanation"}, format="json"
    ).json()
    assert [reason["code"] for reason in verdict["reasons"]] == ["feature_not_in_tier"]


@pytest.mark.django_db(transaction=True)
async def test_a_cached_principal_has_it_with_the_next_call(alice):
    secret = await in_db(lambda: alice.key)
    headers = [(b"x-api-key", secret.encode())]

    async def enter():
        return await aenter(
            headers,
            feature="basic_chat",
            endpoint="x",
            request_id="",
            scope="assistant",
        )

    assert (await enter()).admission.limits.hour.limit == 50
    await in_db(give, alice, requests_per_hour=60)
    assert (await enter()).admission.limits.hour.limit == 60
    await in_db(give, alice, features=["code_explanation"])
    with pytest.raises(FeatureNotInTier):
        await enter()


def test_the_api_and_the_page_tell_of_it(alice):
    give(alice, requests_per_hour=1_234)
    told = alice.api.get("/api/v1/limits").json()
    page = alice.web.get("/dashboard/limits/").text

    assert told["override"] == {"limits": ["requests_per_hour"], "ends_at": None}
    assert told["windows"][0]["limit"] == 1_234
    assert "Yours alone" in page
    assert "1,234" in page


def test_t10_what_takes_something_away_ends_sessions_and_streams(alice):
    epoch = alice.user.epoch
    given = give(alice, requests_per_hour=1_000)
    alice.user.refresh_from_db()
    assert alice.user.epoch == epoch
    end_override(given, actor=None)
    alice.user.refresh_from_db()

    assert alice.user.epoch == epoch + 1


def test_m3_giving_and_ending_are_noted_without_the_numbers(alice, stella):
    stella.web.post(NEW, form(alice, requests_per_hour="70", max_workspaces="9"))
    given = LimitOverride.objects.get()
    stella.web.post(
        "/admin/billing/limitoverride/",
        {"action": "end_now", "_selected_action": [given.pk]},
    )

    assert given.limits == {"requests_per_hour": 70, "max_workspaces": 9}
    noted = AuditEvent.objects.filter(subject_id=alice.user.pk)
    noted = noted.filter(action__startswith="limits").order_by("created_at", "id")
    assert [(e.action, e.actor_id) for e in noted] == [
        ("limits.overridden", stella.user.pk),
        ("limits.restored", stella.user.pk),
    ]
    fields = {"fields": ["max_workspaces", "requests_per_hour"]}
    assert [event.details for event in noted] == [fields, fields]
    assert tier_of(alice.user).override is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"requests_per_hour": "9", "requests_per_day": "8"},
        {"requests_per_hour": "9", "reason": ""},
        {
            "requests_per_hour": "9",
            "ends_at_0": "2020-01-01",
            "ends_at_1": "00:00:00",
        },
    ],
)
def test_the_form_refuses_what_makes_no_sense(alice, stella, fields):
    assert stella.web.post(NEW, form(alice, **fields)).status_code == 200
    assert not LimitOverride.objects.exists()


def test_an_override_is_ended_and_not_rewritten(alice, stella):
    given = give(alice, requests_per_hour=70)
    page = f"/admin/billing/limitoverride/{given.pk}"
    stella.web.post(f"{page}/change/", form(alice, requests_per_hour="99"))
    stella.web.post(f"{page}/delete/", {"post": "yes"})

    assert LimitOverride.objects.get().limits == {"requests_per_hour": 70}


def test_a_simulation_keeps_the_limits_of_those_who_have_their_own():
    draft = tier(requests_per_hour=1)
    calls = [Call(who, NOON, "basic_chat") for who in ("a", "a", "b", "b")]
    found = replay(draft, calls, {"b": {"requests_per_hour": 5}})

    assert [(one.user_id, one.blocked) for one in found.affected] == [("a", 1)]
