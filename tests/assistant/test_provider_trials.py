"""Staff have a provider say a word from the admin."""

import pytest

from assistant import upstreams
from tests.fakes.providers import HOLD, FakeProvider, Script
from tests.support.people import Person


def trial(stella: Person, provider: str) -> str:
    page = stella.web.post("/admin/upstreams/", {"provider": provider}, follow=True)
    return str(page.content.decode())


def test_staff_try_a_provider(stella: Person, openai: FakeProvider) -> None:
    assert "openai answered in" in trial(stella, "openai")
    assert len(openai.chats) == 1


@pytest.mark.parametrize("name", ["google", "nobody"])
def test_one_that_is_not_configured_is_not_asked(
    name: str, stella: Person, openai: FakeProvider
) -> None:
    assert "This provider is not configured." in trial(stella, name)
    assert openai.chats == []


def test_one_that_says_nothing_is_given_up(
    stella: Person, openai: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstreams, "TEST_SECONDS", 0.2)
    openai.will(Script([HOLD]))

    assert "It said nothing in time." in trial(stella, "openai")
