"""The one family of errors. Raise low, catch at the door.

Each has a stable `code`, an HTTP status, a sentence for people and details for
machines. `permanent` tells a worker whether trying again could help. The doors
render the same object as problem+json (RFC 9457), OpenAI's or Anthropic's shape.
"""

from typing import ClassVar


class AppError(Exception):
    """A failure we show on purpose: a code, a sentence, details."""

    code: ClassVar[str] = "app_error"
    status: ClassVar[int] = 400
    message: ClassVar[str] = "That did not work."
    permanent: ClassVar[bool] = True  # False: the same call may succeed later

    def __init__(self, message: str = "", **details: object) -> None:
        super().__init__(message or self.message)
        self.details = details

    @property
    def sentence(self) -> str:
        """What a person is told; never holds a secret, a prompt or code."""
        return str(self.args[0])


class ValidationFailed(AppError):
    """`errors`: a list of {field, code, detail}."""

    code, status = "validation_failed", 400
    message = "Some fields are not valid. Correct them and send the request again."


class UnreadableBody(AppError):
    code, status = "unreadable_body", 400
    message = "The body could not be read; check that it is valid and complete."


class NotAuthenticated(AppError):
    code, status = "not_authenticated", 401
    message = "Send an API key in 'Authorization: Bearer' or 'X-API-Key', or sign in."


class InvalidCredential(AppError):
    code, status = "invalid_credential", 401
    message = (
        "This credential is not valid: unknown, expired or revoked. "
        "Create a new API key in the dashboard."
    )


class PermissionDenied(AppError):
    code, status = "permission_denied", 403
    message = "You may not do this."


class ScopeMissing(PermissionDenied):
    code = "scope_missing"
    message = "This API key lacks the scope for this call."


class NotFound(AppError):
    """Also what a stranger sees: a foreign id answers like an unknown one."""

    code, status = "not_found", 404
    message = "There is nothing here under this id."


class Conflict(AppError):
    code, status = "conflict", 409
    message = "This conflicts with what is there already."


class LimitRefused(AppError):
    """A refusal by a limit.

    Details: policy, scope, limit, used, resets_at (RFC 3339 or None),
    alternatives (sentences naming what the caller can do).
    """

    code, status = "limit_refused", 403


class QuotaExceeded(LimitRefused):
    """Details hold `retry_after_seconds` too."""

    code, status, permanent = "quota_exceeded", 429, False
    message = "Your tier's requests for this window are used up."


class TooManyAttempts(LimitRefused):
    """Details hold `retry_after_seconds` too."""

    code, status, permanent = "too_many_attempts", 429, False
    message = "Too many attempts. Wait a little and try again."


class FeatureNotInTier(LimitRefused):
    code = "feature_not_in_tier"
    message = "Your tier does not include this feature."


class ProviderNotInTier(LimitRefused):
    code = "provider_not_in_tier"
    message = "Your tier does not include this provider."


class TooLarge(LimitRefused):
    code, status = "too_large", 413
    message = "This is larger than your tier allows."


class StorageExceeded(LimitRefused):
    code, status = "storage_exceeded", 413
    message = "Your tier's storage is full. Delete files or workspaces to make room."


class ServiceUnavailable(AppError):
    """A part of ours is away; the same call may succeed soon."""

    code, status, permanent = "service_unavailable", 503, False
    message = "A part of the service is away. Try again in a moment."


class ProviderError(AppError):
    """A language model provider failed; never carries its raw answer."""

    code, status, permanent = "provider_error", 502, False
    message = "The language model provider failed. Try again in a moment."
