"""Where a model can be had: several places for one name, in an order."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from assistant.models.ai_model import AIModel

OPENAI_RESPONSES = "openai-responses"


class Upstream(models.Model):
    """One place of a model. A model without any is had where its provider is."""

    ai_model = models.ForeignKey(AIModel, models.CASCADE, related_name="upstreams")
    name = models.SlugField(
        max_length=40, help_text="What headers and usage records call it."
    )
    provider = models.CharField(
        "wire format",
        max_length=20,
        choices=[
            ("openai", "OpenAI, or compatible"),
            (OPENAI_RESPONSES, "OpenAI's responses (/v1/responses)"),
            ("anthropic", "Anthropic"),
            ("google", "Google"),
            ("ollama", "Ollama"),
        ],
    )
    upstream_name = models.CharField(
        max_length=120, help_text="What this place calls the model."
    )
    base_url = models.CharField(
        max_length=300,
        blank=True,
        default="",
        help_text="Empty: the provider as the settings name it, with its key.",
    )
    sealed_key = models.TextField(blank=True, default="", editable=False)
    priority = models.PositiveSmallIntegerField(
        default=100, help_text="The lowest is asked first."
    )
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Its share of the calls among those of one priority.",
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["ai_model", "priority", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["ai_model", "name"], name="upstream_name_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ai_model}@{self.name}"
