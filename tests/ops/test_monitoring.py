"""Alerts and the dashboard ask for metrics and labels that there are."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import prometheus_client
import pytest
import yaml

from aiassist.lib import metrics
from aiassist.metrics import QueueCollector
from tests.support.processes import ROOT

FOLDER = ROOT / "deploy/monitoring"
BY_SCRAPING = {"up": {"job", "instance"}}


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def questions() -> Iterator[Any]:
    for rule in rules():
        yield pytest.param(rule["expr"], id=rule["alert"])
    board = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=panel["title"])


def known() -> dict[str, set[str]]:
    """Return what can be asked for: each sample's name and its labels."""
    found = dict(BY_SCRAPING)
    counted = [
        one
        for one in [*vars(metrics).values(), *_of_django()]
        if isinstance(one, prometheus_client.Counter | prometheus_client.Histogram)
    ]
    for one in counted:
        labels = set(one._labelnames)
        (family,) = one.describe()
        if family.type == "counter":
            found[f"{family.name}_total"] = labels
        else:
            found[f"{family.name}_count"] = found[f"{family.name}_sum"] = labels
            found[f"{family.name}_bucket"] = labels | {"le"}
    for gauge in QueueCollector().collect():
        found[gauge.name] = {name for s in gauge.samples for name in s.labels}
    return found


def _of_django() -> Iterator[Any]:
    middleware = import_module("django_prometheus.middleware")
    yield from vars(middleware.Metrics.get_instance()).values()


@pytest.mark.parametrize("asked", list(questions()))
@pytest.mark.django_db
def test_every_metric_and_label_exists(asked: str) -> None:
    there = known()
    plain = re.sub(r'"[^"]*"', '""', asked)
    names = set(re.findall(r"\b(?:aiassist|django)_\w+|\bup\b", plain))
    grouped = re.findall(r"\bby \(([^)]*)\)", plain)
    matched = re.findall(
        r"(\w+)\s*(?:=~|!=|!~|=)", "".join(re.findall(r"{.*?}", plain))
    )
    labels = {name.strip() for group in grouped for name in group.split(",")}

    assert names and names <= there.keys()
    for name in names:
        assert labels | set(matched) <= there[name], name


def test_every_alert_says_what_happened_and_where_to_look() -> None:
    for rule in rules():
        assert rule["annotations"].keys() == {"summary", "look"}
        assert rule["labels"]["severity"] in ("page", "warn")


def test_what_is_scraped_is_where_compose_has_it() -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in scraped["scrape_configs"]
    }
    port = compose["worker"]["environment"]["WORKER_METRICS_PORT"]

    assert targets == {
        "aiassist-web": ["web:8000"],
        "aiassist-worker": [f"worker:{port}"],
    }
    jobs = {j for r in rules() for j in re.findall(r'job="([^"]+)"', r["expr"])}
    assert jobs <= targets.keys()
