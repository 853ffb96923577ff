"""What the accounts tables hold about a person."""

from aiassist.lib.privacy import classify

_WITH_THE_ACCOUNT = "Until the account is deleted."

classify(
    "accounts.User",
    owner="id",
    export=(
        "id",
        "email",
        "full_name",
        "preferences",
        "requests_total",
        "tokens_total",
        "is_active",
        "is_staff",
        "is_superuser",
        "date_joined",
        "last_login",
        "deleted_at",
    ),
    withheld={
        "password": "secret",
        "epoch": "internal",
        "has_provider_keys": "internal",
    },
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "accounts.ApiKey",
    owner="user",
    export=(
        "id",
        "user",
        "name",
        "prefix",
        "scopes",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
        "expiry_warned_at",
        "replaced_by",
    ),
    withheld={"digest": "secret", "pepper_version": "internal"},
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "accounts.TokenFamily",
    owner="user",
    export=(
        "id",
        "user",
        "client",
        "ip",
        "user_agent",
        "created_at",
        "rotated_at",
        "expires_at",
        "revoked_at",
    ),
    withheld={"current_jti": "secret", "previous_jti": "secret"},
    retention="60 days after the last use.",
    erase="delete",
)
classify(
    "accounts.IdempotentCall",
    owner="user",
    export=("id", "user", "state", "status", "created_at", "expires_at"),
    withheld={
        "digest": "secret",
        "fingerprint": "secret",
        "run": "internal",
        "answer": "secret",
    },
    retention="24 hours.",
    erase="delete",
)
classify(
    "accounts.AuditEvent",
    owner="subject_id",
    withheld=dict.fromkeys(
        (
            *("id", "created_at", "action", "actor_id", "subject_id", "ip"),
            *("request_id", "details"),
        ),
        "shared",
    ),
    retention="As long as the service runs: it shows who did what.",
    erase="anonymise",
)
classify(
    "accounts.DataExport",
    owner="user",
    export=("id", "user", "state", "created_at", "finished_at"),
    withheld={"body": "bulk"},
    retention="7 days.",
    erase="delete",
)
classify(
    "accounts.Webhook",
    owner="user",
    export=(
        *("id", "user", "url", "description", "event_types", "disabled_at"),
        *("disabled_reason", "previous_secret_until", "last_success_at", "created_at"),
    ),
    withheld={
        "sealed_secret": "secret",
        "previous_sealed_secret": "secret",
        "owner_to_be_told": "internal",
        "not_before": "internal",
        "failures": "internal",
    },
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "accounts.WebhookDelivery",
    owner="webhook__user",
    export=(
        *("id", "webhook", "event_id", "event_type", "data", "state", "attempts"),
        *("next_at", "sent_at", "response_status", "took_ms", "outcome"),
        *("created_at", "finished_at"),
    ),
    retention="30 days.",
    erase="delete",
)
classify(
    "accounts.GuessWindow",
    owner="",
    withheld={"key": "internal", "hits": "internal", "updated_at": "internal"},
    retention="An hour.",
    erase="keep",
)
classify(
    "account.EmailAddress",
    owner="user",
    export=("id", "user", "email", "verified", "primary"),
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "account.EmailConfirmation",
    owner="email_address__user",
    export=("id", "email_address", "created", "sent"),
    withheld={"key": "secret"},
    retention="Three days.",
    erase="delete",
)
classify(
    "socialaccount.SocialAccount",
    owner="user",
    export=(
        "id",
        "user",
        "provider",
        "uid",
        "last_login",
        "date_joined",
        "extra_data",
    ),
    retention="Until disconnected, or the account is deleted.",
    erase="delete",
)
classify(
    "socialaccount.SocialToken",
    owner="account__user",
    export=("id", "app", "account", "expires_at"),
    withheld={"token": "secret", "token_secret": "secret"},
    retention="Never stored: SOCIALACCOUNT_STORE_TOKENS is off.",
    erase="delete",
)
classify(
    "mfa.Authenticator",
    owner="user",
    export=("id", "user", "type", "created_at", "last_used_at"),
    withheld={"data": "secret"},
    retention="Until removed, or the account is deleted.",
    erase="delete",
)
classify(
    "usersessions.UserSession",
    owner="user",
    export=("id", "user", "created_at", "ip", "last_seen_at", "user_agent"),
    withheld={"session_key": "secret", "data": "internal"},
    retention="Until the session ends.",
    erase="delete",
)
classify(
    "accounts.SigningKey",
    owner="",
    withheld={"id": "internal", "sealed": "secret", "created_at": "internal"},
    retention="As long as the service runs.",
    erase="keep",
)
classify(
    "allauth_idp_oidc.Client",
    owner="",  # staff register apps for everybody; `owner` stays empty
    withheld={
        **dict.fromkeys(
            (
                *("id", "name", "scopes", "default_scopes", "type", "grant_types"),
                *("redirect_uris", "cors_origins", "allow_uri_wildcards", "owner"),
                *("response_types", "skip_consent", "created_at", "data"),
            ),
            "internal",
        ),
        "secret": "secret",
    },
    retention="Until staff remove the app.",
    erase="keep",
)
classify(
    "allauth_idp_oidc.Token",
    owner="user",
    export=("id", "user", "client", "type", "scopes", "created_at", "expires_at"),
    withheld={"hash": "secret", "data": "internal"},
    retention="30 days after the last use.",
    erase="delete",
)
