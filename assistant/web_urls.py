"""Pages of the chat, under /dashboard/."""

from django.urls import include, path

from assistant import views

chat = [
    path("", views.home, name="home"),
    path("ask/", views.ask, name="ask"),
    path("<str:conversation_id>/", views.conversation, name="conversation"),
    path("<str:conversation_id>/rename/", views.rename, name="rename"),
    path("<str:conversation_id>/retry/", views.retry, name="retry"),
    path("<str:conversation_id>/delete/", views.delete, name="delete"),
]
urlpatterns = [path("chat/", include((chat, "chat")))]
