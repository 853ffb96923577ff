"""A JSON body is bounded, and is text."""

from typing import Any

import pytest

from tests.support.people import Person

CHAT = "/api/v1/assistant/chat"


def post(person: Person, path: str, body: bytes) -> Any:
    api: Any = person.api  # takes bytes too, whatever its stubs say
    return api.generic("POST", path, body, content_type="application/json")


@pytest.mark.parametrize("path", [CHAT, "/v1/chat/completions"])
def test_a_body_beyond_the_limit_is_413(
    path: str, alice: Person, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    answered = post(alice, path, b'{"message": "' + b"x" * 1000 + b'"}')

    assert answered.status_code == 413
    if path == CHAT:
        told = answered.json()
        assert (told["policy"], told["limit"]) == ("body_bytes", 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"",
        b'{"message": "\xff"}',
        b'{"message": "\\ud800"}',
        b'{"message": NaN}',
        b'{"preferences": {"size": 1e999}}',  # no database keeps it
        b"[" * 100_000,
    ],
    ids=["broken", "empty", "not UTF-8", "half a character", "NaN", "1e999", "deep"],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/chat/completions"])
def test_a_body_that_is_no_json_is_400(path: str, body: bytes, alice: Person) -> None:
    assert post(alice, path, body).status_code == 400


def test_a_whole_surrogate_pair_is_text(alice: Person) -> None:
    answered = post(alice, CHAT, b'{"message": "\\ud83d\\ude00?"}')

    assert answered.status_code == 200
