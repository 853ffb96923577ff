"""One rule for the names of files: POSIX, relative, NFC, harmless.

No path here ever reaches a file system, but clients write what we return to theirs.
"""

import re
import unicodedata
from urllib.parse import unquote

from workspaces.errors import PathRefused

MAX_PATH_BYTES = 1024  # in UTF-8; also keeps PostgreSQL's index rows small enough

_DRIVE = re.compile(r"[A-Za-z]:")
# Characters that reverse the reading direction disguise a name (CVE-2021-42574).
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DECODINGS = 3  # `%25252e` hides a dot below three layers


def normalise(path: str, *, field: str = "path") -> str:
    """Return the path as we keep it. Raises PathRefused with a sentence."""
    name = unicodedata.normalize("NFC", path).removeprefix("./")
    reason = _objection(name)
    if reason:
        raise PathRefused(
            f"The path {shown(path)} is not allowed: {reason}.",
            reason=reason,
            errors=[{"field": field, "code": "path_refused", "detail": reason}],
        )
    return name


def shown(path: str, limit: int = 120) -> str:
    """Return the path as it may stand in a sentence: short, escaped, in quotes."""
    short = path if len(path) <= limit else f"{path[:limit]}…"
    safe = short.encode("utf-8", "backslashreplace").decode()
    return (
        "'" + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in safe) + "'"
    )


def _objection(path: str) -> str:
    if not path:
        return "it is empty"
    # Most names are of this kind, and ten thousand are judged at once.
    if not (path.isascii() and path.isprintable()):
        if any(unicodedata.category(c) in _REFUSED_CATEGORIES for c in path):
            return "it holds a control character"
        if _BIDI_CONTROLS.intersection(path):
            return "it holds a character that reverses the reading direction"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"it has more than {MAX_PATH_BYTES} bytes"
    return _shape_objection(path) or _hidden_objection(path)


def _shape_objection(path: str) -> str:
    if "\\" in path:
        return "it holds a backslash; write '/' between folders"
    if path.startswith("/") or _DRIVE.match(path):
        return "it must be relative to the workspace"
    parts = path.split("/")
    if ".." in parts or "." in parts:
        return "it holds '.' or '..' as a folder"
    if "" in parts:
        return "it holds an empty folder name or ends in '/'"
    return ""


def _hidden_objection(path: str) -> str:
    """Refuse what a careless reader would decode to another place."""
    seen = path
    for _ in range(_DECODINGS):
        decoded = unquote(seen)
        if decoded == seen:
            return ""
        if (
            decoded.count("/") > seen.count("/")
            or "\x00" in decoded
            or _shape_objection(decoded)
        ):
            return "it hides another path behind percent signs"
        seen = decoded
    return ""
