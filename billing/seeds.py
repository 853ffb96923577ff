"""The tiers a new installation starts with. Staff edit them in the admin."""

from typing import Any

from django.apps import apps as installed_apps
from django.apps.registry import Apps

MB = 1024 * 1024
GB = 1024 * MB

TIERS: tuple[dict[str, Any], ...] = (
    {
        "code": "free",
        "name": "Free",
        "rank": 10,
        "requests_per_hour": 50,
        "requests_per_day": 200,
        "max_concurrent": 4,
        "max_file_bytes": MB,
        "max_storage_bytes": 200 * MB,
        "max_workspaces": 5,
        "max_files_per_workspace": 20_000,
        "context_tokens": 4_000,
        "providers": ["extractive", "ollama"],
        "features": ["basic_chat", "code_explanation"],
        "own_provider_keys": False,
    },
    {
        "code": "pro",
        "name": "Pro",
        "rank": 20,
        "requests_per_hour": 500,
        "requests_per_day": 2_000,
        "max_concurrent": 20,
        "max_file_bytes": 10 * MB,
        "max_storage_bytes": 2 * GB,
        "max_workspaces": 50,
        "max_files_per_workspace": 100_000,
        "context_tokens": 16_000,
        "providers": ["extractive", "ollama", "openai", "anthropic", "google"],
        "features": [
            "basic_chat",
            "code_explanation",
            "code_generation",
            "inline_completion",
        ],
        "own_provider_keys": True,
    },
    {
        "code": "enterprise",
        "name": "Enterprise",
        "rank": 30,
        "requests_per_hour": 5_000,
        "requests_per_day": 20_000,
        "max_concurrent": 100,
        "max_file_bytes": 100 * MB,
        "max_storage_bytes": 20 * GB,
        "max_workspaces": 500,
        "max_files_per_workspace": 500_000,
        "context_tokens": 32_000,
        "providers": ["extractive", "ollama", "openai", "anthropic", "google"],
        "features": [
            "basic_chat",
            "code_explanation",
            "code_generation",
            "inline_completion",
        ],
        "own_provider_keys": True,
    },
)


def seed_tiers(apps: Apps = installed_apps) -> None:
    """Add the tiers when there are none; edited or deleted ones stay as they are."""
    tier_model = apps.get_model("billing", "Tier")
    # The migration that seeds knows fewer columns than there are by now.
    known = {field.name for field in tier_model._meta.get_fields()}
    if not tier_model._default_manager.exists():
        tier_model._default_manager.bulk_create(
            tier_model(**{name: row[name] for name in row if name in known})
            for row in TIERS
        )
