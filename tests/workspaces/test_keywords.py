"""Keywords find identifiers as written, in another case style and in words."""

import subprocess
import sys

import pytest

from workspaces.indexing.keywords import (
    passage_terms,
    query_terms,
    split_identifier,
    stem,
)
from workspaces.vectors.base import SparseVector


def overlap(query: str, passage: SparseVector) -> float:
    weights = dict(zip(passage.indices, passage.values, strict=True))
    terms = query_terms(query)
    pairs = zip(terms.indices, terms.values, strict=True)
    return sum(value * weights.get(index, 0.0) for index, value in pairs)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("retryDelayMs", ["retry", "delay", "ms"]),
        ("HTTPServer2", ["http", "server", "2"]),
        ("snake_case_name", ["snake", "case", "name"]),
        ("größe", ["gr", "öß", "e"]),
    ],
)
def test_identifiers_come_apart(word, parts):
    assert split_identifier(word) == parts


@pytest.mark.parametrize("query", ["retryDelayMs", "retry_delay_ms", "the retry delay"])
def test_a_query_finds_the_identifier_in_any_style(query):
    passage = passage_terms("const retryDelayMs = 5;", "net/client.ts", "")

    assert overlap(query, passage) > overlap("delay", passage)


def test_path_and_symbol_are_found_too():
    passage = passage_terms("x = 1", "billing/ledger.py", "Ledger.settle")

    assert overlap("ledger", passage) > 0
    assert overlap("settle", passage) > 0


def test_stopwords_go_unless_nothing_else_is_left():
    assert query_terms("where is the lock") == query_terms("lock")
    assert query_terms("what is this").indices


def test_a_longer_passage_weighs_a_word_less():
    short = passage_terms("lock", "", "")
    long = passage_terms("lock " + "other words " * 200, "", "")

    assert overlap("lock", short) > overlap("lock", long)


def test_indices_are_unique_u32_and_the_same_in_every_process():
    vector = passage_terms("def settle(self): return total", "a.py", "A")
    code = (
        "from workspaces.indexing.keywords import passage_terms as p;"
        "print(p('def settle(self): return total', 'a.py', 'A').indices)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert other.stdout.strip() == str(vector.indices)
    assert len(set(vector.indices)) == len(vector.indices)
    assert all(0 <= index < 2**32 for index in vector.indices)


@pytest.mark.parametrize("query", ["parse", "parses", "parsed", "parsing"])
def test_a_verb_is_found_in_any_of_its_forms(query):
    assert overlap(query, passage_terms("def parse_header(): ...", "", "")) > 0


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("stopped", "stop"),
        ("queries", "query"),
        ("class", "clas"),
        ("tls", "tls"),
        ("red", "red"),
    ],
)
def test_an_ending_goes_only_where_a_word_remains(word, expected):
    assert stem(word) == expected
