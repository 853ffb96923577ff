"""The OpenAPI document: made without a warning, and true about what holds for all."""

from typing import Any

import pytest
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.generators import SchemaGenerator

from tests.support.people import Person

KEY = "Idempotency-Key"


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
        for response in found[name]["responses"].values():
            assert "Idempotent-Replayed" in response["headers"], name


@pytest.mark.parametrize("face", ["chat/completions", "completions", "responses"])
def test_each_face_tells_of_the_workspaces_header(face: str, document: Any) -> None:
    parameters = operations(document)[f"POST /v1/{face}"]["parameters"]

    assert "X-Workspace-Id" in [given["name"] for given in parameters]


def test_it_is_served(alice: Person) -> None:
    assert Client().get("/api/schema").status_code == 200
