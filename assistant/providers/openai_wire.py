"""OpenAI's stream for clients of the same wire: passed on without being decoded.

Only the frames that end an answer (its finish reason, its usage, an error) are read.
Inside JSON every quote of a text is escaped, so that the marks looked for here can
only be real members.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiassist.lib.egress import Answer
from assistant.errors import ProviderMalformed
from assistant.providers.base import Delta
from assistant.providers.wire import MAX_LINE_BYTES, require_type

# A frame with one of these is decoded; `null` members are in every frame.
_SPECIAL = re.compile(
    rb'"finish_reason"\s*:\s*"|"usage"\s*:\s*\{|"error"\s*:\s*[{"]|\[DONE\]'
)
# The first thing that is said: until then another try is possible.
_SAYS = re.compile(
    rb'"(?:content|reasoning_content|reasoning|refusal|name|arguments)"\s*:\s*"[^"]'
)
_FRAME_END = re.compile(rb"\r?\n\r?\n")


async def frames(answer: Answer) -> AsyncGenerator[tuple[bytes, bool], None]:
    """Yield whole frames: many undecoded ones at once, or one that must be decoded.

    Raises ProviderMalformed for a frame that never ends.
    """
    require_type(answer, "text/event-stream")
    rest = b""
    async with aclosing(answer.chunks()) as chunks:
        async for chunk in chunks:
            data = rest + chunk if rest else chunk
            if data.endswith(b"\n\n"):
                whole, rest = data, b""
            else:
                end = data.rfind(b"\n\n") + 2
                if end < 2:
                    end = _last_end(data)
                whole, rest = data[:end], data[end:]
                if len(rest) > MAX_LINE_BYTES:
                    raise ProviderMalformed
            if not whole:
                continue
            if not _SPECIAL.search(whole):
                yield whole, False
                continue
            for frame in _FRAME_END.split(whole):
                if frame.strip():
                    yield frame + b"\n\n", bool(_SPECIAL.search(frame))
    if rest.strip():  # some servers leave out the blank line after the last event
        yield rest.rstrip() + b"\n\n", True


def _last_end(data: bytes) -> int:
    """Return where the last whole frame ends, for servers that write \\r\\n."""
    end = data.rfind(b"\r\n\r\n")
    return end + 4 if end >= 0 else 0


class Opening:
    """Holds back the frames before the first word."""

    def __init__(self) -> None:
        self._held = b""
        self._has_said = False

    def feed(self, frame: bytes) -> Delta | None:
        """Return what may be shown; None while nothing is said."""
        if self._has_said:
            return Delta(wire=frame)
        self._held += frame
        if len(self._held) > MAX_LINE_BYTES:
            raise ProviderMalformed
        if not _SAYS.search(self._held):
            return None
        self._has_said = True
        held, self._held = self._held, b""
        return Delta(wire=held)


def data_of(frame: bytes) -> bytes:
    """Return the data of one frame."""
    lines = (line.rstrip(b"\r") for line in frame.split(b"\n"))
    parts = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(parts)
