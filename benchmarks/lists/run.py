"""View each page twice, and tell of the second view."""

import time
from collections.abc import Iterator

from django.contrib import admin
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from accounts.people import create_person
from benchmarks.lists.filling import fill

_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
_LISTS = ("?q=p4711", "?p=2")
_FILTERED = {
    "billing_usagerecord": ("?status__exact=error", "?provider=openai&q=p42@example"),
    "accounts_auditevent": ("?kind=key", "?q=user_4711"),
    "accounts_user": ("?is_staff__exact=1", "?q=Person+4711", "?o=1"),
    "workspaces_indexjob": ("?state__exact=failed",),
    "billing_usageday": ("?provider__exact=openai",),
}
_DASHBOARD = (
    *("/dashboard/", "/dashboard/usage/", "/dashboard/usage/?period=month"),
    *("/dashboard/limits/", "/dashboard/keys/", "/dashboard/workspaces/"),
    *("/dashboard/chat/", "/dashboard/settings/sessions/", "/dashboard/connect/"),
    *("/api/v1/usage?period=month", "/api/v1/usage/records", "/api/v1/usage/insights"),
)


def main(users: int, records: int) -> None:
    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    fill(users, records)
    print(
        f"filled with {users:,} users and {records:,} records "
        f"in {time.perf_counter() - began:.0f} s"
    )
    stella = create_person(
        email="stella@example.test", password=None, full_name="S", is_staff=True
    )
    User.objects.filter(pk=stella.pk).update(is_superuser=True)
    _table("Admin", stella, _admin_pages())
    _table("Dashboard of somebody with many calls", _busy(), _DASHBOARD)


def _busy() -> User:
    return User.objects.get(pk="user_4")


def _admin_pages() -> Iterator[str]:
    for period in ("day", "week", "month"):
        yield f"{reverse('admin:index')}?period={period}"
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        path = reverse(f"admin:{name}_changelist")
        yield path
        for query in (*_LISTS, *_FILTERED.get(name, ())):
            yield f"{path}{query}"
    yield reverse("admin:accounts_user_change", args=[_busy().pk])
    yield reverse("admin:billing_tier_change", args=["pro"])


def _table(title: str, user: User, paths: Iterator[str] | tuple[str, ...]) -> None:
    client = Client(SERVER_NAME="localhost")
    client.force_login(user, _BACKEND)
    print(
        f"\n{title}\n\n| page | ms | queries | slowest, ms |\n| --- | --- | --- | --- |"
    )
    for path in paths:
        client.get(path)
        cache.clear()
        with CaptureQueriesContext(connection) as asked:
            began = time.perf_counter()
            answer = client.get(path)
            answer.getvalue()
            ms = (time.perf_counter() - began) * 1000
        slowest = max((float(q["time"]) for q in asked), default=0.0) * 1000
        status = "" if answer.status_code == 200 else f" ({answer.status_code})"
        print(
            f"| {path}{status} | {ms:.0f} | {len(asked)} | {slowest:.0f} |", flush=True
        )
        if slowest > 150:
            worst = max(asked.captured_queries, key=lambda q: float(q["time"]))
            print(f"  {worst['sql'][:600]}", flush=True)
