"""The chat's pages where little is asked, said or left."""

import pytest
from django.urls import reverse

from assistant import views
from assistant.conversations import TITLE_CHARS, ask_in, title_of
from assistant.models import Conversation

CITED = {
    "n": 1,
    "workspace_id": "workspace_1",
    "path": "src/a.py",
    "start_line": 3,
    "end_line": 9,
}


@pytest.fixture
def asked(alice):
    return ask_in(user=alice.user, conversation=None, question="One", workspace_id="")


def test_an_empty_question_is_asked_for_and_costs_nothing(alice):
    page = alice.web.post(reverse("chat:ask"), {"message": "  "}, follow=True)

    assert "Write a question first." in page.text
    assert not Conversation.objects.exists()


def test_the_title_is_in_the_form_that_changes_it(alice, asked):
    page = alice.web.get(reverse("chat:rename", args=[asked.pk]))

    assert page.context["form"].initial == {"title": "One"}
    kept = alice.web.post(reverse("chat:rename", args=[asked.pk]), {"title": " "})
    assert kept.context["form"].errors
    assert Conversation.objects.get(pk=asked.pk).title == "One"


def test_a_conversation_is_deleted_by_a_post_only(alice, asked):
    address = reverse("chat:delete", args=[asked.pk])

    assert alice.web.get(address).status_code == 200
    assert Conversation.objects.exists()
    alice.web.post(address)
    assert not Conversation.objects.exists()


def test_places_that_were_not_cited_stay_text(alice, asked):
    asked.messages.create(
        role="assistant",
        content="See `src/a.py:3-9`, `src/other.py:1-2`, [1] and [7].",
        citations=[CITED],
    )

    shown = alice.web.get(reverse("chat:conversation", args=[asked.pk])).text

    assert 'src/a.py/?start=3&amp;end=9#L3"' in shown
    assert "<code>src/other.py:1-2</code>" in shown
    assert "[7]" in shown


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("", "Untitled"),
        ("\n  How?  \nMore", "How?"),
        ("word " * 100, None),
        ("x" * 500, None),
    ],
)
def test_a_title_is_the_first_line_cut_at_a_word(question, title):
    made = title_of(question)

    assert title is None or made == title
    assert len(made) <= TITLE_CHARS + 1
    if title is None:
        assert made.endswith("…")
        assert not made.removesuffix("…").endswith((" ", "wor"))


def test_every_conversation_is_found_again_by_its_title(alice, charlie, asked):
    ask_in(user=alice.user, conversation=None, question="Two birds", workspace_id="")
    page = reverse("chat:every")

    def shown(person, **query):
        return [row.title for row in person.web.get(page, query).context["page"]]

    assert shown(alice) == ["Two birds", "One"]
    assert shown(alice, q="BIRDS two") == ["Two birds"]
    assert shown(alice, q="three") == shown(charlie) == []


def test_a_long_conversation_shows_its_end_first_and_the_rest_when_asked(
    alice, asked, monkeypatch
):
    monkeypatch.setattr(views, "MESSAGES_SHOWN", 2)
    for n in range(3):
        asked.messages.create(role="assistant", content=f"Answer {n}")
    address = reverse("chat:conversation", args=[asked.pk])

    def told(query):
        page = alice.web.get(address + query)
        return [each.message.content for each in page.context["shown"]], page.text

    newest, text = told("")
    assert newest == ["Answer 1", "Answer 2"]
    assert "Show what was said before" in text
    assert told("?all")[0] == ["One", "Answer 0", "Answer 1", "Answer 2"]
