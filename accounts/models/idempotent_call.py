"""A call that was made under an `Idempotency-Key`, and what was answered."""

from typing import Self

from django.conf import settings
from django.db import models

from accounts.models.user import User
from aiassist.lib import clock


class IdempotentCallQuerySet(models.QuerySet["IdempotentCall"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class IdempotentCall(models.Model):
    """One key of one user. The answer is sealed with the key, which is not kept."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        LOST = "lost"  # it had its effect, and its answer could not be kept whole

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="idempotent_calls"
    )
    digest = models.CharField(max_length=64)  # of the key, under our own secret
    fingerprint = models.CharField(max_length=64)  # of what was asked
    run = models.CharField(max_length=32)  # names who may write the answer
    state = models.CharField(max_length=10, choices=State.choices)
    status = models.PositiveSmallIntegerField(default=0)  # HTTP; 0: none yet
    answer = models.TextField(blank=True, default="")  # sealed: headers and body
    created_at = models.DateTimeField(default=clock.now)
    expires_at = models.DateTimeField()  # after it the key may be used anew

    objects = IdempotentCallQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "digest"], name="idempotency_key_once"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["running", "done", "lost"]),
                name="idempotent_state_known",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="idempotent_by_expiry")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.digest[:8]}"
