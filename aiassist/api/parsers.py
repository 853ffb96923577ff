"""JSON bodies that are text: what no database and no stream can carry is refused.

Their size is bounded before, by DATA_UPLOAD_MAX_MEMORY_SIZE.
"""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from aiassist.lib import jsons


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
        try:
            return jsons.strict(stream.read())
        except (ValueError, RecursionError):
            raise ParseError from None
