"""What the OpenAPI document says as a whole: how to begin, its parts, its refusals."""

from typing import Any

from aiassist.api.problems import CONTENT_TYPE, problem_body

OVERVIEW = """
A self-hosted backend for an AI coding assistant: put code into a workspace, search it,
and ask about it. The guides are at [/guides/](/guides/); begin with the
[quickstart](/guides/quickstart/).

**Credentials.** An API key (*Dashboard → API keys*) as `Authorization: Bearer aia_…` or
as `X-API-Key`; or a JWT of `POST /api/v1/auth/token`; or an app's access token. What a
key may do is limited by its scopes, which each operation names. Ids are opaque; another
user's id answers exactly like an unknown one, with 404.

**Lists** come in pages: follow `next` until it is `null`; `page_size` is 50, up to 200.
Times are RFC 3339 in UTC.

**Errors** are [problems](/guides/errors/) (RFC 9457): decide by `code`, show `detail`.
Under `/v1` they have OpenAI's shape, under `/v1/messages` Anthropic's. Every answer has
an `X-Request-ID` to quote.

**Limits.** Metered answers tell what is left in `x-ratelimit-*-requests`,
`RateLimit-Policy` and `RateLimit`; a 429 says in `Retry-After` when to try again. More:
[limits](/guides/limits/).

**Retries.** Send a POST with an `Idempotency-Key`, and you may
[send it again](/guides/retries/).
""".strip()

TAGS = {
    "Assistant": "Answers about code, streamed or at once, and kept conversations.",
    "Search": "Passages of one workspace that answer a question.",
    "Workspaces": "Isolated bodies of code.",
    "Files and sync": "Getting code in: archives, single files, syncs of what changed.",
    "Import from git": "Workspaces that follow a repository on a git host.",
    "Index jobs": "How far an index is.",
    "OpenAI-compatible": "For clients that speak OpenAI's wire formats.",
    "Anthropic-compatible": "For clients that speak Anthropic's messages.",
    "Tabby-compatible": "For Tabby's editor plugins.",
    "Authentication": "Tokens for an address and a password.",
    "Account": "Profile, sign-ins, a copy of your data, its end.",
    "API keys": "Keys, shown once, with scopes and an end.",
    "Provider keys": "Your own keys for language model providers.",
    "Webhooks": "A server of yours, told of events.",
    "Limits": "What your tier allows, and what is left.",
    "Usage": "What was used: sums, single calls, and what they tell.",
}

_NAMES = {
    400: (
        "Invalid",
        "validation_failed",
        "The request is not valid; `errors` names the fields to correct.",
    ),
    401: (
        "NotAuthenticated",
        "invalid_credential",
        "No credential, or one that is unknown, expired or revoked.",
    ),
    403: (
        "Forbidden",
        "scope_missing",
        "The credential lacks the scope, or the tier lacks the feature.",
    ),
    404: ("NotFound", "not_found", "Nothing of yours has this id."),
    409: (
        "InProgress",
        "idempotency_in_progress",
        "A request with the same Idempotency-Key is still running.",
    ),
    413: ("TooLarge", "too_large", "More than the address or your tier takes."),
    415: ("MediaType", "unsupported_media_type", "Not a media type that is taken."),
    422: (
        "KeyReused",
        "idempotency_key_reused",
        "The Idempotency-Key was sent with another request.",
    ),
    429: (
        "TooMany",
        "quota_exceeded",
        "A window of your tier is used up, or calls came too fast: see `Retry-After`.",
    ),
    502: (
        "ProviderFailed",
        "provider_error",
        "The language model provider failed. Nothing was charged.",
    ),
    503: (
        "Unavailable",
        "service_unavailable",
        "Something behind is away. Nothing was lost: try again after `Retry-After`.",
    ),
    504: (
        "ProviderSilent",
        "provider_timeout",
        "The language model provider said nothing in time. Nothing was charged.",
    ),
}
_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": "string", "nullable": True}
_FIELD_ERRORS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"field": _TEXT, "code": _TEXT, "detail": _TEXT},
        "required": ["field", "code", "detail"],
    },
    "description": "Of a failed validation: what is wrong with which field.",
}
_SHAPES: dict[str, dict[str, Any]] = {
    "Problem": {
        "type": "object",
        "description": (
            "RFC 9457. A refusal by a limit has the members from `policy` on; what "
            "else a code carries is told at /guides/errors/."
        ),
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "For people."},
            "code": {"type": "string", "description": "For programs; stable."},
            "request_id": _TEXT,
            "errors": _FIELD_ERRORS,
            "policy": {"type": "string", "description": "Which limit: `hour`, `day` …"},
            "scope": _TEXT,
            "limit": {"description": "A number, or what is allowed instead."},
            "used": {"description": "A number, or what was asked for."},
            "resets_at": {**_TEXT_OR_NULL, "format": "date-time"},
            "alternatives": {"type": "array", "items": _TEXT},
        },
        "required": ["type", "title", "status", "detail", "code", "request_id"],
    },
    "OpenAIError": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": _TEXT,
                    "type": _TEXT,
                    "param": _TEXT_OR_NULL,
                    "code": _TEXT_OR_NULL,
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
    "AnthropicError": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["error"]},
            "error": {
                "type": "object",
                "properties": {"type": _TEXT, "message": _TEXT, "code": _TEXT},
                "required": ["type", "message"],
            },
            "request_id": _TEXT,
        },
        "required": ["type", "error", "request_id"],
    },
}


def refusal(path: str, status: int) -> dict[str, str]:
    """Return where the document tells of this refusal, in the shape of its face."""
    return {"$ref": f"#/components/responses/{_shape_of(path)}{_NAMES[status][0]}"}


def _shape_of(path: str) -> str:
    if path.startswith("/v1/messages"):
        return "AnthropicError"
    return "OpenAIError" if path.startswith("/v1") else "Problem"


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add what no single operation tells; a hook of drf-spectacular."""
    result["info"]["description"] = OVERVIEW
    result["tags"] = [{"name": k, "description": v} for k, v in TAGS.items()]
    components = result["components"]
    components["schemas"] |= _SHAPES
    components["responses"] = {
        f"{shape}{name}": _response(shape, status, code, told)
        for shape in _SHAPES
        for status, (name, code, told) in _NAMES.items()
    }
    return result


def _response(shape: str, status: int, code: str, told: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{shape}"}}
    if shape == "Problem":
        content["example"] = problem_body(
            status=status, code=code, detail=told, request_id="req_8sKq2"
        )
    media_type = CONTENT_TYPE if shape == "Problem" else "application/json"
    return {"description": told, "content": {media_type: content}}
