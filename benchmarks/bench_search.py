"""How quick a search is: 100,000 passages, and one workspace among a thousand.

`python -m benchmarks.bench_search` measures `workspaces.finding.search.search`
whole: the query's embedding, both searches, the ranking, the texts out of the
database. The passages are this project's own, in many slightly different copies; their
vectors are real ones with noise added, since embedding 100,000 passages would take
half an hour.

`--server` searches through a Qdrant server's interface instead of the engine in this
process (`benchmarks.edge_server`, whose Python is slower than a server).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import django
import numpy as np
import psutil  # type: ignore[import-untyped]

from tests.support.ports import free_port, listens, wait_for

if TYPE_CHECKING:
    from workspaces.models import Workspace
    from workspaces.vectors.base import Vector

_ROOT = Path(__file__).resolve().parents[1]
_APPS = ("aiassist", "accounts", "billing", "workspaces", "assistant", "tests")
_PASSAGES = 100_000
_EMBEDDED = 400  # real vectors, which the others are made from
_NOISE = 0.03  # a vector is then at cosine 0.86 to the one it was made from
_QUERIES = 150
_WARM_UP = 15
_WORKSPACES = 1_000
_SMALL = 1_000  # passages of the workspace that is searched among them
_ROUNDING = 1e-5  # between two ways to add up a cosine
_SUBJECTS = (
    "a token is counted",
    "keys are rotated",
    "an upload is refused",
    "the session ends",
    "a quota is spent",
    "a webhook is signed",
    "files are unpacked",
    "passages are embedded",
    "a stream is cut off",
    "an address is checked",
    "the audit log is written",
    "a migration is tried",
    "the index is switched",
    "errors are rendered",
    "a password is guessed",
)
_ASKING = (
    "where is it decided that",
    "how does the code make sure that",
    "what happens before",
    "which function is called when",
    "why may it fail that",
    "who notices that",
    "the test that",
    "the setting by which",
    "when exactly it is that",
    "the place where",
)


def main(arguments: Sequence[str] = ()) -> None:
    """Print the figures; everything is kept in a scratch folder of its own."""
    models = os.environ.get("EMBEDDING_CACHE_DIR") or str(_ROOT / "var" / "models")
    with tempfile.TemporaryDirectory(prefix="bench-search-") as folder:
        environment = {
            **os.environ,
            "DATA_DIR": folder,
            "EMBEDDING_CACHE_DIR": models,
            "DJANGO_SETTINGS_MODULE": "aiassist.settings.embedded",
        }
        with _server(Path(folder), "--server" in arguments) as url:
            subprocess.run(
                [sys.executable, "-u", "-m", __spec__.name, "--inside", *arguments],
                cwd=_ROOT,
                check=True,
                env={**environment, "QDRANT_URL": url} if url else environment,
            )


@contextmanager
def _server(folder: Path, wanted: bool) -> Iterator[str]:
    if not wanted:
        yield ""
        return
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.edge_server", str(port)]
    with subprocess.Popen([*command, str(folder / "server")], cwd=_ROOT) as process:
        try:
            wait_for(lambda: listens(port), seconds=30, what="the vector server")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Bench:
    """Imports the project only once its settings stand."""

    def __init__(self, n_passages: int, n_workspaces: int) -> None:
        from django.core.management import call_command  # noqa: PLC0415

        from accounts.models import User  # noqa: PLC0415
        from workspaces.vectors import get_store  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        self._user = User.objects.create_user("bench@localhost", full_name="Bench")
        self._store = get_store()
        self._n_passages = n_passages
        self._n_workspaces = n_workspaces
        self._files = _own_sources()
        self._vectors = _vectors(self._files, max(n_passages, _SMALL))

    def large(self) -> None:
        started = time.perf_counter()
        workspace = self._workspace(self._n_passages)
        n_points = self._store.count(workspace.pk)
        print(
            f"{n_points:,} passages written in {time.perf_counter() - started:.0f} s "
            "(without embedding)"
        )
        self._measure("a whole search", _search_in(workspace), _questions())
        for name, part in self._parts(workspace).items():
            self._measure(f"  of it: {name}", part, _questions())
        print(
            f"recall of the first 10 against an exact scan: {self._recall(workspace)}"
        )
        self._store.drop(workspace.pk)

    def many(self) -> None:
        asked = self._workspace(_SMALL)
        alone = self._measure("1,000 passages alone", _search_in(asked), _questions())
        started = time.perf_counter()
        _print_costs("with one workspace open")
        others = [self._workspace(20) for _ in range(self._n_workspaces - 1)]
        per_one = (time.perf_counter() - started) / max(len(others), 1)
        print(f"{len(others)} more workspaces made, {per_one * 1000:.0f} ms each")
        among = self._measure(
            f"the same among {self._n_workspaces:,}", _search_in(asked), _questions()
        )
        print(f"cost among {self._n_workspaces:,} to alone: {among / alone:.2f}")
        _print_costs(f"with {self._n_workspaces:,} workspaces")
        turns = iter(others * 2)
        self._measure(
            "another workspace each time, opened for it",
            lambda question: _search_in(next(turns))(question),
            _questions()[: len(others)],
        )
        _print_costs("after these")

    def _workspace(self, n_passages: int) -> "Workspace":
        from benchmarks.search_workspace import fill  # noqa: PLC0415
        from workspaces.indexing.generations import INDEX_VERSION  # noqa: PLC0415
        from workspaces.models import Workspace  # noqa: PLC0415

        workspace = Workspace.objects.create(
            user=self._user,
            name="bench",
            generation=1,
            last_generation=1,
            index_version=INDEX_VERSION,
        )
        fill(self._store, workspace, self._files, self._vectors[:n_passages])
        return workspace

    def _parts(self, workspace: "Workspace") -> dict[str, Callable[[str], object]]:
        from workspaces.finding.intent import read_intent  # noqa: PLC0415
        from workspaces.finding.ranking import rank  # noqa: PLC0415
        from workspaces.indexing.embedding import embed_query  # noqa: PLC0415
        from workspaces.indexing.keywords import query_terms  # noqa: PLC0415

        store, name = self._store, workspace.pk
        vector = embed_query("where is a token counted")
        dense = store.search_dense(name, vector, generation=1, limit=200)
        terms = query_terms("where is a token counted")
        sparse = store.search_sparse(name, terms, generation=1, limit=200)
        return {
            "embedding": lambda question: embed_query(f"{question} !"),
            "by meaning": lambda question: store.search_dense(
                name, self._some_vector(question), generation=1, limit=200
            ),
            "by keywords": lambda question: store.search_sparse(
                name, query_terms(question), generation=1, limit=200
            ),
            "ranking": lambda question: rank(read_intent(question), dense, sparse),
        }

    def _some_vector(self, question: str) -> "Vector":
        number = int(sha256(question.encode()).hexdigest(), 16)
        vector: Vector = self._vectors[number % len(self._vectors)]
        return vector

    def _recall(self, workspace: "Workspace") -> str:
        from workspaces.indexing.embedding import embed_query  # noqa: PLC0415

        shares = []
        for question in _questions()[:60]:
            vector = embed_query(question)
            tenth = np.sort(self._vectors @ vector)[-10]
            found = self._store.search_dense(
                workspace.pk, vector, generation=1, limit=200
            )[:10]
            shares.append(sum(f.score >= tenth - _ROUNDING for f in found) / 10)
        return f"{np.mean(shares):.4f} ({len(shares)} queries)"

    def _measure(
        self, name: str, work: Callable[[str], object], questions: Sequence[str]
    ) -> float:
        """Print the times, return the median in milliseconds."""
        times = []
        for question in questions:
            started = time.perf_counter()
            work(question)
            times.append((time.perf_counter() - started) * 1000)
        p50, p95 = np.percentile(times[_WARM_UP:], [50, 95])
        print(
            f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, least {min(times):.1f} ms, "
            f"most {max(times[_WARM_UP:]):.1f} ms ({len(times) - _WARM_UP} queries)",
            flush=True,
        )
        return float(p50)


def _print_costs(when: str) -> None:
    """Print this process's memory; clean file pages go when others want memory."""
    own = psutil.Process()
    memory = own.memory_info()
    print(
        f"{when}: {memory.rss >> 20} MB resident, {memory.shared >> 20} MB of it file "
        f"pages; {own.num_fds()} file handles, {own.num_threads()} threads"
    )


_asked = 0


def _questions() -> list[str]:
    """Return questions that nobody asked before: no cache may answer."""
    global _asked
    _asked += 1
    combined = [f"{a} {b}" for b in _SUBJECTS for a in _ASKING]
    return [f"{question} ({_asked})" for question in combined][:_QUERIES]


def _search_in(workspace: "Workspace") -> Callable[[str], object]:
    from workspaces.finding.search import search  # noqa: PLC0415

    return lambda question: search(workspaces=[workspace], query=question)


def _own_sources() -> dict[str, str]:
    return {
        str(path.relative_to(_ROOT)): path.read_text()
        for app in _APPS
        for path in sorted((_ROOT / app).rglob("*.py"))
    }


def _vectors(files: dict[str, str], n: int) -> "Vector":
    from workspaces.indexing.embedding import embed_passages  # noqa: PLC0415
    from workspaces.indexing.splitting import split  # noqa: PLC0415

    texts = [c.embedded_text for path, text in files.items() for c in split(path, text)]
    real = embed_passages(texts[:: max(len(texts) // _EMBEDDED, 1)])
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((n, real.shape[1]), dtype=np.float32) * _NOISE
    made: Vector = real[rng.integers(0, len(real), n)] + noise
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def _inside(options: argparse.Namespace) -> None:
    django.setup()
    bench = Bench(options.passages, options.workspaces)
    print("through a server" if options.server else "the engine in this process")
    _print_load()
    if options.passages:
        bench.large()
        _print_load()
    if options.workspaces:
        bench.many()
        _print_load()


def _print_load() -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_search")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--passages", type=int, default=_PASSAGES)
    parser.add_argument("--workspaces", type=int, default=_WORKSPACES)
    parser.add_argument("--server", action="store_true")
    given = parser.parse_args()
    if given.inside:
        _inside(given)
    else:
        main(sys.argv[1:])
