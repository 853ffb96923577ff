"""Embeddings kept on disk by content, so that a second run takes seconds."""

import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from workspaces.indexing.embedding import MODEL_NAME, Vectors, embed_passages
from workspaces.vectors.base import EMBEDDING_DIM

_BATCH = 256


class VectorCache:
    """One SQLite file; float16, as the product keeps vectors for reuse."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._rows = sqlite3.connect(file)
        self._rows.execute("pragma journal_mode=wal")
        self._rows.execute(
            "create table if not exists vector (key blob primary key, vector blob)"
        )
        self.n_embedded = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector per text, embedding only what was never seen."""
        keys = [sha256(f"{MODEL_NAME}\n{text}".encode()).digest() for text in texts]
        todo = {
            key: text
            for key, text in zip(keys, texts, strict=True)
            if self._get(key) is None
        }
        items = list(todo.items())
        for start in range(0, len(items), _BATCH):
            batch = items[start : start + _BATCH]
            vectors = embed_passages([text for _, text in batch])
            self._rows.executemany(
                "insert or ignore into vector values (?, ?)",
                [
                    (key, vector.astype("<f2").tobytes())
                    for (key, _), vector in zip(batch, vectors, strict=True)
                ],
            )
            self._rows.commit()
            self.n_embedded += len(batch)
        found = np.empty((len(texts), EMBEDDING_DIM), np.float32)
        for i, key in enumerate(keys):
            found[i] = np.frombuffer(self._get(key) or b"", "<f2")
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        unit: Vectors = found / np.maximum(lengths, 1e-12)
        return unit

    def _get(self, key: bytes) -> bytes | None:
        row = self._rows.execute("select vector from vector where key = ?", (key,))
        found = row.fetchone()
        return None if found is None else bytes(found[0])
