"""What the assistant's tests share: a provider stand-in, people on tiers."""
# ruff: noqa: PLC0415 - this file is read before Django is set up

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.providers import FakeProvider

CANARY_KEY = "sk-canary-Zx81-never-shown"


@pytest.fixture
def provider(settings: Any) -> Iterator[FakeProvider]:
    """A scripted stand-in for every vendor; none is configured yet."""
    fake = FakeProvider().start()
    settings.OPENAI_BASE_URL = f"{fake.url}/openai/v1"
    settings.ANTHROPIC_BASE_URL = f"{fake.url}/anthropic"
    settings.GOOGLE_BASE_URL = f"{fake.url}/google"
    settings.OLLAMA_URL = f"{fake.url}/ollama"
    yield fake
    fake.stop()


@pytest.fixture
def openai(provider: FakeProvider, settings: Any) -> FakeProvider:
    """The stand-in, configured as OpenAI."""
    settings.OPENAI_API_KEY = CANARY_KEY
    return provider


@pytest.fixture
def pro(alice: Any) -> Any:
    """Alice on the pro tier."""
    return on_tier(alice, "pro")


def on_tier(person: Any, code: str) -> Any:
    """Put a person on a tier and return them."""
    from billing.models import Tier
    from billing.tiers.subscriptions import change_tier

    change_tier(person.user, Tier.objects.get(pk=code), actor=None)
    person.user.refresh_from_db()
    return person
