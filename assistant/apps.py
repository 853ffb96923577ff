"""The assistant: providers, the model catalogue, conversations, the gateway."""

from importlib import import_module

from django.apps import AppConfig


class AssistantConfig(AppConfig):
    name = "assistant"
    verbose_name = "Assistant"

    def ready(self) -> None:
        import_module("assistant.privacy")
        import_module("assistant.judging")
