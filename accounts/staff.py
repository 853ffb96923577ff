"""What every page of the admin shares."""

import json
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin as UnfoldModelAdmin

from accounts.models import User

if TYPE_CHECKING:  # generic in the stubs alone
    from django.contrib import admin

    StaffModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    StaffModelAdmin = UnfoldModelAdmin
    _Paginator = Paginator

# From here on a list's length is an estimate; an exact count reads every row.
EXACT_UP_TO = 20_000


def staff_of(request: HttpRequest) -> User:
    """Return who is at work here."""
    assert isinstance(request.user, User)
    return request.user


class ReadOnlyAdmin(StaffModelAdmin):
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class QuickPaginator(_Paginator):
    """Counts exactly what is short, and estimates what is long.

    Counting a million rows takes longer than showing a page of them.
    """

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return super().count
        seen = rows.order_by().values("pk")[: EXACT_UP_TO + 1].count()
        if seen <= EXACT_UP_TO:
            return seen
        return max(seen, self._estimate(rows))

    @staticmethod
    def _estimate(rows: "QuerySet[Any]") -> int:
        """Return what PostgreSQL's planner believes; elsewhere, the exact count."""
        if connection.vendor != "postgresql":
            return rows.count()
        told = json.loads(rows.order_by().values("pk").explain(format="json"))
        return int(told[0]["Plan"]["Plan Rows"])
