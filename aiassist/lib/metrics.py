"""What we count for operators. No label ever names a user, key or workspace.

Source: https://prometheus.io/docs/practices/naming/
"""

from functools import cache

from prometheus_client import Counter, Histogram

_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_JOB_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

admissions = Counter(
    "aiassist_admissions_total",
    "Metered calls by verdict: admitted, or the code of the refusal.",
    ["verdict", "feature"],
)
answers = Counter(
    "aiassist_answers_total",
    "Answers of the model endpoints, which Django does not count, by status.",
    ["status"],
)
tokens = Counter(
    "aiassist_tokens_total",
    "Tokens settled, by provider, model and direction (in, out).",
    ["provider", "model", "direction"],
)
cost = Counter(
    "aiassist_cost_usd_micros_total",
    "Cost settled in millionths of a US dollar.",
    ["provider", "model"],
)
provider_seconds = Histogram(
    "aiassist_provider_seconds",
    "How long a provider's whole answer took.",
    ["provider"],
    buckets=_CALL_BUCKETS,
)
first_token_seconds = Histogram(
    "aiassist_first_token_seconds",
    "How long the first token took.",
    ["provider"],
    buckets=_CALL_BUCKETS,
)
provider_errors = Counter(
    "aiassist_provider_errors_total",
    "Failed provider calls by error code.",
    ["provider", "code"],
)
webhook_tries = Counter(
    "aiassist_webhook_tries_total",
    "Messages sent to users' webhooks, each try, by what came of it.",
    ["outcome"],
)
index_jobs = Counter(
    "aiassist_index_jobs_total", "Index jobs by the state they ended in.", ["state"]
)
index_files = Counter("aiassist_index_files_total", "Files indexed.")
index_chunks = Counter("aiassist_index_chunks_total", "Chunks embedded and stored.")
index_drift = Counter(
    "aiassist_index_drift_total",
    "What the reconciler found in the vector database and mended, by kind.",
    ["kind"],
)
index_seconds = Histogram(
    "aiassist_index_seconds", "How long an index job ran.", buckets=_JOB_BUCKETS
)


# To find a counter by its labels takes longer than to count: these are on the path of
# every call. There are as many as labels, which come from ourselves.
@cache
def _admissions(verdict: str, feature: str) -> Counter:
    return admissions.labels(verdict, feature)


@cache
def _answers(status: int) -> Counter:
    return answers.labels(status)


@cache
def _settlements(provider: str, model: str) -> tuple[Counter, Counter, Counter]:
    # One label that is no UTF-8 would fail the whole page of metrics.
    provider, model = (
        name.encode("utf-8", "replace").decode() for name in (provider, model)
    )
    return (
        tokens.labels(provider, model, "in"),
        tokens.labels(provider, model, "out"),
        cost.labels(provider, model),
    )


@cache
def _provider_times(provider: str) -> tuple[Histogram, Histogram]:
    return provider_seconds.labels(provider), first_token_seconds.labels(provider)


def count_admission(verdict: str, feature: str) -> None:
    """Count one admission: "admitted", or the refusal's error code."""
    _admissions(verdict, feature).inc()


def count_answer(status: int) -> None:
    """Count one answer that was given without Django."""
    _answers(status).inc()


def count_settlement(
    *, provider: str, model: str, tokens_in: int, tokens_out: int, cost_usd_micros: int
) -> None:
    """Count what one call cost. `model` is one of the catalogue's."""
    read, written, spent = _settlements(provider, model)
    read.inc(tokens_in)
    written.inc(tokens_out)
    if cost_usd_micros:
        spent.inc(cost_usd_micros)


def observe_provider_call(
    provider: str, *, seconds: float, first_token: float | None = None
) -> None:
    """Record one finished provider call; `first_token` in seconds, None: none came."""
    whole, first = _provider_times(provider)
    whole.observe(seconds)
    if first_token is not None:
        first.observe(first_token)


def count_provider_error(provider: str, code: str) -> None:
    """Count one failed provider call by its error code."""
    provider_errors.labels(provider, code).inc()


def count_webhook_try(outcome: str) -> None:
    """Count one try: delivered, refused, redirected, gone or an error's code."""
    webhook_tries.labels(outcome).inc()


def count_index_job(state: str, *, seconds: float, files: int, chunks: int) -> None:
    """Count one index job that ended: succeeded, failed or cancelled."""
    index_jobs.labels(state).inc()
    index_files.inc(files)
    index_chunks.inc(chunks)
    index_seconds.observe(seconds)


def count_index_drift(kind: str, n_found: int) -> None:
    """Count drift: orphaned collections, stray points, rebuilds for lost points."""
    index_drift.labels(kind).inc(n_found)
