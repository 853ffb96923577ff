"""The chat's pages: rename, ask again, all workspaces at once."""

import pytest
from django.urls import reverse

from assistant.conversations import ask_in
from assistant.gateway.plan import ALL_WORKSPACES
from assistant.models import Conversation, Message
from workspaces.models import Workspace
from workspaces.services import create_workspace

CHAT = "/api/v1/assistant/chat"


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
    body = {"message": "Why?", "workspace_ids": [ALL_WORKSPACES]}
    answer = alice.web.post(reverse("chat:ask"), body)

    assert answer.status_code == 302
    assert [each.pk for each in searched] == [alice.workspace.pk]
    kept = Conversation.objects.for_user(alice.user).get()
    assert kept.workspace_id == ALL_WORKSPACES


def test_a_question_to_several_searches_these_and_the_chat_remembers(
    alice, monkeypatch
):
    searched: list[list[str]] = []

    def search(workspaces, **asked):
        searched.append([each.pk for each in workspaces])
        return _nothing()

    monkeypatch.setattr("assistant.gateway.plan.search", search)
    made = [create_workspace(user=alice.user, name=f"w{i}").pk for i in range(3)]
    body = {"message": "Why?", "workspace_ids": made[:2]}
    page = alice.web.post(reverse("chat:ask"), body, follow=True)

    assert searched == [made[:2]]
    assert page.text.count(" checked") == 2
    kept = Conversation.objects.for_user(alice.user).get()
    told = alice.api.get(f"/api/v1/assistant/conversations/{kept.pk}").json()
    assert (told["workspace_id"], told["workspace_ids"]) == ("", made[:2])

    more = {"message": "And?", "conversation_id": kept.pk}
    assert alice.api.post(CHAT, more, format="json").status_code == 200
    assert sorted(searched[1]) == sorted(made[:2])


def test_the_api_searches_several_and_takes_one_as_one(alice, charlie, monkeypatch):
    searched: list[list[str]] = []

    def search(workspaces, **asked):
        searched.append([each.pk for each in workspaces])
        return _nothing()

    monkeypatch.setattr("assistant.gateway.plan.search", search)
    two = [create_workspace(user=alice.user, name=f"w{i}").pk for i in range(2)]

    def status(ids):
        body = {"message": "Why?", "workspace_ids": ids}
        return alice.api.post(CHAT, body, format="json").status_code

    assert status(two) == status([*two, *two]) == status([two[0]]) == 200
    assert searched == [two, two, two[:1]]
    assert status([two[0], charlie.workspace.pk]) == 404
    assert (status([]), status(["nonsense"]), status(two * 11)) == (400, 400, 400)
    assert len(searched) == 3


def _nothing():
    class Outcome:
        hits = ()

    return Outcome()
