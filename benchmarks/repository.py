"""Drive a running site as a user would: upload an archive, wait, search, ask.

    python -m benchmarks.repository ARCHIVE --url URL --key KEY \
        --pid PID --questions questions.toml

Prints what it took: seconds, passages, memory and processor time of the processes
named by `--pid` (with all their children), how long searches took, and for each
question whether the lines that answer it were found and cited. The key needs a tier
with some hundred requests an hour.
"""

import argparse
import json
import os
import statistics
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil  # type: ignore[import-untyped]

_EVERY_SECONDS = 1.0
_SEARCHES = 60


@dataclass(frozen=True)
class Lines:
    path: str
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> "Lines":
        """Return `path:start-end` taken apart."""
        path, _, span = text.rpartition(":")
        start, _, end = span.partition("-")
        return cls(path, int(start), int(end or start))

    def meets(self, hit: dict[str, Any]) -> bool:
        """Tell whether a hit or a citation shows at least one of these lines."""
        return bool(
            hit["path"] == self.path
            and hit["start_line"] <= self.end
            and hit["end_line"] >= self.start
        )


class Watch:
    """Peak memory and processor time of some processes and their children."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._names: dict[int, str] = {}
        self._peaks: dict[int, int] = {}
        self._seconds: dict[int, float] = {}
        self._before: dict[int, float] = {}
        self.look()
        self._before = dict(self._seconds)

    def look(self) -> None:
        for process in self._all():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                used = process.memory_info().rss
                self._names.setdefault(process.pid, _name(process))
                self._seconds[process.pid] = times.user + times.system
                self._peaks[process.pid] = max(used, self._peaks.get(process.pid, 0))

    def report(self) -> Iterator[str]:
        for pid, peak in sorted(self._peaks.items(), key=lambda item: -item[1]):
            spent = self._seconds[pid] - self._before.get(pid, 0.0)
            if peak > 2**24 or spent > 1:
                name = self._names[pid]
                yield f"{name}: peak {peak / 2**20:.0f} MB, {spent:.0f} s of processor"

    def _all(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            with suppress(psutil.NoSuchProcess):
                yield from (root, *root.children(recursive=True))


def _name(process: psutil.Process) -> str:
    words = [os.path.basename(word) for word in process.cmdline() if word]
    return " ".join(words)[:48]


class Site:
    """The site's API under one key."""

    def __init__(self, url: str, key: str, headers: list[str]) -> None:
        more = dict(header.split(": ", 1) for header in headers)
        self.http = httpx2.Client(
            base_url=url, headers={"X-API-Key": key, **more}, timeout=600
        )

    def get(self, path: str) -> Any:
        return self._said(self.http.get(path))

    def post(self, path: str, body: Any) -> Any:
        return self._said(self.http.post(path, json=body))

    def upload(self, workspace: str, archive: Path) -> Any:
        with archive.open("rb") as file:
            sent = {"file": (archive.name, file, "application/octet-stream")}
            path = f"/api/v1/workspaces/{workspace}/archive"
            return self._said(self.http.post(path, files=sent))

    @staticmethod
    def _said(answer: httpx2.Response) -> Any:
        if answer.status_code >= 400:
            raise SystemExit(f"{answer.status_code}: {answer.text}")
        return answer.json()


def index(site: Site, archive: Path, watch: Watch, probe: str) -> tuple[str, Any]:
    """Upload and index; print what it took, return the workspace's id and the job."""
    workspace = site.post("/api/v1/workspaces", {"name": archive.name})["id"]
    began = time.monotonic()
    job = site.upload(workspace, archive)
    uploaded = time.monotonic()
    print(f"upload of {archive.stat().st_size:,} bytes: {uploaded - began:.1f} s")
    address = f"/api/v1/workspaces/{workspace}/jobs/{job['id']}"
    searchable = None
    while job["state"] in ("queued", "running"):
        time.sleep(_EVERY_SECONDS)
        watch.look()
        job = site.get(address)
        if searchable is None and _finds(site, workspace, probe):
            searchable = time.monotonic() - uploaded
            print(f"first hit of a search: {searchable:.1f} s after the upload")
        _show(job, time.monotonic() - uploaded)
    took = time.monotonic() - uploaded
    watch.look()
    print(
        f"{job['state']} in {took:.0f} s: {job['files_done']:,} files "
        f"({job['n_skipped']:,} left out), {job['chunks']:,} passages; "
        f"{job['chunks'] / took:.1f} passages/s, {job['files_done'] / took:.1f} files/s"
    )
    for reason in job.get("skipped_reasons", []):
        print(f"  left out {reason['count']:,}: {reason['reason']}")
    return workspace, job


_shown_at = 0.0


def _show(job: Any, seconds: float) -> None:
    global _shown_at
    if time.monotonic() - _shown_at > 30:
        _shown_at = time.monotonic()
        done = f"{job['files_done']:,} of {job['files_total']:,} files"
        known = {k: job[k] for k in ("phase", "eta_seconds") if k in job}
        print(f"  {seconds:.0f} s: {done}, {job['chunks']:,} passages {known or ''}")


def _finds(site: Site, workspace: str, probe: str) -> bool:
    path = f"/api/v1/workspaces/{workspace}/search"
    return bool(site.post(path, {"query": probe, "mode": "keyword"})["results"])


def measure_search(site: Site, workspace: str, queries: list[str]) -> None:
    """Print how long searches took, one after another."""
    inside, outside = [], []
    for n in range(_SEARCHES):
        body = {"query": queries[n % len(queries)]}
        began = time.monotonic()
        said = site.post(f"/api/v1/workspaces/{workspace}/search", body)
        outside.append(1000 * (time.monotonic() - began))
        inside.append(said["took_ms"])
    for name, values in (("in the server", inside), ("at the client", outside)):
        cuts = statistics.quantiles(values, n=20)
        print(f"{_SEARCHES} searches {name}: p50 {cuts[9]:.0f} ms, p95 {cuts[18]:.0f}")


def ask(site: Site, workspace: str, questions: list[dict[str, Any]]) -> None:
    """Print the rank of the answering lines in search, and whether chat cites them."""
    print("| question | answered by | found at | cited by chat |")
    print("| --- | --- | --- | --- |")
    for question in questions:
        wanted = [Lines.parse(text) for text in question["lines"]]
        body = {"query": question["text"], "workspace_id": workspace}
        hits = site.post("/api/v1/assistant/query", body)["results"]
        chat = {"message": question["text"], "workspace_id": workspace}
        cited = site.post("/api/v1/assistant/chat", chat | {"model": "extractive"})
        ranks = _ranks(wanted, hits), _ranks(wanted, cited["citations"])
        found, quoted = (str(rank) if rank else "no" for rank in ranks)
        answer = ", ".join(f"`{text}`" for text in question["lines"])
        print(f"| {question['text']} | {answer} | {found} | {quoted} |")


def _ranks(wanted: list[Lines], hits: list[dict[str, Any]]) -> int:
    for rank, hit in enumerate(hits, start=1):
        if any(lines.meets(hit) for lines in wanted):
            return rank
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", type=Path, help=".zip, .tar or .tar.gz")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    parser.add_argument("--header", action="append", default=[], help="'Name: value'")
    parser.add_argument("--pid", action="append", default=[], type=int)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--workspace", help="ask this one, index nothing")
    given = parser.parse_args()
    questions = []
    if given.questions:
        questions = tomllib.loads(given.questions.read_text())["question"]
    queries = [question["text"] for question in questions] or ["where does it start?"]
    site = Site(given.url, given.key, given.header)
    watch = Watch(given.pid)
    workspace = given.workspace
    if not workspace:
        workspace, _ = index(site, given.archive, watch, queries[0])
        print(*watch.report(), sep="\n")
    measure_search(site, workspace, queries)
    ask(site, workspace, questions)
    print(json.dumps({"workspace_id": workspace}))


if __name__ == "__main__":
    main()
