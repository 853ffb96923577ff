"""What the accounts app refuses, and why."""

from aiassist.lib.errors import (
    AppError,
    Conflict,
    InvalidCredential,
    LimitRefused,
    PermissionDenied,
)


class MalformedCredential(InvalidCredential):
    """Hostile or broken header: told apart from a wrong key for the caller's sake."""

    code = "malformed_credential"
    message = (
        "This credential is not an API key or token of ours: it has the wrong form. "
        "Copy it again in full, without quotes or line breaks."
    )


class AmbiguousCredential(InvalidCredential):
    code, status = "ambiguous_credential", 400
    message = (
        "The request carries two different credentials. Send the API key in "
        "'Authorization: Bearer' or in 'X-API-Key', not different ones in both."
    )


class WrongLogin(InvalidCredential):
    """The same for a wrong password, an unknown, unverified or disabled account."""

    code = "wrong_login"
    message = (
        "The e-mail address or the password is wrong, or the address has not been "
        "confirmed yet. Check both, or follow the link in the confirmation mail."
    )


UNREADABLE_FACTOR = (
    "The secret of this second factor cannot be read any more: the site's key was "
    "replaced. Ask its staff to remove the factor."
)


class SecondFactorRequired(InvalidCredential):
    """Details: challenge (a token), methods, expires_in."""

    code = "second_factor_required"
    message = (
        "This account has a second factor. Send the request again with 'challenge' "
        "and 'code' (from the authenticator app, or a recovery code)."
    )


class WrongSecondFactor(InvalidCredential):
    code = "wrong_second_factor"
    message = "The code is wrong or was used already. Try the next one."


class TokenReplayed(InvalidCredential):
    code = "token_replayed"
    message = (
        "This refresh token was used already, so all tokens of this sign-in are "
        "revoked. Sign in again."
    )


class ScopeNotYours(PermissionDenied):
    """Details: scopes."""

    code = "scope_not_yours"
    message = "A key cannot hand out scopes that it does not have itself."


class UnknownScope(AppError):
    """Details: scopes."""

    code = "unknown_scope"
    message = "There is no such scope."


class TooManyKeys(LimitRefused):
    """Details: limit."""

    code = "too_many_keys"
    message = "You have as many API keys as one account may. Revoke one first."


class TooManyWebhooks(LimitRefused):
    """Details: limit."""

    code = "too_many_webhooks"
    message = "You have as many webhooks as one account may. Remove one first."


class IdempotencyKeyInvalid(AppError):
    code = "bad_idempotency_key"
    message = "An Idempotency-Key has 1 to 255 visible ASCII characters, no spaces."


class IdempotencyKeyReused(AppError):
    code, status = "idempotency_key_reused", 422
    message = (
        "This Idempotency-Key was sent with another request (address, body or a "
        "credential with other scopes). Use a new key for a new request."
    )


class IdempotencyInProgress(Conflict):
    """Details: `retry_after_seconds`."""

    code, permanent = "idempotency_in_progress", False
    message = "The request with this Idempotency-Key is still running. Ask again soon."


class IdempotentAnswerLost(Conflict):
    code = "idempotent_answer_lost"
    message = (
        "The request with this Idempotency-Key was carried out, but its answer broke "
        "off or was too large to be kept. Use a new key to make it again."
    )
