"""Which part of an index answers a search just now, told honestly.

A workspace's first index serves while it is made: the words of each file as soon as
they are read, the meaning of each passage as soon as it is embedded. Later indexes
are switched in whole, and the old one serves until then.
"""

from dataclasses import dataclass, replace

from workspaces.indexing.embedding import MODEL_NAME
from workspaces.indexing.generations import model_of
from workspaces.models import IndexJob, Workspace, WorkspaceStatus


@dataclass(frozen=True, slots=True)
class Serving:
    """The generation that a search shall ask for, and how much it covers.

    `state` is "empty", "building" (the first index), "ready", "refreshing" (a newer one
    is being made) or "degraded" (the vector database is away: the stored files
    themselves were searched, by their words).
    """

    generation: int  # 0: there is nothing to search yet
    state: str
    keywords: float  # share of the files that are found by their words
    meaning: float  # share of the passages that are found by their meaning
    dense_fits: bool  # False: the vectors are another model's than the query's


def serving(workspace: Workspace) -> Serving:
    """Tell what serves; costs a query only while the first index is made."""
    if workspace.generation:
        fits = model_of(workspace.index_version) == MODEL_NAME
        busy = workspace.status == WorkspaceStatus.INDEXING
        state = "refreshing" if busy else "ready"
        return Serving(workspace.generation, state, 1.0, float(fits), fits)
    job = (
        IndexJob.objects.for_workspace(workspace)
        .active()
        .only("generation", "files_total", "files_read", "chunks", "chunks_total")
        .order_by("-state", "created_at")  # a running one before a queued one
        .first()
    )
    if job is None:
        return Serving(0, "empty", 0.0, 0.0, True)
    if job.generation is None or job.generation != workspace.preview_generation:
        return Serving(0, "building", 0.0, 0.0, True)
    return Serving(
        generation=job.generation,
        state="building",
        keywords=_share(job.files_read, job.files_total),
        meaning=_share(job.chunks, job.chunks_total or 0),
        dense_fits=True,
    )


def degraded(index: Serving, share: float) -> Serving:
    """Tell that the vector database is away and so much was searched without it."""
    return replace(index, state="degraded", keywords=round(share, 4), meaning=0.0)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
