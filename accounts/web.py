"""What every signed-in page shares: who asks, and how a refusal shows on a form."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from accounts.models import User
from accounts.principals import Principal
from accounts.scopes import ALL_SCOPES
from aiassist.lib.clock import plainly
from aiassist.lib.errors import AppError, LimitRefused

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def login_required(view: View[P]) -> View[P]:
    """Django's decorator, but whoever was signed out meanwhile loses nothing.

    They come back to the page whose form they sent, where site.js fills it in again;
    a fragment that htmx asks for is no place to show the sign-in in.
    """

    @wraps(view)
    def wrapped(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponse:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if is_htmx(request):
            return HttpResponse(status=401)
        return redirect_to_login(_page_of(request))

    return wrapped


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asks for a fragment (a page restored from history is whole)."""
    headers = request.headers
    return "HX-Request" in headers and "HX-History-Restore-Request" not in headers


def add_error(form: Form, error: AppError) -> None:
    """Show a service's refusal on the form that caused it, and where it is explained.

    A limit's refusal names what the caller can do; each has a page of its own.
    """
    form.add_error(None, plainly(error.sentence))
    if isinstance(error, LimitRefused):
        for alternative in _alternatives(error):
            form.add_error(None, plainly(alternative))
        address = reverse("usage:why", args=[error.code])
        link = format_html('<a href="{}">Why was this refused?</a>', address)
        form.add_error(None, link)


def signed_in(request: HttpRequest) -> User:
    """Return the user behind a page that asks for a sign-in."""
    assert isinstance(request.user, User)
    return request.user


def session_principal(request: HttpRequest) -> Principal:
    """Return the site's own principal: a session holds every scope."""
    return Principal(
        user=signed_in(request),
        kind="session",
        key_id=None,
        scopes=frozenset(ALL_SCOPES),
        session_id=request.session.session_key,
    )


def _page_of(request: HttpRequest) -> str:
    """Return the address to show after a sign-in: a POST's is that of its form."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    came_from = urlsplit(request.headers.get("Referer", ""))
    if came_from.netloc != request.get_host():
        return reverse("dashboard")
    return came_from._replace(scheme="", netloc="").geturl()


def _alternatives(error: LimitRefused) -> list[str]:
    found = error.details.get("alternatives")
    return [str(item) for item in found] if isinstance(found, list | tuple) else []
