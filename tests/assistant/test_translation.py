"""Tools, images, thoughts and demands, in each vendor's own words."""

import json
from typing import Any

import pytest

from assistant.providers.base import ChatMessage, Delta
from assistant.providers.openai import body_of
from assistant.providers.schemas import closed
from tests.assistant.vendors import ask, configure, request
from tests.fakes.providers import (
    FakeProvider,
    Script,
    anthropic_blocks,
    anthropic_stream,
    anthropic_tool_call,
    google_stream,
    google_tool_call,
    ollama_stream,
    ollama_tool_call,
    openai_stream,
    openai_tool_call,
)

ARGUMENTS = '{"path": "a.py"}'
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOL = {
    "type": "function",
    "function": {"name": "read_file", "description": "Reads.", "parameters": SCHEMA},
}
TOOL_CALLS = {
    "openai": openai_tool_call,
    "anthropic": anthropic_tool_call,
    "google": google_tool_call,
    "ollama": ollama_tool_call,
}
PNG = "data:image/png;base64,AAAA"
ROUND = (  # a question, two calls at once, their results
    ChatMessage("user", "Read both."),
    ChatMessage(
        "assistant",
        "I read.",
        {
            "role": "assistant",
            "content": "I read.",
            "tool_calls": [
                {
                    "id": name,
                    "type": "function",
                    "function": {"name": "read_file", "arguments": ARGUMENTS},
                    "extra_content": {"google": {"thought_signature": "c2ln"}},
                }
                for name in ("c1", "c2")
            ],
        },
    ),
    ChatMessage(
        "tool", "x = 1", {"role": "tool", "tool_call_id": "c1", "content": "x = 1"}
    ),
    ChatMessage(
        "tool", "y = 2", {"role": "tool", "tool_call_id": "c2", "content": "y = 2"}
    ),
)
SEEN = ChatMessage(
    "user",
    "What is it?",
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ],
    },
)


@pytest.fixture(autouse=True)
def _keys(settings: Any) -> None:
    configure(settings)


async def sent(vendor: str, provider: FakeProvider, **changes: Any) -> Any:
    """Return the body that this vendor is sent."""
    scripts = {
        "anthropic": anthropic_stream,
        "google": google_stream,
        "ollama": ollama_stream,
        "openai": openai_stream,
    }
    provider.will(scripts[vendor]("x"))
    await ask(vendor, **changes)
    return provider.chats[-1].body


def thoughts_of(deltas: list[Delta]) -> str:
    return "".join(delta.reasoning for delta in deltas)


@pytest.mark.parametrize("vendor", TOOL_CALLS)
async def test_a_tool_call_is_understood(vendor: str, provider: FakeProvider) -> None:
    provider.will(TOOL_CALLS[vendor]("read_file", ARGUMENTS))

    deltas = await ask(vendor, tools=(TOOL,))

    calls = [call for delta in deltas for call in delta.tool_calls]
    assert {call["index"] for call in calls} == {0}
    assert calls[0]["function"]["name"] == "read_file"
    assert calls[0]["id"]
    told = "".join(call["function"]["arguments"] for call in calls)
    assert json.loads(told) == {"path": "a.py"}
    assert [d.finish_reason for d in deltas if d.finish_reason] == ["tool_calls"]
    if vendor != "openai":
        assert thoughts_of(deltas) == "I must read."


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_fields_nobody_knows_come_back_untouched(
    field: str, provider: FakeProvider
) -> None:
    delta = {field: "hmm", "annotations": [{"n": 1}], "refusal": None}
    chunk = {"choices": [{"index": 0, "delta": delta, "logprobs": {"content": []}}]}
    stream = openai_stream("Hi")
    provider.will(Script([f"data: {json.dumps(chunk)}\n\n".encode(), *stream.steps]))

    first = (await ask("openai"))[0]

    assert first.reasoning == "hmm"
    assert first.extra == {
        field: "hmm",
        "annotations": [{"n": 1}],
        "logprobs": {"content": []},
    }


async def test_anthropic_is_given_a_round_of_tools(provider: FakeProvider) -> None:
    body = await sent("anthropic", provider, messages=ROUND, tools=(TOOL,))

    call = {"type": "tool_use", "name": "read_file", "input": {"path": "a.py"}}
    assert body["messages"] == [
        {"role": "user", "content": "Read both."},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I read."},
                call | {"id": "c1"},
                call | {"id": "c2"},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": name,
                    "content": [{"type": "text", "text": text}],
                }
                for name, text in (("c1", "x = 1"), ("c2", "y = 2"))
            ],
        },
    ]
    assert body["tools"] == [
        {"name": "read_file", "description": "Reads.", "input_schema": SCHEMA}
    ]


async def test_google_is_given_a_round_of_tools(provider: FakeProvider) -> None:
    body = await sent("google", provider, messages=ROUND, tools=(TOOL,))

    function = {"name": "read_file", "args": {"path": "a.py"}}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Read both."}]},
        {
            "role": "model",
            "parts": [{"text": "I read."}]
            + [
                {"functionCall": {"id": name} | function, "thoughtSignature": "c2ln"}
                for name in ("c1", "c2")
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": name,
                        "name": "read_file",
                        "response": {"result": text},
                    }
                }
                for name, text in (("c1", "x = 1"), ("c2", "y = 2"))
            ],
        },
    ]
    (tools,) = body["tools"]
    assert tools["functionDeclarations"] == [
        {"name": "read_file", "description": "Reads.", "parametersJsonSchema": SCHEMA}
    ]


async def test_ollama_is_told_which_tool_answered(provider: FakeProvider) -> None:
    body = await sent("ollama", provider, messages=ROUND, tools=(TOOL,))

    assert [m.get("tool_name") for m in body["messages"]] == [
        None,
        None,
        "read_file",
        "read_file",
    ]


@pytest.mark.parametrize(
    ("choice", "anthropic", "google"),
    [
        ("auto", None, None),
        ("none", {"type": "none"}, {"mode": "NONE"}),
        ("required", {"type": "any"}, {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "read_file"}},
            {"type": "tool", "name": "read_file"},
            {"mode": "ANY", "allowedFunctionNames": ["read_file"]},
        ),
    ],
)
async def test_a_tool_choice_is_translated(
    choice: object, anthropic: object, google: object, provider: FakeProvider
) -> None:
    asked: dict[str, Any] = {"tools": (TOOL,), "extra": {"tool_choice": choice}}

    body = await sent("anthropic", provider, **asked)
    assert body.get("tool_choice") == anthropic
    config = (await sent("google", provider, **asked)).get("toolConfig")
    assert config == (google and {"functionCallingConfig": google})
    assert ("tools" in await sent("ollama", provider, **asked)) == (choice != "none")
    assert (await sent("openai", provider, **asked))["tool_choice"] == choice


async def test_calls_one_at_a_time_can_be_demanded(provider: FakeProvider) -> None:
    extra = {"parallel_tool_calls": False}
    body = await sent("anthropic", provider, tools=(TOOL,), extra=extra)

    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("vendor", "where"),
    [
        (
            "anthropic",
            [
                {"type": "text", "text": "What is it?"},
                {
                    "type": "image",
                    "source": {
                        "type": "base64",
                        "media_type": "image/png",
                        "data": "AAAA",
                    },
                },
            ],
        ),
        (
            "google",
            [
                {"text": "What is it?"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            ],
        ),
    ],
)
async def test_an_image_is_translated(
    vendor: str, where: object, provider: FakeProvider
) -> None:
    body = await sent(vendor, provider, messages=(SEEN,))

    (message,) = body.get("messages") or body["contents"]
    assert (message.get("content") or message["parts"]) == where


async def test_ollama_is_given_images_beside_the_text(provider: FakeProvider) -> None:
    body = await sent("ollama", provider, messages=(SEEN,))

    assert body["messages"] == [
        {"role": "user", "content": "What is it?", "images": ["AAAA"]}
    ]


async def test_a_schema_is_demanded_in_each_vendors_words(
    provider: FakeProvider,
) -> None:
    schema = {"name": "answer", "schema": SCHEMA}
    extra = {"response_format": {"type": "json_schema", "json_schema": schema}}

    body = await sent("anthropic", provider, extra=extra)
    assert body["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {**SCHEMA, "additionalProperties": False},
        }
    }
    config = (await sent("google", provider, extra=extra))["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == SCHEMA


def test_a_schema_is_closed_and_says_in_words_what_anthropic_refuses() -> None:
    inner = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    given = {
        "properties": {"list": {"type": "array", "minItems": 2, "items": inner}},
        "$defs": {"x": {"oneOf": [inner, {"type": "null"}], "description": "One."}},
    }

    told = closed(given)

    shut = {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": '{"minimum": 1}'}},
        "additionalProperties": False,
    }
    listed = {"type": "array", "items": shut, "description": '{"minItems": 2}'}
    assert told == {
        "properties": {"list": listed},
        "$defs": {"x": {"anyOf": [shut, {"type": "null"}], "description": "One."}},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("vendor", "asked"),
    [
        ("anthropic", [{"role": "user", "content": "Be brief."}]),
        ("google", [{"role": "user", "parts": [{"text": "Be brief."}]}]),
    ],
)
async def test_instructions_alone_are_the_question(
    vendor: str, asked: object, provider: FakeProvider
) -> None:
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", ""))
    body = await sent(vendor, provider, messages=messages)

    assert body.get("messages", body.get("contents")) == asked
    assert not {"system", "systemInstruction"} & body.keys()


async def test_stops_that_a_vendor_refuses_are_left_out(provider: FakeProvider) -> None:
    body = await sent("anthropic", provider, stop=("\n\n", "END"))
    assert body["stop_sequences"] == ["END"]
    assert "stop_sequences" not in await sent("anthropic", provider, stop=("\n",))
    body = await sent("google", provider, stop=tuple("abcdefg"))
    assert body["generationConfig"]["stopSequences"] == list("abcde")


async def test_another_vendors_calls_go_on_at_anthropic(provider: FakeProvider) -> None:
    """Whoever changes the model in mid-conversation brings ids like these."""
    function = {"name": "read_file", "arguments": "{}"}
    wire = {"tool_calls": [{"id": "functions.read:0", "function": function}]}
    result = {"role": "tool", "tool_call_id": "functions.read:0", "content": "x"}
    open_tool = {"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}

    body = await sent(
        "anthropic",
        provider,
        messages=(ChatMessage("assistant", "", wire), ChatMessage("tool", "x", result)),
        tools=(open_tool,),
    )

    call, answer = (message["content"][0] for message in body["messages"])
    assert call["id"] == answer["tool_use_id"] == "functions_read_0"
    assert body["tools"][0]["input_schema"] == {"type": "object", "a": 1}


async def test_any_json_is_demanded_of_anthropic_in_words(
    provider: FakeProvider,
) -> None:
    extra = {"response_format": {"type": "json_object"}}
    body = await sent("anthropic", provider, extra=extra)

    assert body["system"].startswith("Be brief.\n\nAnswer with one JSON object")


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("gemini-2.5-pro", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3.5-pro", {"thinkingLevel": "high", "includeThoughts": True}),
    ],
)
async def test_an_effort_is_translated(
    model: str, thinking: object, provider: FakeProvider
) -> None:
    extra = {"reasoning_effort": "high"}
    most = {"reasoning_effort": "max"}

    for given in (extra, most):
        body = await sent("google", provider, model=model, extra=given)
        assert body["generationConfig"]["thinkingConfig"] == thinking
        body = await sent("anthropic", provider, extra=given)
        assert body["output_config"] == {"effort": given["reasoning_effort"]}
    body = await sent("ollama", provider, model="gpt-oss:20b", extra=extra)
    assert body["think"] == "high"
    assert "think" not in await sent("ollama", provider, extra=extra)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-3-5-sonnet-20241022", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-haiku-4-5-20251001", True),
        ("claude-opus-4-6", True),
        ("kimi-k3", True),  # of another vendor that speaks this wire
        ("claude-opus-4-7", False),
        ("claude-opus-4-10", False),
        ("claude-sonnet-5-5", False),
        ("claude-fable-5-1", False),
    ],
)
async def test_sampling_is_told_the_models_of_anthropics_that_take_it(
    model: str, takes: bool, provider: FakeProvider
) -> None:
    """Later ones refuse it, and none takes both."""
    both = await sent("anthropic", provider, model=model, temperature=0.2, top_p=0.9)
    one = await sent("anthropic", provider, model=model, top_p=0.9)

    assert (both.get("temperature"), both.get("top_p")) == (
        0.2 if takes else None,
        None,
    )
    assert one.get("top_p") == (0.9 if takes else None)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("o3-mini", False),
        ("gpt-5", False),
        ("gpt-5-mini", False),
        ("gpt-5.6-luna", False),
        ("gpt-6-sol", False),
        ("gpt-6.1-sol", False),
        ("gpt-5-chat-latest", True),
        ("gpt-5.4-mini", True),
        ("gpt-4.1", True),
    ],
)
def test_sampling_is_told_the_models_of_openais_that_take_it(
    model: str, takes: bool, settings: Any
) -> None:
    """By their own address alone: what others call so is theirs to judge."""

    def told(**changes: Any) -> bool:
        asked = request(model=model, temperature=0.2, top_p=0.9, **changes)
        body = body_of(asked)
        assert ("top_p" in body) == ("temperature" in body)
        return "temperature" in body

    settings.OPENAI_BASE_URL = "https://api.openai.com/v1"
    assert told() == takes
    assert told(extra={"reasoning_effort": "none"})
    settings.OPENAI_BASE_URL = "https://models.example.com/v1"
    assert told()


@pytest.mark.parametrize(
    ("model", "told"),
    [("gpt-4.1", None), ("gpt-4o-mini", None), ("gpt-5-chat-latest", None)]
    + [(model, "low") for model in ("gpt-6-sol", "gpt-5.4-mini", "o3-mini", "new")],
)
def test_an_effort_is_told_all_but_openais_models_that_cannot_think(
    model: str, told: str | None, settings: Any
) -> None:
    """They refuse it, and some agents ask for one whatever the model."""
    asked = request(model=model, extra={"reasoning_effort": "low"})
    settings.OPENAI_BASE_URL = "https://api.openai.com/v1"

    assert body_of(asked).get("reasoning_effort") == told
    settings.OPENAI_BASE_URL = "https://models.example.com/v1"
    assert body_of(asked)["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("model", "asked", "told"),
    [
        ("gpt-6-sol", "high", "high"),
        ("gpt-6-sol", "max", "xhigh"),
        ("gpt-5-mini", "xhigh", "high"),
        ("gpt-5.4-mini", "low", "low"),
        ("gpt-4.1", "high", None),
        ("new", "high", None),
    ],
)
async def test_an_effort_of_another_wire_is_told_who_is_known_to_take_it(
    model: str, asked: str, told: str | None, provider: FakeProvider, settings: Any
) -> None:
    """Claude Code asks for one always, and others refuse the whole request."""
    body = await sent("openai", provider, model=model, effort=asked)
    assert "reasoning_effort" not in body, "it may be any server"
    settings.OPENAI_BASE_URL = "https://api.openai.com/v1"
    given = request(model=model, effort=asked, temperature=0.5)
    assert body_of(given).get("reasoning_effort") == told
    thinking = (await sent("google", provider, model="gemini-2.0-flash", effort=asked))[
        "generationConfig"
    ]
    assert "thinkingConfig" not in thinking


async def test_google_is_told_a_name_for_a_result_without_its_call(
    provider: FakeProvider,
) -> None:
    wire = {"role": "tool", "tool_call_id": "c9", "content": "x"}
    body = await sent("google", provider, messages=(ChatMessage("tool", "x", wire),))

    (part,) = body["contents"][0]["parts"]
    assert part["functionResponse"]["name"] == "tool"


async def test_a_lost_signature_is_made_up_for(provider: FakeProvider) -> None:
    """Later Gemini models refuse a call that comes back without one."""
    function = {"name": "f", "arguments": "{}"}
    wire = {"tool_calls": [{"id": "c1", "function": function}] * 2}
    body = await sent(
        "google", provider, messages=(ChatMessage("assistant", "", wire),)
    )

    first, second = body["contents"][0]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second


async def test_marks_for_the_cache_reach_anthropic(provider: FakeProvider) -> None:
    cached = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    wire = {"role": "system", "content": [cached]}
    body = await sent(
        "anthropic",
        provider,
        messages=(ChatMessage("system", "Long.", wire), ChatMessage("user", "Hi")),
    )

    assert body["system"] == [cached]


async def test_a_thinking_budget_stays_below_the_answers_limit(
    provider: FakeProvider,
) -> None:
    extra = {"thinking": {"type": "enabled", "budget_tokens": 5000}}

    body = await sent("anthropic", provider, max_tokens=4000, extra=extra)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 3999}
    body = await sent("anthropic", provider, max_tokens=1000, extra=extra)
    assert body["thinking"] == {"type": "disabled"}


async def test_two_blocks_of_anthropics_make_two_calls(provider: FakeProvider) -> None:
    opening = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    piece = {"type": "input_json_delta", "partial_json": "{}"}
    provider.will(
        anthropic_blocks((opening, piece), (opening, piece), stop_reason="tool_use")
    )

    calls = [call for d in await ask("anthropic") for call in d.tool_calls]

    assert [call["index"] for call in calls] == [0, 0, 1, 1]
