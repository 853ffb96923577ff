"""K1 for deploy/k8s: the manifests fit the image, its settings and its times."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.conf import settings

from tests.support.processes import ROOT

FOLDER = ROOT / "deploy/k8s"
ENTRYPOINT = (ROOT / "deploy/entrypoint").read_text()


def manifests() -> Iterator[dict[str, Any]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def of_kind(*kinds: str) -> dict[str, dict[str, Any]]:
    return {
        found["metadata"]["name"]: found
        for found in manifests()
        if found["kind"] in kinds
    }


PODS = {
    name: found["spec"]["template"]["spec"]
    for name, found in of_kind("Deployment", "Job").items()
}
CONTAINERS = [
    pytest.param(pod, container, id=f"{name}:{container['name']}")
    for name, pod in PODS.items()
    for container in [*pod.get("initContainers", []), *pod["containers"]]
]
SETTINGS: dict[str, str] = of_kind("ConfigMap")["aiassist-settings"]["data"]


def test_kustomize_names_every_file() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]

    there = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_k1_every_container_is_tight(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001  # the image's
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert "memory" in container["resources"]["limits"]
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_every_container_has_the_settings_and_a_role(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert container["envFrom"] == [
        {"configMapRef": {"name": "aiassist-settings"}},
        {"secretRef": {"name": "aiassist-secrets"}},
    ]
    role = container.get("args", ["sh"])[0]
    assert role == "sh" or f"\n{role})" in ENTRYPOINT


def test_every_setting_is_documented_and_none_is_a_secret() -> None:
    page = (ROOT / "docs/developer/configuration.md").read_text()

    for name in SETTINGS:
        assert f"`{name}`" in page, name
        assert not any(word in name for word in ("SECRET", "KEY", "PASSWORD", "URL"))


def test_k1_the_probes_ask_the_process_alone() -> None:
    (web,) = PODS["aiassist-web"]["containers"]
    (worker,) = PODS["aiassist-worker"]["containers"]

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert web[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert web["ports"] == [{"name": "http", "containerPort": 8000}]
    asked = worker["livenessProbe"]["exec"]["command"]
    assert asked == ["python", "/app/deploy/healthcheck.py", "worker"]
    metrics = {"name": "WORKER_METRICS_PORT", "value": "9100"}
    assert metrics in worker["env"]
    assert worker["ports"] == [{"name": "metrics", "containerPort": 9100}]


def test_s7_a_pod_outlives_the_streams_that_it_drains() -> None:
    web = PODS["aiassist-web"]
    pause = int(web["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain, patience = (
        int(SETTINGS[name]) for name in ("STREAM_DRAIN_SECONDS", "GRACEFUL_SECONDS")
    )

    assert drain < patience < web["terminationGracePeriodSeconds"] - pause


def test_nothing_starts_before_the_schema_is_there() -> None:
    for part in ("web", "worker", "beat"):
        (waiting,) = PODS[f"aiassist-{part}"]["initContainers"]
        assert "manage.py migrate --check" in waiting["command"][-1]


def test_the_gateway_leads_to_the_site_for_as_long_as_a_stream_lasts() -> None:
    route = of_kind("HTTPRoute")["aiassist"]["spec"]
    (rule,) = route["rules"]
    (port,) = of_kind("Service")["aiassist-web"]["spec"]["ports"]

    assert rule["backendRefs"] == [{"name": "aiassist-web", "port": port["port"]}]
    assert route["hostnames"] == [SETTINGS["ALLOWED_HOSTS"]]
    assert SETTINGS["CSRF_TRUSTED_ORIGINS"] == f"https://{SETTINGS['ALLOWED_HOSTS']}"
    longest = int(rule["timeouts"]["request"].removesuffix("s"))
    assert longest > settings.PROVIDER_TOTAL_TIMEOUT_SECONDS


def test_scalers_and_budgets_name_what_there_is() -> None:
    scaled = {
        found["spec"]["scaleTargetRef"]["name"]
        for found in of_kind("HorizontalPodAutoscaler").values()
    }
    deployments = of_kind("Deployment")

    assert (
        scaled
        == set(of_kind("PodDisruptionBudget"))
        == {
            "aiassist-web",
            "aiassist-worker",
        }
    )
    for name, found in deployments.items():
        assert ("replicas" in found["spec"]) == (name not in scaled)
    assert deployments["aiassist-beat"]["spec"]["replicas"] == 1
    assert deployments["aiassist-beat"]["spec"]["strategy"] == {"type": "Recreate"}
    for found in of_kind("PodDisruptionBudget", "NetworkPolicy", "Service").values():
        spec = found["spec"]
        wanted = spec.get("podSelector", spec.get("selector"))
        labels = wanted.get("matchLabels", wanted)
        part = labels.get("app.kubernetes.io/component")
        assert part is None or f"aiassist-{part}" in deployments
