"""What the billing tables hold about a person; what goes when the person goes."""

from accounts.models import User
from aiassist.lib.privacy import classify
from aiassist.lib.redis import RedisDown
from billing.metering import windows
from billing.metering.outbox import write_everything
from billing.models import Reservation, UsageRecord

_WITH_THE_ACCOUNT = "Until the account is deleted."

classify(
    "billing.Subscription",
    owner="user",
    export=("id", "user", "tier", "starts_at", "ends_at", "reason"),
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "billing.LimitOverride",
    owner="user",
    export=("id", "user", "limits", "reason", "starts_at", "ends_at"),
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "billing.Quota",
    owner="user",
    export=("user", "hour_start", "hour_used", "day_start", "day_used"),
    withheld=dict.fromkeys(
        ("lease", "version", "losses", "block", "block_at"), "internal"
    ),
    retention=_WITH_THE_ACCOUNT,
    erase="delete",
)
classify(
    "billing.Reservation",
    owner="user",
    export=(
        "id",
        "user",
        "request_id",
        "key_id",
        "tier_code",
        "endpoint",
        "feature",
        "admitted_at",
        "expires_at",
    ),
    retention="Until the call has ended, a quarter of an hour at most.",
    erase="delete",
)
classify(
    "billing.UsageRecord",
    owner="user",
    export=(
        "id",
        "user",
        "request_id",
        "key_id",
        "workspace_id",
        "tier_code",
        "endpoint",
        "feature",
        "provider",
        "model",
        "upstream",
        "own_key",
        "fallback",
        "tokens_in",
        "tokens_out",
        "cost_usd_micros",
        "estimated",
        "status",
        "latency_ms",
        "first_token_ms",
        "admitted_at",
        "created_at",
    ),
    withheld={"reservation_id": "internal"},
    retention="Kept as the ledger; without a name once the account is deleted.",
    erase="anonymise",
)
classify(
    "billing.UsageDay",
    owner="user",
    export=(
        "user",
        "day",
        "feature",
        "provider",
        "model",
        "requests",
        "tokens_in",
        "tokens_out",
        "cost_usd_micros",
        "errors",
    ),
    withheld={"id": "internal"},
    retention="Kept as sums; without a name once the account is deleted.",
    erase="anonymise",
)
classify(
    "billing.Refusal",
    owner="user",
    export=(
        *("user", "minute", "tier_code", "feature", "provider"),
        *("reason", "n_calls", "first_at", "last_at"),
    ),
    withheld={"id": "internal"},
    retention="60 days, or until the account is deleted.",
    erase="delete",
)
for _label, _columns in (
    (
        "billing.Tier",
        (
            *("code", "name", "rank", "monthly_price_usd_micros"),
            *("requests_per_hour", "requests_per_day"),
            *("max_concurrent", "max_file_bytes", "max_storage_bytes"),
            *("max_workspaces", "max_files_per_workspace", "context_tokens"),
            *("providers", "features", "own_provider_keys"),
        ),
    ),
    ("billing.RollupMark", ("id", "read_until")),
    (
        "billing.DayTotal",
        (
            *("id", "day", "feature", "provider", "model", "requests"),
            *("tokens_in", "tokens_out", "cost_usd_micros", "errors"),
        ),
    ),
    ("billing.DaySpeed", ("id", "day", "bucket", "requests")),
):
    classify(
        _label,
        owner="",
        withheld=dict.fromkeys(_columns, "internal"),
        retention="As long as the service runs; it is about nobody.",
        erase="keep",
    )


def erase(user: User) -> int:
    """Forget whose records these were; return how many, and keys of Redis.

    Holds go first, so that no call settles under the name afterwards. Rows that
    hang on the user's own (subscriptions, quota, the rollups' link) follow it.
    """
    Reservation.objects.for_user(user.pk).delete()
    try:
        n_keys = windows.forget(user.pk)
    except RedisDown:
        n_keys = 0  # Redis holds counts only and drops them in two days
    write_everything()
    return n_keys + UsageRecord.objects.for_user(user.pk).forget_the_user()
