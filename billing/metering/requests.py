"""What the ledger keeps of the request that made a call."""

from django.http import HttpRequest
from rest_framework.request import Request

from aiassist.api import problems
from aiassist.lib.ids import new_id


def request_id_of(request: Request | HttpRequest) -> str:
    """Return the middleware's id of the request, a new one without it."""
    return problems.request_id_of(request) or new_id("req")


def endpoint_of(request: Request | HttpRequest) -> str:
    """Return method and route: ids in paths must not multiply endpoints."""
    plain: HttpRequest = getattr(request, "_request", request)
    route = plain.resolver_match.route if plain.resolver_match else ""
    return f"{plain.method} /{route}"[:120]
