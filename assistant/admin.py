"""Staff edit the catalogue and see that conversations exist, never what they say."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.admin import StackedInline
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import audit
from accounts.staff import (
    ReadOnlyAdmin,
    SearchByPerson,
    StaffModelAdmin,
    staff_of,
)
from aiassist.lib.errors import ValidationFailed
from assistant import staff  # noqa: F401 - adds its page to the admin
from assistant.catalogue import EMBEDDINGS
from assistant.models import AIModel, Conversation, Message, Upstream
from assistant.places import MAX_KEY_CHARS, checked_base_url, is_key, seal_key
from billing.admin_forms import DollarsField
from billing.models.tier import FEATURES

if TYPE_CHECKING:
    _AIModelForm = forms.ModelForm[AIModel]
    _UpstreamForm = forms.ModelForm[Upstream]
    _Inline = admin.StackedInline[Upstream, AIModel]
    _FormSet = forms.BaseInlineFormSet[Upstream, AIModel, forms.ModelForm[Upstream]]
else:
    _AIModelForm = forms.ModelForm
    _UpstreamForm = forms.ModelForm
    _Inline = StackedInline
    _FormSet = forms.BaseInlineFormSet


_A_MILLION_TOKENS = "US dollars for a million tokens."


class AIModelForm(_AIModelForm):
    price_in_usd_micros = DollarsField(label="Input price", help_text=_A_MILLION_TOKENS)
    price_out_usd_micros = DollarsField(
        label="Output price", help_text=_A_MILLION_TOKENS
    )
    features = forms.MultipleChoiceField(
        choices=[(name, name) for name in (*FEATURES, EMBEDDINGS)],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What it serves; none ticked: all.",
    )

    class Meta:
        model = AIModel
        fields = (
            *("provider", "name", "upstream_name", "context_window"),
            *("price_in_usd_micros", "price_out_usd_micros"),
            *("features", "position", "enabled"),
        )


class UpstreamForm(_UpstreamForm):
    """A key goes in and never comes out; it belongs to its address."""

    key = forms.CharField(
        required=False,
        max_length=MAX_KEY_CHARS,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="For the address above. It is not shown again; empty leaves it.",
    )

    class Meta:
        model = Upstream
        fields = (
            *("name", "provider", "upstream_name", "base_url"),
            *("priority", "weight", "enabled"),
        )

    def clean_base_url(self) -> str:
        base_url = str(self.cleaned_data["base_url"])
        if not base_url:
            return ""
        try:
            return checked_base_url(base_url, "staff")
        except ValidationFailed as error:
            raise forms.ValidationError(error.sentence) from None

    def clean_key(self) -> str:
        key = str(self.cleaned_data["key"]).strip()
        if not is_key(key) and key:
            raise forms.ValidationError("A key is visible ASCII without spaces.")
        return key

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("key") and not cleaned.get("base_url"):
            self.add_error(
                "key",
                "Without an address of its own it uses the key of the settings.",
            )
        return cleaned

    def save(self, commit: bool = True) -> Upstream:
        upstream = self.instance
        if not upstream.base_url:
            upstream.sealed_key = ""
        elif key := self.cleaned_data.get("key"):
            upstream.sealed_key = seal_key(
                key, base_url=upstream.base_url, giver="staff"
            )
        elif "base_url" in self.changed_data:
            # Sealed for another host it would not open anyway.
            upstream.sealed_key = ""
        return super().save(commit)


class UpstreamFormSet(_FormSet):
    def clean(self) -> None:
        """Names are told apart within one model."""
        super().clean()
        ids = [form.instance.pk for form in self.forms if form.instance.pk]
        taken = {row.name for row in self.get_queryset() if row.pk not in ids}
        for form in self.forms:
            name = form.cleaned_data.get("name")
            if not name or form.cleaned_data.get("DELETE"):
                continue
            if name in taken:
                form.add_error("name", "Another place of this model is called so.")
            taken.add(name)


class UpstreamInline(_Inline):
    model = Upstream
    form = UpstreamForm
    formset = UpstreamFormSet
    extra = 0
    verbose_name_plural = "upstreams: where it is had, if not at its provider's"


@admin.register(AIModel)
class AIModelAdmin(StaffModelAdmin):
    form = AIModelForm
    inlines = (UpstreamInline,)
    list_display = (
        "__str__",
        "context_window",
        "dollars_in",
        "dollars_out",
        "position",
        "enabled",
    )
    list_filter = ("provider", "enabled")
    list_editable = ("position", "enabled")
    search_fields = ("name", "upstream_name")

    def get_fields(
        self, request: HttpRequest, obj: AIModel | None = None
    ) -> tuple[str, ...]:
        prices = ("price_in_usd_micros", "price_out_usd_micros")
        if obj is not None and not self.has_change_permission(request, obj):
            prices = ("dollars_in", "dollars_out")  # to read
        return (
            *("provider", "name", "upstream_name", "context_window", *prices),
            *("features", "position", "enabled"),
        )

    def save_model(
        self, request: HttpRequest, obj: AIModel, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        fields = sorted(form.changed_data)
        self._note(request, "model.changed" if change else "model.added", obj, fields)

    def delete_model(self, request: HttpRequest, obj: AIModel) -> None:
        self._note(request, "model.removed", obj)
        super().delete_model(request, obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[AIModel]
    ) -> None:
        with transaction.atomic():
            for row in queryset:
                self.delete_model(request, row)

    def _note(
        self,
        request: HttpRequest,
        action: str,
        row: AIModel,
        fields: list[str] | None = None,
    ) -> None:
        audit.record(
            action,
            actor=staff_of(request),
            subject=str(row)[:64],
            request=request,
            fields=fields,
        )

    def save_formset(
        self, request: HttpRequest, form: Any, formset: Any, change: bool
    ) -> None:
        """Note each place that was entered, changed or taken away."""
        super().save_formset(request, form, formset, change)
        acts = (
            *(("upstream.added", row) for row in formset.new_objects),
            *(("upstream.changed", row) for row, _ in formset.changed_objects),
            *(("upstream.removed", row) for row in formset.deleted_objects),
        )
        for action, row in acts:
            audit.record(
                action,
                actor=staff_of(request),
                subject=row.name,
                request=request,
                model=str(row.ai_model),
                base_url=row.base_url or None,
            )

    @admin.display(description="USD in / 1M", ordering="price_in_usd_micros")
    def dollars_in(self, row: AIModel) -> str:
        return f"{row.price_in_usd_micros / 1_000_000:.2f}"

    @admin.display(description="USD out / 1M", ordering="price_out_usd_micros")
    def dollars_out(self, row: AIModel) -> str:
        return f"{row.price_out_usd_micros / 1_000_000:.2f}"


@admin.register(Conversation)
class ConversationAdmin(SearchByPerson, ReadOnlyAdmin):
    """No title either: it is the first question."""

    list_display = ("id", "user", "n_messages", "created_at", "updated_at")
    fields = ("id", "user", "workspace_id", "created_at", "updated_at")
    list_filter = ("created_at",)
    list_select_related = ("user",)
    search_fields = whole_ids = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        # Counted for the rows of one page; a join would count them all first.
        each = Message.objects.filter(conversation=OuterRef("pk")).order_by()
        counted = each.values("conversation").annotate(n=Count("pk")).values("n")
        rows: QuerySet[Conversation] = super().get_queryset(request)
        return rows.annotate(n=Subquery(counted))

    @admin.display(description="messages")
    def n_messages(self, row: Conversation) -> int:
        return int(getattr(row, "n", 0) or 0)
