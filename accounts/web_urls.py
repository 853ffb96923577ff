"""Pages of keys and settings, under /dashboard/."""

from django.urls import include, path

from accounts import views

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
urlpatterns = [
    path("keys/", include((keys, "keys"))),
    path("settings/", include((settings, "settings"))),
]
