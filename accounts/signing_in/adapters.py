"""Where allauth asks us: addresses, guessing, the audit log, social sign-in."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers import registry
from allauth.socialaccount.providers.base import Provider
from allauth.socialaccount.providers.openid_connect.provider import (
    OpenIDConnectProvider,
)
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.forms import ValidationError
from django.http import Http404, HttpRequest
from django.urls import reverse

from accounts import audit
from accounts.models import User
from accounts.signing_in import guessing
from aiassist.lib.client_ip import client_ip
from aiassist.lib.errors import TooManyAttempts
from aiassist.lib.vault import seal, unseal

SECOND_FACTOR = "second factor"  # what its secrets are sealed for


class AccountAdapter(DefaultAccountAdapter):
    """Signing in, and what belongs to it."""

    def get_client_ip(self, request: HttpRequest) -> str:
        # A Unix socket has no address, and allauth's columns want one.
        return client_ip(request) or "0.0.0.0"

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """Do nothing: people sign in by their address."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return whom the password opens; each wrong try is counted."""
        try:
            with guessing.attempt(credentials.get("email", ""), request) as attempt:
                user: User | None = super().authenticate(request, **credentials)
                if user is not None:
                    attempt.succeed()
                return user
        except TooManyAttempts as error:
            refusal: ValidationError = self.validation_error("too_many_login_attempts")
            raise refusal from error

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        note_failed_sign_in(credentials.get("email", ""), request)

    def login(self, request: HttpRequest, user: User) -> None:
        """Open the session and say so in the audit log, both or neither."""
        with transaction.atomic():
            super().login(request, user)
            audit.record("login", actor=user, subject=user, request=request)

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Make the address the user's own; False when somebody else has it by now."""
        try:
            with transaction.atomic():
                confirmed: bool = super().confirm_email(request, email_address)
                return confirmed
        except IntegrityError:
            self.add_message(
                request,
                messages.ERROR,
                "account/messages/email_confirmation_failed.txt",
                {"email": email_address.email},
            )
            return False

    def set_password(self, user: User, password: str) -> None:
        """Change the password: ends tokens and other sessions, is audited."""
        with transaction.atomic():
            super().set_password(user, password)
            audit.record(
                "password.changed", actor=user, subject=user, request=context.request
            )


class SocialAdapter(DefaultSocialAccountAdapter):
    """A person is (provider, subject); an address alone opens nothing."""

    def populate_user(
        self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]
    ) -> User:
        """Take over address and name."""
        user: User = super().populate_user(request, sociallogin, data)
        name = data.get("name") or " ".join(
            part for part in (data.get("first_name"), data.get("last_name")) if part
        )
        user.full_name = name.replace("\x00", "")[:150]
        return user

    def get_provider(
        self, request: HttpRequest, provider: str, client_id: str | None = None
    ) -> Provider:
        """Return the provider. Raises Http404 for one that is not switched on.

        Whom it once opened an account for still sees it there, to disconnect it.
        """
        try:
            found: Provider = super().get_provider(request, provider, client_id)
        except SocialApp.DoesNotExist:
            if request.path != reverse("socialaccount_connections"):
                raise Http404 from None
            kind = registry.get_class(provider) or OpenIDConnectProvider
            found = kind(request, app=SocialApp(provider=provider, name=provider))
        return found

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        """Never: an unverified address would hand over somebody's account."""
        return False


class SecondFactorAdapter(DefaultMFAAdapter):
    """Keeps authenticator secrets sealed, so that a dump opens no account."""

    def encrypt(self, text: str) -> str:
        return seal(text, purpose=SECOND_FACTOR)

    def decrypt(self, encrypted_text: str) -> str:
        """Raises SealBroken when the key that sealed it is gone."""
        return unseal(encrypted_text, purpose=SECOND_FACTOR)


def note_failed_sign_in(email: str, request: HttpRequest | None) -> None:
    """Audit a wrong password. An address nobody has is not written down."""
    user = User.objects.filter(email=email.strip().lower()).first()
    audit.record(
        "login.failed",
        actor=None,
        subject=user if user is not None else "",
        request=request,
    )
