"""Fields that the assistant's bodies share."""

from typing import Any

from rest_framework import serializers

from assistant.faces.reading import WORKSPACE_ID

MAX_CODE_BYTES = 50_000
MAX_MESSAGE_CHARS = 400_000  # far above any tier's context, far below memory
LANGUAGE = r"^[a-zA-Z0-9_+-]+$"


class TextField(serializers.CharField):
    """Text as the user wrote it, white space included."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        kwargs.setdefault("max_length", MAX_MESSAGE_CHARS)
        super().__init__(**kwargs)


class CodeField(TextField):
    """Code of at most MAX_CODE_BYTES in UTF-8."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        n_bytes = len(text.encode())
        if n_bytes > MAX_CODE_BYTES:
            raise serializers.ValidationError(
                f"Code may have {MAX_CODE_BYTES:,} bytes in UTF-8; this has "
                f"{n_bytes:,}. Send a smaller part, or index it in a workspace.",
                code="max_bytes",
            )
        return text


class WorkspaceIdField(serializers.RegexField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(WORKSPACE_ID, max_length=64, **kwargs)


class LanguageField(serializers.RegexField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(LANGUAGE, max_length=40, **kwargs)
