"""What a model thought before a call goes back to it, whatever face carries it.

OpenAI gives its thoughts out sealed; who sends them back lets it go on thinking.
"""

import json
from typing import Any

import pytest

from assistant.models import AIModel
from tests.assistant.asking import streaming
from tests.assistant.conftest import CANARY_KEY
from tests.assistant.test_matrix import TOOLS
from tests.fakes import responses as fake
from tests.fakes.providers import FakeProvider, Script, anthropic_stream, named_sse
from tests.support.people import Person

MODEL = "openai/gpt-6-sol"
ASKED = {"role": "user", "content": "Read a.py"}
THINKING = {"type": "adaptive"}


@pytest.fixture(autouse=True)
def _over_responses(openai: FakeProvider, pro: Person) -> None:
    AIModel.objects.get(name="gpt-6-sol").upstreams.create(
        name="own", provider="openai-responses", upstream_name="gpt-6-sol"
    )
    called = fake.responses_tool_call("read_file", "{}")
    openai.will(called, fake.responses_stream("Ok"))


def post(person: Person, path: str, **body: Any) -> Any:
    given = {"model": MODEL, "tools": [TOOLS[path]], **body}
    answered = person.api.post(path, given, format="json")
    assert answered.status_code == 200, answered.content
    return answered.json()


def sent_back(openai: FakeProvider) -> dict[str, Any]:
    """Return the thought that the vendor got back, right before its call."""
    kinds = [item["type"] for item in openai.chats[-1].body["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
    found: dict[str, Any] = openai.chats[-1].body["input"][1]
    return found


SEALED = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": fake.SEALED,
}


def test_chat_carries_them_in_reasoning_details(
    pro: Person, openai: FakeProvider
) -> None:
    path = "/v1/chat/completions"
    said = post(pro, path, messages=[ASKED])["choices"][0]["message"]
    call_id = said["tool_calls"][0]["id"]
    result = {"role": "tool", "tool_call_id": call_id, "content": "x = 1"}

    post(pro, path, messages=[ASKED, said, result])

    assert said["reasoning_content"] == "I must read."
    assert sent_back(openai) == SEALED


@pytest.mark.parametrize("stream", [False, True])
def test_messages_carry_them_in_blocks_of_their_own(
    stream: bool, asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    path = "/v1/messages"
    asked = {"max_tokens": 99, "thinking": THINKING}
    if stream:
        given: dict[str, Any] = {
            "model": MODEL,
            "tools": [TOOLS[path]],
            **asked,
            "stream": True,
        }
        with streaming(asgi_server, pro, path, **given, messages=[ASKED]) as answer:
            lines = [x[6:] for x in answer.iter_lines() if x.startswith("data: ")]
        bodies = map(json.loads, lines)
        blocks = [
            body["content_block"]
            for body in bodies
            if body["type"] == "content_block_start"
        ]
    else:
        blocks = post(pro, path, messages=[ASKED], **asked)["content"]
    assert [block["type"] for block in blocks] == [
        *("thinking", "redacted_thinking", "tool_use")
    ]
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "x = 1"}
    said = [
        ASKED,
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
    ]

    post(pro, path, messages=said, **asked)

    assert sent_back(openai) == SEALED


def test_a_client_that_wants_no_thoughts_of_messages_gets_none(
    pro: Person, openai: FakeProvider
) -> None:
    blocks = post(pro, "/v1/messages", messages=[ASKED], max_tokens=99)["content"]

    assert [block["type"] for block in blocks] == ["tool_use"]


def test_anthropic_is_not_told_what_others_thought(
    pro: Person, provider: FakeProvider, settings: Any
) -> None:
    """It refuses what it did not sign; whoever changes the model brings it along."""
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    path, asked = "/v1/messages", {"max_tokens": 99, "thinking": THINKING}
    blocks = post(pro, path, messages=[ASKED], **asked)["content"]
    own = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    provider.will(anthropic_stream("Ok"))
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "x = 1"}
    said = [
        ASKED,
        {"role": "assistant", "content": [own, *blocks]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": blocks[:2]},
        ASKED,
    ]

    post(pro, path, model="claude-sonnet-5-5", messages=said, **asked)

    told = provider.chats[-1].body["messages"]
    assert [message["role"] for message in told] == [
        "user",
        "assistant",
        "user",
        "user",
    ]
    assert [block["type"] for block in told[1]["content"]] == ["thinking", "tool_use"]


@pytest.mark.parametrize(
    "data", [5, "", "openai-responses-v1:", "openai-responses-v1:a"]
)
@pytest.mark.parametrize("model", [MODEL, "claude-sonnet-5-5"])
def test_a_block_that_somebody_made_up_is_left_out(
    model: str, data: object, pro: Person, provider: FakeProvider, settings: Any
) -> None:
    settings.ANTHROPIC_API_KEY = CANARY_KEY
    script = anthropic_stream("Ok") if model != MODEL else fake.responses_stream("Ok")
    provider.decide = lambda seen: script
    blocks = [
        {"type": "redacted_thinking", "data": data},
        {"type": "text", "text": "x"},
    ]
    said = [ASKED, {"role": "assistant", "content": blocks}, ASKED]

    post(pro, "/v1/messages", model=model, messages=said, max_tokens=99)

    assert "openai-responses-v1" not in provider.chats[-1].raw_body.decode()


def test_responses_carry_them_as_items_with_a_workspaces_code_too(
    pro: Person, openai: FakeProvider, vectors: Any
) -> None:
    """Then the body is not passed on as it came."""
    from tests.assistant.code import indexed  # noqa: PLC0415 - loads the engine

    path, workspace = "/v1/responses", indexed(pro)
    asked = {"role": "user", "content": "How is the retry delay computed?"}
    more = {"workspace_id": workspace.pk}
    output = post(pro, path, input=[asked], **more)["output"]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "x = 1"}

    post(pro, path, input=[asked, *output, result], **more)

    kinds = [item["type"] for item in output]
    assert kinds == ["reasoning", "reasoning", "function_call"]
    items = openai.chats[-1].body["input"]
    assert SEALED in items
    assert items.index(SEALED) == len(items) - 3


def test_a_stream_of_nothing_but_a_sealed_thought_ends_in_order(
    pro: Person, openai: FakeProvider
) -> None:
    opened, *_, done = fake.thought()
    events = fake.events([opened, done])
    script = Script([named_sse(event) for event in events])
    openai.decide = lambda seen: script

    said = post(pro, "/v1/chat/completions", messages=[ASKED])["choices"][0]

    assert said["finish_reason"] == "stop"
    assert said["message"]["reasoning_details"][0]["data"] == fake.SEALED
