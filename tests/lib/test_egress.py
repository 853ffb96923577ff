"""Limits, credentials and manners of the one door out."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aiassist.lib.egress import (
    AddressRefused,
    Answer,
    AnswerMalformed,
    AnswerTooLarge,
    Caps,
    Destination,
    EgressTimeout,
    Unreachable,
    open_destination,
)
from tests.fakes.providers import CUT, HOLD, FakeProvider, Script
from tests.support.ports import free_port

SECRET = "canary-credential"


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    fake = FakeProvider().start()
    yield fake
    fake.stop()


@pytest.fixture
def destination(server: FakeProvider) -> Destination:
    return Destination("fake", server.url, {"Authorization": f"Bearer {SECRET}"})


async def read(destination: Destination, caps: Caps | None = None) -> bytes:
    async with open_destination(destination, "POST", "x", json={}, caps=caps) as answer:
        return await answer.read()


async def test_it_reads_an_answer(server: FakeProvider, destination: Any) -> None:
    server.will(Script([b"hel", b"lo"]))

    assert await read(destination) == b"hello"


async def test_w6_a_credential_goes_to_its_own_host_only(
    server: FakeProvider, destination: Destination
) -> None:
    await read(destination)
    for path in ("@evil.test/", "//evil.test/", "http://evil.test/", "\\evil.test"):
        async with open_destination(destination, "POST", path, json={}) as answer:
            await answer.read()

    assert [seen.headers["authorization"] for seen in server.chats] == [
        f"Bearer {SECRET}"
    ] * 5
    assert SECRET not in repr(destination)


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_w6_a_caller_cannot_replace_the_credential(
    name: str, server: FakeProvider, destination: Destination
) -> None:
    async with open_destination(
        destination, "POST", "x", json={}, headers={name: "Bearer other"}
    ) as answer:
        await answer.read()

    assert server.chats[0].headers["authorization"] == f"Bearer {SECRET}"


async def test_redirects_are_not_followed(
    server: FakeProvider, destination: Destination
) -> None:
    server.will(Script([], 302, headers={"Location": f"{server.url}/elsewhere"}))

    async with open_destination(destination, "POST", "x", json={}) as answer:
        assert answer.status == 302
    assert len(server.requests) == 1


async def test_proxies_of_the_environment_are_ignored(
    server: FakeProvider, destination: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    server.will(Script([b"direct"]))

    assert await read(destination) == b"direct"


async def test_s2_silence_before_the_headers_is_a_timeout(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"late"], before=5))

    with pytest.raises(EgressTimeout) as caught:
        await read(destination, Caps(first_byte_seconds=0.2))
    assert caught.value.details["phase"] == "first_byte"


async def test_s2_silence_before_the_first_byte_is_a_timeout(
    server: FakeProvider, destination: Any
) -> None:
    """Headers alone are no sign of life."""
    server.will(Script([HOLD]))

    with pytest.raises(EgressTimeout) as caught:
        await read(destination, Caps(first_byte_seconds=0.2))
    assert caught.value.details["phase"] == "first_byte"


async def test_s2_silence_in_the_middle_is_a_timeout(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"some", HOLD]))

    with pytest.raises(EgressTimeout) as caught:
        await read(destination, Caps(idle_seconds=0.2))
    assert caught.value.details["phase"] == "idle"


async def test_s2_a_drip_cannot_outlast_the_total(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"x", 0.05] * 100))
    started = time.monotonic()

    with pytest.raises(EgressTimeout) as caught:
        await read(destination, Caps(idle_seconds=1, total_seconds=0.4))
    assert caught.value.details["phase"] == "total"
    assert time.monotonic() - started < 4  # it drips for five


async def test_a_body_beyond_the_cap_is_not_read_on(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"x" * 65536] * 400))

    caps = Caps(max_bytes=100_000)
    with pytest.raises(AnswerTooLarge):
        async with open_destination(
            destination, "POST", "x", json={}, caps=caps
        ) as answer:
            async for _ in answer.chunks():
                pass
    assert server.chats[0].n_bytes_sent < 400 * 65536


async def test_a_small_answer_has_a_cap_of_its_own(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"x" * 2000]))

    async with open_destination(destination, "POST", "x", json={}) as answer:
        with pytest.raises(AnswerTooLarge):
            await answer.read(max_bytes=1000)


async def test_a_compressed_answer_is_refused(
    server: FakeProvider, destination: Any
) -> None:
    """A bomb is small on the wire; we never asked for compression."""
    server.will(Script([b"\x1f\x8b"], headers={"Content-Encoding": "gzip"}))

    with pytest.raises(AnswerMalformed):
        await read(destination)
    assert server.chats[0].headers["accept-encoding"] == "identity"


async def test_s3_a_body_cut_short_is_no_end(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"half a", CUT]))

    with pytest.raises((AnswerMalformed, Unreachable)):
        await read(destination)


async def test_a_closed_port_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        await read(Destination("gone", f"http://127.0.0.1:{free_port()}"))


async def test_s1_leaving_the_block_closes_the_connection(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"some", HOLD]))

    async with open_destination(destination, "POST", "x", json={}) as answer:
        assert await anext(answer.chunks()) == b"some"
    await _closed(server)


async def test_s1_cancelling_closes_the_connection(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"some", HOLD]))
    task = asyncio.create_task(read(destination))
    await _until(lambda: bool(server.chats))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await _closed(server)


async def test_connections_are_kept_for_the_next_call(
    server: FakeProvider, destination: Any
) -> None:
    server.will(Script([b"one"]))
    await read(destination)
    await read(destination)

    assert server.n_connections == 1


def test_each_event_loop_closes_its_own_connections(
    server: FakeProvider, destination: Any
) -> None:
    """A left-over socket would warn, and warnings are errors here."""
    server.will(Script([b"one"]))
    for _ in range(2):
        assert asyncio.run(read(destination)) == b"one"

    server.wait_until(lambda: server.n_connections_open == 0)


def test_errors_tell_nothing_of_what_was_sent() -> None:
    assert SECRET not in str(AddressRefused(destination="fake"))
    assert not hasattr(Answer, "request")


async def _closed(server: FakeProvider) -> None:
    await _until(lambda: server.chats[0].closed_at is not None)


async def _until(check: Any, seconds: float = 2.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)
