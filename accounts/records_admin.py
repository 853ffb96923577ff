"""The staff's view of keys, sign-ins by token, exports, and the audit log."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import CharField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from accounts import audit, keys
from accounts.models import (
    ApiKey,
    AuditEvent,
    DataExport,
    TokenFamily,
    User,
    Webhook,
    WebhookDelivery,
)
from accounts.staff import (
    ReadOnlyAdmin,
    SearchByPerson,
    among,
    labelled,
    staff_of,
)
from accounts.webhooks.endpoints import host_of
from aiassist.lib.clock import now

# The first words of the audit log's actions.
AUDITED = (
    *("app", "confirmation", "email", "export", "group", "impersonation", "index_job"),
    *("key", "limits", "login", "logout", "model", "password", "provider"),
    *("second_factor", "session", "subscription", "tier", "token", "upstream"),
    *("user", "webhook", "workspace"),
)


@admin.register(ApiKey)
class ApiKeyAdmin(SearchByPerson, ReadOnlyAdmin):
    """Keys can be revoked and nothing else; digests are not shown."""

    list_display = ("name", "prefix", "user", "state", "created_at", "last_used_at")
    list_select_related = ("user",)
    list_filter = ("created_at",)
    search_fields = whole_ids = ("prefix", "id")
    exclude = ("digest", "pepper_version")
    actions = ("revoke",)

    @labelled(
        "Status", {"active": "success", "revoked": "danger", "expired": "warning"}
    )
    def state(self, key: ApiKey) -> str:
        return key.status

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke_key(key, actor=staff_of(request), request=request)


@admin.register(TokenFamily)
class TokenFamilyAdmin(SearchByPerson, ReadOnlyAdmin):
    """Sign-ins by token; the tokens themselves are not stored."""

    list_display = (
        *("id", "user", "client", "ip"),
        *("created_at", "rotated_at", "revoked_at"),
    )
    list_select_related = ("user", "client")
    search_fields = whole_ids = ("id",)
    exclude = ("current_jti", "previous_jti")
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_tokenfamily")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[TokenFamily]) -> None:
        for family in queryset.filter(revoked_at__isnull=True):
            with transaction.atomic():
                TokenFamily.objects.filter(pk=family.pk).update(revoked_at=now())
                audit.record(
                    "token.revoked",
                    actor=staff_of(request),
                    subject=family,
                    request=request,
                )


def _address_of(column: str) -> Coalesce:
    """The address of somebody who is still there, else the id."""
    email = User.objects.filter(pk=OuterRef(column)).values("email")
    return Coalesce(Subquery(email), column, output_field=CharField())


class ActionFilter(admin.SimpleListFilter):
    """By kind of act: `key`, `login`, `user` …"""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind.replace("_", " ").capitalize()) for kind in AUDITED]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent]
    ) -> QuerySet[AuditEvent]:
        kind = self.value()
        return queryset.filter(action__startswith=kind) if kind else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(SearchByPerson, ReadOnlyAdmin):
    """The log: to read, never to write."""

    list_display = ("created_at", "action", "who", "whom", "details", "ip")
    list_filter = (ActionFilter, "created_at")
    people = ("actor_id", "subject_id")
    search_fields = whole_ids = ("actor_id", "subject_id", "request_id", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        rows: QuerySet[AuditEvent] = super().get_queryset(request)
        return rows.annotate(
            who=_address_of("actor_id"),
            whom=_address_of("subject_id"),
        )

    @admin.display(description="Who", ordering="actor_id")
    def who(self, event: Any) -> str:
        return str(event.who) or "nobody signed in"

    @admin.display(description="Whom or what", ordering="subject_id")
    def whom(self, event: Any) -> str:
        return str(event.whom)


@admin.register(DataExport)
class DataExportAdmin(ReadOnlyAdmin):
    """Asked-for exports, without their contents."""

    list_display = ("id", "user", "state", "created_at", "finished_at")
    list_select_related = ("user",)
    exclude = ("body",)


@admin.register(Webhook)
class WebhookAdmin(SearchByPerson, ReadOnlyAdmin):
    """Whom users have told. Secrets are not shown, nor the rest of an address."""

    list_display = ("id", "user", "host", "state", "failures", "last_success_at")
    list_select_related = ("user",)
    ordering = ("-created_at",)
    search_fields = whole_ids = ("id",)
    exclude = ("url", "sealed_secret", "previous_sealed_secret")
    readonly_fields = ("host",)

    @admin.display(description="Host")
    def host(self, webhook: Webhook) -> str:
        return host_of(webhook)

    @labelled("Status", {"enabled": "success", "by user": "info"})
    def state(self, webhook: Webhook) -> str:
        return webhook.disabled_reason.replace("_", " ") or "enabled"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(SearchByPerson, ReadOnlyAdmin):
    """What was sent, what waits, and what came of it."""

    list_display = (
        *("created_at", "webhook", "event_type", "status", "attempts"),
        *("outcome", "response_status", "took_ms", "next_at"),
    )
    list_select_related = ("webhook",)
    list_filter = (among("state", WebhookDelivery.State.values),)
    ordering = ("-created_at",)
    people = ("webhook__user_id",)
    search_fields = whole_ids = ("id", "event_id", "webhook_id")

    @labelled(
        "Status", {"delivered": "success", "waiting": "warning", "failed": "danger"}
    )
    def status(self, delivery: WebhookDelivery) -> str:
        return delivery.state
