"""Embeddings kept in the database: the same passage is embedded once per user."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aiassist.lib.clock import now
from workspaces.indexing.embedding import MODEL_NAME, embed_passage, n_threads
from workspaces.models import ChunkEmbedding, Workspace
from workspaces.vectors.base import EMBEDDING_DIM, Vector

_LOOK_UP_SECONDS = 1.0  # while the model is waited for
_TOUCH_AFTER = timedelta(days=7)  # so long a vector may look unused while it is not
_STORED = np.dtype("<f2")
_Stored = NDArray[np.float16]
_NO_ALIASES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Asked:
    """Passages whose vectors are known or on their way."""

    digests: Sequence[str]  # of each passage, in order
    known: dict[str, Vector]
    coming: Mapping[str, "Future[Vector]"]


class Embedder:
    """Gets vectors while its caller does something else: the model has own threads.

    Only the caller's thread asks the database. What was asked for and not got when
    the `with` block ends is not computed any more.
    """

    def __init__(self, workspace: Workspace, on_wait: Callable[[], None]) -> None:
        """`on_wait` is called now and then while the model is waited for."""
        self._workspace = workspace
        self._on_wait = on_wait
        self._threads = ThreadPoolExecutor(n_threads(), "embedding")
        self._coming: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def ask(
        self, texts: Sequence[str], aliases: Mapping[str, str] = _NO_ALIASES
    ) -> Asked:
        """Begin with what has to be computed.

        `aliases` maps texts to others whose vector may stand in for theirs.
        """
        digests = [_digest(text) for text in texts]
        known = _known(self._workspace, set(digests))
        missing = {
            digest: text
            for digest, text in zip(digests, texts, strict=True)
            if digest not in known and digest not in self._coming
        }
        known.update(_taken_over(self._workspace, missing, aliases))
        # Longest first, so that no thread is left with a long one at the end.
        todo = sorted(missing.items(), key=lambda item: -len(item[1]))
        coming = {
            digest: self._threads.submit(embed_passage, text)
            for digest, text in todo
            if digest not in known
        }
        self._coming.update(coming)
        return Asked(digests, known, coming)

    def vectors(self, asked: Asked) -> list[Vector]:
        """Return a vector per passage, in order, once all are there and kept."""
        self._on_wait()
        while wait(asked.coming.values(), timeout=_LOOK_UP_SECONDS).not_done:
            self._on_wait()
        # As they come back from the database, so that an index made with kept vectors
        # equals one made without.
        fresh = {
            digest: v.result().astype(_STORED) for digest, v in asked.coming.items()
        }
        _keep(self._workspace, fresh)
        self._coming.difference_update(fresh)
        found = asked.known | {digest: _unit(v) for digest, v in fresh.items()}
        # What this batch has in common with the one before was not asked for twice.
        found |= _known(self._workspace, set(asked.digests) - found.keys())
        return [found[digest] for digest in asked.digests]


def _taken_over(
    workspace: Workspace, missing: Mapping[str, str], aliases: Mapping[str, str]
) -> dict[str, Vector]:
    """Return the vectors that a stand-in has, and keep them under the new name."""
    stand_ins = {
        digest: _digest(aliases[text])
        for digest, text in missing.items()
        if text in aliases
    }
    if not stand_ins:
        return {}
    there = _known(workspace, set(stand_ins.values()))
    found = {new: there[old] for new, old in stand_ins.items() if old in there}
    _keep(workspace, {digest: v.astype(_STORED) for digest, v in found.items()})
    return found


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _known(workspace: Workspace, digests: set[str]) -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    resting: list[int] = []
    long_ago = now() - _TOUCH_AFTER
    wanted = sorted(digests)
    for start in range(0, len(wanted), 400):
        rows = ChunkEmbedding.objects.filter(
            user_id=workspace.user_id,
            model=MODEL_NAME,
            digest__in=wanted[start : start + 400],
        )
        for key, digest, raw, used_at in rows.values_list(
            "pk", "digest", "vector", "used_at"
        ):
            found[digest] = _unit(np.frombuffer(bytes(raw), dtype=_STORED))
            if used_at < long_ago:
                resting.append(key)
    for start in range(0, len(resting), 400):
        some = ChunkEmbedding.objects.filter(pk__in=resting[start : start + 400])
        some.update(used_at=now())
    return found


def _keep(workspace: Workspace, vectors: Mapping[str, _Stored]) -> None:
    moment = now()
    ChunkEmbedding.objects.bulk_create(
        (
            ChunkEmbedding(
                user_id=workspace.user_id,
                workspace=workspace,
                model=MODEL_NAME,
                digest=digest,
                vector=vector.tobytes(),
                used_at=moment,
            )
            for digest, vector in vectors.items()
        ),
        ignore_conflicts=True,
    )


def _unit(stored: _Stored) -> Vector:
    vector = stored.astype(np.float32).reshape(EMBEDDING_DIM)
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector
