"""OpenAI's stream for clients of the same wire: passed on without being decoded.

Only the frames that end an answer (its finish reason, its usage, an error) are read.
Inside JSON every quote of a text is escaped, so that the marks looked for here can
only be real members.
"""

import re
from collections.abc import Callable
from typing import Any

from assistant.errors import ProviderMalformed
from assistant.providers.base import Delta
from assistant.providers.wire import MAX_LINE_BYTES, parse_object

# A frame with one of these is decoded; `null` members are in every frame. Alternatives
# that begin alike (with a quote) would take more than twice the time.
_SPECIAL = re.compile(
    rb'finish_reason"\s*:\s*"|usage"\s*:\s*\{|error"\s*:\s*[{"]|\[DONE\]'
)
# The first thing that is said: until then another try is possible.
_SAYS = re.compile(
    rb'"(?:content|reasoning_content|reasoning|refusal|name|arguments)"\s*:\s*"[^"]'
)
_FRAME_END = re.compile(rb"\r?\n\r?\n")


class Relay:
    """Cuts a stream into deltas; before the first word its frames are held back.

    `read` decodes a frame that ends the answer. Raises ProviderMalformed for a frame
    that never ends, and for a long stream that never says anything.
    """

    special, says, max_bytes = _SPECIAL, _SAYS, MAX_LINE_BYTES

    def __init__(self, read: Callable[[dict[str, Any]], Delta]) -> None:
        self.is_over = self.has_finished = False  # [DONE] came; a reason to end came
        self._read = read
        self._rest = self._held = b""
        self._has_said = False

    def feed(self, chunk: bytes) -> list[Delta]:
        """Return what is whole now: many frames at once, unless one must be read."""
        data = self._rest + chunk if self._rest else chunk
        if data.endswith(b"\n\n"):
            self._rest = b""
        else:
            end = data.rfind(b"\n\n") + 2
            if end < 2:
                end = _last_end(data)
            data, self._rest = data[:end], data[end:]
            if len(self._rest) > self.max_bytes:
                raise ProviderMalformed
            if not data:
                return []
        return self._plain(data) if not self.special.search(data) else self._each(data)

    def end(self) -> list[Delta]:
        """Return the last one: some servers leave out the blank line after it."""
        return self._special(self._rest) if self._rest.strip() else []

    def _each(self, data: bytes) -> list[Delta]:
        deltas = []
        for frame in _FRAME_END.split(data):
            if self.is_over:
                break
            if self.special.search(frame):
                deltas += self._special(frame)
            elif frame.strip():
                deltas += self._plain(frame + b"\n\n")
        return deltas

    def _special(self, frame: bytes) -> list[Delta]:
        data = data_of(frame).strip()
        self.is_over = data == b"[DONE]"
        if self.is_over or not data:
            return []
        delta = self._read(parse_object(data))
        self.has_finished = self.has_finished or bool(delta.finish_reason)
        return [delta]

    def _plain(self, frames: bytes) -> list[Delta]:
        if self._has_said:
            return [Delta(wire=frames)]
        self._held += frames
        if len(self._held) > self.max_bytes:
            raise ProviderMalformed
        if not self.says.search(self._held):
            return []
        self._has_said = True
        held, self._held = self._held, b""
        return [Delta(wire=held)]


def _last_end(data: bytes) -> int:
    """Return where the last whole frame ends, for servers that write \\r\\n."""
    end = data.rfind(b"\r\n\r\n")
    return end + 4 if end >= 0 else 0


def data_of(frame: bytes) -> bytes:
    """Return the data of one frame."""
    lines = (line.rstrip(b"\r") for line in frame.split(b"\n"))
    parts = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(parts)
