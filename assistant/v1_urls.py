"""The vendors' wire formats, under /v1/."""

from django.urls import path

from assistant.api import anthropic_views, tabby_views
from assistant.api import v1_views as views

urlpatterns = [
    path("models", views.V1ModelsView.as_view(), name="v1-models"),
    # Model ids hold slashes: openai/gpt-…
    path("models/<path:model_id>", views.V1ModelView.as_view(), name="v1-model"),
    path(
        "chat/completions",
        views.V1ChatCompletionsView.as_view(),
        name="v1-chat-completions",
    ),
    path("completions", views.V1CompletionsView.as_view(), name="v1-completions"),
    path("responses", views.V1ResponsesView.as_view(), name="v1-responses"),
    path("embeddings", views.V1EmbeddingsView.as_view(), name="v1-embeddings"),
    path("health", tabby_views.TabbyHealthView.as_view(), name="v1-health"),
    path("events", tabby_views.TabbyEventsView.as_view(), name="v1-events"),
    path("messages", anthropic_views.V1MessagesView.as_view(), name="v1-messages"),
    path(
        "messages/count_tokens",
        anthropic_views.V1CountTokensView.as_view(),
        name="v1-count-tokens",
    ),
]
