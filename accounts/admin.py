"""The staff's view of people and of what groups of staff may do."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from unfold.decorators import action as unfold_action
from unfold.forms import AdminPasswordChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import (
    audit,
    impersonation,
    records_admin,  # noqa: F401 - adds its pages to the admin
)
from accounts.allauth_admin import PAGES
from accounts.identity import admin as identity_admin  # noqa: F401 - the same
from accounts.models import User
from accounts.own_data.erasure import delete_user
from accounts.people import confirm_address
from accounts.signing_in.sessions import end_browser_sessions
from accounts.staff import (
    StaffModelAdmin,
    labelled,
    person_at,
    person_or_404,
    staff_of,
)

if TYPE_CHECKING:  # generic in the stubs alone
    _CreationForm = AdminUserCreationForm[User]
    _UserAdmin = DjangoUserAdmin[User]
    _PersonForm = ModelForm[User]
else:
    _PersonForm = ModelForm
    _CreationForm = UserCreationForm

    class _UserAdmin(DjangoUserAdmin, StaffModelAdmin):
        """Django's own, in unfold's clothes."""


# Columns that make somebody more than a user.
GIVES_RIGHTS = ("is_staff", "is_superuser", "groups")


class PersonCreationForm(_CreationForm):
    """Address and password; there is no user name."""

    class Meta:
        model = User
        fields = ("email", "full_name")


class PersonForm(_PersonForm):
    """Not Django's own, which shows how the password is hashed."""


@admin.register(User)
class UserAdmin(_UserAdmin):
    """Disable, sign out or delete people; passwords are set, never shown."""

    form = PersonForm
    add_form = PersonCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("-date_joined",)
    list_display = ("email", "full_name", "standing", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "date_joined")
    search_fields = ("email", "full_name", "id")
    filter_horizontal = ()
    readonly_fields = (
        "id",
        "preferences",
        "requests_total",
        "tokens_total",
        "epoch",
        "last_login",
        "date_joined",
        "deleted_at",
    )
    fieldsets = (
        (None, {"fields": ("id", "email", "full_name", "is_active")}),
        ("Use", {"fields": ("requests_total", "tokens_total", "preferences")}),
        ("Rights", {"fields": ("is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("date_joined", "last_login", "deleted_at", "epoch")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "fields": (
                    "email",
                    "full_name",
                    "usable_password",
                    "password1",
                    "password2",
                )
            },
        ),
    )
    actions = ("disable", "enable", "sign_out", "resend_confirmation", "erase")
    actions_detail = (
        *("insights", "change_tier", "give_limits"),
        {
            "title": "More",
            "items": [
                *("sign_out_this", "resend_to_this", "disable_this", "enable_this"),
                *("set_password", "impersonate"),
            ],
        },
    )

    @labelled("Standing", {"Disabled": "danger", "Deleted": "danger", "Staff": "info"})
    def standing(self, user: User) -> str:
        if user.deleted_at is not None:
            return "Deleted"
        if not user.is_active:
            return "Disabled"
        return "Staff" if user.is_staff else "Active"

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Three groups are ticked, not moved between boxes."""
        widget = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(
            db_field, request, widget=widget, **kwargs
        )

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> tuple[str, ...]:
        """Only a superuser gives rights, or changes where a reset mail would go."""
        if request.user.is_superuser:
            return self.readonly_fields
        return (*self.readonly_fields, *GIVES_RIGHTS, *(("email",) if obj else ()))

    def has_change_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        """Nobody below a superuser changes other staff."""
        allowed = super().has_change_permission(request, obj)
        if obj is None or request.user.is_superuser:
            return allowed
        return allowed and not (obj.is_staff or obj.is_superuser)

    def has_password_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_set_password_permission(
        self, request: HttpRequest, object_id: object = None
    ) -> bool:
        return self.has_password_permission(request)

    @unfold_action(
        description="Set a password",
        url_path="set-password",
        permissions=["set_password"],
    )
    def set_password(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:auth_user_password_change", object_id)

    def has_act_permission(
        self, request: HttpRequest, object_id: str | None = None
    ) -> bool:
        """Whether it may be done to this person."""
        user = person_at(object_id or "")
        return self.has_change_permission(request, user) and user != request.user

    @unfold_action(
        description="Sign out everywhere", url_path="sign-out", permissions=["act"]
    )
    def sign_out_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._asked(
            request,
            object_id,
            self.sign_out,
            "Ends all their sessions and tokens; API keys go on.",
        )

    @unfold_action(
        description="Send the confirmation mail again",
        url_path="resend",
        permissions=["act"],
    )
    def resend_to_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._asked(
            request,
            object_id,
            self.resend_confirmation,
            "Sends it to those of their addresses that wait for it.",
        )

    @unfold_action(description="Disable", url_path="disable", permissions=["act"])
    def disable_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._asked(
            request,
            object_id,
            self.disable,
            "Their keys, tokens, sessions, jobs and open streams stop at once.",
        )

    @unfold_action(description="Enable again", url_path="enable", permissions=["act"])
    def enable_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._asked(
            request,
            object_id,
            self.enable,
            "Their keys work again; they sign in anew.",
        )

    def _asked(
        self,
        request: HttpRequest,
        object_id: str,
        act: Callable[[HttpRequest, QuerySet[User]], None],
        what: str,
    ) -> HttpResponse:
        """Ask; a POST does to this person what the list's action of the name does."""
        user = person_or_404(object_id)
        description: str = act.short_description  # type: ignore[attr-defined]
        title = description.partition(":")[0]
        if request.method == "POST":
            act(request, User.objects.filter(pk=user.pk))
            messages.success(request, f"Done: {title.lower()}.")
            return redirect("admin:accounts_user_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{title} {user.email}?",
            "opts": self.opts,
            "original": user,
            "what": what,
            "act": title,
        }
        return render(request, "admin/accounts/user/ask.html", context)

    def has_impersonate_permission(
        self, request: HttpRequest, object_id: object = None
    ) -> bool:
        return request.user.has_perm(impersonation.PERMISSION)

    @unfold_action(
        description="Look at the site as this person",
        url_path="impersonate",
        permissions=["impersonate"],
    )
    def impersonate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask; a POST begins, and leads to the person's overview."""
        user = person_or_404(object_id)
        if request.method == "POST":
            impersonation.begin(request, actor=staff_of(request), user=user)
            return redirect("dashboard")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Look at the site as {user.email}?",
            "opts": self.opts,
            "original": user,
            "may": impersonation.may_impersonate(staff_of(request), user),
        }
        return render(request, "admin/accounts/user/impersonate.html", context)

    def has_tier_permission(
        self, request: HttpRequest, object_id: object = None
    ) -> bool:
        return request.user.has_perm("billing.add_subscription")

    @unfold_action(description="Change the tier", url_path="tier", permissions=["tier"])
    def change_tier(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the form of a new subscription, the person filled in."""
        form = reverse("admin:billing_subscription_add")
        return redirect(f"{form}?{urlencode({'user': person_or_404(object_id).pk})}")

    def has_insights_permission(
        self, request: HttpRequest, object_id: object = None
    ) -> bool:
        return request.user.has_perm("billing.view_usagerecord")

    @unfold_action(
        description="How they work", url_path="habits", permissions=["insights"]
    )
    def insights(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to what their last 30 days say."""
        return redirect("admin:user_insights", object_id)

    def has_limits_permission(
        self, request: HttpRequest, object_id: object = None
    ) -> bool:
        return request.user.has_perm("billing.add_limitoverride")

    @unfold_action(
        description="Give other limits", url_path="limits", permissions=["limits"]
    )
    def give_limits(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the form of an override, the person filled in."""
        form = reverse("admin:billing_limitoverride_add")
        return redirect(f"{form}?{urlencode({'user': person_or_404(object_id).pk})}")

    @admin.action(
        description="Send the confirmation mail again", permissions=["change"]
    )
    def resend_confirmation(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> None:
        """To those addresses that wait for it."""
        people = self._ordinary(request, queryset)
        waiting = EmailAddress.objects.filter(user__in=people, verified=False)
        for address in waiting.select_related("user"):
            with transaction.atomic():
                address.send_confirmation(request)
                audit.record(
                    "confirmation.resent",
                    actor=staff_of(request),
                    subject=address.user,
                    request=request,
                )
        messages.info(request, f"{len(waiting)} mails sent.")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.delete_user")

    def _ordinary(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> QuerySet[User]:
        """Leave out oneself and, below a superuser, other staff."""
        others = queryset.exclude(pk=request.user.pk)
        if request.user.is_superuser:
            return others
        return others.filter(is_staff=False, is_superuser=False)

    def save_model(
        self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool
    ) -> None:
        """Save, end what a disabled person holds, and note it; all or nothing."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if not change:
                confirm_address(obj)
            action = "user.changed" if change else "user.created"
            if change and "is_active" in form.changed_data:
                action = "user.enabled" if obj.is_active else "user.disabled"
                obj.end_tokens()
            audit.record(
                action,
                actor=staff_of(request),
                subject=obj,
                request=request,
                fields=sorted(form.changed_data),
            )

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> Any:
        """Set somebody's password; noted when it was done."""
        if not self.has_password_permission(request):
            raise PermissionDenied
        with transaction.atomic():
            before = person_or_404(id).password
            answer = super().user_change_password(request, id, form_url)
            user = person_or_404(id)
            if user.password != before:
                user.end_tokens()
                audit.record(
                    "password.changed",
                    actor=staff_of(request),
                    subject=user,
                    request=request,
                )
        return answer

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The action "erase" deletes as the user could; a bare row would leave
        # vectors and files behind.
        return False

    @admin.action(
        description="Disable: keys, tokens and sessions stop at once",
        permissions=["change"],
    )
    def disable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, self._ordinary(request, queryset), False)

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        living = self._ordinary(request, queryset).filter(deleted_at__isnull=True)
        self._set_active(request, living, True)

    @admin.action(
        description="Sign out everywhere: end all tokens and sessions",
        permissions=["change"],
    )
    def sign_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in self._ordinary(request, queryset):
            with transaction.atomic():
                user.end_tokens()
                end_browser_sessions(user)
                audit.record(
                    "user.signed_out",
                    actor=staff_of(request),
                    subject=user,
                    request=request,
                )

    @admin.action(
        description="Delete for good, with everything they own",
        permissions=["erase"],
    )
    def erase(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in self._ordinary(request, queryset):
            delete_user(user, staff_of(request), request=request)
        messages.info(request, "Their data is erased within a minute.")

    def _set_active(
        self, request: HttpRequest, queryset: QuerySet[User], active: bool
    ) -> None:
        action = "user.enabled" if active else "user.disabled"
        for user in queryset:
            with transaction.atomic():
                User.objects.filter(pk=user.pk).update(is_active=active)
                user.end_tokens()
                audit.record(
                    action, actor=staff_of(request), subject=user, request=request
                )


admin.site.unregister(Group)
for _model, _page in PAGES.items():
    admin.site.register(_model, _page)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, StaffModelAdmin):
    """What support, billing and admin may do; each change is noted."""

    filter_horizontal = ()

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Ticked one below the other; two boxes are wider than most windows."""
        widget = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(
            db_field, request, widget=widget, **kwargs
        )

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        audit.record(
            "group.changed" if change else "group.created",
            actor=staff_of(request),
            subject=str(form.instance.pk),
            request=request,
            fields=sorted(form.changed_data),
        )

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """List names only: the default lists the rows that tie rights to a group."""
        names = [str(group) for group in objs]
        return names, {"groups": len(names)}, set(), []

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        audit.record(
            "group.deleted",
            actor=staff_of(request),
            subject=str(obj.pk),
            request=request,
        )
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            self.delete_model(request, group)
