"""Staff enter places for a model, try them and see how they do."""

from typing import Any

import pytest

from accounts.models import AuditEvent
from aiassist.lib.shared_breaker import FAILURES
from assistant.gateway import routing
from assistant.models import AIModel, Upstream
from assistant.upstreams import upstream_health
from tests.assistant.test_upstreams import ALIAS, ask, places, upstream
from tests.fakes.providers import FakeProvider, failure
from tests.support.people import Person

__all__ = ["places"]  # a fixture
KEY = "sk-canary-of-the-upstream"


def entered(provider: FakeProvider, **more: Any) -> dict[str, Any]:
    """Return the model's page as filled in with one new place."""
    model = AIModel.objects.get(name="gpt-6-sol")
    return {
        **{
            name: getattr(model, name)
            for name in ("provider", "name", "upstream_name", "context_window")
        },
        "price_in_usd_micros": "2.5",
        "price_out_usd_micros": "10",
        "position": model.position,
        "enabled": "on",
        "upstreams-TOTAL_FORMS": 1,
        "upstreams-INITIAL_FORMS": 0,
        "upstreams-0-name": "eu",
        "upstreams-0-provider": "openai",
        "upstreams-0-upstream_name": "sol-eu",
        "upstreams-0-base_url": f"{provider.url}/eu",
        "upstreams-0-key": KEY,
        "upstreams-0-priority": 1,
        "upstreams-0-weight": 1,
        "upstreams-0-enabled": "on",
    } | more


def page_of(model: AIModel) -> str:
    return f"/admin/assistant/aimodel/{model.pk}/change/"


def sent(stella: Person, form: dict[str, Any]) -> Any:
    return stella.web.post(page_of(AIModel.objects.get(name="gpt-6-sol")), form)


def test_u3_a_place_is_entered_and_its_key_never_shown(
    stella: Person, pro: Person, provider: FakeProvider, settings: Any
) -> None:
    settings.UPSTREAM_ALLOWED_HOSTS = [provider.url.removeprefix("http://")]
    assert sent(stella, entered(provider)).status_code == 302

    row = Upstream.objects.get()
    assert KEY not in str(Upstream.objects.values())
    page = stella.web.get(page_of(row.ai_model)).content.decode()
    assert "/eu" in page
    assert KEY not in page
    assert row.sealed_key not in page
    assert ask(pro).json()["text"] == "Hello"
    assert provider.chats[0].headers["authorization"] == f"Bearer {KEY}"
    event = AuditEvent.objects.get(action="upstream.added")
    assert (event.subject_id, event.actor_id) == ("eu", stella.user.pk)
    assert KEY not in str(event.details)


def test_w6_a_new_address_without_a_new_key_forgets_the_old_key(
    stella: Person, provider: FakeProvider, settings: Any
) -> None:
    hosts = [provider.url.removeprefix("http://"), "127.0.0.1:9"]
    settings.UPSTREAM_ALLOWED_HOSTS = hosts
    sent(stella, entered(provider))
    row = Upstream.objects.get()
    form = entered(provider) | {
        "upstreams-INITIAL_FORMS": 1,
        "upstreams-0-id": row.pk,
        "upstreams-0-ai_model": row.ai_model_id,
        "upstreams-0-key": "",
    }
    assert sent(stella, form).status_code == 302
    row.refresh_from_db()
    assert row.sealed_key, "an empty field leaves it"

    form["upstreams-0-base_url"] = "http://127.0.0.1:9/eu"
    assert sent(stella, form).status_code == 302
    row.refresh_from_db()
    assert (row.base_url, row.sealed_key) == ("http://127.0.0.1:9/eu", "")


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.example.com/v1",
        "https://127.0.0.1/v1",
        "https://user:pass@api.example.com/v1",
        "https://api.example.com/v1?key=1",
        "ftp://api.example.com",
    ],
)
def test_w1_a_bad_address_is_refused(
    base_url: str, stella: Person, provider: FakeProvider
) -> None:
    form = entered(provider) | {"upstreams-0-base_url": base_url}

    assert sent(stella, form).status_code == 200
    assert not Upstream.objects.exists()


def test_health_tells_of_breakers_failures_and_answers(
    pro: Person, places: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "BACKOFF_SECONDS", 0.01)
    places.at("/a/", failure(500))
    for _ in range(FAILURES):
        ask(pro)
    a, b = (health for health in upstream_health() if health.label.startswith(ALIAS))

    assert (a.label, a.state, a.times) == (f"{ALIAS}@a", "open", 1)
    assert a.vitals.failed_with == "provider_unavailable"
    assert (b.label, b.state) == (f"{ALIAS}@b", "closed")
    assert b.vitals.answered_at > 0


def test_staff_try_one_place(stella: Person, places: FakeProvider) -> None:
    places.at("/b/", failure(401))
    pages = {
        name: stella.web.post(
            "/admin/upstreams/", {"upstream": f"{ALIAS}@{name}"}, follow=True
        ).content.decode()
        for name in ("a", "b", "gone")
    }

    assert f"{ALIAS}@a answered in" in pages["a"]
    assert "refuses this installation" in pages["b"]
    assert "no such place" in pages["gone"]
    assert [seen.path for seen in places.chats] == [
        "/a/chat/completions",
        "/b/chat/completions",
    ]
    assert AuditEvent.objects.filter(action="upstream.tested").count() == 3


def test_only_admins_see_where_models_are_had(
    places: FakeProvider, stella: Person
) -> None:
    from tests.web.test_staff import staff_in  # noqa: PLC0415

    model = AIModel.objects.get(name="gpt-6-sol")
    for group, sees in (("support", False), ("billing", False), ("admin", True)):
        page = staff_in(group).web.get(page_of(model)).content.decode()
        assert (f"{places.url}/a" in page) is sees


def test_another_place_of_the_same_name_is_refused(
    stella: Person, places: FakeProvider
) -> None:
    form = entered(places) | {"upstreams-0-name": "a"}

    assert sent(stella, form).status_code == 200
    assert Upstream.objects.count() == 2
    assert upstream(places, "c").name == "c"


def test_m3_prices_are_given_in_dollars_and_each_change_is_noted(
    stella: Person, provider: FakeProvider
) -> None:
    model = AIModel.objects.get(name="gpt-6-sol")
    form = entered(
        provider, **{"upstreams-TOTAL_FORMS": 0, "price_in_usd_micros": "0.075"}
    )
    assert (
        'name="price_in_usd_micros" value="2.00"' in stella.web.get(page_of(model)).text
    )
    assert sent(stella, form).status_code == 302

    model.refresh_from_db()
    assert (model.price_in_usd_micros, model.price_out_usd_micros) == (75_000, 10**7)
    noted = AuditEvent.objects.get(action="model.changed")
    assert (noted.actor_id, noted.subject_id) == (stella.user.pk, "openai/gpt-6-sol")
    assert "price_in_usd_micros" in noted.details["fields"]
    gone = {"action": "delete_selected", "_selected_action": [model.pk], "post": "yes"}
    stella.web.post("/admin/assistant/aimodel/", gone)
    assert AuditEvent.objects.filter(action="model.removed").count() == 1
