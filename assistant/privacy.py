"""What the assistant's tables hold about a person."""

from aiassist.lib.privacy import classify

_UNTIL_DELETED = "Until the conversation or the account is deleted."

classify(
    "assistant.Conversation",
    owner="user",
    export=(
        *("id", "user", "title", "workspace_id", "workspace_ids"),
        *("created_at", "updated_at"),
    ),
    retention=_UNTIL_DELETED,
    erase="delete",
)
classify(
    "assistant.Message",
    owner="conversation__user",
    export=(
        "id",
        "conversation",
        "role",
        "content",
        "citations",
        "provider",
        "model",
        "tokens_in",
        "tokens_out",
        "cost_usd_micros",
        "finish_reason",
        "created_at",
    ),
    retention=_UNTIL_DELETED,
    erase="delete",
)
classify(
    "assistant.ProviderKey",
    owner="user",
    export=(
        *("id", "user", "provider", "base_url", "hint", "listed"),
        *("created_at", "replaced_at", "tried_at"),
    ),
    withheld={"sealed_key": "secret"},
    retention="Until the key or the account is deleted.",
    erase="delete",
)
classify(
    "assistant.SpareCalls",
    owner="user",
    export=("user", "hour_start", "used"),
    retention="Until the account is deleted.",
    erase="delete",
)
classify(
    "assistant.Upstream",
    owner="",
    withheld={
        **dict.fromkeys(
            ("id", "ai_model", "name", "provider", "upstream_name", "base_url"),
            "internal",
        ),
        **dict.fromkeys(("priority", "weight", "enabled"), "internal"),
        "sealed_key": "secret",
    },
    retention="As long as staff offer the model there.",
    erase="keep",
)
classify(
    "assistant.AIModel",
    owner="",
    withheld={
        "id": "internal",
        "provider": "internal",
        "name": "internal",
        "upstream_name": "internal",
        "context_window": "internal",
        "price_in_usd_micros": "internal",
        "price_out_usd_micros": "internal",
        "features": "internal",
        "position": "internal",
        "enabled": "internal",
    },
    retention="As long as staff offer the model.",
    erase="keep",
)
