"""Shapes in and out of `limits` and `usage`."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.models import FEATURES, UsageRecord
from billing.reporting.usage import DAYS


class _Output(serializers.Serializer[Any]):
    # The base of every shape out. A docstring here would be every shape's.
    pass


class TierOutput(_Output):
    code = serializers.CharField()
    name = serializers.CharField()


class WindowOutput(_Output):
    policy = serializers.ChoiceField(["hour", "day", "concurrency"])
    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    remaining = serializers.IntegerField()
    resets_at = serializers.DateTimeField(
        allow_null=True, help_text="null: when a running call ends"
    )


class OverrideOutput(_Output):
    limits = serializers.ListField(
        child=serializers.CharField(),
        source="fields",
        help_text="which limits are not the tier's own",
    )
    ends_at = serializers.DateTimeField(allow_null=True)


class LimitsOutput(_Output):
    """What the tier allows, and what is left."""

    tier = TierOutput()
    enforced = serializers.BooleanField(
        help_text="false: this server admits everything and still records it"
    )
    features = serializers.ListField(
        child=serializers.CharField(), source="tier.features"
    )
    providers = serializers.ListField(
        child=serializers.CharField(), source="tier.providers"
    )
    max_file_bytes = serializers.IntegerField(source="tier.max_file_bytes")
    max_storage_bytes = serializers.IntegerField(source="tier.max_storage_bytes")
    max_workspaces = serializers.IntegerField(source="tier.max_workspaces")
    max_files_per_workspace = serializers.IntegerField(
        source="tier.max_files_per_workspace"
    )
    context_tokens = serializers.IntegerField(source="tier.context_tokens")
    own_provider_keys = serializers.BooleanField(
        source="tier.own_provider_keys",
        help_text="May calls run on your own provider keys?",
    )
    override = OverrideOutput(
        source="tier.override",
        allow_null=True,
        help_text="Limits that staff gave you in the place of your tier's; null: none",
    )
    windows = WindowOutput(many=True)


class LimitsCheckInput(serializers.Serializer[Any]):
    """What you would like to do; leave out what does not matter."""

    feature = serializers.ChoiceField([*FEATURES, "search"], required=False)
    provider = serializers.CharField(max_length=40, required=False)
    file_bytes = serializers.IntegerField(
        min_value=0, max_value=2**53, required=False, help_text="of one file"
    )
    files = serializers.IntegerField(
        min_value=0, max_value=2**31, required=False, help_text="of one workspace"
    )
    workspaces = serializers.IntegerField(
        min_value=0, max_value=1_000_000, required=False, help_text="how many more"
    )
    storage_bytes = serializers.IntegerField(
        min_value=0, max_value=2**53, required=False, help_text="how many more"
    )
    context_tokens = serializers.IntegerField(
        min_value=0,
        max_value=2**31,
        required=False,
        help_text="of a prompt, before any code is retrieved",
    )
    own_provider_keys = serializers.BooleanField(
        default=False, help_text="may you bring keys of your own for providers?"
    )
    requests = serializers.IntegerField(
        min_value=0, max_value=1_000_000, default=1, help_text="how many calls more"
    )


class ReasonOutput(_Output):
    """A refusal, as the problem that the real call would answer."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    policy = serializers.CharField()
    scope = serializers.CharField()
    limit = serializers.JSONField()
    used = serializers.JSONField()
    resets_at = serializers.CharField(allow_null=True)
    alternatives = serializers.ListField(child=serializers.CharField())
    retry_after_seconds = serializers.IntegerField(required=False)


class LimitsCheckOutput(_Output):
    allowed = serializers.BooleanField()
    reasons = ReasonOutput(many=True)


class SumsOutput(_Output):
    requests = serializers.IntegerField()
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    cost_usd_micros = serializers.IntegerField(help_text="millionths of a US dollar")
    # DRF takes declared fields out of the class, so its own `errors` stays.
    errors = serializers.IntegerField(  # type: ignore[assignment]
        help_text="failed or abandoned calls"
    )


class SeriesPointOutput(SumsOutput):
    start = serializers.DateTimeField(help_text="of the hour or day, UTC")


class FeatureUsageOutput(SumsOutput):
    feature = serializers.CharField()


class ProviderUsageOutput(SumsOutput):
    provider = serializers.CharField()


class ModelUsageOutput(SumsOutput):
    model = serializers.CharField()


class UsageInput(serializers.Serializer[Any]):
    period = serializers.ChoiceField(
        list(DAYS),
        default="day",
        help_text="today, the last 7 or the last 30 days; whole days in UTC",
    )


class UsageOutput(_Output):
    period = serializers.ChoiceField(list(DAYS))
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="exclusive")
    totals = SumsOutput()
    series = SeriesPointOutput(many=True)
    by_feature = FeatureUsageOutput(many=True)
    by_provider = ProviderUsageOutput(many=True)
    by_model = ModelUsageOutput(many=True)


class RecordsInput(serializers.Serializer[Any]):
    """Filters of the list of records; all must fit."""

    since = serializers.DateTimeField(required=False, help_text="admitted at or after")
    until = serializers.DateTimeField(required=False, help_text="admitted before")
    feature = serializers.CharField(max_length=40, required=False)
    provider = serializers.CharField(max_length=40, required=False)
    model = serializers.CharField(max_length=120, required=False)
    workspace_id = serializers.CharField(max_length=64, required=False)
    status = serializers.ChoiceField(UsageRecord.Status.values, required=False)


class RecordOutput(serializers.ModelSerializer[UsageRecord]):
    key_id = serializers.SerializerMethodField()
    workspace_id = serializers.SerializerMethodField()
    tier = serializers.CharField(source="tier_code")

    class Meta:
        model = UsageRecord
        fields = (
            *("id", "request_id", "key_id", "workspace_id", "tier", "endpoint"),
            *("feature", "provider", "model", "tokens_in", "tokens_out"),
            *("cost_usd_micros", "estimated", "status", "latency_ms"),
            *("first_token_ms", "admitted_at", "created_at"),
            *("upstream", "own_key", "fallback"),
        )
        extra_kwargs = {
            "upstream": {"help_text": "The place that answered, where there are more."},
            "own_key": {"help_text": "Your own key for the provider paid for it."},
            "fallback": {
                "help_text": (
                    "Who answered in place of the first choice: another `upstream` of "
                    "the model, another `model`, or (`quota`) a local one because the "
                    "quota was used up."
                )
            },
        }
        read_only_fields = fields

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_key_id(self, record: UsageRecord) -> str | None:
        return record.key_id or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_workspace_id(self, record: UsageRecord) -> str | None:
        return record.workspace_id or None


class RecordPageOutput(_Output):
    results = RecordOutput(many=True)
    next = serializers.URLField(allow_null=True, help_text="null on the last page")


class FavouriteOutput(_Output):
    feature = serializers.CharField()
    requests = serializers.IntegerField()
    share = serializers.FloatField(help_text="of all requests, 0 to 1")


class BusiestHourOutput(_Output):
    hour = serializers.IntegerField(help_text="of the day in UTC, 0 to 23")
    requests = serializers.IntegerField()


class BusiestWeekdayOutput(_Output):
    weekday = serializers.CharField()
    requests = serializers.IntegerField()


class PatternsOutput(_Output):
    busiest_hours = BusiestHourOutput(many=True)
    busiest_weekday = BusiestWeekdayOutput(allow_null=True)
    peak_requests_per_hour = serializers.IntegerField()
    peak_requests_per_day = serializers.IntegerField()
    average_latency_ms = serializers.IntegerField(allow_null=True)


class RecommendationOutput(_Output):
    code = serializers.CharField(source="tier.code")
    name = serializers.CharField(source="tier.name")
    current = serializers.CharField(source="current.code")
    reason = serializers.CharField()


class InsightsOutput(_Output):
    """The last 30 days, today included."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="exclusive")
    requests = serializers.IntegerField()
    favourite_features = FavouriteOutput(many=True)
    patterns = PatternsOutput()
    recommended_tier = RecommendationOutput(source="recommended")
    savings = serializers.ListField(child=serializers.CharField())
