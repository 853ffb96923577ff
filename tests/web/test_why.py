"""A refusal is explained, and asking first tells what the real call would meet."""

import re

import pytest
from django.urls import reverse

from aiassist.lib.errors import LimitRefused
from assistant.own_keys import add_key
from billing.models import Tier
from billing.reasons import REASONS
from billing.tiers.subscriptions import change_tier
from tests.billing.people import ask
from tests.fakes.providers import FakeProvider
from workspaces.content.files import put_file
from workspaces.receiving.sync import start_sync
from workspaces.services import create_workspace

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


def same(refusals):
    """What of a refusal does not depend on how a prompt was counted."""
    return [(each["code"], each["policy"], each["limit"]) for each in refusals]


@pytest.mark.parametrize("feature", CALLS)
@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_features(alice, vectors, tier, feature):
    on(alice, tier)

    assert checked(alice, feature=feature) == really(alice, feature)


def test_the_page_of_a_refusal_tells_what_is_held(alice):
    put_file(workspace=alice.workspace, path="a.py", data=b"x = 1\n")
    create_workspace(user=alice.user, name="another")
    assert alice.key
    shown = alice.web.get(reverse("usage:why", args=["workspace_limit"]))

    free = Tier.objects.get(pk="free")
    assert [(each.label, each.limit, each.used) for each in shown.context["held"]] == [
        ("Workspaces", free.max_workspaces, 2),
        ("Storage", free.max_storage_bytes, 6),
        ("Files in one workspace", free.max_files_per_workspace, 1),
        ("API keys", 100, 1),
        ("Webhooks", 10, 0),
    ]
    assert "when one is deleted" in shown.text


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
def test_asking_first_tells_each_tiers_calls_at_one_time(alice, vectors, tier):
    on(alice, tier)
    Tier.objects.filter(pk=tier).update(max_concurrent=1)
    assert checked(alice) == []
    ask(alice)

    assert checked(alice) == really(alice, "basic_chat")
    assert checked(alice)[0]["policy"] == "concurrency"


ROOM = {  # what is asked -> what of it the tier has, what fits, what the real call is
    "workspaces": (
        *("max_workspaces", {"workspaces": 1}, {"workspaces": 2}),
        lambda who: [create_workspace(user=who.user, name=f"w{i}") for i in range(2)],
    ),
    "storage_bytes": (
        *("max_storage_bytes", {"storage_bytes": 2}, {"storage_bytes": 3}),
        lambda who: put_file(workspace=who.workspace, path="a.py", data=b"xyz"),
    ),
    "files": (
        *("max_files_per_workspace", {"files": 2}, {"files": 3}),
        lambda who: start_sync(
            workspace=who.workspace,
            manifest={f"{i}.py": "0" * 64 for i in range(3)},
            delete_missing=True,
        ),
    ),
}


@pytest.mark.parametrize("limit", ROOM)
@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_room(alice, tier, limit):
    column, fitting, too_many, act = ROOM[limit]
    on(alice, tier)
    Tier.objects.filter(pk=tier).update(**{column: max(fitting.values())})
    assert checked(alice, **fitting) == []
    refused = checked(alice, **too_many)
    with pytest.raises(LimitRefused) as real:
        act(alice)

    told = {name: real.value.details[name] for name in ("policy", "limit")}
    assert told.items() <= refused[0].items()
    assert refused[0]["code"] == real.value.code


@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_context(alice, vectors, tier):
    on(alice, tier)
    most = 1000
    Tier.objects.filter(pk=tier).update(context_tokens=most)
    refused = checked(alice, context_tokens=most)
    real = really(alice, "basic_chat", message="word " * (most + 200))

    assert checked(alice, context_tokens=most - 64) == []
    assert really(alice, "basic_chat", message="word " * (most // 2)) == []
    assert (
        same(refused) == same(real) == [("context_too_large", "context_tokens", most)]
    )


@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_own_keys(alice, tier):
    held = on(alice, tier)
    told = checked(alice, own_provider_keys=True)
    if held.own_provider_keys:
        assert told == []
        return
    with pytest.raises(LimitRefused) as real:
        add_key(user=alice.user, tier=held, provider="openai", key="sk-" + "a" * 20)
    assert (told[0]["code"], told[0]["detail"]) == (real.value.code, str(real.value))


@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_largest_file(alice, tier):
    most = 1000
    on(alice, tier)
    Tier.objects.filter(pk=tier).update(max_file_bytes=most)
    refused = checked(alice, file_bytes=most + 1)
    with pytest.raises(LimitRefused) as real:
        put_file(workspace=alice.workspace, path="a.py", data=b"x" * (most + 1))

    assert checked(alice, file_bytes=most) == []
    told = {name: real.value.details[name] for name in ("policy", "limit", "used")}
    assert told.items() <= refused[0].items()
    assert refused[0]["code"] == real.value.code == "file_too_large"


@pytest.fixture
def openai(settings):
    fake = FakeProvider().start()
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = f"{fake.url}/v1", "sk-nobodys"
    yield fake
    fake.stop()


@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.parametrize("tier", TIERS)
def test_asking_first_tells_each_tiers_providers(alice, vectors, openai, tier, has_it):
    on(alice, tier)
    providers = ["extractive", *(["openai"] if has_it else [])]
    Tier.objects.filter(pk=tier).update(providers=providers)
    told = checked(alice, provider="openai")

    assert told == really(alice, "basic_chat", model="gpt-6-sol")
    assert bool(told) is not has_it


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


def test_a_refused_form_leads_to_its_explanation(alice):
    Tier.objects.filter(pk="free").update(max_workspaces=0)
    refused = alice.web.post(reverse("workspaces:create"), {"name": "another"})

    assert '<a href="/dashboard/why/workspace_limit/">' in refused.text
