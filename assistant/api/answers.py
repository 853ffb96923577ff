"""The assistant's own wire: chat, explain, generate, complete, at both doors.

A face as those of the vendors (`assistant.faces.base`), whose requests are read by the
serializers that the API's document shows. Its streams open at once with `context`, so
that citations are there before the first word; what fails later is an `error` event.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.serializers import Serializer, ValidationError

from aiassist.api.problems import field_errors, problem_body, public_details
from aiassist.lib.errors import AppError, ValidationFailed
from aiassist.lib.request_ids import current_request_id
from aiassist.lib.sse import HEARTBEAT, event
from assistant.api.serializers import (
    ChatInput,
    CompleteInput,
    ExplainInput,
    GenerateInput,
)
from assistant.faces.base import Wanted
from assistant.gateway import prompts
from assistant.gateway.fim import Cursor
from assistant.gateway.outcome import Result
from assistant.gateway.plan import Options, naming
from assistant.gateway.turn import Turn
from assistant.providers.base import ChatMessage, Delta

Data = dict[str, Any]


class AnswerFace:
    """One of the four addresses; `prompt_of` says what is asked."""

    def __init__(
        self,
        feature: str,
        form: Serializer[Any],
        prompt_of: Callable[[Data], prompts.Prompt],
    ) -> None:
        self.feature = feature
        # One for all requests: making a serializer takes longer than a whole answer,
        # and judging a body leaves nothing in it.
        self._form = form
        self._prompt_of = prompt_of

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        """Read and judge a body. Raises ValidationFailed."""
        try:
            data = self._form.run_validation(body)
        except ValidationError as error:
            errors = list(field_errors(error.get_full_details()))
            raise ValidationFailed(errors=errors) from None
        return Wanted(
            model=data.get("model", ""),
            prompt=self._prompt_of(data),
            stream=data["stream"],
            feature=self.feature,
            **naming(data.get("workspace_ids", ()), data.get("workspace_id", "")),
            conversation_id=data.get("conversation_id", ""),
            keeps="message" in data,
            may_fall_back=data.get("fallback"),
            options=Options(
                max_tokens=data.get("max_tokens"), temperature=data.get("temperature")
            ),
        )

    def writer(self, turn: Turn, wanted: Wanted) -> "EventWriter":
        return EventWriter(turn)

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> Data:
        assert turn.result is not None
        return {
            "text": "".join(delta.text for delta in deltas),
            "citations": _citations(turn),
            "usage": turn.result.usage(),
            **_done(turn, turn.result),
        }

    def error(self, error: AppError) -> Data:
        return error_body(error, current_request_id.get())

    def status(self, error: AppError) -> int:
        return error.status


class EventWriter:
    """Writes `context`, `delta` …, `usage`, then `done` or `error`."""

    heartbeat = HEARTBEAT

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def opening(self) -> bytes:
        """The citations; `workspace_status` tells why there may be none."""
        workspace = self._turn.plan.workspace
        body = {
            "citations": _citations(self._turn),
            "conversation_id": _conversation_id(self._turn),
            "workspace_status": workspace.status if workspace else None,
        }
        return event("context", body)

    def delta(self, delta: Delta) -> bytes:
        return event("delta", {"text": delta.text}) if delta.text else b""

    def ending(self, result: Result) -> bytes:
        return self._usage() + event("done", _done(self._turn, result))

    def failure(self, error: AppError) -> bytes:
        body = error_body(error, self._turn.plan.ask.request_id)
        return self._usage() + event("error", body)

    def _usage(self) -> bytes:
        result = self._turn.result
        if result is None or not result.charged:
            return b""
        return event("usage", result.usage())


def error_body(error: AppError, request_id: str) -> Data:
    """Return the problem, also where no status line can carry it any more."""
    return problem_body(
        status=error.status,
        code=error.code,
        detail=error.sentence,
        request_id=request_id,
        extra=public_details(error),
    )


def _done(turn: Turn, result: Result) -> Data:
    return {
        "conversation_id": _conversation_id(turn),
        "message_id": result.message_id,
        "finish_reason": result.finish_reason,
    }


def _citations(turn: Turn) -> list[dict[str, object]]:
    return [passage.citation() for passage in turn.ready.assembled.passages]


def _conversation_id(turn: Turn) -> str | None:
    conversation = turn.ready.conversation
    return conversation.pk if conversation else None


def _chat(data: Data) -> prompts.Prompt:
    if "message" in data:
        return prompts.chat(data["message"])
    *history, last = (ChatMessage(m["role"], m["content"]) for m in data["messages"])
    return prompts.chat(last.content, history)


def _explain(data: Data) -> prompts.Prompt:
    return prompts.explain(data["code"], data["language"], data["question"])


def _generate(data: Data) -> prompts.Prompt:
    return prompts.generate(data["instruction"], data["language"], data["context"])


def _complete(data: Data) -> prompts.Prompt:
    cursor = Cursor(data["prefix"], data["suffix"], data["language"], data["path"])
    return prompts.complete(cursor)


CHAT = AnswerFace("basic_chat", ChatInput(), _chat)
EXPLAIN = AnswerFace("code_explanation", ExplainInput(), _explain)
GENERATE = AnswerFace("code_generation", GenerateInput(), _generate)
COMPLETE = AnswerFace("inline_completion", CompleteInput(), _complete)
