"""Note where and when a browser session was last seen."""

from collections.abc import Callable
from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.http import HttpRequest, HttpResponse

from aiassist.lib.client_ip import client_ip
from aiassist.lib.clock import now

PRECISION = timedelta(seconds=60)


class SessionActivityMiddleware:
    """allauth's tracking, but a write a minute at most rather than one a request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session_key = request.session.session_key
        if session_key and request.user.is_authenticated:
            self._note(request, session_key)
        return self.get_response(request)

    def _note(self, request: HttpRequest, session_key: str) -> None:
        seen = UserSession.objects.filter(session_key=session_key).first()
        if (
            seen is None
            or seen.user_id != request.user.pk
            or seen.ip != client_ip(request)
            or seen.last_seen_at <= now() - PRECISION
        ):
            UserSession.objects.create_from_request(request)
