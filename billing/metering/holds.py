"""The holds of running calls, in Redis and (where it was away) in the database."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiassist.lib.redis import RedisDown, client
from billing.metering import windows
from billing.models import Reservation


@dataclass(frozen=True, slots=True)
class Hold:
    """A call that was admitted by Redis and has not been settled yet."""

    reservation_id: str
    user_id: str
    key_id: str
    tier_code: str
    endpoint: str
    feature: str
    request_id: str
    admitted_at: datetime


def open_holds(user_id: str = "") -> list[Hold]:
    """Return the holds that Redis knows, of one user or of all; none without it."""
    if not windows.breaker.allows():
        return []
    try:
        members: list[str] = _redis().zrange("holds:ends", 0, -1)
        return _read(m for m in members if not user_id or m.startswith(f"{user_id}|"))
    except RedisDown as error:
        windows.note_failure(error)
        return []


def n_open(user_id: str) -> int:
    """Return how many calls of a user run, as Redis and the database know."""
    ids = set(Reservation.objects.for_user(user_id).values_list("pk", flat=True))
    return len(ids | {hold.reservation_id for hold in open_holds(user_id)})


def ended_by(moment: datetime, *, at_most: int) -> list[Hold]:
    """Return the holds whose processes must have died; none while Redis is away."""
    if not windows.breaker.allows():
        return []
    try:
        members: list[str] = _redis().zrangebyscore(
            "holds:ends", "-inf", windows.ms(moment), start=0, num=at_most
        )
        return _read(members)
    except RedisDown as error:
        windows.note_failure(error)
        return []


def _redis() -> Any:
    # Its stubs allow for answers as bytes, which ours never are.
    return client()


def _read(members: Iterable[str]) -> list[Hold]:
    pairs = [member.rsplit("|", 1) for member in members]
    if not pairs:
        return []
    values = _redis().hmget("holds", [hold_id for _, hold_id in pairs])
    found = []
    for (user_id, hold_id), value in zip(pairs, values, strict=True):
        if value is not None:
            found.append(_hold(user_id, hold_id, value))
        else:  # it has ended since
            _redis().zrem("holds:ends", f"{user_id}|{hold_id}")
    return found


def _hold(user_id: str, hold_id: str, value: str) -> Hold:
    _, _, _, admitted_at, meta = value.split("|", 4)
    key_id, tier_code, endpoint, feature, request_id = json.loads(meta)
    return Hold(
        reservation_id=hold_id,
        user_id=user_id,
        key_id=key_id,
        tier_code=tier_code,
        endpoint=endpoint,
        feature=feature,
        request_id=request_id,
        admitted_at=windows.moment(int(admitted_at)),
    )
