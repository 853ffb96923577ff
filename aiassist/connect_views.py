"""Pages that lead a client here: pick one, get its configuration, see it work."""

from itertools import groupby

from django.contrib import messages
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import keys
from accounts.web import login_required, signed_in
from aiassist import connect
from aiassist.lib.errors import AppError
from billing.tiers.selectors import tier_of
from workspaces.models import Workspace

# Stands where the key goes until there is one.
PLACEHOLDER = "aia_your_key"


@login_required
@require_safe
def connect_index(request: HttpRequest) -> HttpResponse:
    """List the clients, by kind."""
    groups = [
        (kind, list(clients))
        for kind, clients in groupby(connect.available_clients(), lambda c: c.kind)
    ]
    context = {"section": "connect", "groups": groups}
    return render(request, "connect/index.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def connect_client(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a client's configuration; a POST makes its key and fills it in, once."""
    client = connect.get_client(slug)
    key, secret = None, PLACEHOLDER
    if request.method == "POST":
        try:
            key, secret = keys.create_key(
                signed_in(request), client.name, client.scopes, request=request
            )
        except AppError as error:
            messages.error(request, error.sentence)
            return redirect("connect:client", slug)
    setup = _setup(request, secret)
    context = {
        "section": "connect",
        "client": client,
        "key": key,
        "secret": secret,
        "snippets": list(client.snippets(setup)),
        "context_tokens": setup.context_tokens,
        "too_small": setup.context_tokens <= client.least_context,
        "test_url": connect.MCP if connect.MCP in client.needs else "/v1/models",
    }
    return render(request, "connect/client.html", context)


@login_required
@never_cache
@require_safe
def connect_seen(request: HttpRequest, key_id: str) -> HttpResponse:
    """Tell whether the key has been used; the page asks until it has."""
    key = keys.get_key(signed_in(request), key_id)
    return render(request, "connect/seen.html", {"key": key})


def _setup(request: HttpRequest, secret: str) -> connect.Setup:
    user = signed_in(request)
    indexed_last = F("last_indexed_at").desc(nulls_last=True)
    newest = Workspace.objects.for_user(user).order_by(indexed_last).first()
    return connect.Setup(
        origin=f"{request.scheme}://{request.get_host()}",
        key=secret,
        context_tokens=tier_of(user).context_tokens,
        served=connect.served_faces(),
        workspace_id=newest.pk if newest else "",
    )
