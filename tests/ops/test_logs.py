"""M5: no secret, prompt or code in logs. Redaction is the last line of defence."""

import io
import json
import logging

import psycopg
import pytest
from django.test import Client

from aiassist.lib.logs import (
    JsonLines,
    ReadableLines,
    RequestIdFilter,
    WithoutQuery,
    redacted,
)
from aiassist.lib.request_ids import current_request_id

SECRETS = {
    "an API key": "aia_" + "0123456789abcdefghijABCDEFGHIJ" + "x1y2z3",
    "a bearer token": "Authorization: Bearer abc.def-ghi_jkl012",
    "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "an OpenAI key": "sk-proj-abcdefghijklmnopqrstuv",
    "a Google key": "AIzaSyA1234567890abcdefghijk",
    "a webhook secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a database password": "postgresql://app:hunter2-hunter2@db:5432/app",
    "a password": "password='hunter2-hunter2'",
}
TAILS = {
    "an API key": "x1y2z3",
    "a bearer token": "ghi_jkl012",
    "a JWT": "c2lnbmF0dXJl",
    "an OpenAI key": "abcdefghijklmnopqrstuv",
    "a Google key": "1234567890abcdefghijk",
    "a webhook secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a database password": "hunter2",
    "a password": "hunter2",
}


def record(message: str, *args: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("aiassist", logging.INFO, "f.py", 1, message, args, None)
    made.__dict__.update(fields)
    return made


@pytest.mark.parametrize("formatter", [JsonLines(), ReadableLines()])
@pytest.mark.parametrize("kind", SECRETS)
def test_m5_a_secret_is_cut_from_every_kind_of_line(
    formatter: logging.Formatter, kind: str
):
    line = formatter.format(record("went wrong with %s here", SECRETS[kind]))

    assert TAILS[kind] not in line
    assert "[redacted]" in line
    assert "here" in line


@pytest.mark.parametrize("formatter", [JsonLines(), ReadableLines()])
def test_m5_a_secret_in_a_traceback_is_cut(formatter: logging.Formatter):
    try:
        raise ValueError(f"bad key {SECRETS['an API key']}")
    except ValueError as error:
        made = record("failed", exc_info=(ValueError, error, error.__traceback__))

    line = formatter.format(made)

    assert "x1y2z3" not in line
    assert "ValueError" in line


def test_m5_the_values_of_a_row_that_postgresql_refused_are_cut():
    error = psycopg.IntegrityError(
        "null value in column\nDETAIL:  Failing row contains (def secret(): ...)."
    )

    assert "def secret" not in redacted(str(error))


def test_ordinary_words_stay():
    sentence = "The token bucket of workspace_1 is full; 12 tokens in, 3 tokens out."

    assert redacted(sentence) == sentence


def test_m5_an_extra_field_never_reaches_the_line():
    line = JsonLines().format(record("asked", request="GET /?q=def+f()", prompt="hi"))

    assert set(json.loads(line)) == {
        *("timestamp", "level", "logger", "message", "process")
    }


def test_a_line_carries_the_request_it_was_written_for():
    token = current_request_id.set("req_12345678")
    made = record("hello")
    RequestIdFilter().filter(made)
    current_request_id.reset(token)

    assert json.loads(JsonLines().format(made))["request_id"] == "req_12345678"


def test_m5_access_lines_hold_no_query_string():
    made = record(
        '%s - "%s %s HTTP/%s" %d',
        *("127.0.0.1:1", "GET", "/dashboard/search/?q=def+secret", "1.1", 200),
    )
    WithoutQuery().filter(made)

    assert made.getMessage() == '127.0.0.1:1 - "GET /dashboard/search/ HTTP/1.1" 200'


def test_an_access_line_without_numbers_stays_as_it_is():
    made = record("Application startup complete.")

    assert WithoutQuery().filter(made)
    assert made.getMessage() == "Application startup complete."


def test_a_hostile_request_costs_one_line_of_log(
    client: Client, monkeypatch: pytest.MonkeyPatch
):
    # pytest hangs handlers of its own there, which are of its own kinds.
    (console,) = (
        handler
        for handler in logging.getLogger().handlers
        if type(handler) is logging.StreamHandler
    )
    written = io.StringIO()
    monkeypatch.setattr(console, "stream", written)

    client.get("/api/v1/me", headers={"Host": "evil.example"})

    (line,) = written.getvalue().splitlines()
    assert "Invalid HTTP_HOST header: 'evil.example'" in line
