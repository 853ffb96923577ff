"""Embeddings kept in the database: the same passage is embedded once per user."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256

import numpy as np

from aiassist.lib.clock import now
from workspaces.indexing.embedding import MODEL_NAME, embed_passages
from workspaces.models import ChunkEmbedding, Workspace
from workspaces.vectors.base import EMBEDDING_DIM, Vector

EMBED_BATCH = 64  # passages between two looks at the clock
_TOUCH_AFTER = timedelta(days=7)  # so long a vector may look unused while it is not
_STORED = np.dtype("<f2")
_NO_ALIASES: Mapping[str, str] = {}


def vectors_for(
    workspace: Workspace,
    texts: Sequence[str],
    on_progress: Callable[[], None],
    aliases: Mapping[str, str] = _NO_ALIASES,
) -> tuple[list[Vector], int]:
    """Return a vector per text, and how many of them had to be computed.

    `aliases` maps texts to others whose vector may stand in for theirs.
    """
    digests = [_digest(text) for text in texts]
    known = _known(workspace, set(digests))
    missing = {
        digest: text
        for digest, text in zip(digests, texts, strict=True)
        if digest not in known
    }
    known.update(_taken_over(workspace, missing, aliases))
    todo = [item for item in missing.items() if item[0] not in known]
    for start in range(0, len(todo), EMBED_BATCH):
        on_progress()
        batch = todo[start : start + EMBED_BATCH]
        vectors = embed_passages([text for _, text in batch])
        fresh = {
            digest: vector for (digest, _), vector in zip(batch, vectors, strict=True)
        }
        _keep(workspace, fresh)
        # As it comes back from the database, so that an index made with kept vectors
        # equals one made without.
        known.update((d, _unit(v.astype(_STORED))) for d, v in fresh.items())
    return [known[digest] for digest in digests], len(todo)


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
    _keep(workspace, found)
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


def _keep(workspace: Workspace, vectors: Mapping[str, Vector]) -> None:
    moment = now()
    ChunkEmbedding.objects.bulk_create(
        (
            ChunkEmbedding(
                user_id=workspace.user_id,
                workspace=workspace,
                model=MODEL_NAME,
                digest=digest,
                vector=vector.astype(_STORED).tobytes(),
                used_at=moment,
            )
            for digest, vector in vectors.items()
        ),
        ignore_conflicts=True,
    )


def _unit(stored: "np.ndarray[tuple[int], np.dtype[np.float16]]") -> Vector:
    vector = stored.astype(np.float32).reshape(EMBEDDING_DIM)
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector
