"""Shapes in and out of the import from git."""

from typing import Any

from rest_framework import serializers

from workspaces.git.sources import MAX_TOKEN_CHARS
from workspaces.git.wire import MAX_URL_CHARS

Shape = serializers.Serializer[Any]


class ImportInput(Shape):
    url = serializers.CharField(
        max_length=MAX_URL_CHARS, help_text="The repository's https:// address."
    )
    ref = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=255,
        help_text="A branch, a tag or a commit's id; empty: the default branch.",
    )
    token = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=MAX_TOKEN_CHARS,
        help_text="Reads a private repository. Left out: the one kept for this "
        "address; empty: forget it.",
    )
    username = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=100,
        help_text="Where the host wants one beside the token.",
    )
    every_hours = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=24 * 31,
        help_text="Import again so often; null: when asked or pushed only.",
    )

    def validate_token(self, token: str) -> str:
        if not token.isascii() or not token.isprintable() or " " in token:
            raise serializers.ValidationError("This can be no token.")
        return token

    def validate_username(self, username: str) -> str:
        if not username.isascii() or not username.isprintable() or ":" in username:
            raise serializers.ValidationError("This can be no user name of a host.")
        return username


class ImportOutput(Shape):
    url = serializers.CharField()
    ref = serializers.CharField(allow_blank=True)
    username = serializers.CharField(allow_blank=True)
    has_token = serializers.BooleanField()
    every_hours = serializers.IntegerField(allow_null=True)
    next_at = serializers.DateTimeField(allow_null=True)
    commit = serializers.CharField(
        allow_blank=True, help_text="The one whose files are here; empty: none yet."
    )
    imported_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(
        allow_blank=True, help_text="Of the last try; empty: it went well."
    )
    has_hook = serializers.BooleanField()


class HookOutput(Shape):
    url = serializers.CharField()
    secret = serializers.CharField(help_text="Shown once.")


class PushOutput(Shape):
    outcome = serializers.CharField(
        help_text="`accepted`, `pong`, or why nothing follows."
    )
