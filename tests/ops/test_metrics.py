"""What operators can count, and that no number names a person."""

import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from aiassist import metrics as metrics_page
from aiassist.lib import metrics
from aiassist.lib.bounded import ask
from aiassist.lib.clock import now
from tests.support.people import Person
from tests.support.redis import RedisServer
from workspaces.models import IndexJob


def samples(client: Client) -> dict[tuple[str, ...], float]:
    text = client.get("/metrics").content.decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_ours_are_all_there(client: Client, db: None):
    metrics.count_admission("admitted", "search")
    metrics.count_settlement(
        provider="prov", model="mod", tokens_in=7, tokens_out=5, cost_usd_micros=11
    )
    metrics.observe_provider_call("prov", seconds=1.5, first_token=0.2)
    metrics.count_provider_error("prov", "provider_error")
    metrics.count_index_job("succeeded", seconds=2, files=3, chunks=40)

    found = samples(client)

    assert found["aiassist_admissions_total", "admitted", "search"] >= 1
    assert found["aiassist_tokens_total", "in", "mod", "prov"] == 7
    assert found["aiassist_tokens_total", "mod", "out", "prov"] == 5
    assert found["aiassist_cost_usd_micros_total", "mod", "prov"] == 11
    assert found["aiassist_provider_seconds_sum", "prov"] == 1.5
    assert found["aiassist_first_token_seconds_sum", "prov"] == 0.2
    assert found["aiassist_provider_errors_total", "prov", "provider_error"] == 1
    assert found["aiassist_index_jobs_total", "succeeded"] >= 1
    assert found["aiassist_index_files_total",] >= 3
    assert found["aiassist_index_chunks_total",] >= 40


def test_depth_and_age_of_the_queues_are_as_they_stand(
    client: Client, transactional_db: None, alice: Person, redis_client: Any
):
    redis_client.rpush("index", "a", "b")
    job = IndexJob.objects.create(workspace=alice.workspace, user=alice.user)
    IndexJob.objects.filter(pk=job.pk).update(created_at=now() - timedelta(minutes=5))

    found = samples(client)

    assert found["aiassist_queue_depth", "index"] == 2
    assert found["aiassist_queue_depth", "default"] == 0
    assert found["aiassist_index_jobs_waiting",] == 1
    assert 300 <= found["aiassist_queue_oldest_seconds",] < 330


def test_a_dead_redis_leaves_out_the_depth_alone(
    client: Client, db: None, redis_server: RedisServer
):
    redis_server.kill()

    found = samples(client)

    assert not any(name == "aiassist_queue_depth" for name, *_ in found)
    assert found["aiassist_queue_oldest_seconds",] == 0


def test_m7_no_label_names_a_person(client: Client, alice: Person):
    alice.api.get("/api/v1/me")
    alice.api.get(f"/api/v1/workspaces/{alice.workspace.pk}")

    text = client.get("/metrics").content.decode()

    for canary in (
        alice.user.pk,
        alice.user.email,
        alice.workspace.pk,
        alice.api_key.pk,
        alice.key,
    ):
        assert canary not in text
    assert not re.search(r'[{,](user|email|key|workspace)(_id)?="', text)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_they_are_only_read(db: None, method: str):
    machine = Client(enforce_csrf_checks=True)
    for address in ("/metrics", "/health", "/health/detailed"):
        assert getattr(machine, method)(address).status_code == 405


class TestJobsThatNobodyCanCount:
    """A scrape that took longer would look like a web process that is away."""

    def test_a_dead_database_leaves_them_out(
        self, client: Client, db: None, monkeypatch: Any
    ):
        def is_away() -> None:
            raise OperationalError("no connection")

        monkeypatch.setattr(metrics_page, "_waiting_jobs", is_away)

        found = samples(client)

        assert found["aiassist_queue_depth", "index"] == 0
        assert ("aiassist_index_jobs_waiting",) not in found

    def test_a_frozen_database_does_so_in_time(
        self, client: Client, db: None, monkeypatch: Any
    ):
        thaw = threading.Event()
        monkeypatch.setattr(metrics_page, "_waiting_jobs", lambda: thaw.wait(20))
        monkeypatch.setattr(metrics_page, "LIMIT_SECONDS", 0.05)

        found = samples(client)

        assert found["aiassist_queue_depth", "index"] == 0
        assert ("aiassist_index_jobs_waiting",) not in found
        thaw.set()
        ask("index jobs", thaw.is_set).result(5)  # the next test asks anew
