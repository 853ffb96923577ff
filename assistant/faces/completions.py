"""OpenAI's completions: a prompt to be continued, or a cursor between two texts.

The same address takes Tabby's body, so that its editor plugins work.
Sources: https://platform.openai.com/docs/api-reference/completions
https://tabby.tabbyml.com/api
"""

import time
from collections.abc import Mapping
from typing import Any

from aiassist.lib.errors import AppError, ValidationFailed
from aiassist.lib.sse import HEARTBEAT
from assistant.catalogue import AUTO
from assistant.faces import reading
from assistant.faces.base import Wanted
from assistant.faces.chat import DONE, DROPPED, usage_body
from assistant.faces.openai_errors import OpenAIErrors, data, error_body
from assistant.gateway.fim import Cursor, cursor_of
from assistant.gateway.outcome import Result
from assistant.gateway.plan import Options
from assistant.gateway.prompts import complete
from assistant.gateway.turn import Turn
from assistant.providers.base import Delta
from assistant.providers.wire import mapping

_OURS = frozenset(
    "model prompt suffix stream stream_options max_tokens temperature top_p stop n"
    " best_of echo logprobs workspace_id fallback language".split()
)
TABBY_MAX_TOKENS = 128  # a few lines: who types on waits for none of it


class CompletionsFace(OpenAIErrors):
    """`/v1/completions`. `style`: whether a usage chunk is wanted."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        for name in ("n", "best_of"):
            if body.get(name) not in (None, 1):
                raise reading.invalid(name, f"Leave '{name}' at 1.")
        if body.get("echo"):
            raise reading.invalid("echo", "The prompt is not sent back: leave it out.")
        prompt, suffix = _prompt(body.get("prompt")), reading.prose(body, "suffix")
        if not (prompt.strip() or suffix.strip()):
            raise _unreadable("'prompt' must be a text.")
        cursor = cursor_of(prompt, suffix, reading.text(body, "language"))
        stream_options = reading.mapping(body, "stream_options")
        return Wanted(
            model=reading.text(body, "model", required=True),
            feature="inline_completion",
            prompt=complete(cursor),
            stream=reading.flag(body, "stream"),
            style=reading.flag(stream_options, "include_usage"),
            workspace_id=reading.workspace(body, headers),
            may_fall_back=reading.maybe_flag(body, "fallback"),
            options=Options(
                max_tokens=reading.count(body, "max_tokens"),
                temperature=reading.number(body, "temperature", most=2),
                top_p=reading.number(body, "top_p", most=1),
                stop=reading.stops(body),
                extra={
                    key: value
                    for key, value in body.items()
                    if key not in _OURS and key not in DROPPED
                },
            ),
        )

    def writer(self, turn: Turn, wanted: Wanted) -> "CompletionWriter":
        return CompletionWriter(turn, include_usage=bool(wanted.style))

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> dict[str, Any]:
        assert turn.result is not None
        choice = _choice("".join(delta.text for delta in deltas))
        choice["finish_reason"] = turn.result.finish_reason
        return {
            **_body(turn, turn.result.model, int(time.time()), [choice]),
            "usage": usage_body(turn.result),
        }


class TabbyFace(OpenAIErrors):
    """Tabby's body and answer, never streamed."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        segments = reading.mapping(body, "segments")
        cursor = Cursor(
            prefix=reading.prose(segments, "prefix"),
            suffix=reading.prose(segments, "suffix"),
            language=reading.text(body, "language"),
            path=reading.prose(segments, "filepath")[:1024],
        )
        if not (cursor.prefix.strip() or cursor.suffix.strip()):
            raise reading.invalid("segments", "There is nothing around the cursor.")
        return Wanted(
            model=reading.text(body, "model") or AUTO,
            feature="inline_completion",
            prompt=complete(cursor),
            workspace_id=reading.workspace(body, headers),
            options=Options(
                max_tokens=TABBY_MAX_TOKENS,
                temperature=reading.number(body, "temperature", most=2),
            ),
        )

    def writer(self, turn: Turn, wanted: Wanted) -> "CompletionWriter":
        return CompletionWriter(turn, include_usage=False)

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> dict[str, Any]:
        text = "".join(delta.text for delta in deltas)
        return {"id": _id(turn), "choices": [{"index": 0, "text": text}]}


def face_of(body: object) -> CompletionsFace | TabbyFace:
    """Tell the two bodies apart."""
    return TabbyFace() if "segments" in mapping(body) else CompletionsFace()


class CompletionWriter:
    """Writes chunks that share an id, a time and a model."""

    heartbeat = HEARTBEAT

    def __init__(self, turn: Turn, *, include_usage: bool) -> None:
        self._turn = turn
        self._include_usage = include_usage
        self._created = int(time.time())

    def opening(self) -> bytes:
        return b""

    def delta(self, delta: Delta) -> bytes:
        return self._chunk([_choice(delta.text)]) if delta.text else b""

    def ending(self, result: Result) -> bytes:
        last = self._chunk([_choice("") | {"finish_reason": result.finish_reason}])
        if self._include_usage:
            last += self._chunk([], usage=usage_body(result))
        return last + DONE

    def failure(self, error: AppError) -> bytes:
        return data(error_body(error))

    def _chunk(
        self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None
    ) -> bytes:
        body = _body(self._turn, self._turn.route.offer.id, self._created, choices)
        if self._include_usage:
            body["usage"] = usage
        return data(body)


def _choice(text: str) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": None}


def _body(
    turn: Turn, model: str, created: int, choices: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": _id(turn),
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": choices,
    }


def _id(turn: Turn) -> str:
    return "cmpl-" + turn.id.removeprefix("msg_")


def _prompt(value: object) -> str:
    match value:
        case str(text) | [str(text)]:
            return text
        case [int(), *_] | [[int(), *_], *_]:
            raise _unreadable("Send the prompt as text: tokens differ between models.")
        case [_, _, *_]:
            raise _unreadable("Only one prompt is served for a request.")
    raise _unreadable("'prompt' must be a text.")


def _unreadable(detail: str) -> ValidationFailed:
    return reading.invalid("prompt", detail)
