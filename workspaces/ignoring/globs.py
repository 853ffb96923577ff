"""Which paths a search looks at: one of `.gitignore`'s patterns, in linear time."""

from functools import lru_cache
from typing import Any

import re2

from aiassist.lib.errors import ValidationFailed
from workspaces.ignoring.gitignore import BadPattern, path_regex

MAX_GLOB_CHARS = 256


@lru_cache(maxsize=256)
def glob_pattern(glob: str) -> Any:
    """Return the expression (RE2's) of whole paths. Raises ValidationFailed.

    A pattern that names a folder means everything below it. RE2 never backtracks:
    with Python's engine a pattern of stars and a path of many folders keep a server
    busy for hours.
    """
    if len(glob) > MAX_GLOB_CHARS or not glob.isprintable():
        raise _failed(f"A path pattern has at most {MAX_GLOB_CHARS} printable signs.")
    body = glob.removeprefix("./")
    if not body.strip("/"):
        return re2.compile(".*")
    below = "/.+" if body.endswith("/") else "(?:/.+)?"
    try:
        return re2.compile(path_regex(body.removesuffix("/")) + below)
    except (BadPattern, re2.error) as error:
        raise _failed("This path pattern cannot be read.") from error


def _failed(detail: str) -> ValidationFailed:
    return ValidationFailed(
        errors=[{"field": "path_glob", "code": "invalid", "detail": detail}]
    )
