"""Pages of keys and settings, under /dashboard/."""

from django.urls import include, path

from accounts import views
from accounts.webhooks import views as webhook_views

keys = [
    path("", views.key_list, name="list"),
    path("new/", views.key_create, name="create"),
    path("<str:key_id>/", views.key_edit, name="edit"),
    path("<str:key_id>/rotate/", views.key_rotate, name="rotate"),
    path("<str:key_id>/revoke/", views.key_revoke, name="revoke"),
]
settings = [
    path("", views.profile, name="profile"),
    path("notifications/", views.notifications, name="notifications"),
    path("sessions/", views.session_list, name="sessions"),
    path("sessions/end/", views.sessions_end, name="sessions_end"),
    path("sessions/<str:session_id>/end/", views.session_end, name="session_end"),
    path("data/", views.own_data, name="data"),
    path("data/export.json", views.own_data_file, name="data_file"),
    path("delete/", views.delete_account, name="delete"),
]
webhooks = [
    path("", webhook_views.webhook_list, name="list"),
    path("new/", webhook_views.webhook_create, name="create"),
    path("<str:webhook_id>/", webhook_views.webhook_detail, name="detail"),
    path("<str:webhook_id>/edit/", webhook_views.webhook_edit, name="edit"),
    path("<str:webhook_id>/test/", webhook_views.webhook_test, name="test"),
    path("<str:webhook_id>/rotate/", webhook_views.webhook_rotate, name="rotate"),
    path(
        "<str:webhook_id>/enable/",
        webhook_views.webhook_switch,
        {"enabled": True},
        name="enable",
    ),
    path(
        "<str:webhook_id>/disable/",
        webhook_views.webhook_switch,
        {"enabled": False},
        name="disable",
    ),
    path("<str:webhook_id>/delete/", webhook_views.webhook_delete, name="delete"),
]
urlpatterns = [
    path("keys/", include((keys, "keys"))),
    path("webhooks/", include((webhooks, "webhooks"))),
    path("settings/", include((settings, "settings"))),
]
