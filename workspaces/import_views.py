"""Pages of the import from git: what a workspace follows, and its push hook."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.web import add_error, login_required, signed_in
from aiassist.lib.errors import AppError
from workspaces.access import get_workspace
from workspaces.git.errors import NotImported
from workspaces.git.sources import (
    ask_import,
    forget_source,
    get_source,
    new_hook_secret,
)
from workspaces.models import GitSource, Workspace
from workspaces.web_forms import ImportForm


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def import_page(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Show what is followed; a POST follows a repository and fetches it."""
    workspace = get_workspace(signed_in(request), workspace_id)
    source = _source(workspace)
    form = ImportForm(request.POST or None, initial=_shown(source))
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            ask_import(
                workspace=workspace,
                url=asked["url"],
                ref=asked["ref"],
                username=asked["username"],
                token=asked["token"] or None,
                every_hours=int(asked["every_hours"]) if asked["every_hours"] else None,
            )
        except AppError as error:
            add_error(form, error)
        else:
            return redirect("workspaces:detail", workspace.pk)
    return _page(request, workspace, source, form)


@login_required
@require_POST
def import_forget(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Stop following; the files stay."""
    workspace = get_workspace(signed_in(request), workspace_id)
    forget_source(workspace=workspace)
    messages.success(request, "The repository is not followed any more.")
    return redirect("workspaces:import", workspace.pk)


@login_required
@never_cache
@require_POST
def import_hook(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Make the hook's secret; it is in this answer and nowhere else."""
    workspace = get_workspace(signed_in(request), workspace_id)
    source, secret = new_hook_secret(workspace=workspace)
    form = ImportForm(initial=_shown(source))
    return _page(request, workspace, source, form, secret)


def _source(workspace: Workspace) -> GitSource | None:
    try:
        return get_source(workspace)
    except NotImported:
        return None


def _shown(source: GitSource | None) -> dict[str, object]:
    """Return the form's beginning; a kept token is never shown again."""
    if source is None:
        return {}
    return {
        "url": source.url,
        "ref": source.ref,
        "username": source.username,
        "every_hours": str(source.every_hours or ""),
    }


def _page(
    request: HttpRequest,
    workspace: Workspace,
    source: GitSource | None,
    form: ImportForm,
    secret: str = "",
) -> HttpResponse:
    hook = f"/api/v1/hooks/git/{source.hook_id}" if source else ""
    context = {
        "section": "workspaces",
        "workspace": workspace,
        "source": source,
        "form": form,
        "secret": secret,
        "hook_url": request.build_absolute_uri(hook) if hook else "",
    }
    return render(request, "workspaces/import.html", context)
