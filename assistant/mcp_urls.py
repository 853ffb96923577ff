"""The Model Context Protocol: /mcp and the metadata that leads to it."""

from django.urls import path

from assistant.mcp import views

urlpatterns = [
    path("mcp", views.McpView.as_view(), name="mcp"),
    path(
        ".well-known/oauth-protected-resource",
        views.ProtectedResourceView.as_view(),
        name="protected-resource",
    ),
    path(
        ".well-known/oauth-protected-resource/mcp",
        views.ProtectedResourceView.as_view(),
        name="protected-resource-mcp",
    ),
]
