"""Examples that the API reference shows."""

from drf_spectacular.utils import OpenApiExample

_NONE = {
    "requests": 0,
    "tokens_in": 0,
    "tokens_out": 0,
    "cost_usd_micros": 0,
    "errors": 0,
}
_SOME = {
    "requests": 12,
    "tokens_in": 9400,
    "tokens_out": 2100,
    "cost_usd_micros": 4710,
    "errors": 1,
}

LIMITS = OpenApiExample(
    "The free tier, a little used",
    response_only=True,
    value={
        "tier": {"code": "free", "name": "Free"},
        "enforced": True,
        "features": ["basic_chat", "code_explanation"],
        "providers": ["extractive", "ollama"],
        "max_file_bytes": 1048576,
        "max_storage_bytes": 209715200,
        "max_workspaces": 5,
        "max_files_per_workspace": 20000,
        "context_tokens": 4000,
        "own_provider_keys": False,
        "override": None,
        "windows": [
            {
                "policy": "hour",
                "limit": 50,
                "used": 12,
                "remaining": 38,
                "resets_at": "2026-11-23T13:00:00Z",
            },
            {
                "policy": "day",
                "limit": 200,
                "used": 31,
                "remaining": 169,
                "resets_at": "2026-11-24T00:00:00Z",
            },
            {
                "policy": "concurrency",
                "limit": 4,
                "used": 1,
                "remaining": 3,
                "resets_at": None,
            },
        ],
    },
)

WISH = OpenApiExample(
    "Five calls that generate code with OpenAI",
    request_only=True,
    value={"feature": "code_generation", "provider": "openai", "requests": 5},
)

REFUSED_WISH = OpenApiExample(
    "The tier lacks the feature",
    response_only=True,
    value={
        "allowed": False,
        "reasons": [
            {
                "type": "/guides/errors/#feature_not_in_tier",
                "title": "Forbidden",
                "status": 403,
                "detail": "Your tier 'free' does not include the feature "
                "'code_generation'; the tier 'pro' does.",
                "code": "feature_not_in_tier",
                "policy": "features",
                "scope": "user",
                "limit": ["basic_chat", "code_explanation"],
                "used": "code_generation",
                "resets_at": None,
                "alternatives": [
                    "Use one of: basic_chat, code_explanation.",
                    "Move to the tier 'pro'.",
                ],
            }
        ],
    },
)

USAGE = OpenApiExample(
    "A week, of which two days are shown",
    response_only=True,
    value={
        "period": "week",
        "start": "2026-11-17T00:00:00Z",
        "end": "2026-11-24T00:00:00Z",
        "totals": _SOME,
        "series": [
            {"start": "2026-11-22T00:00:00Z", **_NONE},
            {"start": "2026-11-23T00:00:00Z", **_SOME},
        ],
        "by_feature": [{"feature": "basic_chat", **_SOME}],
        "by_provider": [{"provider": "openai", **_SOME}],
        "by_model": [{"model": "gpt-5-mini", **_SOME}],
    },
)

INSIGHTS = OpenApiExample(
    "Somebody who works in the afternoon",
    response_only=True,
    value={
        "start": "2026-10-25T00:00:00Z",
        "end": "2026-11-24T00:00:00Z",
        "requests": 60,
        "favourite_features": [
            {"feature": "basic_chat", "requests": 45, "share": 0.75},
            {"feature": "search", "requests": 15, "share": 0.25},
        ],
        "patterns": {
            "busiest_hours": [{"hour": 14, "requests": 22}],
            "busiest_weekday": {"weekday": "monday", "requests": 31},
            "peak_requests_per_hour": 46,
            "peak_requests_per_day": 58,
            "average_latency_ms": 1840,
        },
        "recommended_tier": {
            "code": "pro",
            "name": "Pro",
            "current": "free",
            "reason": "Your busiest hour had 46 requests, your busiest day 58: close "
            "to what 'free' allows; 'pro' holds 500 an hour and 2000 a day.",
        },
        "savings": [],
    },
)
