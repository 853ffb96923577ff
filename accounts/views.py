"""Pages of API keys and of the account."""

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from accounts import impersonation, keys
from accounts.models import ApiKey
from accounts.own_data import erasure, exports
from accounts.profile import change_profile
from accounts.signing_in import sessions
from accounts.web import (
    add_error,
    is_htmx,
    login_required,
    session_principal,
    signed_in,
)
from accounts.web_forms import (
    DeleteAccountForm,
    KeyForm,
    KeyNameForm,
    NotificationsForm,
    ProfileForm,
)
from aiassist.lib.clock import now
from aiassist.lib.errors import AppError, NotFound

THEME_COOKIE_SECONDS = 365 * 86400


@login_required
@require_safe
def key_list(request: HttpRequest) -> HttpResponse:
    """List the user's keys, the ended ones last."""
    found = list(ApiKey.objects.for_user(signed_in(request)))
    usable = [key for key in found if key.is_usable()]
    context = {
        "section": "keys",
        "usable": usable,
        "ended": [key for key in found if key not in usable],
    }
    return render(request, "keys/list.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def key_create(request: HttpRequest) -> HttpResponse:
    """Make a key; its secret is in this answer and nowhere else, ever."""
    form = KeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = keys.create_key(
                signed_in(request),
                form.cleaned_data["name"],
                form.cleaned_data["scopes"],
                now() + form.lifetime(),
                request=request,
            )
        except AppError as error:
            add_error(form, error)
        else:
            return _show_secret(request, key, secret)
    return render(request, "keys/create.html", {"section": "keys", "form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def key_edit(request: HttpRequest, key_id: str) -> HttpResponse:
    """Rename a key."""
    key = keys.get_key(signed_in(request), key_id)
    form = KeyNameForm(request.POST or None, initial={"name": key.name})
    if request.method == "POST" and form.is_valid():
        keys.change_key(key, name=form.cleaned_data["name"], request=request)
        messages.success(request, "The key has its new name.")
        return redirect("keys:list")
    context = {"section": "keys", "form": form, "key": key}
    return render(request, "keys/edit.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def key_rotate(request: HttpRequest, key_id: str) -> HttpResponse:
    """Ask, then make the successor and show its secret."""
    key = keys.get_key(signed_in(request), key_id)
    if request.method == "POST":
        try:
            successor, secret = keys.rotate_key(key, request=request)
        except AppError as error:
            messages.error(request, error.sentence)
            return redirect("keys:list")
        return _show_secret(request, successor, secret, replaced=key)
    return render(request, "keys/rotate.html", {"section": "keys", "key": key})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def key_revoke(request: HttpRequest, key_id: str) -> HttpResponse:
    """Ask, then end the key."""
    key = keys.get_key(signed_in(request), key_id)
    if request.method == "POST":
        keys.revoke_key(key, request=request)
        messages.success(request, f"The key “{key.name}” is revoked.")
        return redirect("keys:list")
    return render(request, "keys/revoke.html", {"section": "keys", "key": key})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change name and theme."""
    user = signed_in(request)
    form = ProfileForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        response = redirect("settings:profile")
        remember_theme(response, form.cleaned_data["theme"])
        return response
    context = {"section": "settings", "form": form, "user": user}
    return render(request, "settings/profile.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: HttpRequest) -> HttpResponse:
    """Show and change which mails are sent."""
    user = signed_in(request)
    chosen = {
        name: user.preferences.get(name, True) for name in NotificationsForm.base_fields
    }
    form = NotificationsForm(request.POST or None, initial=chosen)
    if request.method == "POST":
        # An empty POST is a choice too: nothing ticked.
        form = NotificationsForm(request.POST)
        form.full_clean()
        change_profile(user=user, preferences=user.preferences | form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("settings:notifications")
    context = {"section": "settings", "form": form}
    return render(request, "settings/notifications.html", context)


@login_required
@require_safe
def session_list(request: HttpRequest) -> HttpResponse:
    """List where the user is signed in."""
    context = {
        "section": "settings",
        "sign_ins": sessions.list_sign_ins(session_principal(request)),
    }
    return render(request, "settings/sessions.html", context)


@login_required
@require_POST
def session_end(request: HttpRequest, session_id: str) -> HttpResponse:
    """End one sign-in."""
    sessions.end_sign_in(
        principal=session_principal(request), sign_in_id=session_id, request=request
    )
    messages.success(request, "That device is signed out.")
    return redirect("settings:sessions")


@login_required
@require_POST
def sessions_end(request: HttpRequest) -> HttpResponse:
    """End every sign-in but this one."""
    n = sessions.end_other_sign_ins(
        principal=session_principal(request), request=request
    )
    messages.success(request, f"Signed out in {n} other place{'s' if n != 1 else ''}.")
    return redirect("settings:sessions")


@login_required
@require_POST
def impersonation_end(request: HttpRequest) -> HttpResponse:
    """Be oneself again; back to the person's page in the admin."""
    impersonation.end(request, actor=signed_in(request))
    return redirect("admin:accounts_user_changelist")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def own_data(request: HttpRequest) -> HttpResponse:
    """Show the copy of one's data, or ask for one; htmx asks until it is ready."""
    user = signed_in(request)
    if request.method == "POST":
        exports.ask_for_export(user=user, request=request)
        return redirect("settings:data")
    name = "settings/export.html" if is_htmx(request) else "settings/data.html"
    context = {
        "section": "settings",
        "export": exports.latest_export(user),
        "days_kept": exports.KEPT_FOR.days,
    }
    return render(request, name, context)


@login_required
@never_cache
@require_safe
def own_data_file(request: HttpRequest) -> HttpResponse:
    """Hand out the newest copy as a file."""
    export = exports.latest_export(signed_in(request))
    contents = export.unpack() if export else None
    if contents is None:
        raise NotFound
    answer = JsonResponse(contents, json_dumps_params={"indent": 1})
    answer["Content-Disposition"] = 'attachment; filename="aiassist-data.json"'
    return answer


@login_required
@reauthentication_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete_account(request: HttpRequest) -> HttpResponse:
    """Ask for the address, then delete the account and sign out."""
    user = signed_in(request)
    form = DeleteAccountForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        erasure.delete_user(user, actor=user)
        logout(request)
        messages.success(request, "Your account is deleted. Its data is being erased.")
        return redirect("landing")
    context = {"section": "settings", "form": form}
    return render(request, "settings/delete.html", context)


def remember_theme(response: HttpResponse, theme: str) -> None:
    """Set or drop the cookie that pages read; site.js writes the same one."""
    if theme in ("light", "dark"):
        # Not a secret, and the toggle's script has to read it.
        response.set_cookie(
            "theme", theme, max_age=THEME_COOKIE_SECONDS, samesite="Lax"
        )
    else:
        response.delete_cookie("theme", samesite="Lax")


def _show_secret(
    request: HttpRequest, key: ApiKey, secret: str, replaced: ApiKey | None = None
) -> HttpResponse:
    context = {
        "section": "keys",
        "key": key,
        "secret": secret,
        "replaced": replaced,
        "origin": f"{request.scheme}://{request.get_host()}",
    }
    return render(request, "keys/created.html", context)
