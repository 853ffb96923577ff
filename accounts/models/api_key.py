"""An API key: what we keep of a secret that was shown once."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Q

from accounts.models.user import User
from aiassist.lib.clock import now
from aiassist.lib.ids import new_id

# How long before its end a key counts as ending soon, and its owner is told.
EXPIRY_NOTICE = timedelta(days=14)


def new_key_id() -> str:
    return new_id("key")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)

    def usable(self, at: datetime | None = None) -> Self:
        """Keys neither revoked nor expired."""
        return self.filter(revoked_at__isnull=True).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=at or now())
        )

    def ending_before(self, moment: datetime) -> Self:
        """Usable ones that expire before `moment` and have no successor."""
        return self.usable().filter(expires_at__lt=moment, replaced_by__isnull=True)


class ApiKey(models.Model):
    """A user's key. The secret itself is never stored."""

    id = models.CharField(
        max_length=40, primary_key=True, default=new_key_id, editable=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, db_index=True)  # the secret's first 12
    digest = models.CharField(max_length=64)  # HMAC-SHA256 of the secret, hex
    pepper_version = models.CharField(max_length=16)  # names the pepper, not holds it
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField(null=True, blank=True)  # None: never
    last_used_at = models.DateTimeField(null=True, blank=True)  # exact to a minute
    revoked_at = models.DateTimeField(null=True, blank=True)  # None: in use
    # When its owner was last told that it ends soon; None: never.
    expiry_warned_at = models.DateTimeField(null=True, blank=True)
    replaced_by = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="replaces"
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["-created_at"], name="api_key_newest")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_usable(self, at: datetime | None = None) -> bool:
        """Whether it is neither revoked nor expired."""
        moment = at or now()
        return self.revoked_at is None and (
            self.expires_at is None or self.expires_at > moment
        )

    @property
    def ends_soon(self) -> bool:
        """Whether it is usable and expires within two weeks, without a successor."""
        return (
            self.expires_at is not None
            and self.replaced_by_id is None
            and self.is_usable()
            and not self.is_usable(now() + EXPIRY_NOTICE)
        )

    @property
    def status(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.is_usable() else "expired"
