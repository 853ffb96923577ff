"""Turn passages and queries into vectors: all-MiniLM-L6-v2 on ONNX Runtime.

The model reads one text at a time, on one thread from end to end: a vector depends on
its text alone, nothing is padded, no core waits for another between the model's steps,
nor a query behind an index job. Calls are safe from several threads.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from django.conf import settings
from numpy.typing import NDArray
from tokenizers import Tokenizer

from aiassist.lib import tokens
from workspaces.indexing.prepared_model import prepared_model, weights_digest
from workspaces.vectors.base import EMBEDDING_DIM, Vector

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Vectors = NDArray[np.float32]  # n × EMBEDDING_DIM, each row of length 1


def _model_name() -> str:
    """Name the numbers that come out: embeddings may be reused where it is equal."""
    numbers = "fp32-1" if settings.EMBEDDING_BACKEND == "onnx-fp32" else "int8-2"
    if settings.EMBEDDING_MODEL_PATH:  # others' weights, maybe
        numbers += f"-{weights_digest()}"
    return f"all-MiniLM-L6-v2/{numbers}"


MODEL_NAME = _model_name()
MAX_TOKENS = 256  # the model was trained on no more; [CLS] and [SEP] included
_TOKENIZE_AT_ONCE = 512
# 256 tokens never need more, and a 100 MB line never reaches the tokenizer.
_MAX_CHARS = 16_384
_QUERY_CACHE_SIZE = 1024


def embed_passages(texts: Sequence[str]) -> Vectors:
    """Return one vector per text, in order; what exceeds MAX_TOKENS is not read."""
    return _embed(texts, n_threads())


def embed_passage(text: str) -> Vector:
    """Return one passage's vector, computed on the calling thread."""
    (ids,) = _tokenize([text])
    return _run(ids)


def n_threads() -> int:
    """Return how many passages may be read at once."""
    return settings.EMBEDDING_THREADS or n_cores()


def embed_query(text: str) -> Vector:
    """Return a query's vector, read-only; repeated queries cost nothing."""
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    vector = _query_cache.get(key)
    if vector is None:
        vector = embed_passage(text)
        vector.flags.writeable = False
        _query_cache.put(key, vector)
    return vector


def _embed(texts: Sequence[str], at_once: int) -> Vectors:
    """Embed one text after another, so many at once."""
    rows = _tokenize(texts)
    vectors = np.empty((len(rows), EMBEDDING_DIM), np.float32)
    # Longest first, so that no thread is left with a long one at the end.
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    if at_once == 1 or len(rows) < 2:
        for i in order:
            vectors[i] = _run(rows[i])
    else:
        with ThreadPoolExecutor(at_once, "embedding") as threads:
            found = threads.map(_run, [rows[i] for i in order])
            for i, vector in zip(order, found, strict=True):
                vectors[i] = vector
    return vectors


def _run(ids: list[int]) -> Vector:
    """Let the model read one text."""
    feed = {"ids": np.array([ids], np.int32)}
    vector: Vector = _session().run(["vectors"], feed)[0][0]
    return vector


def _tokenize(texts: Sequence[str]) -> list[list[int]]:
    rows: list[list[int]] = []
    for start in range(0, len(texts), _TOKENIZE_AT_ONCE):
        part = texts[start : start + _TOKENIZE_AT_ONCE]
        batch = [tokens.encodable(text[:_MAX_CHARS]) for text in part]
        rows.extend(encoding.ids for encoding in _tokenizer().encode_batch_fast(batch))
    return rows


@cache
def _tokenizer() -> Tokenizer:
    """Return one of our own: settings of the shared one belong to everybody."""
    own = Tokenizer.from_str(tokens.tokenizer().to_str())
    own.enable_truncation(MAX_TOKENS)
    return own


_sessions: dict[int, "InferenceSession"] = {}  # by process: a fork opens its own
_session_lock = threading.Lock()


def _session() -> "InferenceSession":
    with _session_lock:
        session = _sessions.get(os.getpid())
        if session is None:
            _sessions.clear()
            session = _sessions[os.getpid()] = _open_session()
        return session


def _open_session() -> "InferenceSession":
    import onnxruntime  # noqa: PLC0415  # heavy, loaded on first use

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the caller's
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(prepared_model()), options, providers=["CPUExecutionProvider"]
    )


def n_cores() -> int:
    """Return how many cores this process may use (fewer than the machine's, maybe)."""
    return len(os.sched_getaffinity(0))


class _QueryCache:
    """The latest queries' vectors, by digest: no query's text is kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Vector | None:
        with self._lock:
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
            return vector

    def put(self, key: bytes, vector: Vector) -> None:
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


_query_cache = _QueryCache(_QUERY_CACHE_SIZE)
