"""compose.yml's commands with several web processes, a worker, beat, real servers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.e2e.platform import Platform, archive, job_of
from tests.support.ports import wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(tmp_path_factory.mktemp("production"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def alice(platform: Platform) -> Iterator[httpx2.Client]:
    key = platform.new_key("alice@example.test")
    with platform.client(**{"X-API-Key": key}) as client:
        yield client


def new_workspace(client: httpx2.Client, name: str) -> str:
    answer = client.post("/api/v1/workspaces", json={"name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def upload(client: httpx2.Client, workspace: str, packed: bytes) -> str:
    answer = client.post(
        f"/api/v1/workspaces/{workspace}/archive",
        files={"file": ("code.tar.gz", packed, "application/gzip")},
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait_until_done(client: httpx2.Client, workspace: str, job: str) -> None:
    def done() -> bool:
        state = job_of(client, workspace, job)
        assert state["state"] not in ("failed", "cancelled"), state
        return bool(state["state"] == "succeeded")

    wait_for(done, seconds=150, what="the index", every=0.25)


def test_code_goes_in_and_a_streamed_answer_with_citations_comes_out(
    platform: Platform, alice: httpx2.Client
):
    workspace = new_workspace(alice, "first")
    wait_until_done(alice, workspace, upload(alice, workspace, archive()))

    found = alice.post(
        f"/api/v1/workspaces/{workspace}/search",
        json={"query": "how long to wait before a retry"},
    )
    assert found.status_code == 200, found.text
    assert found.json()["results"][0]["path"] == "src/retries.py"

    with alice.stream(
        "POST",
        "/api/v1/assistant/chat",
        json={
            "message": "How is the retry delay computed?",
            "workspace_id": workspace,
            "stream": True,
        },
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())

    events = re.findall(r"^event: (\w+)$", text, re.MULTILINE)
    assert events[0] == "context"
    assert events[-1] == "done"
    assert "delta" in events and "usage" in events
    context = json.loads(text.split("event: context\ndata: ", 1)[1].split("\n")[0])
    assert context["citations"][0]["path"] == "src/retries.py"


def test_several_web_processes_agree_on_the_limits(
    platform: Platform, alice: httpx2.Client
):
    before = alice.get("/api/v1/limits").json()
    workspace = new_workspace(alice, "limits")
    answers = [
        alice.post(f"/api/v1/workspaces/{workspace}/search", json={"query": "x"})
        for _ in range(6)
    ]
    left = [int(a.headers["x-ratelimit-remaining-requests"]) for a in answers]

    assert before
    assert left == list(range(left[0], left[0] - 6, -1))


def test_j1_j5_accepted_work_survives_a_killed_worker_and_an_empty_broker(
    platform: Platform, alice: httpx2.Client
):
    """One job is under way and one waits; beat alone sends both again."""
    begun, waiting = new_workspace(alice, "begun"), new_workspace(alice, "waiting")
    begun_job = upload(alice, begun, archive(150))
    wait_for(
        lambda: job_of(alice, begun, begun_job)["state"] != "queued",
        seconds=60,
        every=0.1,
        what="the worker to take the job",
    )

    platform.processes["worker"].kill()
    assert job_of(alice, begun, begun_job)["state"] in ("running", "succeeded")
    waiting_job = upload(alice, waiting, archive())
    assert job_of(alice, waiting, waiting_job)["state"] == "queued"
    platform.redis.kill()  # nothing was saved: SHUTDOWN NOSAVE
    platform.redis.start()
    platform.start_container("worker")
    with psycopg.connect(platform.env()["DATABASE_URL"]) as rows:
        # The half minute is over after which beat takes a message for lost.
        rows.execute("UPDATE workspaces_indexjob SET sent_at = now() - interval '30 s'")

    wait_until_done(alice, begun, begun_job)
    wait_until_done(alice, waiting, waiting_job)
    shown = alice.get(f"/api/v1/workspaces/{begun}").json()
    assert (shown["status"], shown["files"]) == ("ready", 152)


def test_plain_http_is_sent_to_https_and_probes_are_not(platform: Platform):
    with platform.client() as client:
        page = client.get("/", headers={"X-Forwarded-Proto": "http"})
        probe = client.get("/health", headers={"X-Forwarded-Proto": "http"})

    assert page.status_code == 301
    assert page.headers["Location"].startswith("https://")
    assert probe.status_code == 200


def test_m7_metrics_and_details_are_hidden_behind_the_proxy(platform: Platform):
    with platform.client() as proxied:
        assert proxied.get("/metrics").status_code == 404
        assert proxied.get("/health/detailed").status_code == 404
    direct = httpx2.get(f"http://127.0.0.1:{platform.port}/health/detailed")
    metrics = httpx2.get(f"http://127.0.0.1:{platform.port}/metrics")

    assert {k: v["status"] for k, v in direct.json()["dependencies"].items()} == {
        "database": "up",
        "redis": "up",
        "workers": "up",
        "vector database": "up",
    }
    assert "aiassist_queue_depth" in metrics.text


def test_pages_come_from_the_collected_files_with_secure_cookies(platform: Platform):
    with platform.client() as client:
        page = client.get("/accounts/login/")
        sheet = re.search(r'href="(/static/css/[^"]+)"', page.text)
        assert sheet is not None
        style = client.get(sheet[1])

    assert page.status_code == 200
    assert "secure" in page.headers["Set-Cookie"].lower()
    assert "max-age=31536000" in page.headers["Strict-Transport-Security"]
    assert re.search(r"\.[0-9a-f]{12}\.css$", sheet[1])
    assert style.status_code == 200
    assert "immutable" in style.headers["Cache-Control"]


def test_m5_every_log_line_is_json_and_holds_neither_code_nor_keys(
    platform: Platform, alice: httpx2.Client
):
    key = alice.headers["X-API-Key"]
    logs = {name: Path(p.log).read_text() for name, p in platform.processes.items()}

    for name in ("web", "worker"):
        for line in filter(None, logs[name].splitlines()):
            if line.startswith("{"):
                assert json.loads(line)["level"]
    everything = "".join(logs.values())
    for canary in (key, "retry_delay", "How is the retry delay", "alice@example.test"):
        assert canary not in everything


def test_the_containers_probes_are_content(platform: Platform):
    assert platform.answers()


def test_it_stops_in_good_order(platform: Platform):
    """Last in this file: SIGTERM, as `docker compose stop` sends it."""
    codes = {
        name: platform.processes[name].stop(seconds=40)
        for name in ("beat", "worker", "web")
    }

    assert all(code in (0, -15, 143) for code in codes.values()), codes
