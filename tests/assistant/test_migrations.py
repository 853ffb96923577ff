"""The catalogue is sown once; tests/ops tries every step of every app (D1)."""

from importlib import import_module

import pytest
from django.apps import apps

from assistant.models import AIModel


def test_the_seed_fills_an_empty_catalogue(db: None) -> None:
    AIModel.objects.all().delete()

    seed()

    names = set(AIModel.objects.values_list("provider", flat=True))
    assert names == {"openai", "anthropic", "google"}


def test_what_staff_changed_survives_the_seed(db: None) -> None:
    AIModel.objects.filter(name="gpt-6-sol").update(price_in_usd_micros=7)

    seed()

    assert AIModel.objects.get(name="gpt-6-sol").price_in_usd_micros == 7


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_each_provider_has_one_default(provider: str, db: None) -> None:
    positions = list(
        AIModel.objects.enabled()
        .filter(provider=provider)
        .values_list("position", flat=True)
    )

    assert positions.count(min(positions)) == 1


def seed() -> None:
    import_module("assistant.migrations.0002_seed_models").seed(apps, None)
