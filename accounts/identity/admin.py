"""Staff register apps that may ask people for access."""

from typing import TYPE_CHECKING, Any, ClassVar

from allauth.idp.oidc.models import Client
from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.crypto import get_random_string
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
)

from accounts import audit
from accounts.identity.adapter import OPENID_SCOPES, IdentityAdapter
from accounts.identity.clients import GRANTS, require_safe_redirect
from accounts.scopes import DEFAULT_KEY_SCOPES
from accounts.staff import StaffModelAdmin, staff_of

if TYPE_CHECKING:  # generic in the stubs alone
    _Form = ModelForm[Any]
else:
    _Form = ModelForm

_SECRET_CHARS = 48


class _LinesField(forms.MultipleChoiceField):
    """Boxes to tick for a column that holds a value a line."""

    widget = UnfoldAdminCheckboxSelectMultipleWidget

    def prepare_value(self, value: Any) -> Any:
        return value.split("\n") if isinstance(value, str) else value

    def clean(self, value: Any) -> str:
        return "\n".join(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


_SCOPES = [
    (scope, IdentityAdapter.scope_display[scope])
    for scope in IdentityAdapter.scope_display
]


class ClientForm(_Form):
    """An app's name, addresses, and what it may ask for."""

    scopes = _LinesField(
        choices=_SCOPES,
        initial=[*OPENID_SCOPES, *sorted(DEFAULT_KEY_SCOPES)],
        help_text="What it may ask for; each person decides what it gets.",
    )
    default_scopes = _LinesField(
        choices=_SCOPES,
        required=False,
        initial=sorted(DEFAULT_KEY_SCOPES),
        help_text="What it asks for when it does not say.",
    )
    grant_types = _LinesField(
        label="Ways in", choices=list(GRANTS.items()), initial=list(GRANTS)
    )

    class Meta:
        model = Client
        fields = (
            *("name", "type", "redirect_uris", "scopes", "default_scopes"),
            "grant_types",
        )
        widgets: ClassVar[dict[str, Any]] = {"redirect_uris": UnfoldAdminTextareaWidget}
        help_texts: ClassVar[dict[str, str]] = {
            "type": "Public: runs on people's machines and keeps no secret.",
            "redirect_uris": "One a line; exact, but for the port of "
            "http://127.0.0.1, http://[::1] and http://localhost.",
        }

    def clean_redirect_uris(self) -> str:
        uris = [line.strip() for line in self.cleaned_data["redirect_uris"].split("\n")]
        for uri in filter(None, uris):
            require_safe_redirect(uri)
        return "\n".join(filter(None, uris))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        more = set(cleaned.get("default_scopes", "").split()) - set(
            cleaned.get("scopes", "").split()
        )
        if more:
            self.add_error("default_scopes", "More than the app may ask for at all.")
        return cleaned


@admin.register(Client)
class ClientAdmin(StaffModelAdmin):
    """Apps; each act is audited, and a secret is shown once."""

    form = ClientForm
    list_display = ("name", "id", "type", "created_at")
    list_filter = ("type",)
    search_fields = ("id", "name")

    def save_model(
        self, request: HttpRequest, obj: Client, form: _Form, change: bool
    ) -> None:
        secret = get_random_string(_SECRET_CHARS)
        with transaction.atomic():
            if not change:
                obj.set_secret(secret)
            super().save_model(request, obj, form, change)
            _note("app.changed" if change else "app.registered", obj, request)
        if not change and obj.type == Client.Type.CONFIDENTIAL:
            told = f"The app's secret, shown this once: {secret}"
            self.message_user(request, told, level=messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Client) -> None:
        with transaction.atomic():
            _note("app.removed", obj, request)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        with transaction.atomic():
            for client in queryset:
                _note("app.removed", client, request)
            super().delete_queryset(request, queryset)


def _note(action: str, client: Client, request: HttpRequest) -> None:
    audit.record(action, actor=staff_of(request), subject=client, request=request)
