"""/v1/embeddings: texts and tokens, floats and base64, local and elsewhere."""

import base64
import json
from array import array
from typing import Any

import openai as sdk
import pytest

from aiassist.lib.tokens import tokenizer
from tests.assistant.asking import records_of, released_after
from tests.assistant.conftest import CANARY_KEY
from tests.fakes.providers import HOLD, FakeProvider, Script, failure
from tests.support.people import Person
from workspaces.indexing.embedding import embed_query

EMBEDDINGS = "/v1/embeddings"


def post(person: Person, **body: Any) -> Any:
    given = {"model": "auto", "input": "one"} | body
    return person.api.post(
        EMBEDDINGS, json.dumps(given), content_type="application/json"
    )


def answering(body: object) -> Script:
    return Script([json.dumps(body).encode()], content_type="application/json")


def openai_vectors(*vectors: list[float], usage: int | None = 3) -> Script:
    data = [
        {"index": i, "embedding": base64.b64encode(array("f", v).tobytes()).decode()}
        for i, v in enumerate(vectors)
    ]
    body: dict[str, Any] = {"data": data[::-1]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage}
    return answering(body)


def test_the_client_gets_local_vectors(asgi_server: str, alice: Person) -> None:
    """It asks for base64 unless it is told otherwise."""
    with sdk.OpenAI(base_url=f"{asgi_server}/v1", api_key=alice.key) as client:
        made = client.embeddings.create(
            model="all-MiniLM-L6-v2", input=["def retry(): ...", "A poem."]
        )
        plain = client.embeddings.create(
            model="auto", input="def retry(): ...", encoding_format="float"
        )

    assert [item.index for item in made.data] == [0, 1]
    assert made.data[0].embedding == pytest.approx(plain.data[0].embedding)
    wanted = embed_query("def retry(): ...")
    assert made.data[0].embedding == pytest.approx(wanted.tolist(), abs=1e-6)
    assert made.model == "local/all-MiniLM-L6-v2"
    assert made.usage.prompt_tokens == made.usage.total_tokens > 0
    records = records_of(alice)
    assert [(r.provider, r.feature) for r in records] == [("local", "embeddings")] * 2
    assert records[0].tokens_in == made.usage.prompt_tokens


def test_token_lists_are_the_named_models_own(alice: Person) -> None:
    ids = tokenizer().encode("def retry()", add_special_tokens=False).ids

    answered = post(alice, input=[ids, ids])
    foreign = post(alice, input=[100_000])

    first, second = (item["embedding"] for item in answered.json()["data"])
    assert first == second
    assert first == pytest.approx(embed_query("def retry ( )").tolist(), abs=1e-6)
    assert foreign.status_code == 400
    assert "another model's tokens" in foreign.json()["error"]["message"]
    assert len(records_of(alice)) == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": None}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 5}, "dimensions"),
        ({"dimensions": 0}, "dimensions"),
        ({"model": None}, "model"),
    ],
)
def test_q10_a_bad_field_is_an_invalid_request(
    changes: dict[str, Any], param: str, alice: Person
) -> None:
    answered = post(alice, **changes)

    assert answered.status_code == 400
    error = answered.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert records_of(alice) == []


def test_q10_too_much_at_once_is_refused_before_anything_is_spent(
    alice: Person,
) -> None:
    answered = post(alice, input=["a b c d e f g h " * 20_000] * 2)

    assert answered.status_code == 400
    assert answered.json()["error"]["code"] == "context_length_exceeded"
    assert records_of(alice) == []


def test_openais_vectors_are_priced_and_put_in_order(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_vectors([1.0, 0.0], [0.0, 1.0], usage=50))

    answered = post(
        pro, model="text-embedding-3-small", input=["a", "b"], dimensions=2
    ).json()

    assert [item["embedding"] for item in answered["data"]] == [[1.0, 0.0], [0.0, 1.0]]
    assert answered["usage"] == {
        "prompt_tokens": 50,
        "total_tokens": 50,
        "cost": 1e-6,
    }
    assert openai.chats[0].path == "/openai/v1/embeddings"
    assert openai.chats[0].body == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "encoding_format": "base64",
        "dimensions": 2,
    }
    (record,) = records_of(pro)
    assert (record.tokens_in, record.cost_usd_micros, record.estimated) == (
        50,
        1,
        False,
    )


def test_q3_vectors_of_unknown_usage_are_estimated(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_vectors([1.0], usage=None))

    post(pro, model="text-embedding-3-small", input="one two three")

    (record,) = records_of(pro)
    assert (record.tokens_in, record.estimated) == (3, True)


def test_ollama_and_google_make_vectors_too(
    pro: Person, provider: FakeProvider, settings: Any
) -> None:
    settings.GOOGLE_API_KEY = CANARY_KEY
    provider.models = ["nomic-embed-text:latest", "llama3.2:3b"]
    provider.at("api/embed", answering({"embeddings": [[0.5]], "prompt_eval_count": 2}))
    provider.at("batchEmbed", answering({"embeddings": [{"values": [0.25]}]}))

    local = post(pro, model="nomic-embed-text:latest").json()
    google = post(pro, model="gemini-embedding-001").json()

    assert local["data"][0]["embedding"] == [0.5]
    assert google["data"][0]["embedding"] == [0.25]
    assert post(pro, model="gemini-embedding-001", input=[1, 2]).status_code == 400
    listed = [model["id"] for model in pro.api.get("/v1/models").json()["data"]]
    assert not [name for name in listed if "embed" in name]


def test_a_model_that_makes_vectors_is_told_by_its_name(
    pro: Person, openai: FakeProvider
) -> None:
    """The list is of those that answer, as editors offer whatever it holds."""
    local = pro.api.get("/v1/models/local/all-MiniLM-L6-v2").json()
    theirs = pro.api.get("/v1/models/text-embedding-3-small").json()

    assert (local["id"], local["context_length"]) == ("local/all-MiniLM-L6-v2", 256)
    assert theirs["pricing"] == {"prompt": "0.00000002", "completion": "0"}
    assert theirs["supported_parameters"] == ["dimensions", "encoding_format"]
    assert pro.api.get("/v1/models/nope").status_code == 404


@pytest.mark.parametrize(
    "script",
    [
        failure(500),
        failure(401),
        answering({"data": []}),
        answering({"data": [{"embedding": "!!"}]}),
        answering({"data": [{"embedding": ["x"]}]}),
        Script([b"<html>"], content_type="text/html"),
    ],
)
def test_q12_a_failing_provider_costs_nothing(
    script: Script, pro: Person, openai: FakeProvider
) -> None:
    openai.will(script)

    answered = post(pro, model="text-embedding-3-small")

    assert answered.status_code in (400, 502)
    assert CANARY_KEY not in answered.content.decode()
    released_after(pro)


def test_s2_a_hanging_provider_is_given_up(
    pro: Person, openai: FakeProvider, settings: Any
) -> None:
    settings.PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS = 0.3
    openai.will(Script([HOLD], content_type="application/json"))

    assert post(pro, model="text-embedding-3-small").status_code == 504
    released_after(pro)


def test_a_tier_without_the_provider_is_told_which_has_it(
    alice: Person, openai: FakeProvider
) -> None:
    answered = post(alice, model="text-embedding-3-small")

    assert answered.status_code == 403
    assert answered.json()["error"]["code"] == "provider_not_in_tier"


def test_an_unknown_model_is_404_and_a_chat_model_makes_no_vectors(
    pro: Person, openai: FakeProvider
) -> None:
    assert post(pro, model="nope").status_code == 404
    assert post(pro, model="gpt-6-sol").status_code == 404
