"""From a request to a plan: all that is judged before a provider is called."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from accounts.principals import Principal
from aiassist.lib.db import in_db
from aiassist.lib.records import record
from assistant.catalogue import (
    EXTRACTIVE,
    Live,
    Offer,
    candidates,
    choose,
    in_order,
    live_models,
    offers_of,
)
from assistant.conversations import ask_in, get_conversation, history_of
from assistant.errors import UnsupportedParameter
from assistant.gateway.context import Assembled, assemble, context_size
from assistant.gateway.fim import raw_prompt, stops_of
from assistant.gateway.known import known_offers
from assistant.gateway.natives import with_passages
from assistant.gateway.notices import index_hint, why_extractive
from assistant.gateway.prompts import Prompt, chat
from assistant.models import Conversation
from assistant.providers import PROVIDERS
from assistant.providers.base import ChatRequest, JsonObject, Native
from billing.metering.gates import require_feature
from billing.metering.refusals import noted
from billing.models import Tier
from billing.tiers.selectors import tier_of
from workspaces.access import get_workspace
from workspaces.finding.citations import as_they_stand
from workspaces.finding.search import Hit, search
from workspaces.models import Workspace

MAX_QUERY_CHARS = 2000
# In place of a workspace's id: search in all that one has.
ALL_WORKSPACES = "workspace_all"


@record(frozen=True, slots=True)
class Options:
    """Knobs of one request, as the caller set them."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[JsonObject, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    effort: str = ""  # see ChatRequest
    native: Native | None = None
    wire: Literal["", "stream", "whole"] = ""  # the client speaks OpenAI's chat


@record(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request for an answer, validated in form."""

    principal: Principal
    feature: str
    endpoint: str
    request_id: str
    prompt: Prompt
    workspace_id: str = ""
    workspace_ids: tuple[str, ...] = ()  # several, in the place of one
    conversation_id: str = ""
    keeps: bool = False  # as a conversation
    model: str = ""
    # May another model answer when the chosen one is down? None: unless named.
    may_fall_back: bool | None = None
    has_images: bool = False
    has_image_urls: bool = False  # that the provider would have to fetch
    options: Options = Options()


def naming(workspace_ids: Sequence[str], single: str = "") -> dict[str, Any]:
    """Return what an Ask says of several workspaces, or of the one that is named."""
    named = tuple(dict.fromkeys(workspace_ids)) or (single,)
    if ALL_WORKSPACES in named:
        return {"workspace_id": ALL_WORKSPACES}
    return {"workspace_id": named[0]} if len(named) == 1 else {"workspace_ids": named}


@record(frozen=True, slots=True)
class Plan:
    """Who is asked, with what, in whose name. Nothing is spent yet."""

    ask: Ask
    prompt: Prompt
    tier: Tier
    offers: tuple[Offer, ...]
    size: int  # tokens of prompt and answer together
    workspace: Workspace | None
    conversation: Conversation | None
    notice: str  # what the extractive provider says of why it answers
    bare: Assembled  # the prompt without any retrieved code
    everywhere: bool = False  # in all of the caller's workspaces; then none is named
    several: tuple[Workspace, ...] = ()  # in these; then no single one is named


@record(frozen=True, slots=True)
class Ready:
    """A plan with its code retrieved and its question kept."""

    plan: Plan
    assembled: Assembled
    conversation: Conversation | None

    def request_for(self, offer: Offer) -> ChatRequest:
        """Return what this model is asked. Raises SealBroken."""
        plan, options = self.plan, self.plan.ask.options
        raw = self.raw_for(offer)
        return ChatRequest(
            model=offer.upstream_name,
            messages=self.assembled.messages,
            max_tokens=self.assembled.max_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            stop=(*options.stop, *stops_of(offer.name)) if raw else options.stop,
            tools=options.tools,
            extra=options.extra,
            effort=options.effort,
            native=self._native_for(offer),
            access=offer.place.access() if offer.place else None,
            speaks=offer.speaks,
            raw=raw,
            # Citations go into the first chunk, which is ours then.
            wire="" if self.assembled.passages else options.wire,
            feature=plan.ask.feature,
            question=plan.prompt.question,
            passages=self.assembled.passages,
            code=plan.prompt.code,
            notice=plan.notice,
            hint=index_hint(plan.workspace),
        )

    def raw_for(self, offer: Offer) -> str:
        """Return the prompt in the marks of the model's family; "" without any."""
        cursor = self.plan.prompt.cursor
        base_url = offer.place.base_url if offer.place else ""
        takes_raw = PROVIDERS[offer.provider].takes_raw(base_url) and not offer.speaks
        if cursor is None or not takes_raw:
            return ""
        return raw_prompt(offer.name, cursor, self.assembled.passages)

    def _native_for(self, offer: Offer) -> Native | None:
        native = self.plan.ask.options.native
        if native is None or native.provider != offer.provider:
            return None
        return with_passages(native, self.assembled.passages)


async def make_plan(ask: Ask, tier: Tier | None = None) -> Plan:
    """Judge the request: scope, feature, model, workspace, conversation, size.

    Raises the AppError that says what is wrong; nothing has been spent then.
    """
    ask.principal.require_scope("assistant")
    return await in_db(_judge, ask, await live_models(), tier)


async def plan_in_loop(ask: Ask, tier: Tier) -> Plan | None:
    """Judge without the database and without a thread; None where it takes them.

    Who may do this at all was judged with the admission. Refusals take the database:
    they tell which tier has more.
    """
    if ask.workspace_id or ask.workspace_ids or ask.conversation_id or ask.keeps:
        return None
    everything = await known_offers(ask.principal.user, tier)
    chosen = choose(everything, tier, wanted=ask.model, feature=ask.feature)
    if chosen is None:
        return None
    offers = _able(ask, _kept(ask, chosen))
    return _plan(ask, ask.prompt, tier, offers, everything)


async def make_ready(plan: Plan) -> Ready:
    """Search the code and keep the question. Raises VectorsUnavailable."""
    searches = plan.workspace or plan.several or plan.everywhere
    if not (searches or plan.ask.keeps):
        return Ready(plan, plan.bare, plan.conversation)
    return await in_db(_retrieve, plan)


def _judge(ask: Ask, live: Live, tier: Tier | None) -> Plan:
    user = ask.principal.user
    tier = tier or tier_of(user)
    with noted(user.pk, tier, ask.feature):
        require_feature(tier, ask.feature)
    prompt, conversation = ask.prompt, None
    if ask.conversation_id:
        conversation = get_conversation(user, ask.conversation_id)
        prompt = chat(prompt.final[-1].content, history_of(conversation))
    several = _several(ask, conversation)
    remembered = conversation.workspace_id if conversation else ""
    everywhere = not several and (ask.workspace_id or remembered) == ALL_WORKSPACES
    everything = offers_of(user, tier, live)
    with noted(user.pk, tier, ask.feature):
        offers = _offers(ask, tier, everything)
    single = not (everywhere or several)
    workspace = _workspace(ask, remembered) if single else None
    return _plan(
        *(ask, prompt, tier, offers, everything),
        workspace=workspace,
        conversation=conversation,
        everywhere=everywhere,
        several=several,
    )


def _plan(
    ask: Ask,
    prompt: Prompt,
    tier: Tier,
    offers: Sequence[Offer],
    everything: Sequence[Offer],
    workspace: Workspace | None = None,
    conversation: Conversation | None = None,
    everywhere: bool = False,
    several: tuple[Workspace, ...] = (),
) -> Plan:
    """Put the plan together. Raises ContextTooLarge before anything is spent."""
    size = context_size(tier, offers[0])
    return Plan(
        ask=ask,
        prompt=prompt,
        tier=tier,
        offers=tuple(offers),
        size=size,
        workspace=workspace,
        everywhere=everywhere,
        several=several,
        conversation=conversation,
        notice=why_extractive(offers, everything, tier),
        bare=_assemble(ask, prompt, tier, size, []),
    )


def _offers(ask: Ask, tier: Tier, everything: Sequence[Offer]) -> Sequence[Offer]:
    offers = candidates(
        offers=everything, tier=tier, wanted=ask.model, feature=ask.feature
    )
    return _able(ask, _kept(ask, offers))


def _kept(ask: Ask, offers: Sequence[Offer]) -> Sequence[Offer]:
    """Keep the first alone where no other may answer in its place.

    Each is asked in all its places, as it is the same model there.
    """
    named = offers[0].is_called(ask.model)
    falls_back = not named if ask.may_fall_back is None else ask.may_fall_back
    kept = offers if falls_back else offers[:1]
    if not any(offer.lanes for offer in kept):
        return kept
    return [at_lane for offer in kept for at_lane in in_order(offer)]


def _able(ask: Ask, offers: Sequence[Offer]) -> Sequence[Offer]:
    """Keep the models that can do what is asked. Raises UnsupportedParameter."""
    for is_asked, ability, field_name in (
        (bool(ask.options.tools), "takes_tools", "tools"),
        (ask.has_images, "takes_images", "messages"),
        (ask.has_image_urls, "takes_image_urls", "messages"),
    ):
        able = [o for o in offers if getattr(PROVIDERS[o.provider], ability)]
        if is_asked and not able:
            what = _ABILITIES[ability]
            sentence = f"The model '{offers[0].id}' takes no {what} here."
            raise UnsupportedParameter(
                f"{sentence} Leave them out or name a model whose provider does.",
                errors=[
                    {
                        "field": field_name,
                        "code": "unsupported_parameter",
                        "detail": sentence,
                    }
                ],
            )
        offers = able if is_asked else offers
    return offers


_ABILITIES = {
    "takes_tools": "tools",
    "takes_images": "images",
    "takes_image_urls": "images by URL (send them as data: URLs)",
}


def _several(ask: Ask, conversation: Conversation | None) -> tuple[Workspace, ...]:
    """Return the workspaces that are named together; a conversation's may be gone."""
    user = ask.principal.user
    if ask.workspace_ids:
        return tuple(get_workspace(user, each) for each in ask.workspace_ids)
    if ask.workspace_id or conversation is None or not conversation.workspace_ids:
        return ()
    mine = Workspace.objects.for_user(user)
    return tuple(mine.filter(pk__in=conversation.workspace_ids).order_by("pk"))


def _workspace(ask: Ask, remembered: str) -> Workspace | None:
    """Return the workspace to search; one that a conversation had may be gone."""
    user = ask.principal.user
    if ask.workspace_id:
        return get_workspace(user, ask.workspace_id)
    if not remembered:
        return None
    return Workspace.objects.for_user(user).filter(pk=remembered).first()


def _retrieve(plan: Plan) -> Ready:
    hits = _hits(plan)
    assembled = plan.bare
    if hits:
        assembled = _assemble(plan.ask, plan.prompt, plan.tier, plan.size, hits)
    conversation = plan.conversation
    if plan.ask.keeps:
        conversation = ask_in(
            user=plan.ask.principal.user,
            conversation=conversation,
            question=plan.prompt.final[-1].content,
            workspace_id=_named(plan),
            workspace_ids=[each.pk for each in plan.several],
        )
    return Ready(plan, assembled, conversation)


def _named(plan: Plan) -> str:
    """Return what the conversation remembers to search in."""
    if plan.everywhere:
        return ALL_WORKSPACES
    return plan.workspace.pk if plan.workspace else ""


def _searched(plan: Plan) -> list[Workspace]:
    if plan.everywhere:
        mine = Workspace.objects.for_user(plan.ask.principal.user)
        return list(mine.filter(generation__gt=0).order_by("-last_indexed_at"))
    if plan.several:
        return list(plan.several)
    return [plan.workspace] if plan.workspace else []


def _hits(plan: Plan) -> Sequence[Hit]:
    question = plan.prompt.question.strip()[:MAX_QUERY_CHARS].strip()
    workspaces = _searched(plan)
    if not workspaces or not question:
        return []
    # About one passage for every 200 tokens: more could not fit. Who reads quotes
    # wants few.
    wanted = max(8, min(60, plan.size // 200))
    if plan.offers[0].provider == EXTRACTIVE:
        wanted = 8
    found = search(workspaces=workspaces, query=question, max_results=wanted).hits
    return as_they_stand(found, workspaces)


def _assemble(
    ask: Ask, prompt: Prompt, tier: Tier, size: int, hits: Sequence[Hit]
) -> Assembled:
    return assemble(
        prompt=prompt,
        hits=hits,
        tier=tier,
        size=size,
        max_tokens=ask.options.max_tokens,
        tools=ask.options.tools,
    )
