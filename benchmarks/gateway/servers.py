"""The servers that are compared: started alike, watched alike."""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.gateway.upstream import MODEL
from tests.support.ports import free_port, wait_for
from tests.support.postgres import start_postgres
from tests.support.processes import Process, python
from tests.support.production import production_env
from tests.support.redis import RedisServer

TICKS = os.sysconf("SC_CLK_TCK")
_PREPARE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.keys import create_key
from accounts.models import User
from billing.models import Tier
from billing.tiers.subscriptions import change_tier
Tier.objects.filter(pk="enterprise").update(
    requests_per_hour=10**8, requests_per_day=10**8, max_concurrent=100_000
)
user = User.objects.create_user("bench@example.test")
change_tier(user, Tier.objects.get(pk="enterprise"), actor=None)
print("key:", create_key(user, "bench")[1])
"""
_COUNT = """
import django; django.setup()
from billing.models import UsageRecord
from billing.metering.ledger import sweep_reservations
from billing.metering.outbox import drain
drain()
print("records:", UsageRecord.objects.count())
"""


@dataclass
class Server:
    """One of the compared: where it listens, and its processes."""

    name: str
    port: int
    key: str
    process: Process | None  # None: not of the comparison (the provider itself)
    env: Mapping[str, str] | None = None

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return sum(_cpu_of(pid) for pid in self._pids())

    def peaks_mb(self) -> tuple[float, float]:
        """Return the sum of its processes' peaks; shared pages count once, or in each.

        What a process has given back since its peak was its own.
        """
        pids = self._pids()
        once = sum(map(_peak_kb_of, pids)) / 1024
        return once, sum(_field_kb(pid, "VmHWM:") for pid in pids) / 1024

    def forget_peaks(self) -> None:
        """Have the kernel count from what is resident now. Source: proc(5), 5."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def memory_mb(self) -> float:
        return sum(_field_kb(pid, "VmRSS:") for pid in self._pids()) / 1024

    def _pids(self) -> list[int]:
        if self.process is None:
            return []
        return _family(self.process.pid)


@contextmanager
def direct() -> Iterator[Server]:
    """Run the provider's stand-in."""
    port = free_port()
    command = python("-m", "benchmarks.gateway.upstream", str(port))
    with Process(command, log=_log("upstream")):
        _wait(port, "/v1/models")
        yield Server("direct", port, "any", None)


@contextmanager
def floor(upstream: int, name: str, module: str) -> Iterator[Server]:
    """Run a bare pass-through under uvicorn, two processes as the product has."""
    port = free_port()
    env = {**os.environ, "UPSTREAM_PORT": str(upstream)}
    application = f"benchmarks.gateway.{module}:application"
    command = [sys.executable, "-m", "uvicorn", application, *_options(port)]
    with Process(command, log=_log(module), env=env) as process:
        _wait(port, "/")
        yield Server(name, port, "any", process)


@contextmanager
def aiassist(upstream: int, folder: Path) -> Iterator[Server]:
    """Run the product: real PostgreSQL and Redis, quotas on, usage recorded."""
    with ExitStack() as stack:
        postgres = start_postgres()
        stack.callback(postgres.stop)
        redis = RedisServer().start()
        stack.callback(redis.stop)
        port = free_port()
        env = production_env(
            DATABASE_URL=postgres.url("postgres"),
            REDIS_URL=redis.url,
            ALLOWED_HOSTS="127.0.0.1",
            SECURE_SSL_REDIRECT="false",
            OPENAI_API_KEY="sk-bench",
            OPENAI_BASE_URL=f"http://127.0.0.1:{upstream}/v1",
            OLLAMA_URL="http://127.0.0.1:9",
            DATA_DIR=str(folder),
            DATA_KEY=secrets.token_hex(32),
            LOG_LEVEL="WARNING",
        )
        made = Process(python("-c", _PREPARE), log=_log("prepare"), env=env)
        with made:
            assert made.wait(seconds=120) == 0, made.output
        key = made.output.rpartition("key: ")[2].strip()
        command = [
            *(sys.executable, "-m", "aiassist.serve", *_options(port)),
            *("--log-config", "deploy/uvicorn-logging.json"),
        ]
        process = stack.enter_context(Process(command, log=_log("aiassist"), env=env))
        _wait(port, "/health")
        yield Server("aiassist", port, key, process, env)


@contextmanager
def litellm(upstream: int, home: Path) -> Iterator[Server]:
    """Run LiteLLM's proxy of its own environment, limits counted in Redis."""
    with ExitStack() as stack:
        redis = RedisServer().start()
        stack.callback(redis.stop)
        port = free_port()
        config = _log("litellm").with_suffix(".json")
        config.write_text(json.dumps(_litellm_config(upstream, redis.port)))
        env = {
            **os.environ,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "PATH": f"{home}/bin:{os.environ['PATH']}",
        }
        command = [
            *(f"{home}/bin/litellm", "--config", str(config), "--port", str(port)),
            *("--host", "127.0.0.1", "--num_workers", "1", "--telemetry", "False"),
        ]
        process = stack.enter_context(Process(command, log=_log("litellm"), env=env))
        _wait(port, "/health/liveliness", seconds=120)
        yield Server("litellm", port, "sk-bench", process)


def n_records(server: Server) -> int:
    """Return how many calls the ledger holds, those on their way written first."""
    counting = Process(python("-c", _COUNT), log=_log("count"), env=server.env)
    with counting:
        assert counting.wait(seconds=120) == 0, counting.output
    return int(counting.output.rpartition("records: ")[2])


def _litellm_config(upstream: int, redis_port: int) -> dict[str, object]:
    # Source: https://docs.litellm.ai/docs/proxy/prod
    return {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                    "api_key": "sk-bench",
                    "rpm": 100_000_000,
                },
            }
        ],
        "general_settings": {"master_key": "sk-bench"},
        "router_settings": {
            "routing_strategy": "usage-based-routing-v2",
            "redis_host": "127.0.0.1",
            "redis_port": redis_port,
            "enable_pre_call_checks": True,
        },
        "litellm_settings": {"request_timeout": 600, "set_verbose": False},
    }


def _options(port: int) -> list[str]:
    """Return uvicorn's options, as deploy/entrypoint has them."""
    return [
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "2", "--lifespan", "off"),
        *("--ws", "none", "--no-proxy-headers", "--no-server-header"),
        *("--backlog", "4096", "--no-access-log"),
    ]


def _wait(port: int, path: str, *, seconds: float = 60.0) -> None:
    def answers() -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}{path}").status_code < 500
        except httpx2.HTTPError:
            return False

    wait_for(answers, seconds=seconds, what=f"the server on port {port}", every=0.2)


def _log(name: str) -> Path:
    folder = Path(os.environ["BENCH_DIR"])
    return folder / f"{name}.log"


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += _family(int(child))
    return found


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _peak_kb_of(pid: int) -> int:
    given_back = _field_kb(pid, "VmHWM:") - _field_kb(pid, "VmRSS:")
    return _field_kb(pid, "Pss:", "smaps_rollup") + given_back


def _field_kb(pid: int, name: str, file: str = "status") -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
