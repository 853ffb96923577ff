"""The site's own pages: landing, guides, legal, overview, style guide, mailbox."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.models import ApiKey, User
from accounts.views import remember_theme
from accounts.web import login_required, signed_in
from aiassist import guides, mailbox
from aiassist.lib import clock
from aiassist.lib.highlight import highlight_source
from assistant.models import Conversation
from billing.metering.admission import limits_for
from billing.metering.limits import HOUR, Window
from billing.models import UsageRecord
from billing.reporting.dashboards import requests_plot
from billing.reporting.usage import report
from billing.tiers.selectors import tiers_by_rank
from workspaces.models import Workspace

RECENT_CALLS = 5
# What the landing page shows as an answer's source; the last lines are cited.
_DEMO_CODE = """\
def normalise(path: str) -> str:
    \"\"\"Return the path as kept: POSIX, relative, NFC.\"\"\"
    parts = path.replace("\\\\", "/").split("/")
    if path.startswith("/") or ".." in parts:
        raise PathRefused(path)
    return "/".join(part for part in parts if part != ".")
"""
_DEMO_FIRST_LINE, _DEMO_CITED = 28, range(31, 33)


@dataclass(frozen=True, slots=True)
class DemoLine:
    number: int
    html: SafeString
    cited: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps; ticks itself off."""

    title: str
    text: str
    action: str
    url: str
    done: bool
    is_next: bool = False


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """Say what this is, show it, and how to begin."""
    context = {
        "tiers": tiers_by_rank(),
        "origin": _origin(request),
        "demo_lines": _demo_lines(),
        "screenshot": (Path(settings.BASE_DIR) / "docs/img/screenshot.png").is_file(),
    }
    return render(request, "pages/landing.html", context)


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    """Compare the tiers, as they stand in the database."""
    context = {"tiers": tiers_by_rank(), "section": "pricing"}
    return render(request, "pages/pricing.html", context)


@require_safe
def guide_index(request: HttpRequest) -> HttpResponse:
    """List the guides, or those that hold the words asked for."""
    words = request.GET.get("q", "").strip()[:100]
    context = {
        "section": "guides",
        "sections": guides.all_sections(),
        "words": words,
        "found": guides.search_guides(words) if words else None,
    }
    return render(request, "pages/guides.html", context)


@require_safe
def guide(request: HttpRequest, slug: str, folder: str = "public") -> HttpResponse:
    """Show one page of docs/."""
    context = {
        "section": "guides",
        "guide": guides.get_guide(folder, slug),
        "sections": guides.all_sections(),
    }
    return render(request, "pages/guide.html", context)


@require_safe
def legal(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a page of docs/legal."""
    context = {"guide": guides.get_guide(guides.LEGAL, slug)}
    return render(request, "pages/legal.html", context)


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show every element once."""
    windows = [Window(HOUR, 50, used, None, 3600) for used in (12, 43, 50)]
    context = {"windows": windows, "lines": _demo_lines()}
    return render(request, "pages/styleguide.html", context)


@login_required
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show what is left, what there is, what happened, and what to do next."""
    user = signed_in(request)
    workspaces = list(Workspace.objects.for_user(user).order_by("-created_at"))
    held = list(ApiKey.objects.for_user(user))
    moment = clock.now()
    week = report(user, "week", now=moment)
    context = {
        "section": "home",
        "limits": limits_for(user),
        "n_keys": sum(key.is_usable() for key in held),
        "workspaces": workspaces,
        "records": UsageRecord.objects.for_user(user.pk)[:RECENT_CALLS],
        "week": week,
        "plot": requests_plot(week, now=moment),
        **_steps_context(user, workspaces, held),
    }
    response = render(request, "pages/dashboard.html", context)
    if "theme" not in request.COOKIES and (theme := user.preferences.get("theme")):
        remember_theme(response, theme)  # chosen on another device
    return response


@login_required
@require_safe
def first_steps(request: HttpRequest) -> HttpResponse:
    """Show the checklist alone; the overview asks for it while steps are left."""
    user = signed_in(request)
    workspaces = list(Workspace.objects.for_user(user).order_by("-created_at"))
    held = list(ApiKey.objects.for_user(user))
    return render(request, "pages/steps.html", _steps_context(user, workspaces, held))


@require_safe
def dev_mailbox(request: HttpRequest) -> HttpResponse:
    """Show the mail that a development copy did not send."""
    if not settings.DEV_MAILBOX:
        raise Http404
    context = {"mails": mailbox.list_messages()}
    return render(request, "pages/mailbox.html", context)


def _steps_context(
    user: User, workspaces: list[Workspace], held: list[ApiKey]
) -> dict[str, object]:
    steps = _steps(user, workspaces, held)
    return {
        "steps": steps,
        "steps_done": sum(step.done for step in steps),
        "steps_left": not all(step.done for step in steps),
    }


def _steps(user: User, workspaces: list[Workspace], held: list[ApiKey]) -> list[Step]:
    """Return the first steps, ticked by what has really happened."""
    facts = (
        (
            "Create an API key",
            "For your editor or a script. It is shown once.",
            "Create key",
            reverse("keys:create"),
            bool(held),
        ),
        (
            "Connect your editor",
            "Copy its configuration. This ticks itself when the first call arrives.",
            "Connect",
            reverse("connect:index"),
            any(key.last_used_at for key in held),
        ),
        (
            "Add a workspace",
            "Upload a repository and watch it being indexed.",
            "Add code",
            _where_code_goes(workspaces),
            any(each.generation for each in workspaces),
        ),
        (
            "Ask something",
            "The answer names the lines it rests on.",
            "Open chat",
            reverse("chat:home"),
            _has_asked(user),
        ),
    )
    following = next((i for i, fact in enumerate(facts) if not fact[-1]), None)
    return [Step(*fact, is_next=i == following) for i, fact in enumerate(facts)]


def _where_code_goes(workspaces: list[Workspace]) -> str:
    if workspaces:
        return reverse("workspaces:detail", args=[workspaces[0].pk])
    return reverse("workspaces:create")


def _has_asked(user: User) -> bool:
    """Whether they asked here, or a client of theirs did."""
    asked = UsageRecord.objects.for_user(user.pk).filter(feature="basic_chat")
    return Conversation.objects.for_user(user).exists() or asked.exists()


def _demo_lines() -> list[DemoLine]:
    lines = highlight_source(_DEMO_CODE.rstrip("\n"), "paths.py")
    return [
        DemoLine(number, html, number in _DEMO_CITED)
        for number, html in enumerate(lines, _DEMO_FIRST_LINE)
    ]


def _origin(request: HttpRequest) -> str:
    """Return the address that this site answers on, e.g. http://127.0.0.1:8000."""
    return f"{request.scheme}://{request.get_host()}"
