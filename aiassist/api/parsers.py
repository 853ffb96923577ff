"""JSON bodies that are text: what no database and no stream can carry is refused.

Their size is bounded before, by DATA_UPLOAD_MAX_MEMORY_SIZE.
"""

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class TextJSONParser(JSONParser):
    """Takes JSON as RFC 8259 has it, in UTF-8.

    Refused are half a character (`\\ud800`), numbers that are none (NaN, 1e999) and
    nesting that no reader survives.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        raw: bytes = stream.read()
        try:
            parsed = json.loads(
                raw.decode(), parse_constant=_no_number, parse_float=_finite
            )
            if b"\\u" in raw:
                json.dumps(parsed, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise ParseError from None
        return parsed


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number
