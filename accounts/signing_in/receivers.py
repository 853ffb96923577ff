"""What allauth tells us. Between our own apps we call functions instead.

The receivers listen to the rows rather than to allauth's own signals, which come
after the commit: the act and its audit event stay in one transaction.
"""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_changed, user_signed_up
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from accounts import audit
from accounts.models import ApiKey, TokenFamily, User
from aiassist.lib.cached_principals import end_cached_principals


@receiver(post_save, sender=Authenticator)
def on_second_factor_added(
    instance: Authenticator, created: bool, **kwargs: Any
) -> None:
    if created:
        _second_factor_changed(instance, "second_factor.added")


@receiver(post_delete, sender=Authenticator)
def on_second_factor_removed(instance: Authenticator, **kwargs: Any) -> None:
    _second_factor_changed(instance, "second_factor.removed")


@receiver(post_save, sender=SocialAccount)
def on_provider_connected(
    instance: SocialAccount, created: bool, **kwargs: Any
) -> None:
    if created:
        _provider_changed(instance, "provider.connected")


@receiver(post_delete, sender=SocialAccount)
def on_provider_disconnected(instance: SocialAccount, **kwargs: Any) -> None:
    _provider_changed(instance, "provider.disconnected")


@receiver([post_save, post_delete], sender=ApiKey)
@receiver([post_save, post_delete], sender=TokenFamily)
@receiver([post_save, post_delete], sender=User)
def on_credential_changed(created: bool = False, **kwargs: Any) -> None:
    """End what Redis has cached, also after an edit in the admin."""
    if not created:
        end_cached_principals()


@receiver(user_signed_up)
def on_signed_up(request: HttpRequest, user: User, **kwargs: Any) -> None:
    audit.record("user.signed_up", actor=user, subject=user, request=request)


@receiver(user_logged_out)
def on_logged_out(request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    if user is not None:
        audit.record("logout", actor=user, subject=user, request=request)


@receiver(email_changed)
def on_email_changed(
    request: HttpRequest, user: User, to_email_address: EmailAddress, **kwargs: Any
) -> None:
    audit.record(
        "email.changed",
        actor=user,
        subject=user,
        request=request,
        address_id=to_email_address.pk,
    )


def _second_factor_changed(authenticator: Authenticator, action: str) -> None:
    """End tokens and other sessions; the session that did it lives on."""
    user = User.objects.filter(pk=authenticator.user_id).first()
    if user is None or user.deleted_at is not None:
        return
    request = context.request
    with transaction.atomic():
        user.end_tokens()
        audit.record(
            action,
            actor=_actor(request, user),
            subject=user,
            request=request,
            kind=str(authenticator.type),
        )
    if request is not None and request.user == user:
        update_session_auth_hash(request, user)


def _provider_changed(account: SocialAccount, action: str) -> None:
    user = User.objects.filter(pk=account.user_id).first()
    if user is None or user.deleted_at is not None:
        return
    request = context.request
    audit.record(
        action,
        actor=_actor(request, user),
        subject=user,
        request=request,
        provider=account.provider,
    )


def _actor(request: HttpRequest | None, user: User) -> User:
    """Return who is signed in, such as a member of staff, else the user."""
    current = getattr(request, "user", None)
    return current if isinstance(current, User) else user
