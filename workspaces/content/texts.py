"""From a file's bytes to the text that is indexed and shown, or a reason why not."""

from aiassist.lib.errors import AppError
from workspaces.content.secrets import Concealed, redact
from workspaces.ignoring.filters import (
    GENERATED,
    LFS_POINTER,
    is_lfs_pointer,
    says_generated,
)
from workspaces.indexing.languages import Undecodable, decode

MAX_TEXT_BYTES = 2 * 1024 * 1024
TOO_LARGE = f"It has more than {MAX_TEXT_BYTES // 1024**2} MB: stored, not indexed."
MAX_LINE_CHARS = 20_000
_MINIFIED_MIN_CHARS = 5_000
_MINIFIED_MEAN_LINE = 400


class NotIndexable(AppError):
    """The sentence is the reason that the user sees beside the file's name."""

    code, status = "not_indexable", 422


def text_of(data: bytes) -> str:
    """Return the file as text with `\\n` line ends. Raises NotIndexable."""
    try:
        text = decode(data)
    except Undecodable as error:
        raise NotIndexable(error.sentence) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def indexable_text(data: bytes) -> str:
    """Return the text to index, secrets hidden. Raises NotIndexable."""
    return redact(_require_readable(data))


def _require_readable(data: bytes) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise NotIndexable(TOO_LARGE)
    text = text_of(data)
    longest, n_lines = _shape(text)
    if longest > MAX_LINE_CHARS:
        raise NotIndexable(too_long_a_line(longest))
    if len(text) > _MINIFIED_MIN_CHARS and len(text) / n_lines > _MINIFIED_MEAN_LINE:
        raise NotIndexable("Its lines are very long: generated or minified.")
    return text


def too_long_a_line(n_chars: int) -> str:
    """Return the reason for a file with a line of more than MAX_LINE_CHARS."""
    return f"It has a line of {n_chars:,} characters: generated or minified."


def objection(data: bytes) -> str:
    """Return why these bytes are not worth indexing, as `skipped` says it; or "".

    Only `GENERATED` can be lifted by a workspace's rules.
    """
    if is_lfs_pointer(data):
        return LFS_POINTER
    if says_generated(data):
        return GENERATED
    try:
        _require_readable(data)
    except NotIndexable as error:
        return error.sentence
    return ""


def shown_text(data: bytes) -> str:
    """Return the text for people and models, secrets hidden. Raises NotIndexable."""
    return redact(text_of(data))


def concealed(data: bytes) -> Concealed:
    """Return what `shown_text` does, to be read a few lines at a time."""
    return Concealed(text_of(data))


def lines_of(text: str, start: int, end: int) -> str:
    """Return the lines `start` to `end`, 1-based and inclusive."""
    return "\n".join(text.split("\n")[start - 1 : end])


def _shape(text: str) -> tuple[int, int]:
    lines = text.split("\n")
    return max(map(len, lines)), len(lines)
