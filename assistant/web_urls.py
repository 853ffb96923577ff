"""Pages of the chat, and of one's own provider keys, under /dashboard/."""

from django.urls import include, path

from assistant import key_views, views

chat = [
    path("", views.home, name="home"),
    path("all/", views.every, name="every"),
    path("ask/", views.ask, name="ask"),
    path("<str:conversation_id>/", views.conversation, name="conversation"),
    path("<str:conversation_id>/rename/", views.rename, name="rename"),
    path("<str:conversation_id>/retry/", views.retry, name="retry"),
    path("<str:conversation_id>/delete/", views.delete, name="delete"),
]
provider_keys = [
    path("", key_views.key_list, name="list"),
    path("fallback/", key_views.fallback_put, name="fallback"),
    path("<slug:provider>/", key_views.key_put, name="put"),
    path("<str:provider_key_id>/test/", key_views.key_try, name="try"),
    path("<str:provider_key_id>/remove/", key_views.key_remove, name="remove"),
]
urlpatterns = [
    path("chat/", include((chat, "chat"))),
    path("settings/provider-keys/", include((provider_keys, "provider_keys"))),
]
