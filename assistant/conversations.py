"""The verbs of a chat that is kept."""

from collections.abc import Sequence

from django.db import transaction

from accounts.models import User
from aiassist.lib import clock
from assistant.errors import ConversationNotFound
from assistant.models import Conversation, Message
from assistant.providers.base import ChatMessage

TITLE_CHARS = 80
_REMEMBERED = 100  # messages; the context's size usually cuts far earlier


def get_conversation(user: User, conversation_id: str) -> Conversation:
    """Return the user's conversation. Raises ConversationNotFound."""
    try:
        return Conversation.objects.for_user(user).get(pk=conversation_id)
    except Conversation.DoesNotExist:
        raise ConversationNotFound from None


def history_of(conversation: Conversation) -> list[ChatMessage]:
    """Return what was said, oldest first, without empty answers."""
    newest = conversation.messages.order_by("-created_at", "-id")[:_REMEMBERED]
    return [
        ChatMessage("assistant" if row.role == "assistant" else "user", row.content)
        for row in reversed(newest)
        if row.content
    ]


@transaction.atomic
def ask_in(
    *,
    user: User,
    conversation: Conversation | None,
    question: str,
    workspace_id: str,
    workspace_ids: Sequence[str] = (),
) -> Conversation:
    """Keep the question, in a new conversation where there is none yet."""
    if conversation is None:
        conversation = Conversation.objects.create(
            user=user,
            title=title_of(question),
            workspace_id=workspace_id,
            workspace_ids=list(workspace_ids),
        )
    conversation.messages.create(role="user", content=question)
    Conversation.objects.filter(pk=conversation.pk).update(updated_at=clock.now())
    return conversation


def keep_answer(answer: Message) -> None:
    """Keep the answer, unless its conversation was deleted meanwhile."""
    with transaction.atomic():
        alive = Conversation.objects.select_for_update().filter(
            pk=answer.conversation_id
        )
        if alive.update(updated_at=clock.now()):
            answer.save(force_insert=True)


def rename_conversation(conversation: Conversation, title: str) -> None:
    """Give it another title; when it was last used stays as it is."""
    Conversation.objects.filter(pk=conversation.pk).update(title=title_of(title))


@transaction.atomic
def take_back_last(conversation: Conversation) -> str:
    """Remove the last question with its answer; return the question, "" for none."""
    Conversation.objects.select_for_update().get(pk=conversation.pk)
    asked = conversation.messages.filter(role="user").order_by("-created_at", "-id")
    last = asked.first()
    if last is None:
        return ""
    conversation.messages.filter(created_at__gte=last.created_at).delete()
    return last.content


def delete_conversation(conversation: Conversation) -> None:
    """Remove it with its messages. Usage records stay: they hold no text."""
    conversation.delete()


def title_of(question: str) -> str:
    """Return the question's first line, shortened at a word."""
    lines = question.strip().splitlines() or ["Untitled"]
    line = " ".join(lines[0].split()) or "Untitled"
    if len(line) <= TITLE_CHARS:
        return line
    return line[:TITLE_CHARS].rsplit(" ", 1)[0][:TITLE_CHARS] + "…"
