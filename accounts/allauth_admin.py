"""Staff look at addresses, second factors, connections, sessions; no secret shows."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession

from accounts.staff import ReadOnlyAdmin, SearchByPerson


class _Looking(SearchByPerson, ReadOnlyAdmin):
    list_select_related = ("user",)
    search_fields = whole_ids = ("user_id",)


class EmailAddressAdmin(_Looking):
    list_display = ("email", "user", "primary", "verified")
    list_filter = ("primary", "verified")


class AuthenticatorAdmin(_Looking):
    """That there is one, and when it was used; its data opens the account."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    exclude = ("data",)


class SocialAccountAdmin(_Looking):
    list_display = ("user", "provider", "uid", "last_login", "date_joined")
    whole_ids = ("uid",)
    exclude = ("extra_data",)


class UserSessionAdmin(_Looking):
    list_display = ("user", "ip", "created_at", "last_seen_at")
    exclude = ("session_key", "data")


PAGES = {
    EmailAddress: EmailAddressAdmin,
    Authenticator: AuthenticatorAdmin,
    SocialAccount: SocialAccountAdmin,
    UserSession: UserSessionAdmin,
}
