"""What tokens cost."""

import pytest

from billing.metering.prices import cost_usd_micros


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "micros"),
    [
        (0, 0, 0),
        (1_000_000, 0, 2_500_000),
        (0, 1_000_000, 10_000_000),
        (1000, 500, 7_500),
        (1, 0, 3),  # 2.5 micro-dollars, rounded up
    ],
)
def test_tokens_cost_what_the_provider_lists(tokens_in, tokens_out, micros):
    assert cost_usd_micros(tokens_in, tokens_out, 2_500_000, 10_000_000) == micros
