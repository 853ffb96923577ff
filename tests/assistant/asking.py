"""Ask a running site for an answer and read its events."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.support.people import Person
from tests.support.ports import wait_for

LAST_BYTES = 65_536


@dataclass(frozen=True)
class Event:
    name: str
    data: Any


@contextmanager
def streaming(
    site: str,
    person: Person,
    path: str = "/api/v1/assistant/chat",
    headers: Any = None,  # a mapping; Any, as mypy gives it what stands in `**body`
    **body: Any,
) -> Iterator[httpx2.Response]:
    """Open a stream; leaving the block hangs up. How it ends is looked at."""
    body.setdefault("stream", True)
    if path == "/api/v1/assistant/chat" and "messages" not in body:
        body.setdefault("message", "Where are timeouts set?")
    given = {"X-API-Key": person.key, **(headers or {})}
    with httpx2.stream(
        "POST", site + path, json=body, headers=given, timeout=20
    ) as response:
        if response.headers["content-type"].startswith("text/event-stream"):
            response.stream = _Watched(response.stream)
        yield response


class _Watched(httpx2.SyncByteStream):
    """Whose last event is an error ends unclean, nobody else."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        last, is_cut = b"", False
        try:
            for piece in self._source:
                last = (last + piece)[-LAST_BYTES:]
                yield piece
        except httpx2.RemoteProtocolError:
            is_cut = True
        last = last.rstrip().rpartition(b"\n\n")[2]
        is_error = b"event: error" in last or b'"error":{' in last
        assert is_cut == is_error, last

    def close(self) -> None:
        self._source.close()


@contextmanager
def many_streams(
    site: str, person: Person, n_streams: int, *, until: bytes
) -> Iterator[list[HTTPResponse]]:
    """Open streams at both doors, by turns, and read each up to the piece `until`.

    Bare connections, read one after the other: hundreds cost neither threads nor TLS.
    """
    body = json.dumps(
        {
            "model": "openai/gpt-6-sol",
            "messages": [{"role": "user", "content": "Where are timeouts set?"}],
            "stream": True,
        }
    )
    headers = {"X-API-Key": person.key, "Content-Type": "application/json"}
    headers["Connection"] = "close"  # so that closing a response closes its socket
    paths = islice(cycle(("/api/v1/assistant/chat", "/v1/chat/completions")), n_streams)
    with ExitStack() as stack:
        links = []
        for path in paths:
            link = HTTPConnection(urlsplit(site).netloc, timeout=30)
            stack.callback(link.close)
            link.request("POST", path, body, headers)
            links.append(link)
        streams = [stack.enter_context(link.getresponse()) for link in links]
        for stream in streams:
            assert stream.status == 200, stream.read()
            while until not in (line := stream.readline()):
                assert line, "the stream ended too early"
        yield streams


def events_of(response: httpx2.Response) -> Iterator[Event]:
    """Yield events as they come; heartbeats are `Event("", None)`."""
    name = ""
    for line in response.iter_lines():
        if line.startswith(":"):
            yield Event("", None)
        elif line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield Event(name, json.loads(line.removeprefix("data: ")))


def answer(site: str, person: Person, **body: Any) -> list[Event]:
    """Return the whole stream."""
    with streaming(site, person, **body) as response:
        assert response.status_code == 200, response.read()
        return list(events_of(response))


def names(events: list[Event]) -> list[str]:
    """Return the events' names, repeated ones once."""
    found: list[str] = []
    for event in events:
        if event.name and found[-1:] != [event.name]:
            found.append(event.name)
    return found


def text_of(events: list[Event]) -> str:
    return "".join(e.data["text"] for e in events if e.name == "delta")


def data_of(events: list[Event], name: str) -> Any:
    (event,) = (e for e in events if e.name == name)
    return event.data


def allow(person: Person, **limits: int) -> None:
    """Change limits of the person's tier."""
    from billing.models import Tier  # noqa: PLC0415 - needs Django set up
    from billing.tiers.selectors import tier_of  # noqa: PLC0415

    Tier.objects.filter(pk=tier_of(person.user).pk).update(**limits)


def records_of(person: Person) -> list[Any]:
    """Return the person's usage records, oldest first."""
    from billing.models import UsageRecord  # noqa: PLC0415 - needs Django set up

    return list(UsageRecord.objects.for_user(person.user.pk).order_by("created_at"))


def open_holds(person: Person) -> int:
    from billing.metering.holds import n_open  # noqa: PLC0415 - needs Django set up

    return n_open(person.user.pk)


def record_after(person: Person, seconds: float = 10.0) -> Any:
    """Return the one record of the person once it is written."""
    wait_for(lambda: bool(records_of(person)), seconds=seconds, what="a usage record")
    (record,) = records_of(person)
    return record


def settled_after(person: Person, n_calls: int, seconds: float = 15.0) -> list[Any]:
    """Return the person's records once there are `n_calls` of them."""
    wait_for(
        lambda: len(records_of(person)) >= n_calls,
        seconds=seconds,
        every=0.1,
        what=f"{n_calls} usage records",
    )
    return records_of(person)


def released_after(person: Person, seconds: float = 10.0) -> None:
    """Wait until nothing is held; nothing may have been recorded."""
    wait_for(lambda: open_holds(person) == 0, seconds=seconds, what="the release")
    assert records_of(person) == []
