"""A refusal is explained, and asking first tells what the real call would meet."""

import re

import pytest
from django.urls import reverse

from aiassist.lib.errors import LimitRefused
from billing.models import Tier
from billing.reasons import REASONS
from billing.subscriptions import change_tier
from workspaces.files import put_file

CODE = {"code": "x = 1", "language": "python"}
CALLS = {  # feature -> address, body
    "basic_chat": ("chat", {"message": "Why?"}),
    "code_explanation": ("explain", CODE),
    "code_generation": ("generate", {"instruction": "sort", "language": "python"}),
    "inline_completion": (
        "complete",
        {"prefix": "x", "suffix": "", "language": "python"},
    ),
}
TIERS = ["free", "pro", "enterprise"]
SHAPE = ("code", "policy", "limit", "used", "resets_at", "detail")


def on(person, tier):
    change_tier(person.user, Tier.objects.get(pk=tier), actor=None)
    return Tier.objects.get(pk=tier)


def checked(person, **wish):
    answer = person.api.post("/api/v1/limits/check", wish, format="json").json()
    return [{name: reason[name] for name in SHAPE} for reason in answer["reasons"]]


def really(person, feature, **more):
    """What the real call answers: the refusal's numbers, or none."""
    name, body = CALLS[feature]
    address = f"/api/v1/assistant/{name}"
    answer = person.api.post(address, body | more, format="json")
    told = answer.json()
    return [{each: told[each] for each in SHAPE}] if "policy" in told else []


@pytest.mark.parametrize("feature", CALLS)
@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_features(alice, vectors, tier, feature):
    on(alice, tier)

    assert checked(alice, feature=feature) == really(alice, feature)


@pytest.mark.parametrize("window", ["hour", "day"])
@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_windows(alice, vectors, tier, window):
    on(alice, tier)
    Tier.objects.filter(pk=tier).update(
        requests_per_hour=1, requests_per_day=1 if window == "day" else 5
    )
    before = checked(alice, feature="basic_chat")
    assert before == really(alice, "basic_chat") == []

    after = checked(alice, feature="basic_chat")
    assert after == really(alice, "basic_chat")
    assert [reason["policy"] for reason in after] == [window]


@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_largest_file(alice, tier):
    most = 1000
    on(alice, tier)
    Tier.objects.filter(pk=tier).update(max_file_bytes=most)
    refused = checked(alice, file_bytes=most + 1)
    with pytest.raises(LimitRefused) as real:
        put_file(workspace=alice.workspace, path="a.py", data=b"x" * (most + 1))

    assert checked(alice, file_bytes=most) == []
    assert refused[0]["limit"] == real.value.details["limit"]


@pytest.mark.parametrize("provider", ["extractive", "openai"])
@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_providers(alice, tier, provider):
    allowed = provider in on(alice, tier).providers

    assert bool(checked(alice, provider=provider)) is not allowed


@pytest.mark.parametrize("code", REASONS)
def test_each_refusal_has_its_page_with_the_numbers(alice, code):
    shown = alice.web.get(reverse("usage:why", args=[code]))

    assert shown.status_code == 200
    assert REASONS[code].title in shown.text and "Requests this hour" in shown.text


def refusals(cls=LimitRefused):
    for each in cls.__subclasses__():
        yield each.code
        yield from refusals(each)


def test_no_refusal_by_a_limit_is_left_unexplained():
    assert set(refusals()) - {"limit_refused"} <= set(REASONS)


def test_an_unknown_reason_is_no_page(alice):
    assert alice.web.get("/dashboard/why/nonsense/").status_code == 404


def test_the_page_judges_a_wish(alice):
    address = reverse("usage:why_any")
    asked = {"ask": "1", "feature": "code_generation", "requests": "1"}

    assert "feature_not_in_tier" in alice.web.get(address, asked).text
    asked["feature"] = "basic_chat"
    assert "Yes, this would be allowed now." in alice.web.get(address, asked).text


def test_a_refused_page_leads_to_its_explanation(alice, vectors):
    Tier.objects.filter(pk="free").update(requests_per_hour=0)
    refused = alice.web.post(reverse("chat:ask"), {"message": "Why?"})

    assert refused.status_code == 429
    assert re.search(r'href="/dashboard/why/quota_exceeded/"', refused.text)
