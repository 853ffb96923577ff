"""/v1/completions: a text continued, a cursor filled in, Tabby's plugins served."""

import json
from typing import Any

import openai as sdk
import pytest

from assistant.gateway.fim import FAMILIES, Cursor, Family, cursor_of, raw_prompt
from assistant.passages import Passage
from tests.assistant.asking import record_after, records_of, streaming
from tests.assistant.conftest import on_tier
from tests.fakes.providers import (
    CUT,
    FakeProvider,
    Script,
    failure,
    ollama_stream,
    openai_stream,
    sse,
)
from tests.support.people import Person

COMPLETIONS = "/v1/completions"
CODER = "qwen2.5-coder:7b"


def post(person: Person, **body: Any) -> Any:
    return person.api.post(
        COMPLETIONS, json.dumps(body), content_type="application/json"
    )


def generated(*pieces: str) -> Script:
    """A text that Ollama continues."""
    lines: list[dict[str, Any]] = [{"response": p, "done": False} for p in pieces]
    counts = {"prompt_eval_count": 7, "eval_count": 2}
    lines.append({"response": "", "done": True, "done_reason": "stop"} | counts)
    return Script(
        [json.dumps(line).encode() + b"\n" for line in lines],
        content_type="application/x-ndjson",
    )


@pytest.fixture
def ollama(provider: FakeProvider) -> FakeProvider:
    provider.models = [CODER]
    provider.will(generated("a +", " b"))
    return provider


def test_the_client_gets_a_completion_whole_and_streamed_alike(
    asgi_server: str, pro: Person, ollama: FakeProvider
) -> None:
    with sdk.OpenAI(base_url=f"{asgi_server}/v1", api_key=pro.key) as client:
        asked: dict[str, Any] = {
            "model": CODER,
            "prompt": "def add(a, b):\n    return ",
            "suffix": "\n\nprint(add(1, 2))\n",
            "max_tokens": 32,
        }
        whole = client.completions.create(**asked)
        chunks = list(
            client.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
        )

    assert whole.choices[0].text == "a + b"
    assert whole.choices[0].finish_reason == "stop"
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "a + b"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens == 9
    sent = ollama.chats[0]
    assert sent.path == "/ollama/api/generate"
    assert sent.body["raw"] is True
    assert sent.body["prompt"] == (
        "<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>"
        "\n\nprint(add(1, 2))\n<|fim_middle|>"
    )
    assert "<|fim_prefix|>" in sent.body["options"]["stop"]
    assert sent.body["options"]["num_predict"] == 32


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        ("qwen2.5-coder:7b", "<|fim_prefix|>P{}<|fim_suffix|>S<|fim_middle|>"),
        ("Qwen/Qwen3-Coder-30B", "<|fim_prefix|>P{}<|fim_suffix|>S<|fim_middle|>"),
        ("codegemma:2b", "<|fim_prefix|>P{}<|fim_suffix|>S<|fim_middle|>"),
        ("starcoder2:3b", "<fim_prefix>P{}<fim_suffix>S<fim_middle>"),
        ("granite-code:3b", "<fim_prefix>P{}<fim_suffix>S<fim_middle>"),
        (
            "deepseek-coder-v2:lite",
            "<｜fim▁begin｜>P{}<｜fim▁hole｜>S<｜fim▁end｜>",
        ),
        ("codellama:7b-code", "<PRE> P{} <SUF>S <MID>"),
        ("codestral:22b", "[SUFFIX]S[PREFIX]P{}"),
        ("llama3.2:3b", ""),
    ],
)
def test_each_family_has_its_own_marks(model: str, prompt: str) -> None:
    """Braces of the code are no placeholders."""
    assert raw_prompt(model, Cursor("P{}", "S"), []) == prompt


def test_retrieved_code_stands_before_it_as_comments() -> None:
    passage = Passage(
        n=1,
        workspace_id="w",
        path="a.py",
        start_line=1,
        end_line=2,
        language="python",
        symbol="",
        score=1.0,
        sha256="",
        text="def f():\n    pass\n",
    )

    prompt = raw_prompt("starcoder2", Cursor("x", language="python"), [passage])

    assert prompt == (
        "<fim_prefix># Path: a.py\n# def f():\n#     pass\nx<fim_suffix><fim_middle>"
    )


def test_marks_that_the_client_has_set_itself_go_on_as_they_are(
    pro: Person, ollama: FakeProvider
) -> None:
    prompt = "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>"
    post(pro, model=CODER, prompt=prompt)

    assert ollama.chats[0].body["prompt"] == prompt


STARCODERS = "<fim_prefix>a = {<fim_suffix>}\n<fim_middle>"


def test_marks_of_another_family_are_put_into_the_models_own(
    pro: Person, ollama: FakeProvider
) -> None:
    """As editors set them that know no model called `auto`."""
    post(pro, model="auto", prompt=STARCODERS)

    marked = "<|fim_prefix|>a = {<|fim_suffix|>}\n<|fim_middle|>"
    assert ollama.chats[0].body["prompt"] == marked


def test_a_model_without_marks_is_not_shown_a_clients(
    pro: Person, openai: FakeProvider
) -> None:
    post(pro, model="gpt-6-sol", prompt=STARCODERS)

    asked = openai.chats[0].body["messages"][1]["content"]
    assert "fim_prefix" not in asked
    assert "a = {\n" in asked and "}\n" in asked


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.names.pattern)
def test_each_familys_marks_are_read(family: Family) -> None:
    prompt = family.template.replace("{prefix}", "P").replace("{suffix}", "S")

    found = cursor_of(prompt)

    assert (found.prefix, found.suffix) == ("P", "S")


def test_marks_that_nobody_can_read_go_on_as_they_are() -> None:
    broken = "<|fim_prefix|>a<|fim_middle|>"

    assert raw_prompt("qwen2.5-coder", cursor_of(broken), []) == broken


def test_other_models_are_asked_in_words_and_their_fences_taken_off(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("```python\na", " + b\n```"))
    answered = post(pro, model="gpt-6-sol", prompt="return ", suffix="\n")

    assert answered.json()["choices"][0]["text"] == "a + b"
    assert openai.chats[0].path == "/openai/v1/chat/completions"
    assert "Prefix:" in openai.chats[0].body["messages"][1]["content"]


def test_a_compatible_server_continues_the_text_or_else_chats(
    pro: Person, openai: FakeProvider
) -> None:
    openai.openai_models = ["starcoder2"]
    choice = {"index": 0, "text": "a + b", "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    done = b"data: [DONE]\n\n"
    openai.will(
        Script([sse({"choices": [choice], "usage": usage}), done]),
        failure(404),
        openai_stream("a - b"),
    )

    texts = [
        post(pro, model="starcoder2", prompt="return ").json()["choices"][0]["text"]
        for _ in range(2)
    ]

    assert texts == ["a + b", "a - b"]
    paths = [seen.path.removeprefix("/openai/v1/") for seen in openai.chats]
    assert paths == ["completions", "completions", "chat/completions"]
    assert openai.chats[0].body["prompt"].startswith("<fim_prefix>return ")
    assert "messages" not in openai.chats[0].body


def test_a_stream_that_breaks_ends_without_done(
    asgi_server: str, pro: Person, openai: FakeProvider
) -> None:
    steps = openai_stream("a plus", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, CUT]))

    with streaming(
        asgi_server, pro, COMPLETIONS, model="gpt-6-sol", prompt="x = "
    ) as response:
        lines = [line for line in response.iter_lines() if line]

    assert "error" in json.loads(lines[-1].removeprefix("data: "))
    assert record_after(pro).status == "error"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"suffix": 5}, "suffix"),
        ({"n": 2}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"model": None}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"segments": []}, "segments"),
        ({"segments": {"prefix": " "}}, "segments"),
    ],
)
def test_q10_a_bad_field_is_an_invalid_request(
    changes: dict[str, Any], param: str, pro: Person, openai: FakeProvider
) -> None:
    answered = post(pro, **({"model": "auto", "prompt": "x = "} | changes))

    assert answered.status_code == 400
    assert answered.json()["error"]["param"] == param
    assert records_of(pro) == []


def test_a_tier_without_completion_is_told_which_has_it(alice: Person) -> None:
    answered = post(alice, model="auto", prompt="x = ")

    assert answered.status_code == 403
    assert answered.json()["error"]["code"] == "feature_not_in_tier"


def test_tabbys_plugins_are_served(pro: Person, ollama: FakeProvider) -> None:
    answered = pro.api.post(
        COMPLETIONS,
        {
            "language": "python",
            "segments": {"prefix": "def add(a, b):\n    return ", "suffix": "\n"},
            "user": "u",
        },
        format="json",
    )

    body = answered.json()
    assert body["choices"] == [{"index": 0, "text": "a + b"}]
    assert body["id"].startswith("cmpl-")
    health = pro.api.get("/v1/health").json()
    assert health["model"] == f"ollama/{CODER}"
    assert health["version"]["git_describe"]
    assert pro.api.post("/v1/health").json() == health
    assert pro.api.get("/v1beta/server_setting").json() == {
        "disable_client_side_telemetry": True
    }
    event = {"type": "select", "completion_id": body["id"], "choice_index": 0}
    assert pro.api.post("/v1/events", event, format="json").status_code == 200
    assert len(records_of(pro)) == 1


@pytest.mark.parametrize("prompt", ["", "\n    "])
def test_the_cursor_may_stand_at_the_start_of_a_file(
    prompt: str, pro: Person, ollama: FakeProvider
) -> None:
    answered = post(pro, model=CODER, prompt=prompt, suffix="\nx = 1\n")

    assert answered.json()["choices"][0]["text"] == "a + b"
    marked = f"<|fim_prefix|>{prompt}<|fim_suffix|>\nx = 1\n<|fim_middle|>"
    assert ollama.chats[0].body["prompt"] == marked
    assert post(pro, model=CODER, prompt=prompt, suffix=" \n").status_code == 400


def test_our_own_completion_uses_the_marks_too(
    pro: Person, ollama: FakeProvider
) -> None:
    answered = pro.api.post(
        "/api/v1/assistant/complete",
        {"prefix": "return ", "suffix": "\n", "language": "python"},
        format="json",
    )

    assert answered.json()["text"] == "a + b"
    assert ollama.chats[0].body["prompt"].startswith("<|fim_prefix|>return ")


def test_a_chat_model_of_ollamas_is_asked_in_words(
    alice: Person, provider: FakeProvider
) -> None:
    on_tier(alice, "pro")
    provider.models = ["llama3.2:3b"]
    provider.will(ollama_stream("a + b"))

    post(alice, model="llama3.2:3b", prompt="return ")

    assert provider.chats[0].path == "/ollama/api/chat"
