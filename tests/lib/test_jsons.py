"""The quick JSON reads and writes what the standard library does, or asks it."""

import json

import pytest

from aiassist.lib import jsons


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2.5, null, true, "ü"]}',
        "123456789012345678901234567890",
        '{"a": 1, "a": 2}',
        '"\\ud800"',
        "NaN",
        "1e400",
        "-0",
        "\ufeff{}",
    ],
)
def test_it_reads_what_the_standard_library_reads(text: str) -> None:
    raw = text.encode()

    assert repr(jsons.loads(raw)) == repr(json.loads(raw))


@pytest.mark.parametrize("raw", [b"", b"{", b"[1,]", b"\xff", b"nul", b"1 2"])
def test_what_is_no_json_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        jsons.loads(raw)


def test_a_nest_without_end_is_an_error_and_no_crash() -> None:
    with pytest.raises((ValueError, RecursionError)):
        jsons.loads(b"[" * 100_000)


def test_it_writes_compact_utf_8() -> None:
    body = {"a": [1, 2**70, None, True, "ü\n\u2028"], "b": {}}

    written = jsons.dumps(body)

    assert json.loads(written) == body
    assert (
        written == json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_half_a_character_is_replaced() -> None:
    assert jsons.dumps({"a": "x\ud800"}) == b'{"a":"x?"}'
