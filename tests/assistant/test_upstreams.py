"""Several places for one model: in what order, and what is said about it."""

import random
from collections import Counter
from typing import Any

import pytest

from aiassist.lib.shared_breaker import FAILURES, breakers
from assistant.catalogue import Offer, entered_offers, in_order
from assistant.gateway import routing
from assistant.models import AIModel, Upstream
from assistant.places import Place, seal_key
from tests.assistant.asking import record_after, records_of
from tests.assistant.conftest import CANARY_KEY
from tests.fakes.providers import (
    FakeProvider,
    anthropic_stream,
    failure,
    openai_stream,
)
from tests.support.people import Person

ALIAS = "openai/gpt-6-sol"


def upstream(fake: FakeProvider, name: str, key: str = "", **more: Any) -> Upstream:
    """Have the model at `/<name>` of the stand-in, too."""
    base_url = f"{fake.url}/{name}"
    return Upstream.objects.create(
        ai_model=AIModel.objects.get(name="gpt-6-sol"),
        name=name,
        provider=more.pop("provider", "openai"),
        upstream_name=f"{name}-model",
        base_url=base_url,
        sealed_key=seal_key(key, base_url=base_url, giver="staff") if key else "",
        **more,
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def places(db: None, provider: FakeProvider, settings: Any) -> FakeProvider:
    """Two upstreams, `a` before `b`; the platform has no key of its own."""
    settings.UPSTREAM_ALLOWED_HOSTS = [provider.url.removeprefix("http://")]
    upstream(provider, "a", "key-a", priority=1)
    upstream(provider, "b", "key-b", priority=2)
    provider.at("/a/", openai_stream("from a"))
    provider.at("/b/", openai_stream("from b"))
    return provider


def ask(person: Person, **body: Any) -> Any:
    body = {"message": "How?", "model": ALIAS} | body
    return person.api.post("/api/v1/assistant/chat", body, format="json")


def complete(person: Person) -> Any:
    messages = [{"role": "user", "content": "How?"}]
    body = {"model": ALIAS, "messages": messages}
    return person.api.post("/v1/chat/completions", body, format="json")


def test_the_lowest_priority_is_asked_with_its_own_key_and_name(
    pro: Person, places: FakeProvider
) -> None:
    answer = ask(pro)

    assert answer.json()["text"] == "from a"
    assert answer["X-Upstream"] == "a"
    assert "X-Fallback-From" not in answer
    (seen,) = places.chats
    assert seen.headers["authorization"] == "Bearer key-a"
    assert seen.body["model"] == "a-model"
    record = record_after(pro)
    assert (record.upstream, record.model, record.fallback) == ("a", "gpt-6-sol", "")


@pytest.mark.parametrize("call", [ask, complete])
def test_the_next_place_answers_a_named_model_and_it_is_said(
    call: Any, pro: Person, places: FakeProvider
) -> None:
    """Without `fallback`: it is the same model there."""
    places.at("/a/", failure(401))

    answer = call(pro)

    assert answer.status_code == 200
    assert b"from b" in answer.content
    assert answer["X-Upstream"] == "b"
    assert answer["X-Fallback-From"] == f"{ALIAS}@a"
    assert answer["X-Model"] == ALIAS
    record = record_after(pro)
    assert (record.upstream, record.fallback) == ("b", "upstream")
    assert record.cost_usd_micros > 0


def test_another_model_in_its_place_is_told_apart(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    settings.ANTHROPIC_API_KEY = "k"
    places.at("/anthropic/", anthropic_stream("from another"))
    for place in ("/a/", "/b/"):
        places.at(place, failure(401))
    answer = ask(pro, fallback=True)

    assert answer.json()["usage"]["fallback_from"] == [f"{ALIAS}@a", f"{ALIAS}@b"]
    assert record_after(pro).fallback == "model"


def test_when_no_place_answers_the_call_is_free(
    pro: Person, places: FakeProvider
) -> None:
    """Q12."""
    for place in ("/a/", "/b/"):
        places.at(place, failure(500))

    assert ask(pro).status_code == 502
    assert records_of(pro) == []


def test_w6_the_platforms_key_goes_to_no_upstream_with_an_address(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    settings.OPENAI_API_KEY = CANARY_KEY
    Upstream.objects.filter(name="a").update(sealed_key="")

    assert ask(pro).json()["text"] == "from a"
    assert "authorization" not in places.chats[0].headers


def test_w6_a_key_does_not_open_for_another_host(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    """As when somebody edits the address behind the form's back."""
    elsewhere = places.url.replace("127.0.0.1", "localhost") + "/a"
    settings.UPSTREAM_ALLOWED_HOSTS += [elsewhere.split("/")[2]]
    Upstream.objects.filter(name="a").update(base_url=elsewhere)

    assert ask(pro).json()["text"] == "from b"
    assert [seen.path for seen in places.chats] == ["/b/chat/completions"]


def test_w1_an_upstream_reaches_public_addresses_only(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    settings.UPSTREAM_ALLOWED_HOSTS = []

    assert ask(pro).json()["code"] == "provider_misconfigured"
    assert places.chats == []


def test_a_place_without_an_address_is_the_settings_own(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    settings.OPENAI_API_KEY = CANARY_KEY
    Upstream.objects.filter(name="a").update(base_url="", sealed_key="")
    places.at("/openai/", openai_stream("from the settings' address"))

    answer = ask(pro)

    assert answer.json()["text"] == "from the settings' address"
    assert answer["X-Upstream"] == "a"
    assert places.chats[0].body["model"] == "a-model"


def test_a_model_whose_places_are_all_off_is_not_offered(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    settings.OPENAI_API_KEY = CANARY_KEY
    Upstream.objects.update(enabled=False)
    listed = pro.api.get("/api/v1/assistant/models").json()["results"]

    assert ALIAS not in [row["id"] for row in listed]
    assert "openai/gpt-6-luna" in [row["id"] for row in listed]


def test_a_model_with_places_is_listed_once_and_in_its_order(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    settings.OPENAI_API_KEY = CANARY_KEY
    places.openai_models = ["gpt-6-luna"]  # what the settings' address serves
    listed = pro.api.get("/api/v1/assistant/models").json()["results"]

    assert [row["id"] for row in listed][:2] == [ALIAS, "openai/gpt-6-luna"]


def test_an_upstream_may_speak_another_wire(pro: Person, places: FakeProvider) -> None:
    upstream(places, "c", "key-c", priority=0, provider="anthropic")
    places.at("/c/", anthropic_stream("from c"))

    assert ask(pro).json()["text"] == "from c"
    assert places.chats[0].headers["x-api-key"] == "key-c"
    assert record_after(pro).provider == "anthropic"


def test_places_of_one_priority_share_by_weight(places: FakeProvider) -> None:
    Upstream.objects.update(priority=1)
    Upstream.objects.filter(name="b").update(weight=3)
    (offer,) = _offers()
    draw = random.Random(7).random
    first = Counter(next(in_order(offer, draw)).lane for _ in range(2000))

    assert 0.70 < first["b"] / 2000 < 0.80
    assert {o.lane for o in in_order(offer, draw)} == {"a", "b"}


def test_a_dead_place_is_left_alone_after_some_failures(
    pro: Person, places: FakeProvider
) -> None:
    places.at("/a/", failure(500))
    for _ in range(FAILURES):
        ask(pro)
    n_asked = sum(seen.path.startswith("/a/") for seen in places.chats)

    answer = ask(pro)

    assert answer.json()["text"] == "from b"
    assert answer["X-Fallback-From"] == f"{ALIAS}@a"
    assert sum(seen.path.startswith("/a/") for seen in places.chats) == n_asked
    assert breakers.rest_seconds(f"{ALIAS}@a") > 0


def test_where_all_rest_the_answer_says_when_to_come_back(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(500))
    for _ in range(FAILURES):
        ask(pro)

    answer = ask(pro)

    assert answer.status_code == 503
    assert answer.json()["code"] == "provider_resting"
    assert 1 <= int(answer["Retry-After"]) <= 5
    assert records_of(pro) == []


def test_a_refused_request_opens_no_breaker(pro: Person, openai: FakeProvider) -> None:
    """Else one user could shut a model for all."""
    openai.will(failure(400))
    for _ in range(FAILURES + 1):
        assert ask(pro).json()["code"] == "provider_rejected"


def _offers() -> list[Offer]:
    return [offer for offer in entered_offers() if offer.lanes]


def test_a_places_key_is_not_in_its_repr() -> None:
    assert "sealed" not in repr(Place("https://a.test", "staff", "sealed"))
