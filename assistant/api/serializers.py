"""Shapes of the assistant's requests and answers."""

from typing import Any

from rest_framework import serializers

from assistant.api.fields import (
    CodeField,
    LanguageField,
    TextField,
    WorkspaceIdField,
)
from assistant.models import Conversation, Message
from workspaces.api.serializers import HitOutput, SearchInput, ServingOutput

MAX_WORKSPACES = 20  # that one question searches


class AnswerInput(serializers.Serializer[Any]):
    """What every request for an answer may say."""

    workspace_id = WorkspaceIdField(
        required=False, help_text="Retrieve code from this workspace."
    )
    workspace_ids = serializers.ListField(
        child=WorkspaceIdField(),
        required=False,
        min_length=1,
        max_length=MAX_WORKSPACES,
        help_text="Retrieve code from all of these; goes before workspace_id.",
    )
    model = serializers.CharField(
        required=False,
        max_length=200,
        help_text="One of GET /assistant/models; default: the first available.",
    )
    stream = serializers.BooleanField(
        default=False, help_text="Answer as server-sent events."
    )
    fallback = serializers.BooleanField(
        required=False,
        help_text=(
            "Let another model answer when the first is down. "
            "Default: true, unless a model is named."
        ),
    )
    max_tokens = serializers.IntegerField(
        required=False, min_value=1, max_value=1_000_000
    )
    temperature = serializers.FloatField(required=False, min_value=0, max_value=2)


class ChatMessageInput(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = TextField()


class ChatInput(AnswerInput):
    """One `message`, in a kept conversation; or `messages`, kept by the caller."""

    message = TextField(required=False)
    messages = ChatMessageInput(many=True, required=False, allow_empty=False)
    conversation_id = serializers.RegexField(r"^conv_[a-zA-Z0-9]+$", required=False)

    def validate_message(self, message: str) -> str:
        if not message.strip():
            raise serializers.ValidationError("Write a question.", code="blank")
        return message

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if ("message" in data) == ("messages" in data):
            raise serializers.ValidationError(
                {"message": "Send either message or messages."}, code="required"
            )
        if "messages" in data:
            if "conversation_id" in data:
                raise serializers.ValidationError(
                    {"conversation_id": "Goes with message, not with messages."}
                )
            if data["messages"][-1]["role"] != "user":
                raise serializers.ValidationError(
                    {"messages": "The last message must be the user's."}
                )
        return data


class ExplainInput(AnswerInput):
    code = CodeField()
    language = LanguageField()
    question = TextField(required=False, default="", allow_blank=True, max_length=2000)


class GenerateInput(AnswerInput):
    instruction = TextField(max_length=8000)
    language = LanguageField()
    # DRF keeps its own mapping under this name; the metaclass takes the field away.
    context = CodeField(  # type: ignore[assignment]
        required=False, default="", allow_blank=True
    )

    def validate_instruction(self, instruction: str) -> str:
        if not instruction.strip():
            raise serializers.ValidationError("Say what to write.", code="blank")
        return instruction


class CompleteInput(AnswerInput):
    prefix = CodeField(allow_blank=True)
    suffix = CodeField(required=False, default="", allow_blank=True)
    language = LanguageField()
    path = TextField(required=False, default="", allow_blank=True, max_length=1024)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if not data["prefix"].strip() and not data["suffix"].strip():
            raise serializers.ValidationError(
                {"prefix": "There is nothing around the cursor."}, code="blank"
            )
        return data


class QueryInput(SearchInput):
    workspace_id = WorkspaceIdField(
        required=False, help_text="Default: all of your workspaces."
    )


class AssistantHitOutput(HitOutput):
    workspace_id = serializers.CharField()


class QueryOutput(serializers.Serializer[Any]):
    results = AssistantHitOutput(many=True)
    took_ms = serializers.IntegerField()
    indexes = serializers.DictField(
        child=ServingOutput(),
        help_text="How much of each workspace's index could be searched, by its id.",
    )


class CitationOutput(serializers.Serializer[Any]):
    n = serializers.IntegerField(help_text="What the answer cites: [1], [2], …")
    workspace_id = serializers.CharField()
    path = serializers.CharField()
    start_line = serializers.IntegerField()
    end_line = serializers.IntegerField()
    symbol = serializers.CharField()
    score = serializers.FloatField()
    sha256 = serializers.CharField()
    changed = serializers.BooleanField(
        help_text="The file holds these lines no more: it was changed since."
    )


class AnswerUsageOutput(serializers.Serializer[Any]):
    tokens_in = serializers.IntegerField()
    tokens_out = serializers.IntegerField()
    cost_usd_micros = serializers.IntegerField()
    estimated = serializers.BooleanField()
    provider = serializers.CharField()
    model = serializers.CharField()
    fallback_from = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="Models that were tried before and failed.",
    )
    upstream = serializers.CharField(
        required=False, help_text="The place that answered, of a model with several."
    )
    own_key = serializers.BooleanField(
        required=False, help_text="Your own key for the provider paid for it."
    )


class AnswerOutput(serializers.Serializer[Any]):
    text = serializers.CharField()
    citations = CitationOutput(many=True)
    usage = AnswerUsageOutput()
    conversation_id = serializers.CharField(allow_null=True)
    message_id = serializers.CharField()
    finish_reason = serializers.CharField()


class AIModelOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    provider = serializers.CharField()
    name = serializers.CharField()
    context_window = serializers.IntegerField(
        help_text="Tokens of prompt and answer together, as your tier allows."
    )
    price_in_usd_micros = serializers.IntegerField(
        help_text="Micro-dollars for a million input tokens."
    )
    price_out_usd_micros = serializers.IntegerField(
        help_text="Micro-dollars for a million output tokens."
    )
    features = serializers.ListField(child=serializers.CharField())
    default = serializers.BooleanField(help_text="Answers when no model is named.")


class AIModelsOutput(serializers.Serializer[Any]):
    results = AIModelOutput(many=True)


class ConversationOutput(serializers.ModelSerializer[Conversation]):
    class Meta:
        model = Conversation
        fields = [
            *("id", "title", "workspace_id", "workspace_ids"),
            *("created_at", "updated_at"),
        ]


class MessageOutput(serializers.ModelSerializer[Message]):
    citations = CitationOutput(many=True)

    class Meta:
        model = Message
        fields = [
            "id",
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
        ]


class ConversationDetailOutput(ConversationOutput):
    messages = MessageOutput(many=True)

    class Meta(ConversationOutput.Meta):
        fields = [*ConversationOutput.Meta.fields, "messages"]


class ConversationPageOutput(serializers.Serializer[Any]):
    results = ConversationOutput(many=True)
    next = serializers.URLField(allow_null=True)
