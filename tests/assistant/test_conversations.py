"""A kept chat: going on with it, reading it, deleting it, and whose it is."""

from typing import Any

from tests.fakes.providers import FakeProvider, failure, openai_stream
from tests.support.people import Person

CONVERSATIONS = "/api/v1/assistant/conversations"


def chat(person: Person, **body: Any) -> Any:
    return person.api.post("/api/v1/assistant/chat", body, format="json").json()


def test_a_chat_is_kept_with_its_title_and_messages(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Like so.", usage=(10, 3)))

    done = chat(pro, message="How are retries done?\nIn detail.")
    kept = pro.api.get(f"{CONVERSATIONS}/{done['conversation_id']}").json()

    assert kept["title"] == "How are retries done?"
    question, answer = kept["messages"]
    assert (question["role"], question["content"]) == (
        "user",
        "How are retries done?\nIn detail.",
    )
    assert answer["id"] == done["message_id"]
    assert answer["content"] == "Like so."
    assert (answer["tokens_in"], answer["tokens_out"]) == (10, 3)
    assert answer["model"] == "openai/gpt-6-sol"
    assert answer["finish_reason"] == "stop"


def test_a_conversation_goes_on_with_its_history(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(openai_stream("Two."))
    first = chat(pro, message="One and one?")

    chat(pro, message="And one more?", conversation_id=first["conversation_id"])

    sent = openai.chats[1].body["messages"]
    assert [m["content"] for m in sent[1:]] == [
        "One and one?",
        "Two.",
        "And one more?",
    ]


def test_messages_of_the_caller_are_not_kept(pro: Person, openai: FakeProvider) -> None:
    messages = [
        {"role": "user", "content": "One and one?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "And one more?"},
    ]

    done = chat(pro, messages=messages)

    assert done["conversation_id"] is None
    assert openai.chats[0].body["messages"][1:] == messages
    assert pro.api.get(CONVERSATIONS).json()["results"] == []


def test_a_question_is_not_lost_when_the_provider_fails(
    pro: Person, openai: FakeProvider
) -> None:
    openai.will(failure(500))

    chat(pro, message="Precious words", model="gpt-6-sol")

    (kept,) = pro.api.get(CONVERSATIONS).json()["results"]
    messages = pro.api.get(f"{CONVERSATIONS}/{kept['id']}").json()["messages"]
    assert [m["content"] for m in messages] == ["Precious words"]


def test_the_list_is_newest_first_in_pages(alice: Person) -> None:
    for i in range(3):
        chat(alice, message=f"Question {i}")

    page = alice.api.get(CONVERSATIONS, {"page_size": 2}).json()
    rest = alice.api.get(page["next"]).json()

    assert [c["title"] for c in page["results"]] == ["Question 2", "Question 1"]
    assert [c["title"] for c in rest["results"]] == ["Question 0"]
    assert rest["next"] is None


def test_deleting_takes_the_messages_along(alice: Person) -> None:
    from assistant.models import Message  # noqa: PLC0415 - needs Django set up

    address = f"{CONVERSATIONS}/{chat(alice, message='x')['conversation_id']}"

    assert alice.api.delete(address).status_code == 204
    assert alice.api.get(address).status_code == 404
    assert not Message.objects.exists()


def test_t1_a_strangers_conversation_is_like_an_unknown_one(
    alice: Person, charlie: Person
) -> None:
    theirs = chat(alice, message="Secret?")["conversation_id"]

    for conversation_id in (theirs, "conv_doesnotexist"):
        address = f"{CONVERSATIONS}/{conversation_id}"
        assert charlie.api.get(address).status_code == 404
        assert charlie.api.delete(address).status_code == 404
        body = {"message": "x", "conversation_id": conversation_id}
        assert chat(charlie, **body)["code"] == "not_found"
    assert charlie.api.get(CONVERSATIONS).json()["results"] == []
    assert alice.api.get(f"{CONVERSATIONS}/{theirs}").status_code == 200


def test_a_deleted_conversation_does_not_break_its_answer(alice: Person) -> None:
    from assistant.conversations import keep_answer  # noqa: PLC0415
    from assistant.models import Conversation, Message  # noqa: PLC0415

    conversation = Conversation.objects.create(user=alice.user, title="x")
    answer = Message(conversation_id=conversation.pk, role="assistant", content="x")
    conversation.delete()

    keep_answer(answer)

    assert not Message.objects.exists()


def test_staff_see_that_conversations_exist_and_not_what_they_say(
    alice: Person, stella: Person
) -> None:
    conversation_id = chat(alice, message="canary-question")["conversation_id"]

    for address in (
        "/admin/assistant/conversation/",
        f"/admin/assistant/conversation/{conversation_id}/change/",
    ):
        page = stella.web.get(address)
        assert page.status_code == 200
        assert conversation_id in page.content.decode()
        assert "canary-question" not in page.content.decode()
    gone = f"/admin/assistant/conversation/{conversation_id}/delete/"
    assert stella.web.post(gone, {"post": "yes"}).status_code == 403


def test_staff_edit_the_catalogue_and_it_holds_at_once(
    stella: Person, pro: Person, openai: FakeProvider
) -> None:
    from assistant.models import AIModel  # noqa: PLC0415 - needs Django set up

    row = AIModel.objects.get(name="gpt-6-sol")
    openai.will(openai_stream("x", usage=(1_000_000, 0)))
    form = {
        "provider": row.provider,
        "name": row.name,
        "upstream_name": "renamed",
        "context_window": 1000,
        "price_in_usd_micros": "5",
        "price_out_usd_micros": "0",
        "position": 0,
        "enabled": "on",
        "upstreams-TOTAL_FORMS": 0,
        "upstreams-INITIAL_FORMS": 0,
    }

    saved = stella.web.post(f"/admin/assistant/aimodel/{row.pk}/change/", form)

    assert saved.status_code == 302, saved.content.decode()
    assert chat(pro, message="x")["usage"]["cost_usd_micros"] == 5_000_000
    assert openai.chats[0].body["model"] == "renamed"
