"""Pages of the chat. The stream itself is /api/v1/assistant/chat."""

from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from accounts.models import User
from accounts.web import login_required, session_principal, signed_in
from aiassist.lib.errors import AppError, LimitRefused
from aiassist.lib.markdown import Cite, render_message
from assistant.api.base import collected
from assistant.api.serializers import MAX_WORKSPACES
from assistant.catalogue import Offer, allowed, live_models, offers_of
from assistant.conversations import (
    delete_conversation,
    get_conversation,
    rename_conversation,
    take_back_last,
)
from assistant.gateway import prompts
from assistant.gateway.plan import ALL_WORKSPACES, Ask, naming
from assistant.models import Conversation, Message
from assistant.web_forms import TitleForm
from billing.metering.requests import endpoint_of, request_id_of
from billing.models import Tier
from billing.tiers.selectors import tier_of, tiers_by_rank
from workspaces.models import Workspace

CONVERSATIONS_SHOWN = 50
MESSAGES_SHOWN, MOST_MESSAGES = 200, 2000


@dataclass(frozen=True, slots=True)
class Source:
    """A citation with the page that shows its lines."""

    n: int
    place: str  # path:start-end
    url: str


@dataclass(frozen=True, slots=True)
class ShownMessage:
    message: Message
    html: SafeString
    sources: list[Source]


@dataclass(frozen=True, slots=True)
class Choice:
    """A model in the picker; `needs` names the tier that has it, "" if yours does."""

    offer: Offer
    needs: str


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Begin a conversation."""
    return _page(request, None)


@login_required
@require_safe
def conversation(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Show a conversation, to go on with."""
    return _page(request, get_conversation(signed_in(request), conversation_id))


@login_required
@require_safe
def every(request: HttpRequest) -> HttpResponse:
    """List all conversations, or those whose title holds the words."""
    words = request.GET.get("q", "").strip()[:100]
    found = Conversation.objects.for_user(signed_in(request)).order_by("-updated_at")
    for word in words.split():
        found = found.filter(title__icontains=word)
    page = Paginator(found, CONVERSATIONS_SHOWN).get_page(request.GET.get("page"))
    query = urlencode({"q": words}) + "&" if words else ""
    context = {"section": "chat", "page": page, "words": words, "query": query}
    return render(request, "chat/every.html", context)


@login_required
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Answer without JavaScript: the whole answer, then the conversation's page."""
    question = request.POST.get("message", "").strip()
    if not question:
        messages.error(request, "Write a question first.")
        return redirect("chat:home")
    wanted = Ask(
        principal=session_principal(request),
        feature="basic_chat",
        endpoint=endpoint_of(request),
        request_id=request_id_of(request),
        prompt=prompts.chat(question),
        **naming(request.POST.getlist("workspace_ids")[:MAX_WORKSPACES]),
        conversation_id=request.POST.get("conversation_id", ""),
        keeps=True,
        model=request.POST.get("model", ""),
    )
    try:
        conversation_id = async_to_sync(_answer)(wanted)
    except LimitRefused:
        raise  # the page of refusals tells the numbers, and what helps
    except AppError as error:
        messages.error(request, error.sentence)
        return redirect("chat:home")
    return redirect("chat:conversation", conversation_id)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Give the conversation another title."""
    found = get_conversation(signed_in(request), conversation_id)
    form = TitleForm(request.POST or None, initial={"title": found.title})
    if request.method == "POST" and form.is_valid():
        rename_conversation(found, form.cleaned_data["title"])
        return redirect("chat:conversation", found.pk)
    context = {"section": "chat", "conversation": found, "form": form}
    return render(request, "chat/rename.html", context)


@login_required
@require_POST
def retry(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Take the last question back, to be asked again: JSON for the chat's script."""
    found = get_conversation(signed_in(request), conversation_id)
    question = take_back_last(found)
    return JsonResponse({"question": question, "workspace_id": found.workspace_id})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Ask, then delete the conversation."""
    found = get_conversation(signed_in(request), conversation_id)
    if request.method == "POST":
        delete_conversation(found)
        messages.success(request, "The conversation is deleted.")
        return redirect("chat:home")
    context = {"section": "chat", "conversation": found}
    return render(request, "chat/delete.html", context)


async def _answer(wanted: Ask) -> str:
    turn, _text = await collected(wanted)
    assert turn.ready.conversation is not None
    return turn.ready.conversation.pk


def _page(request: HttpRequest, found: Conversation | None) -> HttpResponse:
    user = signed_in(request)
    workspaces = list(Workspace.objects.for_user(user).order_by("name"))
    chosen = _picked(request, found)
    if not found and not chosen:
        ready = [each for each in workspaces if each.generation]
        chosen = [ready[0].pk] if len(ready) == 1 else []
    most = MOST_MESSAGES if "all" in request.GET else MESSAGES_SHOWN
    said = _latest_of(found, most) if found else []
    context = {
        "section": "chat",
        "conversation": found,
        "shown": [_show(message) for message in said[-most:]],
        "is_cut": len(said) > most,
        "conversations": _latest(request),
        "workspaces": workspaces,
        "chosen": chosen,
        "ALL_WORKSPACES": ALL_WORKSPACES,
        "choices": _choices(user, tier_of(user)),
    }
    return render(request, "chat/chat.html", context)


def _picked(request: HttpRequest, found: Conversation | None) -> list[str]:
    """Return the ids that are ticked when the page opens."""
    if found is not None and found.workspace_ids:
        return list(found.workspace_ids)
    single = found.workspace_id if found else request.GET.get("workspace", "")
    return [single] if single else []


def _latest(request: HttpRequest) -> list[Conversation]:
    mine = Conversation.objects.for_user(signed_in(request))
    return list(mine.order_by("-updated_at")[:CONVERSATIONS_SHOWN])


def _choices(user: User, tier: Tier) -> list[Choice]:
    """Return the models of the picker, those of other tiers after the user's own."""
    offers = offers_of(user, tier, async_to_sync(live_models)())
    mine = allowed(offers, tier)
    smallest = {p: each for each in reversed(tiers_by_rank()) for p in each.providers}
    others = [o for o in offers if o not in mine and o.provider in smallest]
    others.sort(key=lambda offer: smallest[offer.provider].rank)
    return [Choice(offer, "") for offer in mine] + [
        Choice(offer, smallest[offer.provider].name) for offer in others
    ]


def _latest_of(found: Conversation, most: int) -> list[Message]:
    """Return the newest messages in order, one more than `most` if there are more."""
    return list(found.messages.order_by("-created_at", "-id")[: most + 1])[::-1]


def _show(message: Message) -> ShownMessage:
    sources = [_source(citation) for citation in message.citations]
    return ShownMessage(
        message=message,
        html=render_message(message.content, cite=_cite(message.citations)),
        sources=sources,
    )


def _source(citation: dict[str, object]) -> Source:
    path, start, end = citation["path"], citation["start_line"], citation["end_line"]
    return Source(
        n=int(str(citation["n"])),
        place=f"{path}:{start}-{end}",
        url=_url(str(citation["workspace_id"]), str(path), start, end),
    )


def _url(workspace_id: str, path: str, start: object, end: object) -> str:
    address = reverse("workspaces:source", args=[workspace_id, path])
    return f"{address}?start={start}&end={end}#L{start}"


def _cite(citations: list[dict[str, object]]) -> Cite:
    """Return what finds the address of a place that this answer may cite."""
    by_number = {citation["n"]: citation for citation in citations}
    by_path = {citation["path"]: citation for citation in citations}

    def cite(path: str, start: int, end: int) -> str:
        if path:
            found = by_path.get(path)
            if found is None:
                return ""
            return _url(str(found["workspace_id"]), path, start, end)
        found = by_number.get(start)
        return _source(found).url if found else ""

    return cite
