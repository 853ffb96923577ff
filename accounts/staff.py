"""What every page of the admin shares."""

import json
from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.decorators import display

from accounts.models import User

if TYPE_CHECKING:  # generic in the stubs alone
    from django.contrib import admin

    _ModelAdmin = admin.ModelAdmin[Any]
    _Paginator = Paginator[Any]
else:
    _ModelAdmin = UnfoldModelAdmin
    _Paginator = Paginator

_Column = TypeVar("_Column", bound=Callable[..., str])
# From here on a list's length is an estimate; an exact count reads every row.
EXACT_UP_TO = 20_000
_PEOPLE = 200  # whose rows one search shows at most


def labelled(
    description: str, labels: dict[str, str], *, ordering: str = ""
) -> Callable[[_Column], _Column]:
    """Make a method a column of coloured words: `labels` maps value to kind."""
    as_column: Callable[[_Column], _Column] = display(
        description=description, label=labels, ordering=ordering or None
    )
    return as_column


def person_at(object_id: str) -> User | None:
    """Return whose page stands at this id, as Django writes it in addresses or plain.

    There an underscore begins a code: "_5B" is a bracket, and the middle of one of
    our ids in two hundred.
    """
    read = unquote(object_id)
    return User.objects.filter(pk__in=(read, quote(read))).first()


def person_or_404(object_id: str) -> User:
    """Do as `person_at`, or raise Http404."""
    if user := person_at(object_id):
        return user
    raise Http404


def staff_of(request: HttpRequest) -> User:
    """Return who is at work here."""
    assert isinstance(request.user, User)
    return request.user


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


class StaffModelAdmin(_ModelAdmin):
    """What staff do is in our audit log, and there alone.

    Django's own log would keep people's addresses after their erasure (D5).
    """

    list_per_page = 50  # drawn in half the time of Django's hundred
    paginator = QuickPaginator
    show_full_result_count = False  # counting every row takes longer than a page

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Find it by an id that Django has read as quoted, though it was not."""
        return super().get_object(request, object_id, from_field) or (
            super().get_object(request, quote(object_id), from_field)
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Show nothing: it would be empty."""
        raise PermissionDenied

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]
        return None

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:  # type: ignore[override]
        return None


class AddedOnlyAdmin(StaffModelAdmin):
    """History: it is added to, not rewritten."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(AddedOnlyAdmin):
    """Rows to look at; only the services write them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


class SearchByPerson(StaffModelAdmin):
    """Finds rows by whose they are, or by a whole id; by nothing that reads them all.

    Somebody's address may be given in part: there are far fewer people than rows.
    """

    people: tuple[str, ...] = ("user_id",)  # columns that name somebody
    whole_ids: tuple[str, ...] = ("id",)  # columns that hold just what was typed

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        term = search_term.strip()
        if not term:
            return queryset, False
        fits = Q(pk=term) | Q(email__icontains=term)
        people = list(User.objects.filter(fits).values_list("pk", flat=True)[:_PEOPLE])
        if people:
            wanted = [Q(**{f"{column}__in": people}) for column in self.people]
        else:
            wanted = [Q(**{column: term}) for column in self.whole_ids]
        return queryset.filter(reduce(or_, wanted)), False


def among(column: str, values: Iterable[str]) -> type[SimpleListFilter]:
    """Return a filter by known values: asking a full table for its own takes long."""
    known = [(value, value.replace("_", " ")) for value in values]

    class Among(SimpleListFilter):
        title = column.replace("_", " ")
        parameter_name = column

        def lookups(
            self, request: HttpRequest, model_admin: Any
        ) -> list[tuple[str, str]]:
            return known

        def queryset(
            self, request: HttpRequest, queryset: "QuerySet[Any]"
        ) -> "QuerySet[Any]":
            chosen = self.value()
            return queryset.filter(**{column: chosen}) if chosen else queryset

    return Among
