"""Q10: prompts that surely fit are not counted, and judged as if they were."""

from typing import Any

import pytest

from aiassist.lib import tokens
from assistant.errors import ContextTooLarge
from assistant.gateway import context
from assistant.gateway.context import assemble, fixed_tokens
from assistant.gateway.prompts import verbatim
from assistant.providers.base import ChatMessage
from billing.models import Tier

TEXTS = ["a b c", "!?" * 50, "한글" * 40, "ᾂ" * 40, "x" * 300, "naïve café " * 9, ""]


def tier() -> Tier:
    return Tier(code="free", name="Free", context_tokens=4000)


def of(text: str) -> Any:
    return verbatim([ChatMessage("user", text)])


@pytest.mark.parametrize("text", TEXTS)
def test_q10_a_prompt_never_has_more_tokens_than_is_assumed(text: str) -> None:
    assert fixed_tokens(of(text)) <= context._most(of(text))


def test_q10_a_short_prompt_is_not_counted_until_somebody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return tokens.count_tokens(text)

    monkeypatch.setattr(context, "count_tokens", count)
    found = assemble(
        prompt=of("Say fifty words."), hits=[], tier=tier(), size=4000, max_tokens=100
    )

    assert (counted, found.max_tokens) == ([], 100)
    assert found.n_tokens == fixed_tokens(of("Say fifty words."))


def test_q10_a_prompt_that_may_be_too_long_is_counted() -> None:
    long = of("word " * 3000)
    found = assemble(prompt=long, hits=[], tier=tier(), size=4000, max_tokens=900)
    assert found.counted == fixed_tokens(long)

    with pytest.raises(ContextTooLarge):
        assemble(
            prompt=of("a b " * 3000), hits=[], tier=tier(), size=4000, max_tokens=9
        )
