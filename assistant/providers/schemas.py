"""JSON schemas as Anthropic takes them for an answer's format.

Objects must be closed and some keywords are refused, where OpenAI's wire takes both.
What is left out is told in words, as Anthropic's own packages do.
Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import json
from typing import Any

from assistant.providers.wire import mapping, objects, text_of

_REFUSED = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties", "patternProperties"),
)
_OF_NAMES = ("properties", "$defs", "definitions")
_OF_CHOICES = ("anyOf", "allOf")


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema in the words that Anthropic takes."""
    kept = {name: value for name, value in schema.items() if name not in _REFUSED}
    if "oneOf" in kept:
        kept["anyOf"] = kept.pop("oneOf")
    for name in _OF_NAMES:
        if name in kept:
            inner = mapping(kept[name])
            kept[name] = {key: closed(mapping(value)) for key, value in inner.items()}
    for name in _OF_CHOICES:
        if name in kept:
            kept[name] = [closed(each) for each in objects(kept[name])]
    if isinstance(kept.get("items"), dict):
        kept["items"] = closed(kept["items"])
    if kept.get("type") == "object" or "properties" in kept:
        kept["additionalProperties"] = False
    if left_out := {name: schema[name] for name in _REFUSED if name in schema}:
        said = text_of(kept.get("description"))
        kept["description"] = f"{said}\n\n{json.dumps(left_out)}".strip()
    return kept
