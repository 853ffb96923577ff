"""How fast this installation indexes, told by the last jobs that it did itself."""

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from workspaces.models import IndexJob, JobPhase, JobState

# Of the text that is indexed; `preview` knows it by language.
BYTES_PER_CHUNK = 410
# Of a 2-core machine; believed until this installation has indexed something itself.
_CHUNKS_PER_SECOND = 60.0
_BYTES_PER_SECOND = 1_000_000.0
_JOBS_LOOKED_AT = 9
_TELLING_CHUNKS = 50  # a smaller job says more about its start than about its speed


@dataclass(frozen=True, slots=True)
class Pace:
    """Medians of the last first indexes, by the clock: what users wait for."""

    chunks_per_second: float = _CHUNKS_PER_SECOND  # that the model reads
    bytes_per_second: float = _BYTES_PER_SECOND  # read and found by their words
    is_measured: bool = False  # False: nothing was indexed here yet

    def seconds_to_read(self, n_bytes: float) -> float:
        return n_bytes / self.bytes_per_second

    def seconds_to_embed(self, n_chunks: float) -> float:
        return n_chunks / self.chunks_per_second


def measured_pace() -> Pace:
    """Return the pace of the last jobs, whoever's they were and whatever machine's."""
    rows = (
        IndexJob.objects.filter(
            state=JobState.SUCCEEDED,
            generation=1,  # later ones embed only what changed
            phase=JobPhase.EMBEDDING,
            chunks_computed__gte=_TELLING_CHUNKS,
            finished_at__isnull=False,
        )
        .order_by("-finished_at")
        .values_list(
            "chunks_computed", "bytes_total", "started_at", "phase_at", "finished_at"
        )[:_JOBS_LOOKED_AT]
    )
    embedding: list[float] = []
    reading: list[float] = []
    for n_chunks, n_bytes, started_at, phase_at, finished_at in rows:
        embedding.append(n_chunks / _seconds(phase_at, finished_at))
        reading.append(n_bytes / _seconds(started_at, phase_at))
    if not embedding:
        return Pace()
    return Pace(median(embedding), max(1.0, median(reading)), is_measured=True)


def _seconds(start: datetime | None, end: datetime | None) -> float:
    # A job that embedded and ended has all of them.
    assert start is not None and end is not None
    return max(0.01, (end - start).total_seconds())
