"""What kind of query this is, and what it asks for besides.

A pasted name wants its definition, a path its file, words want what they mean. Whoever
asks for tests or documentation gets them; for everybody else code comes first.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from workspaces.indexing.keywords import query_words, stem


class Kind(StrEnum):
    WORDS = "words"  # a question, a sentence, a commit's subject, an error's text
    IDENTIFIER = "identifier"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Intent:
    """A query as the ranking reads it."""

    text: str
    kind: Kind
    words: frozenset[str]  # its telling stems
    asks_for_tests: bool
    asks_for_docs: bool


_IDENTIFIER = re.compile(
    r"[@#$]?[A-Za-z_$][\w$]*(?:(?:\.|::|->|#)[\w$]+)*[?!]?(?:\(\))?"
)
_FILE = re.compile(r"[\w.@+\-]*\.[A-Za-z][A-Za-z0-9]{0,7}")
_TESTS = frozenset(
    map(stem, "test tests unittest pytest spec specs rspec fixture mock".split())
)
_DOCS = frozenset(
    map(
        stem,
        """doc docs documentation readme changelog guide tutorial manual licence license
        contributing install installation release notes faq howto yaml yml toml ini ci
        workflow dependency requirements docker dockerfile makefile cmake""".split(),
    )
)
# Code files that a name's last part is usually an ending of, not a member.
_FILE_ENDINGS = frozenset(
    """py js ts tsx jsx go rs rb java c h cc cpp hpp cs php sh md rst txt html css scss
    json yaml yml toml ini cfg sql xml proto kt swift scala lua vue svelte mod lock
    gradle""".split()
)


def read_intent(text: str) -> Intent:
    stripped = text.strip()
    words = query_words(stripped)
    return Intent(
        text=stripped,
        kind=_kind_of(stripped),
        words=words,
        asks_for_tests=bool(words & _TESTS),
        asks_for_docs=bool(words & _DOCS),
    )


def _kind_of(text: str) -> Kind:
    if re.search(r"\s", text):
        return Kind.WORDS
    if "/" in text or _names_a_file(text):
        return Kind.PATH
    if _IDENTIFIER.fullmatch(text):
        return Kind.IDENTIFIER
    return Kind.WORDS


def _names_a_file(text: str) -> bool:
    ending = text.rpartition(".")[2].lower()
    return bool(_FILE.fullmatch(text)) and ending in _FILE_ENDINGS
