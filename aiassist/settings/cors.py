"""Foreign pages that may call the API: what they may send, and what they may read.

No cookie crosses: a page brings a key of its own. Preflights: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from corsheaders.defaults import default_headers

from aiassist import env

CORS_ALLOWED_ORIGINS = env.words("CORS_ORIGINS")
CORS_URLS_REGEX = r"^/(api|v1|mcp)(/|$)"
CORS_ALLOW_HEADERS = [
    *default_headers,
    "idempotency-key",
    "x-api-key",
    "x-request-id",
    "x-workspace-id",
    # Anthropic's and MCP's clients.
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    # What OpenAI's and Anthropic's packages tell of themselves.
    "x-stainless-arch",
    "x-stainless-helper-method",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-timeout",
]
CORS_EXPOSE_HEADERS = [
    "Idempotent-Replayed",
    "Mcp-Session-Id",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Fallback-From",
    "X-Model",
    "X-Own-Key",
    "X-RateLimit-Limit-Requests",
    "X-RateLimit-Remaining-Requests",
    "X-RateLimit-Reset-Requests",
    "X-Request-ID",
    "X-Upstream",
]
