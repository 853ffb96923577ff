"""The catalogue: which models are offered, by whom, at what price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from assistant.models.upstream import Upstream


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
