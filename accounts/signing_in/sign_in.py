"""Sign in without a browser: a password, then the second factor where there is one."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth import authenticate
from django.core import signing
from django.db import transaction
from django.http import HttpRequest

from accounts import audit
from accounts.errors import (
    UNREADABLE_FACTOR,
    SecondFactorRequired,
    WrongLogin,
    WrongSecondFactor,
)
from accounts.models import User
from accounts.signing_in import guessing, tokens
from accounts.signing_in.adapters import note_failed_sign_in
from aiassist.lib.vault import SealBroken

CHALLENGE_SECONDS = 300
_SALT = "accounts.second-factor-challenge"
_CODE_TYPES = (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES)


def sign_in_with_password(
    *, email: str, password: str, code: str, request: HttpRequest
) -> tokens.TokenPair:
    """Return tokens for a confirmed address and its password.

    Raises TooManyAttempts, WrongLogin (the same for every reason),
    SecondFactorRequired with a challenge when a code is needed and `code` is "",
    WrongSecondFactor.
    """
    user = _check_password(email, password, request)
    if not _has_second_factor(user):
        return _issue(user, request)
    if code:
        return _sign_in_with_code(user, code, request)
    raise SecondFactorRequired(
        challenge=signing.dumps({"user": user.pk, "epoch": user.epoch}, salt=_SALT),
        methods=["totp", "recovery_code"],
        expires_in=CHALLENGE_SECONDS,
    )


def answer_challenge(
    *, challenge: str, code: str, request: HttpRequest
) -> tokens.TokenPair:
    """Return tokens for a challenge and the code that answers it.

    Raises TooManyAttempts, WrongSecondFactor.
    """
    try:
        claims = signing.loads(challenge, salt=_SALT, max_age=CHALLENGE_SECONDS)
    except signing.BadSignature as error:
        raise WrongSecondFactor(
            "This challenge is not valid any more. Send address and password again."
        ) from error
    user = User.objects.filter(
        pk=claims["user"], epoch=claims["epoch"], is_active=True
    ).first()
    if user is None:
        raise WrongSecondFactor
    return _sign_in_with_code(user, code, request)


def _check_password(email: str, password: str, request: HttpRequest) -> User:
    with guessing.attempt(email, request) as attempt:
        # Django's backend hashes for unknown addresses too, so time tells nothing.
        user = authenticate(request, email=email, password=password)
        if not isinstance(user, User) or not _may_sign_in(user):
            note_failed_sign_in(email, request)
            raise WrongLogin
        attempt.succeed()
    return user


def _may_sign_in(user: User) -> bool:
    confirmed = EmailAddress.objects.filter(user=user, verified=True).exists()
    return confirmed and user.is_active


def _has_second_factor(user: User) -> bool:
    # A passkey cannot be used here; its holder answers with a recovery code.
    types = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
    factors = Authenticator.objects.filter(user=user, type__in=types)
    return bool(factors.exists())


def _sign_in_with_code(user: User, code: str, request: HttpRequest) -> tokens.TokenPair:
    with guessing.attempt(user.pk, request) as attempt:
        try:
            is_right = _spend_code(user, code)
        except SealBroken as error:
            raise WrongSecondFactor(UNREADABLE_FACTOR) from error
        if not is_right:
            audit.record(
                "second_factor.failed", actor=None, subject=user, request=request
            )
            raise WrongSecondFactor
        attempt.succeed()
    return _issue(user, request)


def _spend_code(user: User, code: str) -> bool:
    """Tell whether the code is right, once. Raises SealBroken."""
    for factor in Authenticator.objects.filter(user=user, type__in=_CODE_TYPES):
        if factor.wrap().validate_code(code):
            factor.record_usage()
            return True
    return False


def _issue(user: User, request: HttpRequest) -> tokens.TokenPair:
    with transaction.atomic():
        pair = tokens.sign_in(user, request)
        audit.record("login", actor=user, subject=user, request=request, kind="jwt")
    return pair
