"""The lean way in: who is this, and may it spend? One Redis call answers both.

Redis keeps whom a credential resolved to (a *cached principal*) for a second, counted
from before the database was asked, by Redis's own clock. So whatever becomes of the
message that a key was revoked (Redis down, frozen and thawed, flushed, a slow process
that fills the cache late), nothing read before the revocation is used a second after
it. Mostly it ends at once: who takes something away raises the generation
(`aiassist.lib.cached_principals`), and what was read under another one is void.

A miss asks the database in a thread and enters with what it read; without Redis the
database answers everything.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from django.conf import settings

from accounts.errors import MalformedCredential
from accounts.keys import MARK, cache_digest, has_key_form
from accounts.models import User
from accounts.principals import (
    Principal,
    credential_in,
    ends_at,
    resolve_credential,
)
from aiassist.lib import jsons
from aiassist.lib.db import in_background, keep
from aiassist.lib.errors import NotAuthenticated
from aiassist.lib.metrics import count_admission
from aiassist.lib.records import record
from billing.metering import scripts, windows
from billing.metering.admission import (
    Admission,
    Call,
    admission_of,
    conclude,
    conclude_anew,
)
from billing.metering.gates import require_feature
from billing.metering.ledger import release
from billing.metering.refusals import noted
from billing.metering.windows import Arg, Verdict
from billing.models import FEATURES, Tier
from billing.models.ledger import new_reservation_id
from billing.tiers.selectors import tier_of

CACHED_MS = 1000
_MISS, _NO_SCOPE, _NO_FEATURE = 4, 5, 6
_TIER_FIELDS = tuple(field.attname for field in Tier._meta.concrete_fields)

_readings: dict[str, asyncio.Future[tuple[Arg, ...]]] = {}

Headers = Iterable[tuple[bytes, bytes]]  # as in an ASGI scope: names in lower case


@record(frozen=True, slots=True)
class Entered:
    """Who calls, and the call that they may make. Both are shared: do not change them.

    Of `principal.user` only id, epoch, is_active and has_provider_keys are loaded.
    """

    principal: Principal
    admission: Admission


@record(frozen=True, slots=True)
class _Asked:
    """A call before it is known whose it is."""

    credential: str
    digest: str
    hold_id: str
    feature: str
    endpoint: str
    request_id: str
    scope: str


async def aenter(
    headers: Headers, *, feature: str, endpoint: str, request_id: str, scope: str
) -> Entered:
    """Resolve the credential and admit the call, or raise and spend nothing.

    Raises NotAuthenticated, InvalidCredential and its kin, ScopeMissing,
    FeatureNotInTier, QuotaExceeded.
    """
    credential = _credential_of(headers)
    asked = _Asked(
        credential=credential,
        digest=cache_digest(credential),
        hold_id=new_reservation_id(),
        feature=feature[:40],
        endpoint=endpoint[:120],
        request_id=request_id[:128],
        scope=scope,
    )
    answer = await _ask_redis(asked)
    if answer is None:
        return await _by_database(asked)
    if answer[0] == _MISS:
        fill = await _read_once(asked, answer)
        answer = await _ask_redis(asked, fill)
        if answer is None or answer[0] == _MISS:
            # Redis has gone, or somebody has lost something, since: ask anew.
            return await _by_database(asked)
    return await _entered(asked, answer)


async def _entered(asked: _Asked, answer: list[Any]) -> Entered:
    principal, tier = _belongings(answer[-1])
    if answer[0] in (_NO_SCOPE, _NO_FEATURE):
        await in_background(_refuse, asked, principal, tier)
    call = _call_of(asked, principal, tier)
    taken = windows.taken(answer[:-1])
    if taken.verdict is Verdict.TAKEN:
        count_admission("admitted", call.feature)
        admission = admission_of(call, taken)
    else:
        # To refuse, too, asks the database: which tier allows more?
        admission = await _or_undone(conclude, call, taken)
    return Entered(principal, admission)


async def _ask_redis(asked: _Asked, fill: Sequence[Arg] = ()) -> Any:
    """Return the script's answer, None when Redis is away."""
    leaver = _Leaver(asked.hold_id)
    answering = windows.send(
        scripts.ENTER,
        0,
        asked.digest,
        asked.hold_id,
        int(settings.RESERVATION_SECONDS * 1000),
        jsons.dumps([asked.endpoint, asked.feature, asked.request_id])[1:],
        windows.CONFIRM_SECONDS * 1000,
        asked.scope,
        asked.feature if asked.feature in FEATURES else "",
        int(settings.RATE_LIMIT_ENABLED),
        *fill,
        told=leaver.told,
    )
    try:
        return await windows.answer_of(answering)
    except asyncio.CancelledError:
        leaver.leave()
        raise


async def _read_once(asked: _Asked, miss: Sequence[Any]) -> Sequence[Arg]:
    """Read for all calls of one credential that miss at once.

    Whoever joins later has missed later: what they get ends with the first one's
    second.
    """
    reading = _readings.get(asked.digest)
    if reading is None:
        reading = asyncio.ensure_future(in_background(_read, asked, miss))
        _readings[asked.digest] = reading
        reading.add_done_callback(partial(_read_done, asked.digest))
    if reading.get_loop() is not asyncio.get_running_loop():
        return await in_background(_read, asked, miss)
    return await asyncio.shield(reading)


def _read_done(digest: str, reading: "asyncio.Future[Any]") -> None:
    _readings.pop(digest, None)
    if not reading.cancelled():
        reading.exception()  # whoever waited has it; nobody may have


class _Leaver:
    """Gives back what was taken for a caller who has left meanwhile."""

    __slots__ = ("_answer", "_has_left", "_hold_id")

    def __init__(self, hold_id: str) -> None:
        self._hold_id = hold_id
        self._answer: Any = None
        self._has_left = False

    def told(self, answer: Any) -> None:
        self._answer = answer
        if self._has_left:
            self.leave()

    def leave(self) -> None:
        self._has_left = True
        answer, self._answer = self._answer, None
        if answer and answer[0] == Verdict.TAKEN:
            user_id = _belongings(answer[-1])[0].user_id
            windows.send(scripts.RELEASE, user_id, self._hold_id)


async def _or_undone(work: Callable[..., Admission], *args: Any) -> Admission:
    """Admit in a thread; a caller who leaves meanwhile gives the call back."""
    admitting = asyncio.ensure_future(in_background(work, *args))
    try:
        return await asyncio.shield(admitting)
    except asyncio.CancelledError:
        admitting.add_done_callback(_release_later)
        raise


def _release_later(admitting: "asyncio.Future[Admission]") -> None:
    if not admitting.cancelled() and admitting.exception() is None:
        keep(asyncio.ensure_future(in_background(release, admitting.result())))


def _read(asked: _Asked, miss: Sequence[Any]) -> tuple[Arg, ...]:
    """Ask the database whose credential it is; return what Redis may keep of it.

    `miss` was answered before: the second that it may live begins there.
    """
    _, asked_at, generation = miss
    principal = resolve_credential(asked.credential)
    until = asked_at + CACHED_MS
    if end := ends_at(asked.credential, principal):
        until = min(until, windows.ms(end))
    tier = tier_of(principal.user)
    return (
        until,
        generation,
        principal.user_id,
        tier.requests_per_hour,
        tier.requests_per_day,
        tier.max_concurrent,
        f" {' '.join(sorted(principal.scopes))} ",
        f" {' '.join(tier.features)} ",
        json.dumps([principal.key_id or "", tier.code])[:-1] + ", ",
        _body_of(principal, tier),
    )


async def _by_database(asked: _Asked) -> Entered:
    """Resolve and admit without the cache."""
    principal, tier = await in_background(_resolved, asked)
    call = _call_of(asked, principal, tier)
    return Entered(principal, await _or_undone(conclude_anew, call))


def _resolved(asked: _Asked) -> tuple[Principal, Tier]:
    principal = resolve_credential(asked.credential)
    tier = tier_of(principal.user)
    _refuse(asked, principal, tier)
    return principal, tier


def _refuse(asked: _Asked, principal: Principal, tier: Tier) -> None:
    """Raise ScopeMissing or FeatureNotInTier, if there is a reason to."""
    principal.require_scope(asked.scope)
    if asked.feature in FEATURES:
        with noted(principal.user_id, tier, asked.feature):
            require_feature(tier, asked.feature)


def _call_of(asked: _Asked, principal: Principal, tier: Tier) -> Call:
    return Call(
        reservation_id=asked.hold_id,
        user_id=principal.user_id,
        key_id=principal.key_id or "",
        tier=tier,
        feature=asked.feature,
        endpoint=asked.endpoint,
        request_id=asked.request_id,
        now=None,
        enforced=settings.RATE_LIMIT_ENABLED,
        # The lean door hands these on, where a local model may answer instead.
        is_final=not settings.LOCAL_FALLBACK_PER_HOUR,
    )


def _body_of(principal: Principal, tier: Tier) -> str:
    """Return what a process needs to make both again: ids and numbers, no address."""
    return json.dumps(
        {
            "user": [
                principal.user_id,
                principal.user.has_provider_keys,
                principal.user.epoch,
            ],
            "kind": principal.kind,
            "key_id": principal.key_id,
            "session_id": principal.session_id,
            "scopes": sorted(principal.scopes),
            "tier": {name: getattr(tier, name) for name in _TIER_FIELDS},
        }
    )


@lru_cache(maxsize=4096)
def _belongings(body: str) -> tuple[Principal, Tier]:
    """Return the principal and tier of a cached body; equal bodies share them."""
    kept = json.loads(body)
    # Django wants them in the order of the model's columns.
    user = User.from_db(
        "default",
        ("id", "has_provider_keys", "epoch", "is_active"),
        (*kept["user"], True),
    )
    principal = Principal(
        user=user,
        kind=kept["kind"],
        key_id=kept["key_id"],
        scopes=frozenset(kept["scopes"]),
        session_id=kept["session_id"],
    )
    tier = Tier.from_db("default", _TIER_FIELDS, list(kept["tier"].values()))
    return principal, tier


def _credential_of(headers: Headers) -> str:
    """Return the one credential of the headers; an API key has the right form."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in (b"authorization", b"x-api-key"):
            text = value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    credential = credential_in(found.get(b"authorization"), found.get(b"x-api-key"))
    if credential is None:
        raise NotAuthenticated
    if credential.startswith(MARK) and not has_key_form(credential):
        raise MalformedCredential
    return credential
