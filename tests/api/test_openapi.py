"""The OpenAPI document: made without a warning, and true about what holds for all."""

import json
import re
from collections import defaultdict
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accounts.keys import create_key
from accounts.scopes import ALL_SCOPES
from aiassist.api.document import TAGS
from tests.support import openapi
from tests.support.people import Person

KEY = "Idempotency-Key"
SCOPE = re.compile(r"\nScope: `(\w+)`\.$")


@pytest.fixture(scope="module")
def document() -> Any:
    reset_generator_stats()
    with GENERATOR_STATS.silence():
        made = SchemaGenerator().get_schema(request=None, public=True)
        assert not GENERATOR_STATS
    return made


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": described
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    }


def test_it_is_made_without_a_warning(document: Any) -> None:
    assert document["openapi"].startswith("3.")


def test_q13_each_post_of_a_user_tells_of_the_key(document: Any) -> None:
    """Those that nobody signs in for have no user whose keys they could be."""
    found = operations(document)
    telling = {
        name
        for name, described in found.items()
        if KEY in [given["name"] for given in described.get("parameters", ())]
    }
    posts = {name for name in found if name.startswith("POST ")}

    assert posts - telling == {
        "POST /api/v1/auth/token",
        "POST /api/v1/auth/token/refresh",
        "POST /api/v1/auth/token/revoke",
        "POST /api/v1/hooks/git/{hook_id}",
    }
    assert telling <= posts
    for name in telling:
        for status, response in found[name]["responses"].items():
            told = "Idempotent-Replayed" in response.get("headers", ())
            assert told == status.startswith("2"), name


@pytest.mark.parametrize("face", ["chat/completions", "completions", "responses"])
def test_each_face_tells_of_the_workspaces_header(face: str, document: Any) -> None:
    parameters = operations(document)[f"POST /v1/{face}"]["parameters"]

    assert "X-Workspace-Id" in [given["name"] for given in parameters]


def test_it_is_served(alice: Person) -> None:
    assert Client().get("/api/schema").status_code == 200


def test_every_operation_says_what_it_does_and_how_it_refuses(document: Any) -> None:
    found = operations(document)

    names = [described["operationId"] for described in found.values()]
    assert len(set(names)) == len(names)
    for name, described in found.items():
        told = SCOPE.sub("", described["description"])
        assert described["summary"] and told.strip(), name
        assert not described["operationId"].startswith("api_"), name
        assert set(described["tags"]) <= TAGS.keys(), name
        wanted = {"429", "503"} | ({"401", "403"} if "security" in described else set())
        assert wanted <= described["responses"].keys(), name


def test_what_it_refers_to_is_there(document: Any) -> None:
    for target in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        part = document
        for name in target.split("/"):
            part = part[name]


def test_its_examples_and_defaults_are_valid_by_its_own_schemas(document: Any) -> None:
    whole = json.loads(json.dumps(document, default=str))
    found = [
        (given["schema"], example["value"])
        for described in operations(whole).values()
        for answer in (
            described.get("requestBody", {}),
            *described["responses"].values(),
        )
        for given in answer.get("content", {}).values()
        for example in given.get("examples", {}).values()
    ]
    found += [
        (field, field["default"])
        for shape in whole["components"]["schemas"].values()
        for field in shape.get("properties", {}).values()
        if "default" in field
    ]

    for schema, value in found:
        jsonschema.validate(value, _inlined(schema, whole))
    assert len(found) > 80


def _inlined(schema: Any, whole: Any) -> Any:
    """Return the schema without references, and its nulls as JSON Schema has them."""
    if isinstance(schema, list):
        return [_inlined(part, whole) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        _, _, kind, name = schema["$ref"].split("/")
        return _inlined(whole["components"][kind][name], whole)
    plain = {name: _inlined(part, whole) for name, part in schema.items()}
    return {"anyOf": [plain, {"type": "null"}]} if plain.get("nullable") else plain


def test_each_operation_takes_the_scope_that_it_tells_of(
    document: Any, alice: Person
) -> None:
    """A key with every other scope is refused, and told which one it lacks."""
    found = operations(document)
    keys = {
        scope: create_key(alice.user, scope, ALL_SCOPES - {scope})[1]
        for scope in ALL_SCOPES
    }
    anything: Any = defaultdict(lambda: "x")
    for operation in openapi.operations():
        told = SCOPE.search("\n" + found[operation.name].get("description", ""))
        if told is None:
            continue
        client = APIClient()
        client.credentials(HTTP_X_API_KEY=keys[told[1]])

        answer = operation.send(client, anything)

        assert answer.status_code == 403, operation.name
        assert f"'{told[1]}'" in answer.content.decode(), operation.name
