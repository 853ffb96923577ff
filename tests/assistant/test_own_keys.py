"""Users' own keys: who may have them, where they go, who pays."""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rest_framework.test import APIClient

from accounts.keys import create_key
from accounts.models import AuditEvent
from accounts.scopes import ALL_SCOPES
from assistant.models import ProviderKey
from assistant.own_keys import add_key
from assistant.providers.vendors import VENDORS
from billing.models import Tier, UsageRecord
from billing.tiers.selectors import tier_of
from tests.assistant.asking import open_holds, records_of
from tests.assistant.conftest import CANARY_KEY, on_tier
from tests.fakes.git_server import certificate_in
from tests.fakes.providers import FakeProvider, failure, openai_stream
from tests.support.people import Person

OWN = "sk-own-canary-0123456789-x4Tq"
KEYS = "/api/v1/provider-keys"


class TlsProvider(FakeProvider):
    """The stand-in at an https address: users may give no other."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        certificate, key = certificate_in(folder)
        self.ca_file = str(certificate)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)

    @property
    def host(self) -> str:
        return f"localhost:{self._port}"

    @property
    def base_url(self) -> str:
        return f"https://{self.host}/v1"

    def start(self, port: int = 0) -> "TlsProvider":
        self._thread.start()
        starting = asyncio.start_server(
            self._connection, "localhost", port, ssl=self._context
        )
        started = asyncio.run_coroutine_threadsafe(starting, self._loop)
        self._server = started.result(10)
        self._port = self._server.sockets[0].getsockname()[1]
        return self


@pytest.fixture
def theirs(tmp_path: Path, settings: Any) -> Iterator[TlsProvider]:
    """A server that a user has a key for."""
    fake = TlsProvider(tmp_path).start()
    fake.openai_models = ["qwen2.5-coder-32b", "text-embedding-3"]
    fake.will(openai_stream("from theirs", usage=(1000, 1000)))
    settings.PROVIDER_KEY_ALLOWED_HOSTS = [fake.host]
    settings.PROVIDER_CA_FILE = fake.ca_file
    yield fake
    fake.stop()


def account(person: Person) -> APIClient:
    """A client whose key may manage the account."""
    _, secret = create_key(person.user, "account", ALL_SCOPES)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    return client


def given(person: Person, fake: TlsProvider, **more: Any) -> Any:
    body = {"provider": "openai", "key": OWN, "base_url": fake.base_url} | more
    return account(person).post(KEYS, body, format="json")


@pytest.fixture
def keyed(pro: Person, theirs: TlsProvider) -> Person:
    """A person whose key for `theirs` was tried."""
    key_id = given(pro, theirs).json()["id"]
    assert account(pro).post(f"{KEYS}/{key_id}/test").json()["ok"]
    theirs.requests.clear()
    pro.user.refresh_from_db()
    return pro


def ask(person: Person, **body: Any) -> Any:
    body = {"message": "How?", "model": "openai/qwen2.5-coder-32b"} | body
    return person.api.post("/api/v1/assistant/chat", body, format="json")


def test_u3_a_key_is_kept_sealed_and_never_shown(
    pro: Person, theirs: TlsProvider
) -> None:
    made = given(pro, theirs)
    key_id = made.json()["id"]
    seen = [made, account(pro).get(KEYS), account(pro).get(f"{KEYS}/{key_id}")]
    seen += [account(pro).post(f"{KEYS}/{key_id}/test")]

    assert made.status_code == 201
    assert made.json()["hint"] == "x4Tq"
    assert all(OWN.encode() not in answer.content for answer in seen)
    assert OWN not in str(ProviderKey.objects.values())
    assert OWN not in str(AuditEvent.objects.values())
    assert list(
        AuditEvent.objects.filter(action__startswith="provider_key.")
        .order_by("created_at")
        .values_list("action", "details__host")
    ) == [("provider_key.added", theirs.host), ("provider_key.tried", theirs.host)]


def test_calls_are_counted_and_cost_nothing(keyed: Person, theirs: TlsProvider) -> None:
    answer = ask(keyed)

    assert answer.json()["text"] == "from theirs"
    assert answer["X-Own-Key"] == "true"
    assert answer.json()["usage"]["own_key"] is True
    assert theirs.chats[0].headers["authorization"] == f"Bearer {OWN}"
    (record,) = records_of(keyed)
    assert record.own_key
    assert (record.cost_usd_micros, record.tokens_in) == (0, 1000)
    assert answer["x-ratelimit-remaining-requests"] == "499"
    keyed.user.refresh_from_db()
    assert keyed.user.requests_total == 1


def test_a_vendors_models_cost_nothing_on_ones_own_key(
    pro: Person, theirs: TlsProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue has a price for them, which the platform's own key pays."""
    monkeypatch.setitem(VENDORS, "openai", theirs.base_url)
    given(pro, theirs, base_url="")
    answer = ask(pro, model="openai/gpt-6-sol")

    assert answer.json()["usage"]["own_key"] is True
    assert answer.json()["usage"]["cost_usd_micros"] == 0
    (record,) = records_of(pro)
    assert (record.own_key, record.cost_usd_micros) == (True, 0)


def test_what_the_address_lists_is_offered_to_its_user_alone(
    keyed: Person, charlie: Person
) -> None:
    on_tier(charlie, "pro")
    mine, others = (
        [row["id"] for row in p.api.get("/api/v1/assistant/models").json()["results"]]
        for p in (keyed, charlie)
    )

    assert mine == ["openai/qwen2.5-coder-32b", "extractive"]
    assert others == ["extractive"]
    assert ask(charlie).json()["code"] == "unknown_model"


def test_w6_the_platforms_key_never_goes_to_a_users_address(
    keyed: Person, theirs: TlsProvider, openai: FakeProvider
) -> None:
    assert ask(keyed).status_code == 200
    assert CANARY_KEY not in str([seen.headers for seen in theirs.requests])
    assert openai.chats == []


def test_w6_a_users_key_never_goes_to_the_platforms_address(
    pro: Person, openai: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_BASE_URL may point elsewhere: a key for OpenAI is OpenAI's."""
    add_key(user=pro.user, tier=tier_of(pro.user), provider="openai", key=OWN)
    key = ProviderKey.objects.get()

    assert key.base_url == "https://api.openai.com/v1"
    ProviderKey.objects.update(base_url="https://127.0.0.1:9/v1")
    answer = ask(pro, model="openai/gpt-6-sol")
    assert answer.json()["code"] == "unknown_model", "nothing was listed there"
    assert OWN not in str([seen.headers for seen in openai.requests])


def test_w6_a_key_does_not_open_for_another_host(
    keyed: Person, theirs: TlsProvider, settings: Any
) -> None:
    elsewhere = theirs.host.replace("localhost", "127.0.0.1")
    settings.PROVIDER_KEY_ALLOWED_HOSTS += [elsewhere]
    ProviderKey.objects.update(base_url=f"https://{elsewhere}/v1")

    assert ask(keyed).json()["code"] == "own_key_refused"
    assert theirs.requests == []


def test_another_address_takes_the_key_anew(keyed: Person, theirs: TlsProvider) -> None:
    key = ProviderKey.objects.get()
    changed = account(keyed).put(
        f"{KEYS}/{key.pk}",
        {"key": "sk-new-0123456789-abcd", "base_url": ""},
        format="json",
    )

    assert changed.json()["base_url"] == "https://api.openai.com/v1"
    assert (changed.json()["hint"], changed.json()["listed"]) == ("abcd", [])
    assert (
        account(keyed)
        .put(f"{KEYS}/{key.pk}", {"base_url": ""}, format="json")
        .status_code
        == 400
    )


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.example.com/v1",
        "https://127.0.0.1/v1",
        "https://169.254.169.254/latest",
        "https://[::1]/v1",
        "https://me@api.example.com/v1",
        "https://api.example.com/v1?to=",
        "https://localhost/v1",
    ],
)
def test_w1_only_public_https_addresses_may_be_given(
    base_url: str, pro: Person, db: None
) -> None:
    answer = account(pro).post(
        KEYS, {"provider": "openai", "key": OWN, "base_url": base_url}, format="json"
    )

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "base_url"


def test_w1_a_name_that_leads_inside_is_refused_when_it_is_called(
    keyed: Person, theirs: TlsProvider, settings: Any
) -> None:
    settings.PROVIDER_KEY_ALLOWED_HOSTS = []

    assert ask(keyed).json()["code"] == "own_key_refused"
    assert theirs.requests == []


def test_s4_a_refused_key_is_told_without_what_the_provider_said(
    keyed: Person, theirs: TlsProvider, caplog: pytest.LogCaptureFixture
) -> None:
    theirs.at("/chat/", failure(401))
    answer = ask(keyed)

    assert answer.status_code == 400
    assert answer.json()["code"] == "own_key_refused"
    assert OWN not in answer.content.decode() + caplog.text
    assert (records_of(keyed), open_holds(keyed)) == ([], 0)


def test_a_test_says_why_a_key_does_not_work(pro: Person, theirs: TlsProvider) -> None:
    theirs.openai_models = []
    key_id = given(pro, theirs).json()["id"]
    body = account(pro).post(f"{KEYS}/{key_id}/test").json()
    assert body["ok"]
    assert body["models"] == []

    ProviderKey.objects.update(sealed_key="v1.broken.x")
    body = account(pro).post(f"{KEYS}/{key_id}/test").json()
    assert (body["ok"], body["code"]) == (False, "own_key_refused")


def test_the_free_tier_has_none_and_is_told_which_has(
    alice: Person, theirs: TlsProvider
) -> None:
    answer = given(alice, theirs)

    assert answer.status_code == 403
    assert answer.json()["code"] == "feature_not_in_tier"
    assert "'pro'" in answer.json()["detail"]


def test_a_smaller_tier_stops_using_the_key_at_once(
    keyed: Person, theirs: TlsProvider
) -> None:
    Tier.objects.filter(pk="pro").update(own_provider_keys=False)

    assert ask(keyed).json()["code"] == "unknown_model"
    key_id = ProviderKey.objects.get().pk
    assert account(keyed).delete(f"{KEYS}/{key_id}").status_code == 204


def test_a_removed_key_is_gone_and_the_platform_serves_again(
    keyed: Person, openai: FakeProvider, theirs: TlsProvider
) -> None:
    openai.will(openai_stream("from the platform"))
    key_id = ProviderKey.objects.get().pk
    assert account(keyed).delete(f"{KEYS}/{key_id}").status_code == 204

    assert ask(keyed, model="openai/gpt-6-sol").json()["text"] == "from the platform"
    assert UsageRecord.objects.get().cost_usd_micros > 0
    keyed.user.refresh_from_db()
    assert not keyed.user.has_provider_keys


def test_of_each_provider_there_is_one(pro: Person, theirs: TlsProvider) -> None:
    assert given(pro, theirs).status_code == 201
    again = given(pro, theirs)

    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_a_key_without_the_scope_account_manages_none(pro: Person) -> None:
    assert pro.api.get(KEYS).status_code == 403


def test_the_lean_door_uses_the_key_too(
    keyed: Person, theirs: TlsProvider, asgi_server: str
) -> None:
    body = {
        "model": "openai/qwen2.5-coder-32b",
        "messages": [{"role": "user", "content": "How?"}],
    }
    for _ in range(2):  # read from the database, then as Redis keeps it
        answer = httpx2.post(
            f"{asgi_server}/v1/chat/completions",
            json=body,
            headers={"x-api-key": keyed.key},
            timeout=20,
        )
        assert answer.headers.get("x-own-key") == "true", answer.text
    assert len(theirs.chats) == 2
