"""Where a user wants to hear of what happens, and each message on its way there."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q

from accounts.models.user import User
from aiassist.lib.clock import now
from aiassist.lib.ids import new_id


def new_webhook_id() -> str:
    return new_id("webhook")


def new_delivery_id() -> str:
    return new_id("delivery")


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)

    def enabled(self) -> Self:
        return self.filter(disabled_at=None)

    def free(self, moment: datetime) -> Self:
        """Enabled ones where nobody sends and that do not rest.

        By columns of their own alone: of two workers that update at once PostgreSQL
        judges these anew for the second, and not what a join would bring.
        """
        return self.enabled().filter(Q(not_before=None) | Q(not_before__lte=moment))

    def sendable(self, moment: datetime) -> Self:
        """Free ones of people who are active."""
        return self.free(moment).filter(user__is_active=True)


class Webhook(models.Model):
    """An address of a user's that is told of events (Standard Webhooks)."""

    class Disabled(models.TextChoices):
        """Why nothing is sent."""

        BY_USER = "by_user"
        GONE = "gone"  # it answered 410
        FAILING = "failing"  # nothing got through for as long as we try
        OVERFLOWING = "overflowing"  # more waits than we keep

    id = models.CharField(
        max_length=40, primary_key=True, default=new_webhook_id, editable=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)  # may hold a secret of the receiver's
    description = models.CharField(max_length=200, blank=True, default="")
    event_types = models.JSONField(default=list)  # empty: all
    sealed_secret = models.TextField()
    previous_sealed_secret = models.TextField(blank=True, default="")
    # Until when the previous secret signs, too; None: it does not.
    previous_secret_until = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)  # None: enabled
    disabled_reason = models.CharField(
        max_length=16, choices=Disabled.choices, blank=True, default=""
    )
    owner_to_be_told = models.BooleanField(default=False)  # by mail: it was disabled
    # Not to be called before: somebody sends, or it rests after a failure.
    not_before = models.DateTimeField(null=True)  # None: at once
    failures = models.PositiveIntegerField(default=0)  # since the last success
    last_success_at = models.DateTimeField(null=True)  # None: none yet
    created_at = models.DateTimeField(default=now)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(disabled_at__isnull=True, disabled_reason="")
                | Q(disabled_at__isnull=False) & ~Q(disabled_reason=""),
                name="webhook_disabled_for_a_reason",
            ),
        ]
        indexes = [models.Index(fields=["-created_at"], name="webhook_newest")]

    def __str__(self) -> str:
        return self.pk

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None

    def wants(self, event_type: str) -> bool:
        return not self.event_types or event_type in self.event_types


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def for_user(self, user: User) -> Self:
        return self.filter(webhook__user=user)

    def waiting(self) -> Self:
        return self.filter(state=WebhookDelivery.State.WAITING)

    def due(self, moment: datetime) -> Self:
        return self.waiting().filter(next_at__lte=moment)


class WebhookDelivery(models.Model):
    """One event on its way to one webhook: the truth, to which messages point.

    `attempts` is counted before each try, so that a try which killed its worker
    counts; only who counted it may write what came of it.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.CharField(
        max_length=40, primary_key=True, default=new_delivery_id, editable=False
    )
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event_id = models.CharField(max_length=40)  # `msg_…`, the same with each webhook
    event_type = models.CharField(max_length=40)
    data = models.JSONField()  # ids, states, counts and times; never contents
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.WAITING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, default=now)  # None: no more
    sent_at = models.DateTimeField(null=True)  # the last try; None: none yet
    response_status = models.PositiveSmallIntegerField(null=True)  # None: no answer
    took_ms = models.PositiveIntegerField(null=True)
    # Of the last try: `delivered`, `refused`, or the code of what went wrong.
    outcome = models.CharField(max_length=40, blank=True, default="")
    created_at = models.DateTimeField(default=now)
    finished_at = models.DateTimeField(null=True)  # None: it still waits

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "event_id"], name="webhook_event_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "delivered", "failed"]),
                name="delivery_state_known",
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "-created_at"], name="delivery_of_webhook"),
            models.Index(fields=["-created_at"], name="delivery_newest"),
            models.Index(
                fields=["webhook", "next_at"],
                name="delivery_waiting",
                condition=Q(state="waiting"),
            ),
        ]

    def __str__(self) -> str:
        return self.pk
