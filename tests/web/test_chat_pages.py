"""The chat's pages: rename, ask again, all workspaces at once."""

import pytest
from django.urls import reverse

from assistant.conversations import ask_in
from assistant.gateway.plan import ALL_WORKSPACES
from assistant.models import Conversation, Message
from workspaces.models import Workspace
from workspaces.services import create_workspace


@pytest.fixture
def asked(alice):
    found = ask_in(user=alice.user, conversation=None, question="One", workspace_id="")
    found.messages.create(role="assistant", content="First **answer**")
    found.messages.create(role="user", content="Two")
    found.messages.create(role="assistant", content="Second")
    return found


def test_a_conversation_gets_another_title(alice, asked):
    alice.web.post(reverse("chat:rename", args=[asked.pk]), {"title": "Limits"})

    assert Conversation.objects.get(pk=asked.pk).title == "Limits"


def test_asking_again_takes_the_last_question_back(alice, asked):
    told = alice.web.post(reverse("chat:retry", args=[asked.pk])).json()
    left = Message.objects.for_user(alice.user).values_list("content", flat=True)

    assert told["question"] == "Two"
    assert list(left) == ["One", "First **answer**"]


def test_there_may_be_nothing_to_take_back(alice):
    empty = Conversation.objects.create(user=alice.user, title="Empty")

    told = alice.web.post(reverse("chat:retry", args=[empty.pk])).json()
    assert told["question"] == ""


@pytest.mark.parametrize("name", ["chat:rename", "chat:retry"])
def test_t1_a_conversation_is_its_owners(charlie, asked, name):
    address = reverse(name, args=[asked.pk])

    assert charlie.web.post(address, {"title": "x"}).status_code == 404
    assert Message.objects.filter(conversation=asked).count() == 4


def test_an_answer_can_be_copied_as_it_was_written(alice, asked):
    shown = alice.web.get(reverse("chat:conversation", args=[asked.pk])).text

    assert 'data-copy-value="First **answer**"' in shown
    assert shown.count("data-retry") == 1


def test_all_workspaces_are_offered_once_there_are_two(alice):
    page = reverse("chat:home")
    assert alice.workspace and ALL_WORKSPACES not in alice.web.get(page).text
    create_workspace(user=alice.user, name="second")

    assert ALL_WORKSPACES in alice.web.get(page).text


def test_t6_a_question_to_all_searches_ones_own_alone(alice, charlie, monkeypatch):
    searched: list[Workspace] = []

    def search(workspaces, **asked):
        searched.extend(workspaces)
        return _nothing()

    monkeypatch.setattr("assistant.gateway.plan.search", search)
    for owner in (alice, charlie):
        Workspace.objects.filter(pk=owner.workspace.pk).update(
            last_generation=1, generation=1
        )
    body = {"message": "Why?", "workspace_id": ALL_WORKSPACES}
    answer = alice.web.post(reverse("chat:ask"), body)

    assert answer.status_code == 302
    assert [each.pk for each in searched] == [alice.workspace.pk]
    kept = Conversation.objects.for_user(alice.user).get()
    assert kept.workspace_id == ALL_WORKSPACES


def _nothing():
    class Outcome:
        hits = ()

    return Outcome()
