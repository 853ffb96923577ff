"""JSON bodies that name a workspace's files: longer than other calls may send."""

from io import BytesIO
from typing import Any

from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from aiassist.api.parsers import TextJSONParser
from billing.models import Tier
from workspaces.content.manifests import too_many_files
from workspaces.errors import UnsupportedEncoding

_BYTES_PER_FILE = 200  # a path, its SHA-256 and what JSON adds


def manifest_body(request: Request, tier: Tier) -> Any:
    """Return the parsed body, as long as the tier's most files need.

    Raises TooManyFiles, ParseError, UnsupportedMediaType.
    """
    require_no_encoding(request)
    content_type = request.content_type or ""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(content_type)
    limit = (
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        + _BYTES_PER_FILE * tier.max_files_per_workspace
    )
    data = request._request.read(limit + 1)
    if len(data) > limit:
        raise too_many_files(tier, None)
    return TextJSONParser().parse(BytesIO(data))


def require_no_encoding(request: Request) -> None:
    """Refuse a body that nobody has inflated. Raises UnsupportedEncoding.

    `receiving.gate` inflates before any view runs, and takes the header away.
    """
    encoding = str(request.META.get("HTTP_CONTENT_ENCODING") or "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedEncoding
