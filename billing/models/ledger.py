"""The ledger: what is held, what was used, and the counts both add up to."""

import os
from datetime import datetime
from itertools import count
from typing import Any, NoReturn, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from aiassist.lib import clock
from aiassist.lib.ids import base62_encode, base62_random, new_id


class LedgerIsFinal(Exception):
    """Somebody tried to change or delete a usage record."""


class Quota(models.Model):
    """One user's counts in the windows that run; locked while they change.

    Calls that the database admitted itself, and calls that it granted Redis ahead:
    an upper bound of what was admitted, never above the tier's limit.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        primary_key=True,
        related_name="quota",
    )
    hour_start = models.DateTimeField()
    hour_used = models.PositiveIntegerField(default=0)
    day_start = models.DateTimeField()
    day_used = models.PositiveIntegerField(default=0)
    # What Redis calls its counts of this user; another name: it has forgotten.
    lease = models.CharField(max_length=40, blank=True, default="")
    version = models.PositiveBigIntegerField(default=0)  # number of the last grant
    block = models.PositiveBigIntegerField(default=0)  # of the last of many calls
    block_at = models.DateTimeField(null=True)  # by the real clock; None: never
    losses = models.PositiveSmallIntegerField(default=0)  # of leases, this hour

    def __str__(self) -> str:
        return f"{self.user_id}: {self.hour_used} this hour, {self.day_used} this day"

    def roll_to(self, moment: datetime) -> datetime:
        """Open the windows that hold `moment`; return the moment that counts.

        A clock that runs behind never opens a window again that another server
        has closed: its moment is moved to the start of the later window.
        """
        moment = max(moment, self.hour_start, self.day_start)
        hour_start, _ = clock.hour_window(moment)
        day_start, _ = clock.day_window(moment)
        if hour_start != self.hour_start:
            self.hour_start, self.hour_used, self.losses = hour_start, 0, 0
        if day_start != self.day_start:
            self.day_start, self.day_used = day_start, 0
        return moment

    def take_back(self, admitted_at: datetime) -> None:
        """Count one call less in those windows of it that still run."""
        if self.hour_start == clock.hour_window(admitted_at)[0]:
            self.hour_used = max(0, self.hour_used - 1)
        if self.day_start == clock.day_window(admitted_at)[0]:
            self.day_used = max(0, self.day_used - 1)


_numbers = count()
_process = (0, "")  # pid and its part of the ids


def new_reservation_id() -> str:
    """Return an id made of this process's own and a number: no draw for each call."""
    global _process
    pid = os.getpid()  # asked each time: a forked worker needs a part of its own
    if _process[0] != pid:
        _process = (pid, base62_random(14))
    return f"res_{_process[1]}{base62_encode(next(_numbers), 8)}"


class ReservationQuerySet(models.QuerySet["Reservation"]):
    def for_user(self, user_id: str) -> Self:
        return self.filter(user_id=user_id)

    def holding_at(self, moment: datetime) -> Self:
        """Those that still occupy a concurrency slot."""
        return self.filter(expires_at__gt=moment)

    def stale_at(self, moment: datetime) -> Self:
        """Those whose process must have died before it settled."""
        return self.filter(expires_at__lte=moment)


class Reservation(models.Model):
    """A call that the database admitted (Redis was away) and that still runs."""

    id = models.CharField(
        max_length=40, primary_key=True, default=new_reservation_id, editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="reservations",
        db_index=False,
    )
    request_id = models.CharField(max_length=128)
    key_id = models.CharField(max_length=40, blank=True)  # "": session or JWT
    tier_code = models.CharField(max_length=40)
    endpoint = models.CharField(max_length=120)
    feature = models.CharField(max_length=40)
    admitted_at = models.DateTimeField()
    expires_at = models.DateTimeField()  # after this the sweeper settles it

    objects = ReservationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "expires_at"], name="reservation_by_user"),
            models.Index(fields=["expires_at"], name="reservation_by_expiry"),
        ]

    def __str__(self) -> str:
        return self.pk


def new_record_id() -> str:
    return new_id("rec")


class UsageRecordQuerySet(models.QuerySet["UsageRecord"]):
    def for_user(self, user_id: str) -> Self:
        return self.filter(user_id=user_id)

    def admitted_in(self, start: datetime, end: datetime) -> Self:
        """Those admitted within `[start, end)`."""
        return self.filter(admitted_at__gte=start, admitted_at__lt=end)

    def spending_quota(self) -> Self:
        """Those that took a call of an hour's and a day's quota."""
        return self.exclude(fallback=UsageRecord.Fallback.QUOTA)

    def fitting(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: str,
    ) -> Self:
        """Those admitted in `[since, until)` whose fields are equal to `equal`."""
        found = self.filter(**equal)
        if since is not None:
            found = found.filter(admitted_at__gte=since)
        if until is not None:
            found = found.filter(admitted_at__lt=until)
        return found

    def forget_the_user(self) -> int:
        """Take from these what names a person; what was used and cost stays."""
        # `update` of this class is shut; a request id is unique per user only, and
        # there is none any more.
        return super().update(user=None, request_id="", key_id="", workspace_id="")

    def update(self, **kwargs: Any) -> NoReturn:
        raise LedgerIsFinal

    def delete(self) -> NoReturn:
        raise LedgerIsFinal


class UsageRecord(models.Model):
    """One metered call, never edited afterwards.

    A trigger in the database refuses changes too, save that an erased user is
    forgotten while the totals stay.
    """

    class Status(models.TextChoices):
        OK = "ok"
        ERROR = "error"
        CANCELLED = "cancelled"  # the reader hung up
        ABANDONED = "abandoned"  # our process died; settled by the sweeper

    class Fallback(models.TextChoices):
        NONE = ""
        UPSTREAM = "upstream"  # another place of the same model answered
        MODEL = "model"  # another model answered than was chosen first
        QUOTA = "quota"  # the quota was used up; a local model answered instead

    id = models.CharField(
        max_length=40, primary_key=True, default=new_record_id, editable=False
    )
    reservation_id = models.CharField(max_length=40, unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,  # None: the user was erased
        related_name="usage_records",
        db_index=False,
    )
    request_id = models.CharField(max_length=160)
    key_id = models.CharField(max_length=40, blank=True)
    workspace_id = models.CharField(max_length=64, blank=True)
    tier_code = models.CharField(max_length=40)
    endpoint = models.CharField(max_length=120)
    feature = models.CharField(max_length=40)
    provider = models.CharField(max_length=40, blank=True)
    model = models.CharField(max_length=120, blank=True)
    upstream = models.CharField(max_length=80, blank=True, default="")  # which place
    own_key = models.BooleanField(default=False)  # paid for by the user's own key
    fallback = models.CharField(
        max_length=10, choices=Fallback.choices, blank=True, default=Fallback.NONE
    )
    tokens_in = models.PositiveBigIntegerField(default=0)
    tokens_out = models.PositiveBigIntegerField(default=0)
    cost_usd_micros = models.PositiveBigIntegerField(default=0)
    estimated = models.BooleanField(default=False)  # tokens counted by us, not told
    status = models.CharField(max_length=12, choices=Status.choices)
    latency_ms = models.PositiveBigIntegerField(default=0)
    first_token_ms = models.PositiveBigIntegerField(null=True)  # None: no token came
    admitted_at = models.DateTimeField()  # decides the window and the day
    created_at = models.DateTimeField(default=clock.now)

    objects = UsageRecordQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "request_id"], name="usage_record_request_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["ok", "error", "cancelled", "abandoned"]),
                name="usage_record_known_status",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "admitted_at"], name="usage_by_admission"),
            models.Index(fields=["user", "-created_at", "-id"], name="usage_newest"),
            models.Index(fields=["created_at"], name="usage_by_settlement"),
            models.Index(fields=["admitted_at"], name="usage_by_day"),
        ]

    def __str__(self) -> str:
        return self.pk

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert. Raises LedgerIsFinal for a row that exists."""
        if not self._state.adding:
            raise LedgerIsFinal
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LedgerIsFinal
