"""The assistant's addresses under /api/v1/."""

from django.urls import path

from assistant.api import provider_keys, views

urlpatterns = [
    path("assistant/query", views.QueryView.as_view(), name="assistant-query"),
    path("assistant/chat", views.ChatView.as_view(), name="assistant-chat"),
    path("assistant/explain", views.ExplainView.as_view(), name="assistant-explain"),
    path("assistant/generate", views.GenerateView.as_view(), name="assistant-generate"),
    path("assistant/complete", views.CompleteView.as_view(), name="assistant-complete"),
    path("assistant/models", views.ModelsView.as_view(), name="assistant-models"),
    path(
        "assistant/conversations",
        views.ConversationsView.as_view(),
        name="assistant-conversations",
    ),
    path(
        "assistant/conversations/<str:conversation_id>",
        views.ConversationView.as_view(),
        name="assistant-conversation",
    ),
    path(
        "provider-keys",
        provider_keys.ProviderKeysView.as_view(),
        name="provider-keys",
    ),
    path(
        "provider-keys/<str:provider_key_id>",
        provider_keys.ProviderKeyView.as_view(),
        name="provider-key",
    ),
    path(
        "provider-keys/<str:provider_key_id>/test",
        provider_keys.ProviderKeyTestView.as_view(),
        name="provider-key-test",
    ),
]
