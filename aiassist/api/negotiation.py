"""Which form an answer takes: by `Accept`, or by `?format=` where there are several."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer

from aiassist.lib.errors import ValidationFailed


class KnownFormats(DefaultContentNegotiation):
    def filter_renderers(
        self, renderers: Iterable[BaseRenderer], format: str
    ) -> list[BaseRenderer]:
        """Return those of the format. Raises ValidationFailed, where DRF says 404."""
        given = list(renderers)
        found = [each for each in given if each.format == format]
        if not found:
            detail = f"One of: {', '.join(str(each.format) for each in given)}."
            raise ValidationFailed(
                errors=[{"field": "format", "code": "invalid_choice", "detail": detail}]
            )
        return found
