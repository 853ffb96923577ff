"""Reading fields of a JSON body; a wrong one is named in the error."""

import re
from collections.abc import Mapping
from typing import Any

from aiassist.lib.errors import ValidationFailed

Body = Mapping[str, Any]
WORKSPACE_ID = r"^workspace_[a-zA-Z0-9_]+$"
_is_workspace_id = re.compile(WORKSPACE_ID).fullmatch


def invalid(field_name: str, detail: str) -> ValidationFailed:
    return ValidationFailed(
        detail, errors=[{"field": field_name, "code": "invalid", "detail": detail}]
    )


def body_of(value: object) -> Body:
    """Return a JSON object. Raises ValidationFailed for anything else."""
    if not isinstance(value, dict):
        raise invalid("", "The body must be a JSON object.")
    return value


def text(body: Body, name: str, *, required: bool = False) -> str:
    """Return a name or an id."""
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= 200 or "\x00" in value:
        raise invalid(name, f"'{name}' must be a text of 1 to 200 characters.")
    return value


def prose(body: Body, name: str) -> str:
    """Return text of any length; "" where there is none."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(name, f"'{name}' must be a text.")
    return value


def flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(name, f"'{name}' must be true or false.")
    return bool(value)


def maybe_flag(body: Body, name: str) -> bool | None:
    return flag(body, name) if body.get(name) is not None else None


def count(body: Body, name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid(name, f"'{name}' must be a whole number above 0.")
    return value


def number(body: Body, name: str, *, most: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(name, f"'{name}' must be a number.")
    if not 0 <= value <= most:
        raise invalid(name, f"'{name}' must lie between 0 and {most}.")
    return float(value)


def mapping(body: Body, name: str) -> Body:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise invalid(name, f"'{name}' must be an object.")
    return value or {}


def list_of_objects(body: Body, name: str) -> tuple[dict[str, Any], ...]:
    value = body.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise invalid(name, f"'{name}' must be a list of objects.")
    return tuple(value)


def stops(body: Body, name: str = "stop") -> tuple[str, ...]:
    value = body.get(name)
    if value is None:
        return ()
    values = value if isinstance(value, list) else [value]
    if len(values) > 16 or not all(isinstance(v, str) and v for v in values):
        raise invalid(name, f"'{name}' is a text or a list of at most 16.")
    return tuple(values)


def workspace(body: Body, headers: Mapping[str, str]) -> str:
    """Return the workspace named in the body, or else in the header."""
    header = headers.get("x-workspace-id", "").strip()[:64]
    named = text(body, "workspace_id") or header
    if named and not _is_workspace_id(named):
        raise invalid("workspace_id", "A workspace's id begins with 'workspace_'.")
    return named
