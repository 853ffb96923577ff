"""What a search query may hold."""

from django.conf import settings

from aiassist.lib.errors import ValidationFailed

MAX_QUERY_CHARS = 2000

_REFUSED = ("javascript:", "data:text/html", "vbscript:", "onload=", "onerror=")


def validate_query(text: str) -> str:
    """Return the query stripped. Raises ValidationFailed naming what to change."""
    query = text.strip()
    if not query:
        raise _failed("blank", "Write what you are looking for.")
    if len(query) > MAX_QUERY_CHARS:
        raise _failed(
            "max_length",
            f"A query has at most {MAX_QUERY_CHARS} characters; this has {len(query)}.",
        )
    if "\x00" in query:
        raise _failed("null_character", "Remove the NUL character.")
    if settings.QUERY_CONTENT_POLICY == "reject" and (found := _unwanted(query)):
        raise _failed("content_policy", f"A query may not hold '{found}'. Rephrase it.")
    return query


def _unwanted(query: str) -> str:
    lowered = query.lower()
    if _holds_script(lowered):
        return "<script>"
    return next((word for word in _REFUSED if word in lowered), "")


def _holds_script(lowered: str) -> bool:
    """Look for `<script…>…</script`; plain searches, as a pattern could be slow."""
    opened = lowered.find("<script")
    closed = lowered.find(">", opened) if opened >= 0 else -1
    return closed >= 0 and "</script" in lowered[closed:]


def _failed(code: str, detail: str) -> ValidationFailed:
    return ValidationFailed(
        f"The query is not valid: {detail}",
        errors=[{"field": "query", "code": code, "detail": detail}],
    )
