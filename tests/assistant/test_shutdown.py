"""S7: a server that is told to stop ends its streams in words, nothing uncharged."""

import os
import signal
import time
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import httpx2
import pytest

from billing.metering.outbox import drain
from tests.assistant.asking import (
    allow,
    data_of,
    events_of,
    many_streams,
    open_holds,
    record_after,
    settled_after,
    streaming,
)
from tests.fakes.providers import HOLD, FakeProvider, Script, openai_stream
from tests.support.people import Person
from tests.support.ports import free_port, wait_for
from tests.support.processes import Process, django_env, python


def test_s7_sigterm_ends_a_hundred_streams_in_words_and_none_uncharged(
    pro: Person, openai: FakeProvider, transactional_db: None, tmp_path: Path
) -> None:
    n_streams = 100
    allow(pro, max_concurrent=n_streams)
    steps = openai_stream("Some", finish="", usage=None, done=False).steps
    openai.will(Script([*steps, HOLD]))
    port = free_port()
    with _server(port, tmp_path / "site.log", openai) as site:
        wait_for(lambda: answers(port), seconds=60, what="the server")
        with many_streams(
            f"http://127.0.0.1:{port}", pro, n_streams, until=b"Some"
        ) as streams:
            site.signal(signal.SIGTERM)
            stopped_at = time.monotonic()
            rest = [_cut(stream) for stream in streams]

        assert all(b'"code":"service_unavailable"' in last for last in rest)
        assert 0.5 < time.monotonic() - stopped_at < 6
        assert site.wait(seconds=10) in (0, -signal.SIGTERM)
    drain()  # what the process had no time to write, as whoever shows usage does
    records = settled_after(pro, n_streams)
    assert {record.status for record in records} == {"cancelled"}
    assert all(record.cost_usd_micros > 0 for record in records)
    assert (len(records), open_holds(pro)) == (n_streams, 0)


def test_s7_a_stream_that_is_nearly_done_is_let_finish(
    pro: Person, openai: FakeProvider, transactional_db: None, tmp_path: Path
) -> None:
    openai.will(openai_stream("Some", " more", pause=0.4))
    port = free_port()
    with _server(port, tmp_path / "site.log", openai) as site:
        wait_for(lambda: answers(port), seconds=60, what="the server")
        with streaming(f"http://127.0.0.1:{port}", pro) as response:
            events = events_of(response)
            next(e for e in events if e.name == "delta")
            site.signal(signal.SIGTERM)
            rest = list(events)

    drain()
    assert data_of(rest, "done")["finish_reason"] == "stop"
    assert record_after(pro).status == "ok"


def _cut(stream: HTTPResponse) -> bytes:
    """Read to the end, which comes too early."""
    with pytest.raises(IncompleteRead) as cut:
        stream.read()
    return cut.value.partial


def answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx2.TransportError:
        return False


def _server(port: int, log: Path, fake: FakeProvider) -> Process:
    """The site as compose runs it, with a short drain."""
    env = django_env(
        STREAM_DRAIN_SECONDS="1",
        USAGE_WRITE_SECONDS="1",  # in batches, as in production
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL=f"{fake.url}/openai/v1",
        OLLAMA_URL="http://127.0.0.1:9",
        REDIS_URL=os.environ["REDIS_URL"],
    )
    command = python("-m", "aiassist.serve", "--workers", "2", "--port", str(port))
    command += ["--lifespan", "off", "--ws", "none"]
    command += ["--timeout-graceful-shutdown", "5"]
    return Process(command, log=log, env=env)
