"""The person: signs in by e-mail, owns everything else."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac

from aiassist.lib.cached_principals import end_cached_principals
from aiassist.lib.clock import now
from aiassist.lib.ids import new_id


def new_user_id() -> str:
    return new_id("user")


# Changed by F() expressions only.
_COUNTERS = {"requests_total", "tokens_total", "epoch"}


class UserManager(BaseUserManager["User"]):
    """Creates people; an address is stored in lower case."""

    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        """Save a user. Without a password only other ways in can be used."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str, password: str | None = None, **fields: Any
    ) -> "User":
        """Save a user who may do everything in the admin."""
        fields.update(is_staff=True, is_superuser=True)
        return self.create_user(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())

    def living(self) -> "QuerySet[User]":
        """Those whose account is not deleted, the disabled among them."""
        return self.filter(deleted_at__isnull=True)

    def lock(self, user_id: str) -> "User":
        """Let nobody else count or change what the user holds until the commit.

        Rows that refer to the user may come meanwhile.
        """
        return self.select_for_update(no_key=True).get(pk=user_id)

    def lock_living(self, user_ids: Iterable[str]) -> set[str]:
        """Return which of them live, none of whom is deleted before the commit."""
        locked = self.living().filter(pk__in=set(user_ids)).order_by("pk")
        return set(locked.select_for_update(no_key=True).values_list("pk", flat=True))


class User(AbstractBaseUser, PermissionsMixin):
    """A person. `epoch` rises whenever what was handed out must end."""

    id = models.CharField(
        max_length=40, primary_key=True, default=new_user_id, editable=False
    )
    email = models.EmailField(
        "e-mail address",
        max_length=254,
        unique=True,
        error_messages={"unique": "A user with this e-mail address exists."},
    )
    full_name = models.CharField(max_length=150, blank=True, default="")
    preferences = models.JSONField(default=dict, blank=True)
    requests_total = models.BigIntegerField(default=0)  # metered calls, ever
    tokens_total = models.BigIntegerField(default=0)  # in and out, ever
    # Of their own, for language model providers: so that no call has to look.
    has_provider_keys = models.BooleanField(default=False, editable=False)
    # Bumped on disable, delete, password, second factor and tier change: ends
    # access tokens, sessions and open streams.
    epoch = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(
        default=True, help_text="Untick to disable: keys and sessions stop at once."
    )
    is_staff = models.BooleanField(default=False, help_text="May open the admin.")
    date_joined = models.DateTimeField(default=timezone.now)
    # None: not deleted. Who is deleted is disabled as well, so doors ask is_active.
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["-date_joined"]
        permissions = [("impersonate_user", "Can look at the site as somebody")]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_once_any_case"),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_active=False),
                name="user_deleted_is_disabled",
                violation_error_message="A deleted user cannot be enabled.",
            ),
        ]
        indexes = [
            models.Index(fields=["-date_joined"], name="user_newest"),
            models.Index(
                fields=["deleted_at"],
                name="user_awaiting_erasure",
                condition=Q(deleted_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a changed password ends every token and every other session.

        Counters and the epoch are left out of a full update: they change in the
        database alone, and a copy read earlier must not set them back.
        """
        self.email = self.email.lower()
        if not self._state.adding and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = _SAVED_FIELDS
        # AbstractBaseUser keeps the raw password only when it was set anew; a
        # mere upgrade of the hash leaves None here.
        raw_password = getattr(self, "_password", None)
        password_changed = raw_password is not None and not self._state.adding
        with transaction.atomic():
            super().save(*args, **kwargs)
            if password_changed:
                self.end_tokens()

    def bump_epoch(self) -> None:
        """End access tokens, sessions and open streams. Refresh tokens stay."""
        User.objects.filter(pk=self.pk).update(epoch=F("epoch") + 1)
        end_cached_principals()
        self.refresh_from_db(fields=["epoch"])

    def end_tokens(self) -> None:
        """Bump the epoch and revoke refresh tokens too; API keys stay."""
        self.bump_epoch()
        self.token_families.filter(revoked_at__isnull=True).update(revoked_at=now())

    def get_full_name(self) -> str:
        return self.full_name or self.email

    def get_short_name(self) -> str:
        return self.full_name.split(" ")[0] if self.full_name else self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Django's own hash covers the password; ours the epoch as well, so that
        # a bump ends sessions. Source: django.contrib.auth.base_user.
        return salted_hmac(
            "accounts.models.User.get_session_auth_hash",
            f"{self.password}:{self.epoch}",
            secret=secret,
            algorithm="sha256",
        ).hexdigest()


_SAVED_FIELDS = frozenset(
    field.name
    for field in User._meta.concrete_fields
    if field.name not in _COUNTERS and not field.primary_key
)
