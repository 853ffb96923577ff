"""Pages of workspaces: list, upload, progress, files, source, search."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from accounts.web import (
    add_error,
    is_htmx,
    login_required,
    session_principal,
    signed_in,
)
from aiassist.lib.errors import AppError
from aiassist.lib.highlight import highlight_code, highlight_source
from billing.metering.metered_block import metered
from billing.metering.requests import endpoint_of, request_id_of
from billing.tiers.selectors import tier_of
from workspaces.access import get_job, get_workspace
from workspaces.content import files
from workspaces.content.texts import NotIndexable
from workspaces.content.tree import children_of
from workspaces.errors import JobNotActive, VectorsUnavailable
from workspaces.finding.search import Hit, SearchOutcome, search
from workspaces.finding.validation import validate_query
from workspaces.indexing.generations import model_of
from workspaces.jobs import progress, queue
from workspaces.models import IndexJob, SourceFile, Workspace
from workspaces.receiving.archives import import_archive
from workspaces.services import (
    change_workspace,
    create_workspace,
    delete_workspace,
)
from workspaces.vectors import get_store
from workspaces.web_forms import DeleteForm, NameForm, RulesForm, SearchForm, UploadForm

FILES_PER_PAGE = 100
LINES_PER_PAGE = 2000
N_RESULTS = 20


@dataclass(frozen=True, slots=True)
class ShownHit:
    """A search result with its address and its lines as HTML."""

    hit: Hit
    url: str
    lines: list[tuple[int, SafeString]]


@login_required
@require_safe
def workspace_list(request: HttpRequest) -> HttpResponse:
    """List the user's workspaces."""
    user = signed_in(request)
    context = {
        "section": "workspaces",
        "workspaces": Workspace.objects.for_user(user).order_by("-created_at"),
        "tier": tier_of(user),
    }
    return render(request, "workspaces/list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    """Make a workspace, then go to it."""
    form = NameForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_workspace(
                user=signed_in(request), name=form.cleaned_data["name"]
            )
        except AppError as error:
            add_error(form, error)
        else:
            return redirect("workspaces:detail", made.pk)
    context = {"section": "workspaces", "form": form}
    return render(request, "workspaces/create.html", context)


@login_required
@require_safe
def detail(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Show the workspace: upload form, last job, numbers."""
    workspace = get_workspace(signed_in(request), workspace_id)
    return _show(request, workspace, UploadForm())


@login_required
@require_POST
def upload(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Take an archive and ask for an index; shows what was wrong otherwise."""
    workspace = get_workspace(signed_in(request), workspace_id)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _show(request, workspace, form, status=400)
    try:
        import_archive(
            workspace=workspace,
            file=form.cleaned_data["file"],
            delete_missing=not form.cleaned_data["keep_others"],
        )
    except AppError as error:
        add_error(form, error)
        return _show(request, workspace, form, status=error.status)
    return redirect("workspaces:detail", workspace.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Give the workspace another name."""
    workspace = get_workspace(signed_in(request), workspace_id)
    form = NameForm(request.POST or None, initial={"name": workspace.name})
    if request.method == "POST" and form.is_valid():
        try:
            change_workspace(workspace=workspace, name=form.cleaned_data["name"])
        except AppError as error:
            add_error(form, error)
        else:
            return redirect("workspaces:detail", workspace.pk)
    return _page(request, "workspaces/rename.html", workspace, form=form)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Change which files are kept; what is stored is judged anew at once."""
    workspace = get_workspace(signed_in(request), workspace_id)
    shown = {
        "exclude": "\n".join(workspace.exclude),
        "include": "\n".join(workspace.include),
        "use_gitignore": workspace.use_gitignore,
    }
    form = RulesForm(request.POST or None, initial=shown)
    if request.method == "POST" and form.is_valid():
        try:
            change_workspace(
                workspace=workspace,
                exclude=form.patterns("exclude"),
                include=form.patterns("include"),
                use_gitignore=form.cleaned_data["use_gitignore"],
            )
        except AppError as error:
            add_error(form, error)
        else:
            messages.success(request, "The rules hold from now on.")
            return redirect("workspaces:detail", workspace.pk)
    return _page(request, "workspaces/rules.html", workspace, form=form)


@login_required
@require_POST
def reindex(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Ask for an index that trusts nothing that is there."""
    workspace = get_workspace(signed_in(request), workspace_id)
    queue.request_rebuild(workspace=workspace)
    return redirect("workspaces:detail", workspace.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Ask for the name, then delete the workspace."""
    workspace = get_workspace(signed_in(request), workspace_id)
    form = DeleteForm(request.POST or None, workspace=workspace)
    if request.method == "POST" and form.is_valid():
        delete_workspace(workspace=workspace)
        messages.success(request, f"The workspace “{workspace.name}” is deleted.")
        return redirect("workspaces:list")
    return _page(request, "workspaces/delete.html", workspace, form=form)


@login_required
@require_safe
def job(request: HttpRequest, workspace_id: str, job_id: str) -> HttpResponse:
    """Show a job; to htmx, only the part that moves."""
    workspace = get_workspace(signed_in(request), workspace_id)
    found = get_job(workspace, job_id)
    if not is_htmx(request):
        return redirect("workspaces:detail", workspace.pk)
    context = {
        "workspace": workspace,
        "job": found,
        "eta": progress.eta_seconds(found),
        "phase": progress.phase_of(found),
        "progress": progress.progress(found),
        "polled": True,
        "health": _health(workspace) if found.is_over else None,
    }
    return render(request, "workspaces/job.html", context)


@login_required
@require_POST
def cancel(request: HttpRequest, workspace_id: str, job_id: str) -> HttpResponse:
    """Stop a job; one that is over already is no mistake of the user's."""
    workspace = get_workspace(signed_in(request), workspace_id)
    try:
        queue.cancel_job(job=get_job(workspace, job_id))
    except JobNotActive as error:
        messages.info(request, error.sentence)
    return redirect("workspaces:detail", workspace.pk)


@login_required
@require_safe
def file_list(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """List the files, or those whose path holds the words."""
    workspace = get_workspace(signed_in(request), workspace_id)
    words = request.GET.get("q", "").strip()[:200].replace("\x00", "")
    folder = request.GET.get("dir", "").strip("/")[:1024].replace("\x00", "")
    if not words and not is_htmx(request):
        children = children_of(workspace, folder)
        if children:
            return _page(
                request,
                "workspaces/files.html",
                workspace,
                tab="files",
                folder=folder,
                trail=_trail(folder),
                children=children,
            )
    found = SourceFile.objects.for_workspace(workspace).order_by("path")
    for word in words.split():
        found = found.filter(path__icontains=word)
    page = Paginator(found, FILES_PER_PAGE).get_page(request.GET.get("page"))
    query = urlencode({"q": words}) + "&" if words else ""
    name = "workspaces/files.html"
    if is_htmx(request):
        name = "workspaces/file_rows.html"
    return _page(
        request, name, workspace, tab="files", page=page, words=words, query=query
    )


@login_required
@require_safe
def source(request: HttpRequest, workspace_id: str, path: str) -> HttpResponse:
    """Show a file's lines, the cited ones marked."""
    workspace = get_workspace(signed_in(request), workspace_id)
    start, end = _number(request, "start"), _number(request, "end")
    try:
        text = files.read_lines(workspace, path)
    except NotIndexable as error:
        file = files.get_file(workspace, path)
        return _page(
            request, "workspaces/source.html", workspace, file=file, reason=error
        )
    first = _first_line(request, start, text.n_lines)
    lines = highlight_source(text.text, path)[: text.n_lines]
    shown = list(enumerate(lines, 1))[first - 1 : first - 1 + LINES_PER_PAGE]
    return _page(
        request,
        "workspaces/source.html",
        workspace,
        tab="files",
        file=text,
        lines=shown,
        cited=range(start, max(start, end) + 1) if start else range(0),
        cited_end=max(start, end),
        before=max(1, first - LINES_PER_PAGE) if first > 1 else None,
        after=first + LINES_PER_PAGE if shown and shown[-1][0] < len(lines) else None,
    )


@login_required
@require_safe
def search_page(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """Search one workspace. A search counts against the quota, as in the API."""
    workspace = get_workspace(signed_in(request), workspace_id)
    form = SearchForm(request.GET if "q" in request.GET else None)
    outcome = None
    status = 200
    if form.is_bound and form.is_valid():
        try:
            outcome = _search(request, workspace, form)
        except AppError as error:
            add_error(form, error)
            status = error.status
    name = "workspaces/search.html"
    if is_htmx(request):
        name = "workspaces/search_results.html"
    return _page(
        request,
        name,
        workspace,
        status=status,
        tab="search",
        form=form,
        outcome=outcome,
        hits=[_shown(hit) for hit in outcome.hits] if outcome else [],
    )


def _search(
    request: HttpRequest, workspace: Workspace, form: SearchForm
) -> SearchOutcome:
    asked = form.cleaned_data
    query = validate_query(asked["q"])
    with metered(
        session_principal(request),
        feature="search",
        endpoint=endpoint_of(request),
        request_id=request_id_of(request),
        workspace_id=workspace.pk,
    ):
        return search(
            workspaces=[workspace],
            query=query,
            max_results=N_RESULTS,
            mode=asked["mode"] or "hybrid",
            path_glob=asked["path"],
            language=asked["language"].lower(),
        )


def _shown(hit: Hit) -> ShownHit:
    html = highlight_code(hit.text.rstrip("\n"), hit.language)
    lines = [
        (number, SafeString(line))
        for number, line in enumerate(html.split("\n"), hit.start_line)
    ]
    return ShownHit(hit=hit, url=source_url(hit), lines=lines)


def source_url(hit: Hit) -> str:
    """Return the page that shows a hit's lines marked."""
    address = reverse("workspaces:source", args=[hit.workspace_id, hit.path])
    return f"{address}?start={hit.start_line}&end={hit.end_line}#L{hit.start_line}"


def _show(
    request: HttpRequest, workspace: Workspace, form: UploadForm, status: int = 200
) -> HttpResponse:
    job = (
        IndexJob.objects.for_workspace(workspace)
        .defer("manifest")
        .order_by("-created_at")
        .first()
    )
    return _page(
        request,
        "workspaces/detail.html",
        workspace,
        status=status,
        tab="detail",
        form=form,
        job=job,
        phase=progress.phase_of(job) if job else "",
        progress=progress.progress(job) if job else 0,
        eta=progress.eta_seconds(job) if job else None,
        health=_health(workspace),
        tier=tier_of(signed_in(request)),
    )


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the rows and the points of an index tell the same."""

    rows: int  # passages in the database
    points: int | None  # vectors in the vector database; None: it is away
    model: str

    @property
    def agrees(self) -> bool:
        return self.points == self.rows


def _health(workspace: Workspace) -> Health:
    try:
        points = get_store().count(workspace.pk)
    except VectorsUnavailable:
        points = None
    return Health(workspace.n_chunks, points, model_of(workspace.index_version))


def _trail(folder: str) -> list[tuple[str, str]]:
    """Return (name, path) of each folder down to this one."""
    names = folder.split("/") if folder else []
    return [(name, "/".join(names[: i + 1])) for i, name in enumerate(names)]


def _page(
    request: HttpRequest,
    name: str,
    workspace: Workspace,
    status: int = 200,
    **context: object,
) -> HttpResponse:
    shared = {"section": "workspaces", "workspace": workspace}
    return render(request, name, {**shared, **context}, status=status)


def _number(request: HttpRequest, name: str) -> int:
    """Return a whole number of the address, 0 for anything else."""
    raw = request.GET.get(name, "")
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 9 else 0


def _first_line(request: HttpRequest, start: int, n_lines: int) -> int:
    """Return where to begin, so that the cited lines are on the page."""
    wanted = _number(request, "from") or max(1, start - LINES_PER_PAGE // 2)
    return max(1, min(wanted, n_lines))
