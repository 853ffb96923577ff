"""Money, in whole millionths of a US dollar."""

_TOKENS_PER_PRICE = 1_000_000


def cost_usd_micros(
    tokens_in: int,
    tokens_out: int,
    price_in_per_million_micros: int,
    price_out_per_million_micros: int,
) -> int:
    """Return what the tokens cost, the last begun micro-dollar rounded up.

    Prices are micro-dollars per million tokens, as providers list them.
    """
    parts = (
        tokens_in * price_in_per_million_micros
        + tokens_out * price_out_per_million_micros
    )
    return -(-parts // _TOKENS_PER_PRICE)
