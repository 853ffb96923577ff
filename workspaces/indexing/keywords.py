"""Keywords of passages and queries, as sparse vectors for BM25 in Qdrant.

A passage's weights hold BM25's term frequency part; Qdrant multiplies by IDF (its
`idf` modifier) over the collection, so that a query's weights are plain.

Identifiers count whole and in parts: `retryDelayMs` is `retrydelayms`, `retry`,
`delay`, `ms`. So a query finds them as written, in another case style, or in words.
English endings are cut off on both sides, so that "parsing", "parsed" and `parse` meet.

Source: Robertson, Zaragoza, The Probabilistic Relevance Framework (2009);
https://qdrant.tech/documentation/concepts/indexing/#idf-modifier
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from workspaces.vectors.base import SparseVector

K1 = 1.2
B = 0.75
# Terms of an average chunk, parts included. It is fixed, so that a vector never
# depends on the rest of the index.
AVERAGE_LENGTH = 120.0
# What names a passage says more about it than a word inside it.
_SYMBOL_COUNT = 3
_PATH_COUNT = 1
_MAX_WORD = 100  # characters; longer ones are blobs, not words

_WORD = re.compile(r"\w+")
# aB|aBC|ABc|a1: lower and upper case runs, capitalised words, digits, other scripts.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_ENDINGS = ("ing", "ied", "ies", "ed", "es", "s", "e")
_SHORTEST = 3  # letters that a stem keeps
_STOPWORDS = frozenset(
    """a about an and any are as at be been being but by can could did do does doing for
    from had has have having how i in into is it its me my of on or our should so
    some that the their them then there these they this those to us was we were what
    when where which who whom why will with would you your""".split()
)


def passage_terms(text: str, path: str, symbol: str) -> SparseVector:
    """Return the BM25 term weights of a chunk (IDF left to Qdrant)."""
    counts = Counter(_terms(text))
    length = max(counts.total(), 1)
    for term in _terms(path):
        counts[term] += _PATH_COUNT
    for term in _terms(symbol):
        counts[term] += _SYMBOL_COUNT
    norm = K1 * (1 - B + B * length / AVERAGE_LENGTH)
    return _vector((term, n * (K1 + 1) / (n + norm)) for term, n in counts.items())


def query_terms(text: str) -> SparseVector:
    """Return a query's terms; a term said twice counts twice.

    Stopwords go only when other words stay: "what is this" must still find something.
    """
    counts = Counter(_terms(text))
    telling = {t: n for t, n in counts.items() if t not in _STOP_STEMS}
    return _vector((term, float(n)) for term, n in (telling or counts).items())


def split_identifier(word: str) -> list[str]:
    """Return an identifier's parts in lower case: HTTPServer2 → http, server, 2."""
    return [part.lower() for part in _PART.findall(word)]


def query_words(text: str) -> frozenset[str]:
    """Return the telling stems in a query or a name, for comparing them."""
    return frozenset(_terms(text)) - _STOP_STEMS


def stem(word: str) -> str:
    """Cut the ending of an English verb or plural off a lower-case word.

    Only what is regular: endings that make other words (-er, -ation) cost precision
    on code when measured.
    """
    if len(word) <= _SHORTEST:
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            word = word[: -len(ending)] + ("y" if ending.startswith("ie") else "")
            break
    if len(word) > _SHORTEST and word[-1] == word[-2] and word[-1] not in "ls":
        return word[:-1]  # stopped, planning
    return word


def _terms(text: str) -> Iterator[str]:
    for word in _WORD.findall(text):
        if len(word) > _MAX_WORD:
            continue
        yield from _terms_of(word)


@lru_cache(maxsize=65_536)
def _terms_of(word: str) -> tuple[str, ...]:
    """Return a word whole, then its parts if it has several; single letters go."""
    whole = word.strip("_").lower()
    parts = split_identifier(word)
    found = [whole, *(parts if len(parts) > 1 else ())]
    return tuple(stem(term) for term in found if len(term) > 1)


_STOP_STEMS = frozenset(map(stem, _STOPWORDS))


@lru_cache(maxsize=262_144)
def _term_id(term: str) -> int:
    """Return the term's u32; stable across processes, unlike hash()."""
    digest = hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _vector(weights: Iterable[tuple[str, float]]) -> SparseVector:
    """Collect by id, in id order; two terms of one id (a collision) add up."""
    by_id: dict[int, float] = {}
    for term, weight in weights:
        number = _term_id(term)
        by_id[number] = by_id.get(number, 0.0) + weight
    return SparseVector(sorted(by_id), [by_id[number] for number in sorted(by_id)])
