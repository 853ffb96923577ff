"""A user's own key for a provider: it pays for their calls there."""

from __future__ import annotations

from functools import partial
from typing import Self

from django.conf import settings
from django.db import models

from accounts.models import User
from aiassist.lib import clock
from aiassist.lib.ids import new_id


class ProviderKeyQuerySet(models.QuerySet["ProviderKey"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)


class ProviderKey(models.Model):
    """One key of one user for one provider, sealed for the host it was given for."""

    id = models.CharField(
        primary_key=True,
        max_length=40,
        default=partial(new_id, "pkey"),
        editable=False,
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="provider_keys"
    )
    provider = models.CharField(max_length=20)
    base_url = models.CharField(max_length=300)
    sealed_key = models.TextField()
    hint = models.CharField(max_length=8)  # the key's end, to tell it from others
    # What the address listed when it was tried last; offered where it is not the
    # vendor's own, of whose models the catalogue knows.
    listed = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    replaced_at = models.DateTimeField(null=True)  # None: still the first
    tried_at = models.DateTimeField(null=True)  # None: never, since it was given

    objects = ProviderKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "provider"], name="provider_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.provider}"
