"""Staff edit the catalogue and see that conversations exist, never what they say."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from accounts.staff import StaffModelAdmin
from assistant import staff  # noqa: F401 - adds its page to the admin
from assistant.catalogue import EMBEDDINGS
from assistant.models import AIModel, Conversation
from billing.models.tier import FEATURES

if TYPE_CHECKING:
    _AIModelAdmin = admin.ModelAdmin[AIModel]
    _ConversationAdmin = admin.ModelAdmin[Conversation]
    _AIModelForm = forms.ModelForm[AIModel]
else:
    _AIModelAdmin = StaffModelAdmin
    _ConversationAdmin = StaffModelAdmin
    _AIModelForm = forms.ModelForm


class AIModelForm(_AIModelForm):
    class Meta:
        model = AIModel
        fields = "__all__"  # noqa: DJ007 - staff edit every column

    def clean_features(self) -> list[str]:
        features = self.cleaned_data["features"] or []
        known = (*FEATURES, EMBEDDINGS)
        if not isinstance(features, list) or set(map(str, features)) - set(known):
            raise forms.ValidationError(f"Give a list of: {', '.join(known)}.")
        return features


@admin.register(AIModel)
class AIModelAdmin(_AIModelAdmin):
    form = AIModelForm
    list_display = (
        "__str__",
        "context_window",
        "price_in",
        "price_out",
        "position",
        "enabled",
    )
    list_filter = ("provider", "enabled")
    list_editable = ("position", "enabled")
    search_fields = ("name", "upstream_name")

    @admin.display(description="USD in / 1M", ordering="price_in_usd_micros")
    def price_in(self, row: AIModel) -> str:
        return f"{row.price_in_usd_micros / 1_000_000:.2f}"

    @admin.display(description="USD out / 1M", ordering="price_out_usd_micros")
    def price_out(self, row: AIModel) -> str:
        return f"{row.price_out_usd_micros / 1_000_000:.2f}"


@admin.register(Conversation)
class ConversationAdmin(_ConversationAdmin):
    """No title either: it is the first question."""

    list_display = ("id", "user", "n_messages", "created_at", "updated_at")
    fields = ("id", "user", "workspace_id", "created_at", "updated_at")
    readonly_fields = fields
    list_select_related = ("user",)
    search_fields = ("id", "user__email")
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return super().get_queryset(request).annotate(n=Count("messages"))

    @admin.display(description="messages")
    def n_messages(self, row: Conversation) -> int:
        return int(getattr(row, "n", 0))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Conversation | None = None
    ) -> bool:
        return False

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """List ids only: the default lists every message."""
        names = [str(conversation.pk) for conversation in objs]
        return names, {"conversations": len(names)}, set(), []
