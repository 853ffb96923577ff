"""T1, T2, T3: every route, with the owner's ids, as a stranger, staff and nobody.

The tables below name every address of the site. A route that stands in none of them
fails the first test, so that nobody adds one without saying whose it is.
"""

import json
import re
from collections.abc import Iterator

import pytest
import redis
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey
from tests.support.holdings import holdings_of
from tests.support.people import Person
from tests.support.tables import undone

METHODS = ("get", "post", "put", "patch", "delete")
# Kept by Django's and allauth's own tests; their pages hold no id of ours.
OUTSIDE = ("admin/", "accounts/")
PUBLIC = {
    *("", "health", "health/detailed", "metrics", "api/schema", "docs", "redoc"),
    *("pricing/", "guides/", "guides/<slug:slug>/", "styleguide/", "mailbox/"),
    *("guides/<slug:folder>/<slug:slug>/", "legal/<slug:slug>/"),
    *(".well-known/oauth-protected-resource",),
    ".well-known/oauth-protected-resource/mcp",
    *("api/v1/auth/token", "api/v1/auth/token/refresh", "api/v1/auth/token/revoke"),
    "api/v1/hooks/git/<str:hook_id>",  # a signature is its credential
    *(".well-known/openid-configuration", ".well-known/jwks.json"),
    *(".well-known/oauth-authorization-server", "identity/o/logout"),
    # A code or a token in the body is their credential.
    *("identity/o/api/token", "identity/o/api/revoke", "identity/o/api/device/code"),
    "identity/o/api/register",  # an app is nobody's until somebody allows it
}
ONES_OWN = {  # no id in the address: whoever asks sees what is theirs
    *("api/v1/me", "api/v1/me/sessions", "api/v1/me/export", "api/v1/keys"),
    *("api/v1/limits", "api/v1/limits/check", "api/v1/usage"),
    *("api/v1/usage/records", "api/v1/usage/insights", "api/v1/workspaces"),
    *("api/v1/assistant/query", "api/v1/assistant/chat", "api/v1/assistant/explain"),
    *("api/v1/assistant/generate", "api/v1/assistant/complete"),
    *("api/v1/assistant/models", "api/v1/assistant/conversations"),
    *("api/v1/provider-keys", "api/v1/webhooks"),
    *("v1/models", "v1/models/<path:model_id>", "v1/chat/completions"),
    *("v1/messages", "v1/messages/count_tokens", "v1/completions", "v1/health"),
    *("v1/events", "v1beta/server_setting", "v1/embeddings", "v1/responses"),
    "mcp",
    *("identity/o/authorize", "identity/o/device", "identity/o/api/userinfo"),
    *("dashboard/", "dashboard/keys/", "dashboard/keys/new/", "dashboard/settings/"),
    *("dashboard/settings/delete/", "dashboard/usage/", "dashboard/limits/"),
    *("dashboard/settings/data/", "dashboard/settings/data/export.json"),
    *("dashboard/workspaces/", "dashboard/workspaces/new/"),
    *(
        "dashboard/chat/",
        "dashboard/chat/ask/",
        "dashboard/chat/all/",
        "dashboard/steps/",
    ),
    *("dashboard/connect/", "dashboard/connect/<slug:slug>/"),
    *("dashboard/settings/notifications/", "dashboard/settings/sessions/"),
    *("dashboard/settings/sessions/end/", "dashboard/as/end/"),
    *("dashboard/why/", "dashboard/why/<slug:code>/"),
    "dashboard/settings/provider-keys/",
    "dashboard/settings/provider-keys/<slug:provider>/",
    "dashboard/settings/provider-keys/fallback/",
    *("dashboard/webhooks/", "dashboard/webhooks/new/"),
}
PAGES = {"identity/o/authorize", "identity/o/device"}  # they lead to the sign-in
_W = "api/v1/workspaces/<str:workspace_id>"
_D = "dashboard/workspaces/<str:workspace_id>"
_H = "dashboard/webhooks/<str:webhook_id>"
OWNED = {  # the ids in the address belong to somebody
    "api/v1/me/sessions/<str:session_id>",
    "dashboard/settings/sessions/<str:session_id>/end/",
    *("api/v1/keys/<str:key_id>", "api/v1/keys/<str:key_id>/rotate"),
    *(_W, f"{_W}/sync", f"{_W}/sync/<str:sync_id>/files"),
    *(f"{_W}/sync/<str:sync_id>", f"{_W}/skipped", f"{_W}/preview"),
    *(f"{_W}/import", f"{_W}/import/hook"),
    *(f"{_W}/sync/<str:sync_id>/commit", f"{_W}/archive", f"{_W}/files"),
    *(f"{_W}/files/<path:path>", f"{_W}/jobs", f"{_W}/jobs/<str:job_id>"),
    *(f"{_W}/jobs/<str:job_id>/events", f"{_W}/jobs/<str:job_id>/cancel"),
    f"{_W}/search",
    "api/v1/assistant/conversations/<str:conversation_id>",
    "api/v1/provider-keys/<str:provider_key_id>",
    "api/v1/provider-keys/<str:provider_key_id>/test",
    *(f"api/v1/webhooks/<str:webhook_id>{verb}" for verb in ("", "/test", "/rotate")),
    "api/v1/webhooks/<str:webhook_id>/deliveries",
    *("dashboard/keys/<str:key_id>/", "dashboard/keys/<str:key_id>/rotate/"),
    *("dashboard/keys/<str:key_id>/revoke/", "dashboard/connect/keys/<str:key_id>/"),
    *(f"{_D}/", f"{_D}/upload/", f"{_D}/rename/", f"{_D}/reindex/", f"{_D}/delete/"),
    *(f"{_D}/rules/", f"{_D}/import/", f"{_D}/import/forget/", f"{_D}/import/hook/"),
    *(f"{_D}/search/", f"{_D}/files/", f"{_D}/source/<path:path>/"),
    *(f"{_D}/jobs/<str:job_id>/", f"{_D}/jobs/<str:job_id>/cancel/"),
    *("dashboard/chat/<str:conversation_id>/",),
    *(f"{_H}/", f"{_H}/edit/", f"{_H}/test/", f"{_H}/rotate/", f"{_H}/delete/"),
    *(f"{_H}/enable/", f"{_H}/disable/"),
    "dashboard/settings/provider-keys/<str:provider_key_id>/test/",
    "dashboard/settings/provider-keys/<str:provider_key_id>/remove/",
    "dashboard/chat/<str:conversation_id>/delete/",
    "dashboard/chat/<str:conversation_id>/rename/",
    "dashboard/chat/<str:conversation_id>/retry/",
}


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        address = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, address)
        else:
            yield address


def test_t1_every_route_stands_in_a_table():
    found = {
        route
        for route in routes(get_resolver().url_patterns)
        if not route.startswith(OUTSIDE)
    }

    # The mailbox is mounted in the embedded default alone.
    assert found | {"mailbox/"} == PUBLIC | ONES_OWN | OWNED


@pytest.fixture
def alices(alice: Person, queue: object) -> dict[str, str]:
    """An id of Alice's for each placeholder."""
    return holdings_of(alice)


# What stands in an address and is nobody's.
ANYBODYS = {"slug": "curl", "code": "quota_exceeded", "provider": "openai"}


def filled(route: str, ids: dict[str, str]) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", lambda m: {**ANYBODYS, **ids}[m[1]], route)


def unknown(ids: dict[str, str]) -> dict[str, str]:
    """Ids of the same form that belong to nobody."""
    return {name: f"{value[:-4]}ZZZZ" for name, value in ids.items()} | {
        "path": ids["path"]
    }


def told(answer: HttpResponseBase, address: str) -> tuple[int, str]:
    """What the answer tells, without what differs between any two answers."""
    body = bytes(getattr(answer, "content", b"")).decode()
    if answer.headers.get("Content-Type", "").startswith("application/"):
        problem = json.loads(body)
        problem.pop("request_id", None)
        return answer.status_code, json.dumps(problem)
    body = re.sub(r"(name=\"csrfmiddlewaretoken\" value=\"|req_)\w+", "", body)
    return answer.status_code, body.replace(address, "ADDRESS")


def ask(client: Client, method: str, address: str) -> tuple[int, str]:
    answer = getattr(client, method)(address, {}, content_type="application/json")
    return told(answer, address)


@pytest.mark.parametrize("who", ["charlie", "stella"])
def test_t1_t3_a_foreign_id_answers_like_an_unknown_one(
    request: pytest.FixtureRequest,
    alices: dict[str, str],
    redis_client: redis.Redis,
    who: str,
):
    client = request.getfixturevalue(who).web
    for route in sorted(OWNED):
        redis_client.flushall()  # nobody asks so often in a minute
        statuses = set()
        for method in METHODS:
            foreign = ask(client, method, filled(route, alices))
            nobodys = ask(client, method, filled(route, unknown(alices)))
            assert foreign == nobodys, (method, route)
            statuses.add(foreign[0])

        # A wrong method or an empty body may be told first; nothing ever succeeds.
        assert statuses & {400, 404}, route
        assert statuses <= {400, 404, 405, 415}, route
    assert ApiKey.objects.get(pk=alices["key_id"]).revoked_at is None


def test_t1_the_owner_is_answered_otherwise(
    alice: Person,
    charlie: Person,
    alices: dict[str, str],
    redis_client: redis.Redis,
):
    """Else what a stranger is told would say nothing about whose it is."""
    for route in sorted(OWNED):
        redis_client.flushall()  # nobody asks so often in a minute
        address = filled(route, alices)
        theirs = [ask(charlie.web, method, address) for method in METHODS]
        with undone():
            hers = [ask(alice.web, method, address) for method in METHODS]

        assert hers != theirs, route
        assert 404 not in {
            own[0] for own, other in zip(hers, theirs, strict=True) if own != other
        }, route


def test_t1_nobody_gets_in_without_a_credential(
    db: None, alices: dict[str, str], redis_client: redis.Redis
):
    for route in sorted(OWNED | ONES_OWN):
        redis_client.flushall()  # nobody asks so often in a minute
        is_page = route.startswith("dashboard/") or route in PAGES
        for method in METHODS:
            answer = getattr(Client(), method)(
                filled(route, alices), {}, content_type="application/json"
            )
            refused = (302, 405) if is_page else (401, 405)
            assert answer.status_code in refused, (method, route)
