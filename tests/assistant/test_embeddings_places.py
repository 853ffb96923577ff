"""/v1/embeddings in several places and by users' own keys, as chats are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiassist.lib.shared_breaker import FAILURES
from assistant.gateway import routing
from assistant.models import AIModel, ProviderKey, Upstream
from assistant.places import seal_key
from assistant.upstreams import try_upstream
from tests.assistant.asking import records_of, released_after
from tests.assistant.conftest import CANARY_KEY
from tests.assistant.test_embeddings_face import answering, openai_vectors, post
from tests.assistant.test_own_keys import OWN, TlsProvider
from tests.fakes.providers import FakeProvider, Script, failure
from tests.support.people import Person

MODEL = "text-embedding-3-small"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BACKOFF_SECONDS", 0.01)


def upstream(fake: FakeProvider, name: str, **more: Any) -> Upstream:
    base_url = f"{fake.url}/{name}"
    values = {
        "provider": "openai",
        "upstream_name": f"{name}-model",
        "base_url": base_url,
        "sealed_key": seal_key(f"key-{name}", base_url=base_url, giver="staff"),
    }
    row = AIModel.objects.get(name=MODEL)
    return Upstream.objects.create(ai_model=row, name=name, **(values | more))


@pytest.fixture
def places(db: None, provider: FakeProvider, settings: Any) -> FakeProvider:
    """Two upstreams, `a` before `b`; the platform has no key of its own."""
    settings.UPSTREAM_ALLOWED_HOSTS = [provider.url.removeprefix("http://")]
    upstream(provider, "a", priority=1)
    upstream(provider, "b", priority=2)
    provider.at("/a/", openai_vectors([1.0], usage=50))
    provider.at("/b/", openai_vectors([2.0], usage=50))
    return provider


def vector(answered: Any) -> Any:
    assert answered.status_code == 200, answered.content
    return answered.json()["data"][0]["embedding"]


def test_the_lowest_priority_is_asked_with_its_own_key_and_name(
    pro: Person, places: FakeProvider
) -> None:
    answered = post(pro, model=MODEL, dimensions=1)

    assert vector(answered) == [1.0]
    assert answered["X-Upstream"] == "a"
    assert answered["RateLimit"]
    assert answered.json()["model"] == f"openai/{MODEL}"
    (seen,) = places.chats
    assert seen.headers["authorization"] == "Bearer key-a"
    assert (seen.body["model"], seen.body["dimensions"]) == ("a-model", 1)
    (record,) = records_of(pro)
    assert (record.upstream, record.model, record.fallback) == ("a", MODEL, "")
    assert record.cost_usd_micros == 1


@pytest.mark.parametrize("status", [401, 500])
def test_the_next_place_answers_and_it_is_said(
    status: int, pro: Person, places: FakeProvider
) -> None:
    places.at("/a/", failure(status))

    answered = post(pro, model=MODEL)

    assert vector(answered) == [2.0]
    assert answered["X-Upstream"] == "b"
    assert answered["X-Fallback-From"] == f"openai/{MODEL}@a"
    (record,) = records_of(pro)
    assert (record.upstream, record.fallback) == ("b", "upstream")


def test_q12_a_failure_that_passes_is_tried_again_and_charged_once(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(503, retry_after=0), openai_vectors([1.0]))

    assert vector(post(pro, model=MODEL)) == [1.0]
    assert len(openai.chats) == 2
    assert len(records_of(pro)) == 1


def test_a_place_that_keeps_failing_rests(pro: Person, places: FakeProvider) -> None:
    places.at("/a/", failure(500))
    for _ in range(FAILURES):
        post(pro, model=MODEL)
    places.requests.clear()

    assert vector(post(pro, model=MODEL)) == [2.0]
    assert {seen.path for seen in places.chats} == {"/b/embeddings"}


def test_q12_when_no_place_answers_the_call_is_free(
    pro: Person, places: FakeProvider
) -> None:
    for place in ("/a/", "/b/"):
        places.at(place, failure(500))

    assert post(pro, model=MODEL).status_code == 502
    released_after(pro)


def test_a_place_that_makes_no_vectors_is_left_out(
    pro: Person, places: FakeProvider
) -> None:
    Upstream.objects.filter(name="a").update(provider="anthropic")

    assert vector(post(pro, model=MODEL)) == [2.0]

    Upstream.objects.filter(name="b").update(provider="anthropic")
    assert post(pro, model=MODEL).status_code == 404


@pytest.mark.parametrize(
    ("wire", "script"),
    [
        ("ollama", {"embeddings": [[0.5]], "prompt_eval_count": 2}),
        ("google", {"embeddings": [{"values": [0.5]}]}),
    ],
)
def test_each_wire_is_spoken_at_a_place_of_its_own(
    wire: str, script: object, pro: Person, places: FakeProvider
) -> None:
    Upstream.objects.filter(name="a").update(provider=wire)
    places.at("/a/", answering(script))

    assert vector(post(pro, model=MODEL)) == [0.5]
    told = places.chats[0].headers
    assert "key-a" in told.get("authorization", told.get("x-goog-api-key", ""))


async def test_google_takes_a_hundred_texts_at_once(
    provider: FakeProvider, settings: Any
) -> None:
    from assistant.providers import EMBEDDERS  # noqa: PLC0415 - set up first
    from assistant.providers.embedding import EmbedRequest  # noqa: PLC0415

    settings.GOOGLE_API_KEY = CANARY_KEY

    def decide(seen: Any) -> Script:
        wanted = seen.body["requests"]
        found = [{"values": [float(r["content"]["parts"][0]["text"])]} for r in wanted]
        return answering({"embeddings": found})

    provider.decide = decide
    texts = tuple(map(str, range(1, 252)))

    made = await EMBEDDERS["google"].embed(EmbedRequest(model="m", inputs=texts))

    assert [len(seen.body["requests"]) for seen in provider.chats] == [100, 100, 51]
    assert [vector[0] for vector in made.vectors] == list(map(float, texts))


@pytest.fixture
def theirs(tmp_path: Path, settings: Any) -> Iterator[TlsProvider]:
    """A server that a user has a key for."""
    fake = TlsProvider(tmp_path).start()
    fake.will(openai_vectors([3.0], usage=50))
    settings.PROVIDER_KEY_ALLOWED_HOSTS = [fake.host]
    settings.PROVIDER_CA_FILE = fake.ca_file
    yield fake
    fake.stop()


def keyed(person: Person, base_url: str, provider: str = "openai", **more: Any) -> None:
    ProviderKey.objects.create(
        user=person.user,
        provider=provider,
        base_url=base_url,
        sealed_key=seal_key(OWN, base_url=base_url, giver="user"),
        **more,
    )
    person.user.has_provider_keys = True
    person.user.save()


def test_w6_a_users_own_key_pays_and_the_call_counts(
    pro: Person, theirs: TlsProvider, openai: FakeProvider
) -> None:
    keyed(pro, theirs.base_url, listed=["their-embed", "their-chat"])

    answered = post(pro, model="openai/their-embed")

    assert vector(answered) == [3.0]
    assert answered["X-Own-Key"] == "true"
    assert answered.json()["usage"]["cost"] == 0
    (seen,) = theirs.chats
    assert seen.headers["authorization"] == f"Bearer {OWN}"
    assert openai.chats == []
    (record,) = records_of(pro)
    assert (record.own_key, record.cost_usd_micros, record.tokens_in) == (True, 0, 50)
    assert post(pro, model="openai/their-chat").status_code == 404


def test_an_own_key_that_is_refused_is_the_callers_fault(
    pro: Person, theirs: TlsProvider
) -> None:
    keyed(pro, theirs.base_url, listed=["their-embed"])
    theirs.at("/embeddings", failure(401))

    answered = post(pro, model="their-embed")

    assert answered.status_code == 400
    assert answered.json()["error"]["code"] == "own_key_refused"
    assert OWN not in answered.content.decode()
    released_after(pro)


def test_at_the_vendors_own_the_catalogues_models_are_opened(pro: Person) -> None:
    from assistant.catalogue import embedders_of  # noqa: PLC0415 - set up first
    from assistant.providers.vendors import VENDORS  # noqa: PLC0415
    from billing.tiers.selectors import tier_of  # noqa: PLC0415

    for vendor in ("openai", "anthropic"):
        keyed(pro, VENDORS[vendor], vendor, listed=["an-embed-of-nobody"])

    offers = embedders_of(pro.user, tier_of(pro.user), {})

    assert [(o.id, o.own_key) for o in offers] == [
        ("local/all-MiniLM-L6-v2", False),
        ("openai/text-embedding-3-small", True),
        ("openai/text-embedding-3-large", True),
    ]


def test_w6_a_key_does_not_open_for_another_host(
    pro: Person, places: FakeProvider, settings: Any
) -> None:
    elsewhere = places.url.replace("127.0.0.1", "localhost") + "/a"
    settings.UPSTREAM_ALLOWED_HOSTS += [elsewhere.split("/")[2]]
    Upstream.objects.filter(name="a").update(base_url=elsewhere)

    assert vector(post(pro, model=MODEL)) == [2.0]
    assert [seen.path for seen in places.chats] == ["/b/embeddings"]


@pytest.mark.django_db(transaction=True)
async def test_staff_try_a_place_with_two_words(places: FakeProvider) -> None:
    tried = await try_upstream(f"openai/{MODEL}@a")

    assert tried.model == MODEL
    (seen,) = places.chats
    assert json.loads(seen.raw_body)["input"] == ["Say: ok"]
