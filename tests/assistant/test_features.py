"""What each tier may do: features, providers, and refusals that name the tier."""

import json
from typing import Any

import pytest

from tests.assistant.asking import open_holds, records_of
from tests.assistant.conftest import on_tier
from tests.fakes.providers import FakeProvider, openai_stream
from tests.support.people import Person

BODIES: dict[str, dict[str, Any]] = {
    "chat": {"message": "How?"},
    "explain": {"code": "def f(): ...", "language": "python"},
    "generate": {"instruction": "A retry decorator", "language": "python"},
    "complete": {"prefix": "def f():\n    return ", "language": "python"},
}
ALLOWED = {
    "free": {"chat", "explain"},
    "pro": {"chat", "explain", "generate", "complete"},
    "enterprise": {"chat", "explain", "generate", "complete"},
}
FEATURES = {"generate": "code_generation", "complete": "inline_completion"}


def post(person: Person, verb: str, **body: Any) -> Any:
    return person.api.post(
        f"/api/v1/assistant/{verb}",
        json.dumps(body),  # escapes what UTF-8 cannot carry, as a client might
        content_type="application/json",
    )


TALK = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Two."},
]


@pytest.mark.parametrize("verb", sorted(BODIES))
@pytest.mark.parametrize("tier", sorted(ALLOWED))
def test_a_tier_has_its_features_and_no_more(
    tier: str, verb: str, alice: Person, openai: FakeProvider
) -> None:
    on_tier(alice, tier)

    answered = post(alice, verb, **BODIES[verb])

    if verb in ALLOWED[tier]:
        assert answered.status_code == 200, answered.json()
        assert answered.json()["text"]
        return
    assert answered.status_code == 403
    problem = answered.json()
    assert problem["code"] == "feature_not_in_tier"
    assert f"'{FEATURES[verb]}'; the tier 'pro' does" in problem["detail"]
    assert openai.chats == []
    assert records_of(alice) == []


@pytest.mark.parametrize("verb", sorted(BODIES))
def test_an_answer_has_one_shape(verb: str, pro: Person, openai: FakeProvider) -> None:
    openai.will(openai_stream("Hel", "lo"))

    body = post(pro, verb, **BODIES[verb]).json()

    assert body.pop("message_id").startswith("msg_")
    conversation_id = body.pop("conversation_id")
    assert (conversation_id is not None) == (verb == "chat")
    assert body == {
        "text": "Hello",
        "citations": [],
        "usage": {
            "tokens_in": 7,
            "tokens_out": 2,
            "cost_usd_micros": 34,
            "estimated": False,
            "provider": "openai",
            "model": "openai/gpt-6-sol",
        },
        "finish_reason": "stop",
    }


def test_a_provider_that_the_tier_lacks_is_refused_by_name(
    alice: Person, openai: FakeProvider
) -> None:
    answered = post(alice, "chat", message="How?", model="openai/gpt-6-sol")

    assert answered.status_code == 403
    assert answered.json()["code"] == "provider_not_in_tier"
    assert "the tier 'pro' does" in answered.json()["detail"]
    assert openai.chats == []


@pytest.mark.parametrize("model", ["gpt-nonsense", "openai/gpt-nonsense", "x" * 200])
def test_q10_an_unknown_model_is_refused_before_any_call(
    model: str, pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, "chat", message="How?", model=model)

    assert answered.status_code == 400
    problem = answered.json()
    assert problem["code"] == "unknown_model"
    assert problem["available"][0] == "openai/gpt-6-sol"
    assert "'openai/gpt-6-sol'" in problem["detail"]
    assert openai.chats == []
    assert records_of(pro) == []
    assert open_holds(pro) == 0


def test_a_model_of_a_provider_that_is_not_configured_says_so(pro: Person) -> None:
    problem = post(pro, "chat", message="How?", model="openai/gpt-6-sol").json()

    assert problem["code"] == "unknown_model"
    assert "'openai', which is not configured" in problem["detail"]


@pytest.mark.parametrize(
    "name", ["openai/gpt-6-luna", "gpt-6-luna"], ids=["with provider", "bare"]
)
def test_a_model_is_called_by_its_id_or_its_name(
    name: str, pro: Person, openai: FakeProvider
) -> None:
    usage = post(pro, "chat", message="How?", model=name).json()["usage"]

    assert usage["model"] == "openai/gpt-6-luna"
    assert openai.chats[0].body["model"] == "gpt-6-luna"


def test_q10_max_tokens_reaches_the_provider_bounded(
    pro: Person, openai: FakeProvider
) -> None:
    post(pro, "chat", message="How?", max_tokens=1_000_000)

    assert 0 < openai.chats[0].body["max_tokens"] < 16_000


def test_q10_without_max_tokens_a_share_of_the_context_is_kept_and_the_truth_settled(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("x", usage=(11, 1)))
    post(pro, "chat", message="How?")

    assert openai.chats[0].body["max_tokens"] == 4_000
    (record,) = records_of(pro)
    assert (record.tokens_in, record.tokens_out) == (11, 1)


def test_q10_too_much_text_is_refused_before_any_call(
    pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, "chat", message="word " * 20_000)

    assert answered.status_code == 413
    problem = answered.json()
    assert (problem["code"], problem["limit"]) == ("context_too_large", 16_000)
    assert problem["used"] > 16_000
    assert openai.chats == []
    assert open_holds(pro) == 0


@pytest.mark.parametrize(
    ("verb", "changes", "field"),
    [
        ("chat", {"message": ""}, "message"),
        ("chat", {"message": " \n "}, "message"),
        ("chat", {"messages": [{"role": "user", "content": "x"}]}, "message"),
        ("chat", {"message": "x", "workspace_id": "nope"}, "workspace_id"),
        ("chat", {"message": "x", "workspace_id": "workspace_../x"}, "workspace_id"),
        ("chat", {"message": "x", "stream": "perhaps"}, "stream"),
        ("chat", {"message": "x", "temperature": 3}, "temperature"),
        ("chat", {"message": "x", "max_tokens": 0}, "max_tokens"),
        ("chat", {"message": "a\x00b"}, "message"),
        ("explain", {"code": "x" * 50_001}, "code"),
        ("explain", {"code": "é" * 25_001}, "code"),
        ("explain", {"language": "c; rm -rf"}, "language"),
        ("explain", {"language": ""}, "language"),
        ("generate", {"instruction": "  "}, "instruction"),
        ("generate", {"context": "x" * 50_001}, "context"),
        ("complete", {"prefix": " ", "suffix": "\n"}, "prefix"),
    ],
)
def test_a_bad_field_is_named(
    verb: str, changes: dict[str, Any], field: str, pro: Person
) -> None:
    answered = post(pro, verb, **(BODIES[verb] | changes))

    assert answered.status_code == 400
    problem = answered.json()
    assert problem["code"] == "validation_failed"
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"messages": [TALK[0]], "conversation_id": "conv_1"}, "conversation_id"),
        ({"messages": TALK}, "messages"),
        ({}, "message"),
    ],
)
def test_a_talk_of_the_callers_own_ends_with_a_question_and_is_not_kept(
    given: dict[str, Any], field: str, pro: Person
) -> None:
    answered = post(pro, "chat", **given)

    assert answered.status_code == 400
    assert field in [error["field"] for error in answered.json()["errors"]]


def test_what_the_code_must_fit_reaches_the_provider(
    pro: Person, openai: FakeProvider
) -> None:
    body = {**BODIES["generate"], "context": "class Base: ..."}

    assert post(pro, "generate", **body).status_code == 200
    asked = openai.chats[0].body["messages"][-1]["content"]
    assert "It must fit this:" in asked and "class Base: ..." in asked


def test_code_of_exactly_50000_bytes_is_taken(
    alice: Person, openai: FakeProvider
) -> None:
    on_tier(alice, "enterprise")

    answered = post(alice, "explain", code="é" * 25_000, language="c++")

    assert answered.status_code == 200


def test_a_bad_body_costs_nothing(pro: Person) -> None:
    post(pro, "chat")

    assert records_of(pro) == []
    assert open_holds(pro) == 0


def test_a_key_without_the_scope_is_refused(alice: Person) -> None:
    alice.api_key.scopes = ["search"]
    alice.api_key.save()

    refused = post(alice, "chat", message="How?")
    searched = post(alice, "query", query="x")

    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert searched.status_code == 200


@pytest.mark.parametrize("verb", [*sorted(BODIES), "query"])
def test_without_a_credential_it_is_401(verb: str, client: Any, db: None) -> None:
    answered = client.post(
        f"/api/v1/assistant/{verb}", {}, content_type="application/json"
    )

    assert answered.status_code == 401
    assert answered.json()["code"] == "not_authenticated"


def test_a_used_up_quota_is_429_with_headers(alice: Person) -> None:
    from billing.models import Tier  # noqa: PLC0415 - needs Django set up

    Tier.objects.filter(pk="free").update(requests_per_hour=1)
    assert post(alice, "chat", message="One?").status_code == 200

    answered = post(alice, "chat", message="Two?")

    assert answered.status_code == 429
    assert answered.json()["code"] == "quota_exceeded"
    assert int(answered.headers["Retry-After"]) > 0
    assert answered.headers["x-ratelimit-remaining-requests"] == "0"


def test_models_are_those_of_the_tier_with_window_and_price(
    alice: Person, openai: FakeProvider
) -> None:
    openai.models = ["qwen2.5-coder:7b"]

    free = alice.api.get("/api/v1/assistant/models").json()["results"]
    on_tier(alice, "pro")
    pro = alice.api.get("/api/v1/assistant/models").json()["results"]

    assert [m["id"] for m in free] == ["ollama/qwen2.5-coder:7b", "extractive"]
    assert free[0] == {
        "id": "ollama/qwen2.5-coder:7b",
        "provider": "ollama",
        "name": "qwen2.5-coder:7b",
        "context_window": 4000,
        "price_in_usd_micros": 0,
        "price_out_usd_micros": 0,
        "features": ["basic_chat", "code_explanation"],
        "default": True,
    }
    sol = next(m for m in pro if m["id"] == "openai/gpt-6-sol")
    assert sol["context_window"] == 16_000
    assert sol["price_in_usd_micros"] == 2_000_000
    assert not sol["default"]


def test_a_disabled_model_is_not_offered(pro: Person, openai: FakeProvider) -> None:
    from assistant.models import AIModel  # noqa: PLC0415 - needs Django set up

    AIModel.objects.filter(name="gpt-6-sol").update(enabled=False)

    answered = post(pro, "chat", message="How?", model="gpt-6-sol")

    assert answered.json()["code"] == "unknown_model"
    assert "does not serve" not in answered.json()["detail"]


def test_a_free_user_is_told_that_the_tier_has_no_model(
    alice: Person, openai: FakeProvider
) -> None:
    text = post(alice, "chat", message="How?").json()["text"]

    assert text.startswith("Your tier includes none of the language models configured")


def test_a_flood_of_failing_calls_is_held_back(
    pro: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cost no quota, so something else must count them."""
    from assistant.api.base import AsyncView  # noqa: PLC0415 - needs Django set up

    monkeypatch.setattr(AsyncView, "throttle_per_user", "3/m")
    statuses = [post(pro, "chat").status_code for _ in range(4)]

    assert statuses == [400, 400, 400, 429]


def test_who_chooses_extractive_is_told_so(pro: Person, openai: FakeProvider) -> None:
    text = post(pro, "chat", message="How?", model="extractive").json()["text"]

    assert text.startswith("You chose the model `extractive`")
    assert openai.chats == []


def test_an_answer_without_code_says_why(alice: Person) -> None:
    without = post(alice, "chat", message="How?").json()["text"]
    empty = post(alice, "chat", message="How?", workspace_id=alice.workspace.pk).json()
    alice.workspace.status = "indexing"
    alice.workspace.save()
    busy = post(alice, "chat", message="How?", workspace_id=alice.workspace.pk).json()

    assert "Name a workspace with `workspace_id`" in without
    assert "'code' holds no indexed code yet" in empty["text"]
    assert "'code' is still being indexed" in busy["text"]


@pytest.mark.parametrize("accepts", ["text/event-stream", "text/html", "*/*"])
@pytest.mark.parametrize("path", ["/api/v1/assistant/chat", "/v1/chat/completions"])
def test_whatever_a_client_accepts_is_answered(
    path: str, accepts: str, pro: Person, openai: FakeProvider
) -> None:
    body = {"message": "Hi"}
    if path.startswith("/v1"):
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}  # type: ignore[dict-item]

    answered = pro.api.post(path, body, format="json", headers={"Accept": accepts})

    assert answered.status_code == 200
    assert answered.headers["content-type"].startswith("application/json")
