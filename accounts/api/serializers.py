"""Shapes in and out of /auth, /me and /keys."""

import json
from datetime import datetime
from typing import Any

from rest_framework import serializers

from accounts.keys import LONGEST_LIFETIME
from accounts.models import ApiKey
from accounts.scopes import ALL_SCOPES
from aiassist.lib.clock import now

MAX_PREFERENCES_BYTES = 16 * 1024


class TokenInput(serializers.Serializer[Any]):
    """Address and password; or the challenge of a 401 and the code."""

    email = serializers.EmailField(required=False, max_length=254)
    password = serializers.CharField(
        required=False, max_length=1024, trim_whitespace=False, write_only=True
    )
    challenge = serializers.CharField(
        required=False,
        max_length=1024,
        help_text="From the `challenge` of a 401 `second_factor_required`.",
    )
    code = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=32,
        help_text="From the authenticator app, or a recovery code.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "challenge" in attrs:
            if not attrs["code"]:
                raise serializers.ValidationError(
                    {"code": "Send the code together with the challenge."}
                )
            return attrs
        missing = [name for name in ("email", "password") if not attrs.get(name)]
        if missing:
            raise serializers.ValidationError(
                {name: "This field is required." for name in missing}, code="required"
            )
        return attrs


class TokenOutput(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="JWT, 24 hours.")
    refresh = serializers.CharField(help_text="JWT, 30 days, for one use.")
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds the access token lives.")


class RefreshInput(serializers.Serializer[Any]):
    refresh = serializers.CharField(max_length=4096)


class RevokeInput(serializers.Serializer[Any]):
    token = serializers.CharField(
        required=False,
        max_length=4096,
        help_text="The refresh or the access token of a sign-in.",
    )
    refresh = serializers.CharField(
        required=False, max_length=4096, help_text="Another name of `token`."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(
                {"token": "This field is required."}, code="required"
            )
        return attrs


class MeOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    email = serializers.EmailField()
    full_name = serializers.CharField()
    preferences = serializers.DictField()
    requests_total = serializers.IntegerField(help_text="Metered calls, ever.")
    tokens_total = serializers.IntegerField(help_text="Tokens in and out, ever.")
    date_joined = serializers.DateTimeField()


class MeInput(serializers.Serializer[Any]):
    full_name = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=150,
    )
    preferences = serializers.DictField(required=False)

    def validate_preferences(self, value: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(value)
        if len(text.encode()) > MAX_PREFERENCES_BYTES:
            raise serializers.ValidationError("Preferences hold at most 16 KiB.")
        if "\\u0000" in text:
            raise serializers.ValidationError("Null characters are not allowed.")
        return value


class SignInOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    kind = serializers.ChoiceField(choices=["browser", "token", "app"])
    app = serializers.CharField(
        help_text="The connected app's name; empty for browsers and passwords."
    )
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField(help_text="Exact to a minute.")
    is_current = serializers.BooleanField()


class SignInListOutput(serializers.Serializer[Any]):
    results = SignInOutput(many=True)
    next = serializers.CharField(allow_null=True)


class ExportOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    state = serializers.ChoiceField(choices=["queued", "ready", "failed"])
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    contents = serializers.DictField(
        source="unpack", allow_null=True, help_text="null until the state is ready."
    )


class _ScopesField(serializers.ListField):
    child = serializers.ChoiceField(choices=sorted(ALL_SCOPES))


class KeyInput(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scopes = _ScopesField(
        required=False,
        allow_empty=False,
        help_text="At most the asking credential's. Default: all but account.",
    )
    expires_at = serializers.DateTimeField(
        required=False, help_text="Default: in 365 days; at most ten years from now."
    )

    def validate_expires_at(self, value: datetime) -> datetime:
        if value <= now():
            raise serializers.ValidationError("This time has passed.")
        if value > now() + LONGEST_LIFETIME:
            raise serializers.ValidationError("A key lives ten years at most.")
        return value


class KeyChangeInput(KeyInput):
    """Every field may be left out."""

    name = serializers.CharField(
        required=False,
        max_length=100,
    )


class KeyOutput(serializers.ModelSerializer[ApiKey]):
    status = serializers.ChoiceField(
        choices=["active", "expired", "revoked"], read_only=True
    )
    replaced_by = serializers.CharField(
        source="replaced_by_id", allow_null=True, read_only=True
    )

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "name",
            "prefix",
            "scopes",
            "status",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
            "replaced_by",
        ]
        read_only_fields = fields


class NewKeyOutput(KeyOutput):
    """The one answer that holds the secret."""

    key = serializers.CharField(read_only=True, help_text="Shown once; keep it safe.")

    class Meta(KeyOutput.Meta):
        fields = [*KeyOutput.Meta.fields, "key"]
        read_only_fields = fields
