"""allauth's pages under /accounts/, with a reset link that our ids fit into."""

from allauth.account.views import password_reset_from_key
from django.urls import include, path, re_path

urlpatterns = [
    # allauth allows no underscore in the user's id here, and ours is "user_…".
    re_path(
        r"^password/reset/key/(?P<uidb36>user_[0-9A-Za-z]+)-(?P<key>.+)/$",
        password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("", include("allauth.urls")),
]
