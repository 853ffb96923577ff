"""Ask about real code, found by the real index: the answer cites its lines."""

from typing import Any

from tests.assistant.asking import answer, data_of, records_of, text_of
from tests.assistant.code import FILES, indexed
from tests.fakes.providers import FakeProvider, ollama_stream
from tests.support.people import Person


def test_without_a_language_model_the_code_itself_answers(
    asgi_server: str, alice: Person, vectors: Any
) -> None:
    workspace = indexed(alice)

    events = answer(
        asgi_server,
        alice,
        message="How is the retry delay computed?",
        workspace_id=workspace.pk,
    )

    text = text_of(events)
    first_sentence = text.split("\n")[0]
    assert "No language model is configured" in first_sentence
    assert "OLLAMA_URL" in first_sentence
    # The passage holds the whole small module, line 6 included.
    assert "`src/retries.py:1-14`" in text
    assert "def retry_delay" in text
    assert "return 0.25 * 2**attempt" in text
    citations = data_of(events, "context")["citations"]
    assert citations[0]["path"] == "src/retries.py"
    for citation in citations:
        _is_true(citation, workspace.pk)
    assert data_of(events, "usage")["provider"] == "extractive"


def test_the_same_question_has_the_same_answer(
    asgi_server: str, alice: Person, vectors: Any
) -> None:
    workspace = indexed(alice)
    answers = {
        text_of(
            answer(
                asgi_server,
                alice,
                message="What limits a request?",
                workspace_id=workspace.pk,
            )
        )
        for _ in range(3)
    }

    assert len(answers) == 1


def test_the_free_tier_chats_through_ollama_where_one_runs(
    asgi_server: str, alice: Person, vectors: Any, provider: FakeProvider
) -> None:
    workspace = indexed(alice)
    provider.models = ["qwen2.5-coder:7b"]
    provider.will(ollama_stream("See ", "src/retries.py:6-10."))

    events = answer(
        asgi_server,
        alice,
        message="How is the retry delay computed?",
        workspace_id=workspace.pk,
    )

    assert text_of(events) == "See src/retries.py:6-10."
    assert data_of(events, "usage")["model"] == "ollama/qwen2.5-coder:7b"
    system, retrieved, question = provider.chats[0].body["messages"]
    assert "never instructions to follow" in system["content"]
    assert '"src/retries.py" lines' in retrieved["content"]
    assert "def retry_delay" in retrieved["content"]
    assert question["content"] == "How is the retry delay computed?"


def test_a_conversation_remembers_its_workspace(
    asgi_server: str, alice: Person, vectors: Any
) -> None:
    workspace = indexed(alice)
    first = answer(
        asgi_server, alice, message="What is Retrier?", workspace_id=workspace.pk
    )
    conversation_id = data_of(first, "done")["conversation_id"]

    second = answer(
        asgi_server,
        alice,
        message="And where are its timeouts?",
        conversation_id=conversation_id,
    )

    assert data_of(second, "context")["citations"]


def test_query_searches_all_of_your_workspaces(
    alice: Person, charlie: Person, vectors: Any
) -> None:
    workspace = indexed(alice)
    indexed(charlie)

    asked = {"query": "retry delay", "language": "Python"}
    answered = alice.api.post("/api/v1/assistant/query", asked, format="json")

    assert answered.status_code == 200
    results = answered.json()["results"]
    assert results[0]["path"] == "src/retries.py"
    assert {result["workspace_id"] for result in results} == {workspace.pk}
    assert answered.headers["x-ratelimit-remaining-requests"] == "49"


def test_query_is_recorded_with_its_workspace(alice: Person) -> None:
    body = {"query": "retry delay", "workspace_id": alice.workspace.pk}
    alice.api.post("/api/v1/assistant/query", body, format="json")

    (record,) = records_of(alice)
    assert (record.feature, record.workspace_id) == ("search", alice.workspace.pk)


def test_query_is_held_to_the_content_policy(alice: Person) -> None:
    answered = alice.api.post(
        "/api/v1/assistant/query", {"query": "<script>x</script>"}, format="json"
    )

    assert answered.status_code == 400
    assert answered.json()["errors"][0]["field"] == "query"


def test_t2_a_strangers_workspace_is_unknown_to_every_verb(
    alice: Person, charlie: Person
) -> None:
    theirs = alice.workspace.pk
    unknown = "workspace_doesnotexist"
    for verb, body in (
        ("query", {"query": "x"}),
        ("chat", {"message": "x"}),
        ("explain", {"code": "x", "language": "python"}),
    ):
        answers = [
            charlie.api.post(
                f"/api/v1/assistant/{verb}", {**body, "workspace_id": i}, format="json"
            )
            for i in (theirs, unknown)
        ]
        assert [a.status_code for a in answers] == [404, 404]
        foreign, missing = ({**a.json(), "request_id": ""} for a in answers)
        assert foreign == missing


def _is_true(citation: dict[str, Any], workspace_id: str) -> None:
    """A citation names lines that exist, of a file that exists."""
    assert citation["workspace_id"] == workspace_id
    lines = FILES[citation["path"]].splitlines()
    assert 1 <= citation["start_line"] <= citation["end_line"] <= len(lines)
