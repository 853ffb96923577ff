"""`Idempotency-Key`: a call that is sent twice has one effect and one answer (Q13).

The first call under a key claims a row; who comes while it runs is told to wait, and
afterwards gets the same answer again, for a day. A call that was refused had no
effect: its claim is given up, so that it may be sent again. The answer is sealed with
the key itself, of which only a digest is kept: neither a dump of the database nor we
can read it (an answer may hold an API key that is shown once).

A process that dies leaves its claim until `RESERVATION_SECONDS` have passed.
Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from accounts.errors import (
    IdempotencyInProgress,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    IdempotentAnswerLost,
)
from accounts.models import IdempotentCall, User
from accounts.models.idempotent_call import IdempotentCallQuerySet
from aiassist.lib import clock
from aiassist.lib.errors import TooManyAttempts
from aiassist.lib.vault import SealBroken, seal, unseal

KEPT = timedelta(hours=24)
MAX_KEY_CHARS = 255
MAX_ANSWER_BYTES = 1024 * 1024
MAX_KEYS = 2000  # of one user, at one time

_State = IdempotentCall.State


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make the call and to keep its answer."""

    user_id: str
    key: str
    run: str

    def keep(self, answer: Answer) -> None:
        """Keep the answer for a day; one that is too large counts as lost."""
        if len(answer.body) > MAX_ANSWER_BYTES:
            self.lose()
            return
        packed = json.dumps(
            [dict(answer.headers), base64.b64encode(answer.body).decode()]
        )
        self._mine().update(
            state=_State.DONE,
            status=answer.status,
            answer=seal(packed, purpose=_purpose(self.user_id, self.key)),
            expires_at=clock.now() + KEPT,
        )

    def lose(self) -> None:
        """Note that the call had its effect and its answer is not to be had again."""
        self._mine().update(state=_State.LOST, expires_at=clock.now() + KEPT)

    def give_up(self) -> None:
        """The call had no effect: it may be sent again."""
        self._mine().delete()

    def _mine(self) -> IdempotentCallQuerySet:
        return IdempotentCall.objects.filter(user_id=self.user_id, run=self.run)


def begin(user: User, key: str, fingerprint: str) -> Claim | Answer:
    """Claim the key, or return the answer that was given under it.

    Raises IdempotencyKeyInvalid, IdempotencyKeyReused for another request under it,
    IdempotencyInProgress, IdempotentAnswerLost, TooManyAttempts.
    """
    if not 0 < len(key) <= MAX_KEY_CHARS or not all("!" <= c <= "~" for c in key):
        raise IdempotencyKeyInvalid
    claim = Claim(user.pk, key, secrets.token_hex(16))
    digest = _digest(user.pk, key)
    # Twice: the one that is there may have run out, or been given up, meanwhile.
    for _ in range(2):
        if _claimed(user, digest, fingerprint, claim.run):
            return claim
        kept = IdempotentCall.objects.for_user(user).filter(digest=digest).first()
        if kept is None:
            continue
        if kept.expires_at <= clock.now():
            IdempotentCall.objects.filter(
                pk=kept.pk, expires_at=kept.expires_at
            ).delete()
            continue
        return _answer_of(kept, fingerprint, key)
    raise IdempotencyInProgress(retry_after_seconds=1)


def fingerprint_key() -> bytes:
    """Return the secret under which requests and keys are digested."""
    return hashlib.sha256(b"idempotency\0" + settings.SECRET_KEY.encode()).digest()


def forget_old() -> int:
    """Delete what has run out; return how many rows."""
    return IdempotentCall.objects.filter(expires_at__lte=clock.now()).delete()[0]


def _claimed(user: User, digest: str, fingerprint: str, run: str) -> bool:
    mine = IdempotentCall.objects.for_user(user)
    if mine.filter(digest=digest).exists():
        return False
    if mine.filter(expires_at__gt=clock.now()).count() >= MAX_KEYS:
        raise TooManyAttempts(
            f"You have used {MAX_KEYS} idempotency keys within a day. Send the request "
            "without one.",
            policy="idempotency_keys",
            scope="user",
            limit=MAX_KEYS,
            used=MAX_KEYS,
            resets_at=None,
            retry_after_seconds=3600,
            alternatives=["Send the request without an Idempotency-Key."],
        )
    row = IdempotentCall(
        user=user,
        digest=digest,
        fingerprint=fingerprint,
        run=run,
        state=_State.RUNNING,
        expires_at=clock.now() + timedelta(seconds=settings.RESERVATION_SECONDS),
    )
    IdempotentCall.objects.bulk_create([row], ignore_conflicts=True)
    return mine.filter(digest=digest, run=run).exists()


def _answer_of(kept: IdempotentCall, fingerprint: str, key: str) -> Answer:
    if not hmac.compare_digest(kept.fingerprint, fingerprint):
        raise IdempotencyKeyReused
    if kept.state == _State.RUNNING:
        raise IdempotencyInProgress(retry_after_seconds=1)
    if kept.state == _State.LOST:
        raise IdempotentAnswerLost
    try:
        packed = unseal(kept.answer, purpose=_purpose(kept.user_id, key))
    except SealBroken:  # the platform's own key was changed since
        raise IdempotentAnswerLost from None
    headers, body = json.loads(packed)
    return Answer(kept.status, headers, base64.b64decode(body))


def _digest(user_id: str, key: str) -> str:
    said = f"{user_id}\0{key}".encode()
    return hmac.new(fingerprint_key(), said, hashlib.sha256).hexdigest()


def _purpose(user_id: str, key: str) -> str:
    return f"idempotent answer {user_id} {key}"
