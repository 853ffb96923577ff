"""allauth's forms with our fields and our counters."""

from typing import Any

from allauth.account.forms import ChangePasswordForm as AllauthChangePasswordForm
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.core import context
from allauth.mfa.base.forms import (
    AuthenticateForm,
    BaseAuthenticateForm,
    ReauthenticateForm,
)
from django import forms
from django.contrib.auth.hashers import make_password
from django.core.validators import ProhibitNullCharactersValidator
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse

from accounts import audit
from accounts.errors import UNREADABLE_FACTOR
from accounts.models import User
from accounts.signing_in import guessing
from aiassist.lib.errors import TooManyAttempts
from aiassist.lib.vault import SealBroken

TOO_MANY = "Too many wrong tries. Wait five minutes, then try again."


class SignupForm(AllauthSignupForm):
    """Address, password and a name to be called by."""

    account_already_exists: bool  # allauth's: somebody has the address
    full_name = forms.CharField(
        label="Full name",
        max_length=150,
        required=False,
        validators=[ProhibitNullCharactersValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    field_order = ["full_name", "email", "password1"]

    def signup(self, request: HttpRequest, user: User) -> None:
        """Keep the name; allauth calls this after it saved the user."""
        user.full_name = self.cleaned_data["full_name"]
        user.save(update_fields=["full_name"])

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """Save, or answer a taken address as if it were free."""
        if self.account_already_exists:
            # Hashing is what takes long; without it the clock would tell.
            make_password(self.cleaned_data.get("password1"))
        saved: tuple[User | None, HttpResponse | None]
        try:
            with transaction.atomic():
                saved = super().try_save(request)
        except IntegrityError:
            # The same form sent twice at one time: the address is taken by now.
            self.account_already_exists = True
            saved = super().try_save(request)
        return saved


class ChangePasswordForm(AllauthChangePasswordForm):
    """Guessing at the current password counts like guessing at the login."""

    def clean_oldpassword(self) -> str:
        try:
            with guessing.attempt(self.user.email, context.request) as attempt:
                password: str = super().clean_oldpassword()
                attempt.succeed()
                return password
        except TooManyAttempts as error:
            raise forms.ValidationError(TOO_MANY) from error


class _CountedCode(BaseAuthenticateForm):
    """A code of the second factor, wrong ones counted per account and address."""

    user: User

    def clean_code(self) -> str:
        try:
            with guessing.attempt(self.user.pk, context.request) as attempt:
                code: str = super().clean_code()
                attempt.succeed()
                return code
        except TooManyAttempts as error:
            raise forms.ValidationError(TOO_MANY) from error
        except SealBroken as error:
            raise forms.ValidationError(UNREADABLE_FACTOR) from error

    def _emit_authentication_failed(self, authenticator: Any) -> None:
        super()._emit_authentication_failed(authenticator)
        audit.record(
            "second_factor.failed",
            actor=None,
            subject=self.user,
            request=context.request,
        )


class SecondFactorForm(_CountedCode, AuthenticateForm):
    """At sign-in."""


class SecondFactorAgainForm(_CountedCode, ReauthenticateForm):
    """Before a sensitive change."""
