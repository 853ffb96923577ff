"""What every face can do: read a request, write an answer, write an error.

A face knows no HTTP. The doors (`assistant.api`, `assistant.lean`) give it a parsed
body and headers, run the turn, and send what it writes.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from aiassist.lib.asgi import end_unclean
from aiassist.lib.errors import AppError
from aiassist.lib.records import record
from assistant.gateway.outcome import Result
from assistant.gateway.plan import Ask, Options
from assistant.gateway.prompts import Prompt
from assistant.gateway.turn import ReadTurn, Turn
from assistant.providers.base import ChatMessage, Delta
from assistant.providers.parts import Image, parts_of

# How long a stream may wait for its first token before its status line leaves.
HEAD_START_SECONDS = 8.0


@record(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request in a face's words, read and judged in form."""

    model: str
    prompt: Prompt
    stream: bool = False
    feature: str = "basic_chat"
    workspace_id: str = ""
    workspace_ids: tuple[str, ...] = ()  # several, in the place of one
    conversation_id: str = ""
    keeps: bool = False  # as a conversation
    may_fall_back: bool | None = None
    options: Options = Options()
    style: Any = None  # what the face itself must remember to write the answer

    def ask(self, **call: Any) -> Ask:
        """Return the question to the gateway; `call` says whose it is."""
        images = list(images_of(self.prompt.final))
        return Ask(
            **call,
            feature=self.feature,
            prompt=self.prompt,
            workspace_id=self.workspace_id,
            workspace_ids=self.workspace_ids,
            conversation_id=self.conversation_id,
            keeps=self.keeps,
            model=self.model,
            may_fall_back=self.may_fall_back,
            has_images=bool(images),
            has_image_urls=any(not image.data for image in images),
            options=self.options,
        )


class Face(Protocol):
    """One wire format of one address."""

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Wanted:
        """Read and judge a body. Raises ValidationFailed."""

    def writer(self, turn: Turn, wanted: Wanted) -> "Writer":
        """Return what writes one answer as a stream."""

    def whole(self, turn: Turn, deltas: list[Delta], wanted: Wanted) -> dict[str, Any]:
        """Return the whole answer at once."""

    def error(self, error: AppError) -> dict[str, Any]:
        """Return an error's body."""

    def status(self, error: AppError) -> int:
        """Return an error's status."""


class Writer(Protocol):
    """Writes one stream, piece by piece; each method returns bytes of it."""

    heartbeat: bytes

    def opening(self) -> bytes: ...

    def delta(self, delta: Delta) -> bytes: ...

    def ending(self, result: Result) -> bytes:
        """A clean end: the finish reason, usage, the terminator."""

    def failure(self, error: AppError) -> bytes:
        """An unclean end, which nobody can take for a clean one."""


async def written(turn: ReadTurn, writer: Writer) -> AsyncGenerator[bytes, None]:
    """Yield the answer as the face writes it.

    After a failure comes an error and no terminator, and the connection closes: a
    broken stream must not look like a whole one.
    """
    async with aclosing(turn.batches()) as batches:
        yield writer.opening()
        async for batch in batches:
            if batch is None:
                yield writer.heartbeat
            elif piece := b"".join(map(writer.delta, batch)):
                yield piece
        result = turn.result
        if result is None or result.is_unheard:
            return
        if result.error is not None:
            yield writer.failure(result.error)
            end_unclean()
        else:
            yield writer.ending(result)


def images_of(messages: tuple[ChatMessage, ...]) -> list[Image]:
    """Return the images of a prompt."""
    return [
        part
        for message in messages
        if message.wire is not None
        for part in parts_of(message)
        if isinstance(part, Image)
    ]
