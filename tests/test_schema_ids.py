"""T2: each id that the OpenAPI document lets a caller name is checked.

Every field of the document stands in one of two tables; a new one in neither fails
the first test, so that nobody adds one without saying whether it names what
somebody owns.
"""

import json
from base64 import b64encode
from itertools import product
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
import redis
from rest_framework.test import APIClient

from accounts.keys import create_key
from accounts.scopes import ALL_SCOPES
from aiassist.lib.clock import now
from billing.models import Tier
from billing.tiers.subscriptions import change_tier
from tests.support.holdings import holdings_of
from tests.support.openapi import (
    EXAMPLES,
    FREE_FORM,
    Operation,
    operations,
)
from tests.support.people import Person
from tests.support.tables import undone

# What a field names, by the name that `holdings_of` gives it.
IDS = {
    "X-Workspace-Id": "workspace_id",
    "workspace_ids": "workspace_id",  # a list of them
    **{
        name: name
        for name in (
            *("workspace_id", "path", "sync_id", "job_id", "key_id"),
            *("session_id", "conversation_id", "provider_key_id"),
            "webhook_id",
        )
    },
}
PLAIN = {
    # What is asked, and how
    *("message", "messages", "role", "content", "query", "question", "code"),
    *("instruction", "context", "prefix", "suffix", "language", "stream"),
    *("fallback", "max_tokens", "temperature", "max_results", "mode"),
    "path_glob",  # a filter within one's own files
    *("model", "model_id"),  # the catalogue is everybody's
    # Credentials: they prove who asks
    *("email", "password", "challenge", "refresh", "token"),
    # Pages and filters of one's own rows; see the test of cursors below
    *("cursor", "page_size", "format", "raw", "start", "end"),
    *("period", "since", "until", "status", "feature", "provider"),
    # Values
    *("name", "full_name", "preferences", "scopes", "expires_at"),
    *("requests", "file_bytes", "files", "file", "delete_missing"),
    *("workspaces", "storage_bytes", "context_tokens", "own_provider_keys"),
    *("include", "exclude", "use_gitignore", "ignore_files", "size", "head"),
    *("lines", "sha256", "url", "ref", "username", "every_hours"),
    *("description", "event_types", "enabled"),  # of a webhook
    *("key", "base_url"),  # of somebody else's server
    "hook_id",  # a code host's; its signature is the credential
    "Idempotency-Key",  # one's own; another user's is another (Q13)
}
LISTED = {"workspace_ids"}
# Not ids there, although they are called so elsewhere.
LABELS = {("POST /api/v1/assistant/complete", "path")}
# Filters over one's own rows: a foreign id finds nothing, as an unknown one does.
FILTERS = {("GET /api/v1/usage/records", "workspace_id")}
# Writes may name what is not there yet.
MADE_BY_NAME = {("PUT /api/v1/workspaces/{workspace_id}/files/{path}", "path")}


def test_t2_every_field_of_the_document_stands_in_a_table():
    named = {name for operation in operations() for _, name in operation.fields}

    assert named - IDS.keys() - PLAIN == set(), "say whether it names what one owns"
    assert (IDS.keys() | PLAIN) - named == set(), "is no longer in the document"


def test_t2_every_operation_with_a_body_has_an_example():
    wanted = {o.name for o in operations() if o.needs_example}

    assert EXAMPLES.keys() == wanted, "see tests/support/openapi.py"


def test_t2_bodies_that_the_document_does_not_describe_name_their_ids():
    opaque = {o.name for o in operations() if o.needs_example and not o.members}

    assert FREE_FORM.keys() == opaque, "see tests/support/openapi.py"


def ids_of(operation: Operation) -> list[tuple[str, str]]:
    """Return (where, field) of the ids that the operation takes."""
    return [
        (where, field)
        for where, field in operation.fields
        if field in IDS
        and (operation.name, field) not in LABELS
        and (operation.name, field) not in MADE_BY_NAME
    ]


CASES = [
    (operation, where, field, stream)
    for operation in operations()
    for where, field in ids_of(operation)
    for stream in ((False, True) if operation.can_stream else (False,))
]


def client_of(person: Person) -> APIClient:
    """Every scope and feature, so that nothing but the id is in the way."""
    change_tier(person.user, Tier.objects.get(pk="enterprise"), actor=None)
    _, secret = create_key(person.user, "all", ALL_SCOPES)
    client = APIClient()
    client.credentials(HTTP_X_API_KEY=secret)
    return client


def test_t2_a_strangers_id_in_any_field_answers_like_an_unknown_one(
    alice: Person, charlie: Person, queue: object, redis_client: redis.Redis
):
    hers, his = holdings_of(alice), holdings_of(charlie)
    asking = client_of(charlie)
    for operation, where, field, stream in CASES:
        redis_client.flushall()  # nobody asks so often in a minute
        case = f"{operation.name} {where}.{field}" + (" streamed" if stream else "")
        thing = IDS[field]
        finds_nothing = (operation.name, field) in FILTERS

        def answer(
            value: str,
            operation: Operation = operation,
            place: tuple[str, str, bool] = (where, field, stream),
        ) -> Any:
            return name_it(operation, asking, his, *place, value)

        with undone():
            foreign = answer(hers[thing])
            unknown = answer(nobodys := f"{hers[thing][:-4]}ZZZZ")
            assert foreign.status_code == (200 if finds_nothing else 404), case
            assert unknown.status_code == foreign.status_code, case
            told = what_is_told(foreign, hers[thing])
            assert told == what_is_told(unknown, nobodys), case
            if finds_nothing:
                assert told == {"results": [], "next": None}

            # His own is taken, so the refusal was about the id.
            own = answer(his[thing])
            assert own.status_code in (200, 201, 202, 204), (case, own.content)


def name_it(
    operation: Operation,
    client: APIClient,
    ids: dict[str, str],
    where: str,
    field: str,
    stream: bool,
    value: str,
) -> Any:
    """Send the operation's example with one field set to `value`."""
    body: dict[str, Any] = {"stream": True} if stream else {}
    if where == "path":
        return operation.send(client, {**ids, field: value}, body=body)
    if where == "query":
        return operation.send(client, ids, query={field: value})
    if where == "header":
        return operation.send(client, ids, body=body, headers={field: value})
    sent = [value] if field in LISTED else value
    return operation.send(client, ids, body={**body, field: sent})


def what_is_told(answer: Any, value: str) -> Any:
    """The body without what differs between any two answers."""
    text = answer.content.decode().replace(value, "ID")
    told = json.loads(text)
    told.pop("request_id", None)
    return told


FACES = [o for o in operations() if o.path.startswith("/v1/") and o.method == "POST"]


def test_t2_the_faces_own_door_checks_ids_too(
    asgi_server: str, alice: Person, charlie: Person, queue: object
):
    """On a socket the faces are answered before Django's stack is reached."""
    hers, his = holdings_of(alice), holdings_of(charlie)
    change_tier(charlie.user, Tier.objects.get(pk="enterprise"), actor=None)
    tried = 0

    for operation in FACES:
        for (where, field), stream in product(ids_of(operation), (False, True)):

            def told(
                value: str,
                operation: Operation = operation,
                place: tuple[str, str] = (where, field),
                stream: bool = stream,
            ) -> tuple[int, Any]:
                body = {**EXAMPLES[operation.name], "stream": stream}
                headers = {"X-API-Key": charlie.key}
                (headers if place[0] == "header" else body)[place[1]] = value
                answer = httpx2.post(
                    asgi_server + operation.path, json=body, headers=headers, timeout=20
                )
                return answer.status_code, what_is_told(answer, value)

            thing = IDS[field]
            foreign = told(hers[thing])
            assert foreign == told(f"{hers[thing][:-4]}ZZZZ")
            assert foreign[0] == 404, (operation.name, where)
            tried += 1
    assert tried >= 12
    assert his


PAGED = [o for o in operations() if ("query", "cursor") in o.parameters]


@pytest.mark.parametrize("operation", PAGED, ids=lambda o: o.name)
def test_t2_a_strangers_cursor_shows_ones_own_rows_alone(
    alice: Person, charlie: Person, queue: object, operation: Operation
):
    """A cursor is a place in an order, whoever sends it."""
    hers, his = holdings_of(alice), holdings_of(charlie)
    last = "zz" if operation.path.endswith("/files") else now().isoformat()
    cursor = b64encode(urlencode({"p": last}).encode()).decode()

    for query in ({"cursor": cursor}, {"cursor": cursor, "page_size": 1}):
        shown = operation.send(client_of(charlie), his, query=query)

        assert shown.status_code == 200
        assert not any(
            hers[name] in shown.content.decode()
            for name in ("workspace_id", "path", "job_id", "key_id", "conversation_id")
        )
