"""Our whole job beside sentence-transformers' embedding alone, on the same passages.

What it would read, cut and write besides is given to it for nothing.
"""

import os
import time

import numpy as np

from accounts.models import User
from aiassist.lib.tokens import count_many
from benchmarks.indexing import peak, peer
from benchmarks.indexing.corpus import installed_sources
from benchmarks.indexing.jobs import committed, last_job, timed
from workspaces.content.texts import indexable_text
from workspaces.indexing.embedding import (
    MAX_TOKENS,
    MODEL_NAME,
    embed_passages,
    n_cores,
)
from workspaces.indexing.runner import run_next
from workspaces.indexing.splitting import split
from workspaces.vectors import get_store

PEER_FILES = int(os.environ.get("BENCH_PEER_FILES", "60"))
_ROUNDS = 2


def side_by_side(user: User) -> None:
    """Ours, theirs, ours, theirs: what else the machine does hits both alike."""
    peer.python()
    files = installed_sources(PEER_FILES)
    texts = [
        chunk.embedded_text
        for path, data in files.items()
        for chunk in split(path, indexable_text(data))
    ]
    n_tokens = sum(min(n + 2, MAX_TOKENS) for n in count_many(texts))
    print(
        f"{len(texts):,} passages of {n_tokens / len(texts):.0f} tokens, "
        f"{n_cores()} cores, load {os.getloadavg()[0]:.1f}, {MODEL_NAME}",
        flush=True,
    )
    rates: dict[str, list[float]] = {"ours": [], "embedding": [], "theirs": []}
    for number in range(_ROUNDS):
        other = User.objects.create_user(f"peer{number}@localhost", full_name="Peer")
        workspace, _ = committed(other, "side by side", files)
        spent = time.process_time()
        seconds = timed(lambda: run_next(get_store))
        spent = time.process_time() - spent
        rates["ours"].append(last_job(workspace).chunks_computed / seconds)
        rates["embedding"].append(len(texts) / timed(lambda: embed_passages(texts)))
        took, n_threads, vectors = peer.embed(texts)
        rates["theirs"].append(len(texts) / took)
        print(
            f"round {number + 1}: ours {rates['ours'][-1]:.1f} passages/s from end to "
            f"end ({spent / seconds:.2f} cores; the model alone "
            f"{rates['embedding'][-1]:.1f}), "
            f"sentence-transformers {rates['theirs'][-1]:.1f} on {n_threads} threads: "
            f"{rates['ours'][-1] / rates['theirs'][-1]:.2f} times",
            flush=True,
        )
    ours, theirs = np.mean(rates["ours"]), np.mean(rates["theirs"])
    print(
        f"ours, reading to writing, against their embedding: {ours / theirs:.2f} times"
    )
    likeness = (np.array(vectors) * embed_passages(texts[: len(vectors)])).sum(axis=1)
    print(
        f"our vectors against theirs: cosine {likeness.mean():.4f}, "
        f"least {likeness.min():.4f}"
    )
    reached = np.max(rates["embedding"]) * n_tokens / len(texts) * peak.OPERATIONS
    for name, most in (("int8", peak.int8_peak()), ("fp32", peak.fp32_peak())):
        print(
            f"{name}: {most / 1e9:.0f} billion operations a second at most; the "
            f"embedding's products reach {reached / most:.2f} of it"
        )
