"""Offer the vendors' embedding models; staff edit the rows in the admin.

Prices in USD for a million tokens, as the vendors publish them:
https://developers.openai.com/api/docs/models
https://ai.google.dev/gemini-api/docs/pricing
"""

from django.db import migrations

MODELS = [
    ("openai", "text-embedding-3-small", 8191, 20_000),
    ("openai", "text-embedding-3-large", 8191, 130_000),
    ("google", "gemini-embedding-001", 2048, 150_000),
]


def seed(apps, schema_editor):
    AIModel = apps.get_model("assistant", "AIModel")
    for position, (provider, name, window, price) in enumerate(MODELS):
        AIModel.objects.get_or_create(
            provider=provider,
            name=name,
            defaults={
                "upstream_name": name,
                "context_window": window,
                "price_in_usd_micros": price,
                "price_out_usd_micros": 0,
                "features": ["embeddings"],
                "position": 200 + position,
            },
        )


def remove(apps, schema_editor):
    """Rows that staff have not changed would be offered as chat models."""
    AIModel = apps.get_model("assistant", "AIModel")
    AIModel.objects.filter(features=["embeddings"]).delete()


class Migration(migrations.Migration):
    dependencies = [("assistant", "0002_seed_models")]

    operations = [migrations.RunPython(seed, remove)]
