"""Sign-in, profile and keys under /api/v1/."""

from django.urls import path

from accounts.api import auth, keys, me, webhooks

urlpatterns = [
    path("auth/token", auth.TokenView.as_view(), name="auth-token"),
    path("auth/token/refresh", auth.TokenRefreshView.as_view(), name="auth-refresh"),
    path("auth/token/revoke", auth.TokenRevokeView.as_view(), name="auth-revoke"),
    path("me", me.MeView.as_view(), name="me"),
    path("me/sessions", me.SessionsView.as_view(), name="me-sessions"),
    path("me/sessions/<str:session_id>", me.SessionView.as_view(), name="me-session"),
    path("me/export", me.ExportView.as_view(), name="me-export"),
    path("keys", keys.KeysView.as_view(), name="keys"),
    path("keys/<str:key_id>", keys.KeyView.as_view(), name="key"),
    path("keys/<str:key_id>/rotate", keys.KeyRotateView.as_view(), name="key-rotate"),
    path("webhooks", webhooks.WebhooksView.as_view(), name="webhooks"),
    path("webhooks/<str:webhook_id>", webhooks.WebhookView.as_view(), name="webhook"),
    path(
        "webhooks/<str:webhook_id>/rotate",
        webhooks.WebhookRotateView.as_view(),
        name="webhook-rotate",
    ),
    path(
        "webhooks/<str:webhook_id>/test",
        webhooks.WebhookTestView.as_view(),
        name="webhook-test",
    ),
    path(
        "webhooks/<str:webhook_id>/deliveries",
        webhooks.WebhookDeliveriesView.as_view(),
        name="webhook-deliveries",
    ),
]
