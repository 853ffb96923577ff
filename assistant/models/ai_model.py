"""The catalogue: which models are offered, by whom, at what price, and where had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.core.validators import MinValueValidator
from django.db import models

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

OPENAI_RESPONSES = "openai-responses"


class AIModelQuerySet(models.QuerySet["AIModel"]):
    def enabled(self) -> Self:
        return self.filter(enabled=True)


class AIModel(models.Model):
    """One model of one provider, as staff offer it. Ollama's are asked for live."""

    upstreams: RelatedManager[Upstream]  # where it is had, if not at its provider's

    provider = models.CharField(
        max_length=20,
        choices=[
            ("openai", "OpenAI"),
            ("anthropic", "Anthropic"),
            ("google", "Google"),
            ("ollama", "Ollama"),
        ],
    )
    name = models.CharField(max_length=120, help_text="What callers name it.")
    upstream_name = models.CharField(
        max_length=120, help_text="What the provider calls it."
    )
    context_window = models.PositiveIntegerField(help_text="In tokens.")
    # Micro-dollars for a million tokens: 2,500,000 is 2.50 USD.
    price_in_usd_micros = models.PositiveBigIntegerField(
        "input price", help_text="Micro-dollars for a million input tokens."
    )
    price_out_usd_micros = models.PositiveBigIntegerField(
        "output price", help_text="Micro-dollars for a million output tokens."
    )
    features = models.JSONField(
        default=list,
        blank=True,
        help_text='Features it serves, e.g. ["basic_chat"]. Empty: all.',
    )
    position = models.PositiveSmallIntegerField(
        default=100, help_text="The lowest of a provider is its default model."
    )
    enabled = models.BooleanField(default=True)

    objects = AIModelQuerySet.as_manager()

    class Meta:
        verbose_name = "AI model"
        ordering = ["provider", "position", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "name"], name="ai_model_name_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.name}"


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
