"""A chat, kept so that it can be gone on with."""

from __future__ import annotations

from functools import partial
from typing import Self

from django.conf import settings
from django.db import models

from accounts.models import User
from aiassist.lib.ids import new_id


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class Conversation(models.Model):
    """One chat of one user. Deleting it deletes its messages."""

    id = models.CharField(
        primary_key=True,
        max_length=40,
        default=partial(new_id, "conv"),
        editable=False,
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="conversations"
    )
    title = models.CharField(max_length=120)  # the first question, shortened
    # Not a foreign key: a conversation outlives its workspace.
    workspace_id = models.CharField(max_length=64, blank=True)
    workspace_ids = models.JSONField(default=list, blank=True)  # several; else empty
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["user", "-created_at"], name="conversation_user_newest"
            ),
            models.Index(fields=["-created_at"], name="conversation_newest"),
        ]

    def __str__(self) -> str:
        return self.id


class MessageQuerySet(models.QuerySet["Message"]):
    def for_user(self, user: User) -> Self:
        return self.filter(conversation__user=user)


class Message(models.Model):
    """One turn of a conversation; an answer carries its citations and its cost."""

    id = models.CharField(
        primary_key=True,
        max_length=40,
        default=partial(new_id, "msg"),
        editable=False,
    )
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, related_name="messages"
    )
    role = models.CharField(
        max_length=10, choices=[("user", "User"), ("assistant", "Assistant")]
    )
    content = models.TextField()
    citations = models.JSONField(default=list, blank=True)  # see Passage.citation()
    provider = models.CharField(max_length=20, blank=True)
    model = models.CharField(max_length=120, blank=True)
    tokens_in = models.PositiveIntegerField(default=0)
    tokens_out = models.PositiveIntegerField(default=0)
    cost_usd_micros = models.PositiveBigIntegerField(default=0)
    # stop, length, content_filter, cancelled, error; "" for a question
    finish_reason = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(
                fields=["conversation", "created_at"], name="message_in_order"
            ),
        ]

    def __str__(self) -> str:
        return self.id
