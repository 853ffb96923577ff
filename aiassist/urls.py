"""The roof: where every door is mounted."""

from django.contrib import admin
from django.urls import include, path

from aiassist.api.schema import RedocView, SchemaView, SwaggerView

handler400 = "aiassist.error_pages.bad_request"
handler403 = "aiassist.error_pages.permission_denied"
handler404 = "aiassist.error_pages.page_not_found"
handler500 = "aiassist.error_pages.server_error"

api = [
    path("", include("accounts.api.urls")),
    path("", include("billing.api.urls")),
    path("", include("workspaces.api.urls")),
    path("", include("assistant.api.urls")),
]

urlpatterns = [
    path("", include("aiassist.health")),
    path("api/v1/", include(api)),
    path("v1/", include("assistant.v1_urls")),
    path("", include("assistant.mcp_urls")),
    path("v1beta/", include("assistant.v1beta_urls")),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("docs", SwaggerView.as_view(), name="swagger"),
    path("redoc", RedocView.as_view(), name="redoc"),
    path("admin/", admin.site.urls),
    path("accounts/", include("accounts.signing_in.urls")),
    path("", include("accounts.identity.urls")),
    path("", include("aiassist.web_urls")),
]
