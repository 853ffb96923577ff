"""Connect: each client's configuration is what it reads, with a key that works."""

import ast
import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.urls import reverse

from accounts.models import ApiKey
from aiassist import connect
from aiassist.lib.clock import now
from aiassist.lib.errors import NotFound
from tests.support.people import Person

GOLDEN = Path(__file__).parent / "clients"
ALL = frozenset(
    getattr(connect, name)
    for name in (
        *("CHAT", "COMPLETIONS", "EMBEDDINGS", "MESSAGES", "RESPONSES"),
        *("MCP", "TABBY"),
    )
)
SETUP = connect.Setup(
    origin="https://code.example.org",
    key="aia_key",
    context_tokens=16000,
    served=ALL,
    workspace_id="workspace_x",
)
READERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "python": ast.parse,
}


def written(client: connect.Client) -> str:
    return "".join(f"==> {s.title}\n{s.text}" for s in client.snippets(SETUP))


@pytest.mark.parametrize("client", connect.CLIENTS, ids=lambda client: client.slug)
def test_a_clients_files_are_those_that_were_read_and_tried(client):
    """A change shows here; look it up in the client's own manual, then write it."""
    assert written(client) == (GOLDEN / f"{client.slug}.txt").read_text()


@pytest.mark.parametrize("client", connect.CLIENTS, ids=lambda client: client.slug)
def test_a_clients_files_can_be_read_and_hold_address_and_key(client):
    for snippet in client.snippets(SETUP):
        READERS.get(snippet.language, str)(snippet.text)

    assert SETUP.origin in written(client) and SETUP.key in written(client)


@pytest.mark.parametrize("client", connect.CLIENTS, ids=lambda client: client.slug)
def test_a_client_has_a_guide_with_the_files_that_are_written_for_it(client):
    guide = (settings.BASE_DIR / "docs/clients" / f"{client.slug}.md").read_text()
    local = replace(SETUP, origin="http://127.0.0.1:8000", key="aia_your_key")

    for snippet in client.snippets(replace(local, workspace_id="")):
        assert f"```{snippet.language}\n{snippet.text.rstrip()}\n```" in guide
        assert snippet.title in guide
    assert f"/dashboard/connect/{client.slug}/" in guide


def test_a_client_is_shown_only_where_its_face_is_served(monkeypatch, alice):
    monkeypatch.setattr(connect, "served_faces", lambda: frozenset({connect.CHAT}))

    shown = alice.web.get(reverse("connect:index")).text

    assert "Continue" in shown and "Claude Code" not in shown
    with pytest.raises(NotFound):
        connect.get_client("claude-code")
    address = reverse("connect:client", args=["claude-code"])
    assert alice.web.get(address).status_code == 404


def test_a_get_makes_no_key_and_a_post_makes_a_scoped_one(alice):
    """U3: the secret is in this answer alone."""
    address = reverse("connect:client", args=["curl"])

    assert "aia_your_key" in alice.web.get(address).text
    assert not ApiKey.objects.for_user(alice.user).exists()
    made = alice.web.post(address)
    key = ApiKey.objects.for_user(alice.user).get()

    assert (key.name, key.scopes) == ("curl", ["assistant", "search"])
    assert made.text.count(made.context["secret"]) >= 2
    assert "no-store" in made["Cache-Control"]
    assert alice.web.get(address).text.count(made.context["secret"]) == 0


def test_the_page_sees_the_first_call(alice, charlie):
    """T1: to a stranger the key does not exist."""
    address = reverse("connect:seen", args=[alice.api_key.pk])

    assert "hx-get" in alice.web.get(address).text
    assert charlie.web.get(address).status_code == 404
    ApiKey.objects.for_user(alice.user).update(last_used_at=now())
    seen = alice.web.get(address).text
    assert "Connected" in seen and "hx-get" not in seen


def test_the_first_steps_tick_by_what_really_happens(db):
    newcomer = Person("newcomer")
    done = lambda: newcomer.web.get(reverse("steps")).context["steps_done"]  # noqa: E731

    assert done() == 0
    assert newcomer.api_key and done() == 1
    ApiKey.objects.for_user(newcomer.user).update(last_used_at=now())
    assert done() == 2
    type(newcomer.workspace).objects.filter(pk=newcomer.workspace.pk).update(
        last_generation=1, generation=1
    )
    assert done() == 3
    newcomer.user.conversations.create(title="Why?")
    assert done() == 4
    assert "hx-get" not in newcomer.web.get(reverse("steps")).text


def test_too_many_keys_is_said_on_the_page(alice, monkeypatch):
    monkeypatch.setattr("accounts.keys.MAX_KEYS", 0)

    answer = alice.web.post(reverse("connect:client", args=["curl"]), follow=True)

    assert answer.status_code == 200 and "alert-bad" in answer.text


def test_a_client_that_the_tier_is_too_small_for_says_so(alice):
    told = "Your tier sends too little for it"

    assert told in alice.web.get(reverse("connect:client", args=["claude-code"])).text
    assert told not in alice.web.get(reverse("connect:client", args=["curl"])).text
