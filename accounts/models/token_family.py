"""A sign-in by token: one chain of refresh tokens, of which only the last is good.

Those of a connected app are opaque and allauth's (accounts.identity.grants), those
of a password are JWTs (accounts.signing_in.tokens).
"""

from typing import Self

from django.db import models

from accounts.models.user import User
from aiassist.lib.clock import now
from aiassist.lib.ids import new_id


def new_family_id() -> str:
    return new_id("family")


class TokenFamilyQuerySet(models.QuerySet["TokenFamily"]):
    def for_user(self, user: User) -> Self:
        return self.filter(user=user)

    def living(self) -> Self:
        """Neither revoked nor expired."""
        return self.filter(revoked_at__isnull=True, expires_at__gt=now())


class TokenFamily(models.Model):
    """One sign-in of a client, until it is revoked or expires."""

    id = models.CharField(
        max_length=40, primary_key=True, default=new_family_id, editable=False
    )
    user = models.ForeignKey(User, models.CASCADE, related_name="token_families")
    client = models.ForeignKey(
        "allauth_idp_oidc.Client", models.CASCADE, null=True, related_name="+"
    )  # the app; None: signed in by password
    # Of the one good refresh token; an app's is a digest, "" until it got a token.
    current_jti = models.CharField(max_length=64)
    previous_jti = models.CharField(max_length=64, blank=True, default="")
    rotated_at = models.DateTimeField(default=now)  # when current_jti was issued
    expires_at = models.DateTimeField()  # of the current refresh token
    created_at = models.DateTimeField(default=now)
    revoked_at = models.DateTimeField(null=True, blank=True)  # None: alive
    ip = models.GenericIPAddressField(null=True, blank=True)  # where it signed in
    user_agent = models.CharField(max_length=200, blank=True, default="")

    objects = TokenFamilyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["-created_at"], name="token_family_newest")]
        verbose_name_plural = "token families"

    def __str__(self) -> str:
        return self.pk
