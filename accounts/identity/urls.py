"""The provider's addresses, under the names allauth calls them by."""

from allauth.idp.oidc.views import configuration, jwks
from django.urls import include, path
from django.views.generic import RedirectView

from accounts.identity import machine_views as machines
from accounts.identity import views

_machines = [
    path("token", machines.TokenView.as_view(), name="token"),
    path("revoke", machines.RevokeView.as_view(), name="revoke"),
    path("device/code", machines.DeviceCodeView.as_view(), name="device_code"),
    path("register", machines.RegisterView.as_view(), name="client_registration"),
    path("userinfo", machines.UserInfoView.as_view(), name="userinfo"),
]
_people = [
    path("authorize", views.AuthorizationView.as_view(), name="authorization"),
    path("device", views.device, name="device_authorization"),
    # allauth's document wants the name; people sign out where they always do.
    path("logout", RedirectView.as_view(pattern_name="account_logout"), name="logout"),
]
_oidc = [
    path(".well-known/openid-configuration", configuration, name="configuration"),
    # The same by the name that RFC 8414 gives it, which MCP's clients ask for.
    path(".well-known/oauth-authorization-server", configuration),
    path(".well-known/jwks.json", jwks, name="jwks"),
    path("identity/o/", include(_people)),
    path("identity/o/api/", include(_machines)),
]
_idp = [path("", include((_oidc, "oidc")))]
urlpatterns = [path("", include((_idp, "idp")))]
