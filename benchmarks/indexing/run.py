"""The measurements themselves; started by `python -m benchmarks.indexing`."""

import os
import resource
import time

from django.core.management import call_command

from accounts.models import User
from benchmarks.indexing.corpus import installed_sources
from benchmarks.indexing.jobs import Stopwatch, committed, last_job
from benchmarks.indexing.side_by_side import side_by_side
from benchmarks.indexing.syncing import many_files
from billing.models import Tier
from billing.tiers.subscriptions import change_tier
from workspaces.finding.search import search
from workspaces.indexing import embedding
from workspaces.indexing.runner import run_next
from workspaces.vectors import close_store, get_store

PARTS = os.environ.get("BENCH_PARTS", "peer,whole,words,many")
EMBEDDED_FILES = int(os.environ.get("BENCH_EMBEDDED_FILES", "60"))
WORDS_FILES = int(os.environ.get("BENCH_WORDS_FILES", "2000"))


def main() -> None:
    """Print one line per figure."""
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("bench@localhost", full_name="Bench")
    change_tier(user, Tier.objects.get(pk="enterprise"), actor=None)
    embedding.embed_query("warm")
    parts = {
        "peer": side_by_side,
        "whole": _whole_job,
        "words": _words_first,
        "many": many_files,
    }
    for name in PARTS.split(","):
        parts[name](user)
    print(f"memory of the process, at most: {_most_megabytes()} MB")
    close_store()


def _whole_job(user: User) -> None:
    files = installed_sources(EMBEDDED_FILES)
    workspace, _ = committed(user, "whole", files)
    watch = Stopwatch()
    began = time.perf_counter()
    run_next(get_store, watch.step)
    seconds = time.perf_counter() - began
    job = last_job(workspace)
    n_bytes = sum(map(len, files.values()))
    print(
        f"first index: {len(files)} files, {n_bytes / 1e6:.1f} MB, {job.chunks} chunks "
        f"in {seconds:.1f} s: {job.chunks / seconds:.1f} chunks/s, "
        f"{len(files) / seconds:.1f} files/s; by words after {watch.words:.2f} s"
    )
    began = time.perf_counter()
    again, _ = committed(user, "again", files)
    run_next(get_store)
    print(
        f"the same files in a second workspace: {time.perf_counter() - began:.2f} s, "
        f"{last_job(again).chunks_computed} passages computed"
    )


def _words_first(user: User) -> None:
    files = installed_sources(WORDS_FILES)
    workspace, seconds = committed(user, "words", files)
    n_bytes = sum(map(len, files.values()))
    print(
        f"sync of {len(files)} files, {n_bytes / 1e6:.1f} MB, by the services: "
        f"{seconds:.1f} s"
    )
    workspace.refresh_from_db()
    began = time.perf_counter()
    outcome = search(workspaces=[workspace], query="retry delay", mode="keyword")
    found = outcome.index.state if outcome.index else ""
    print(
        f"the first search by words, no worker yet: {time.perf_counter() - began:.2f} s"
        f" after the commit, {len(outcome.hits)} hits, state {found}"
    )
    began = time.perf_counter()
    stop = StopAfterWords()
    try:
        run_next(get_store, stop.step)
    except Stopped:
        pass
    seconds = time.perf_counter() - began
    job = last_job(workspace)
    print(
        f"words of {job.files_read} files ({job.chunks_total or stop.n_points} "
        f"passages): searchable after {seconds:.2f} s, the first after "
        f"{stop.first:.2f} s"
    )


class Stopped(BaseException):
    """The words are written; the rest is not measured."""


class StopAfterWords:
    """Ends a job when its second round would begin."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first = 0.0
        self.n_points = 0

    def step(self, name: str) -> None:
        if name == "words saved" and not self.first:
            self.first = time.perf_counter() - self.began
        if name == "before embed":
            raise Stopped


def _most_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
