"""What can go wrong between a question and its answer.

AppError
├── ValidationFailed
│   ├── UnknownModel          400  no such model for this caller
│   └── UnsupportedParameter  400  the model's provider cannot do this
└── ProviderError             502  never carries what the provider said
    ├── ProviderUnavailable   502  down, unreachable or failing
    ├── ProviderBusy          503  its own limit is reached
    ├── ProviderTimeout       504  silent for too long
    ├── ProviderMalformed     502  its stream could not be read
    ├── ProviderMisconfigured 502  it refuses the operator's credential
    │   └── OwnKeyRefused     400  it refuses the user's own
    ├── ProviderResting       503  it failed so often that it is left alone
    └── ProviderRejected      400  it refuses the request itself
        └── PromptTooLong     400  for more text than the model takes

"""

from aiassist.lib.errors import (
    NotFound,
    PermissionDenied,
    ProviderError,
    TooLarge,
    ValidationFailed,
)


class UnknownModel(ValidationFailed):
    """Details: `available`, the model ids that the caller may name."""

    code = "unknown_model"
    message = "There is no such model."


class UnsupportedParameter(ValidationFailed):
    code = "unsupported_parameter"
    message = "The model's provider cannot do what a parameter asks for."


class ContextTooLarge(TooLarge):
    """Details: `limit` and `used` in tokens."""

    code = "context_too_large"
    message = "This is more text than your tier's context holds."


class ConversationNotFound(NotFound):
    message = "There is no conversation under this id."


class AccessEnded(PermissionDenied):
    """The credential behind an open stream stopped being valid."""

    code = "access_ended"
    message = "The credential of this stream is no longer valid; it was ended."


class ProviderUnavailable(ProviderError):
    code = "provider_unavailable"
    message = "The language model provider is down or failing. Try again in a moment."


class ProviderBusy(ProviderUnavailable):
    """Details may hold `retry_after_seconds`."""

    code, status = "provider_busy", 503
    message = "The language model provider takes no more requests for now."


class ProviderTimeout(ProviderUnavailable):
    """Details: `phase` (connect, first_byte, idle, total)."""

    code, status = "provider_timeout", 504
    message = "The language model provider stopped answering in time."


class ProviderMalformed(ProviderUnavailable):
    code = "provider_malformed"
    message = "The language model provider's answer broke off or could not be read."


class ProviderMisconfigured(ProviderUnavailable):
    code, permanent = "provider_misconfigured", True
    message = (
        "The language model provider refuses this installation's credential or model. "
        "The operator must correct it."
    )


class OwnKeyRefused(ProviderMisconfigured):
    code, status = "own_key_refused", 400
    message = (
        "The language model provider refuses your own key, or knows no such model. "
        "Test the key in the settings, replace it or remove it."
    )


class ProviderResting(ProviderUnavailable):
    """Details: `retry_after_seconds`."""

    code, status = "provider_resting", 503
    message = (
        "The language model provider failed several times in a row, so it is not "
        "asked for a moment. Try again then."
    )


class ProviderRejected(ProviderError):
    code, status, permanent = "provider_rejected", 400, True
    message = (
        "The language model provider refused the request as invalid. "
        "Check its parameters against what the model takes."
    )


class PromptTooLong(ProviderRejected):
    code = "prompt_too_long"
    message = (
        "This prompt is too long for the model. Send less, or name a model with a "
        "larger context."
    )
