"""What operators read of metrics, whatever the labels hold."""

from prometheus_client import generate_latest

from aiassist.lib.metrics import count_settlement


def test_a_name_that_is_no_utf_8_does_not_fail_the_page():
    count_settlement(
        provider="odd-\ud800", model="m", tokens_in=1, tokens_out=1, cost_usd_micros=1
    )

    assert b'provider="odd-?"' in generate_latest()
