"""`make bench-gateway`: what we add in front of a provider, in one table.

The provider's stand-in called directly, a bare pass-through (the floor), aiassist with
real PostgreSQL and Redis, and LiteLLM's proxy if LITELLM_HOME names a virtual
environment that has it (`pip install 'litellm[proxy]'`). CPU is that of the
servers' processes, stores left out; compare the ratios, not the seconds.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.gateway.load import Orders, Result
from benchmarks.gateway.servers import (
    Server,
    aiassist,
    direct,
    floor,
    litellm,
    n_records,
)
from tests.support.processes import Process, python

Row = dict[str, float | str]


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["BENCH_DIR"] = str(folder)
        provider = stack.enter_context(direct())
        servers = [provider, stack.enter_context(floor(provider.port))]
        servers.append(stack.enter_context(aiassist(provider.port, folder)))
        if home := os.environ.get("LITELLM_HOME"):
            servers.append(stack.enter_context(litellm(provider.port, Path(home))))
        rows: dict[str, Row] = {server.name: {} for server in servers}
        for server in servers:
            _measure(server, rows[server.name], options)
        _say(_table(rows))
        _say(json.dumps(rows))


def _measure(server: Server, row: Row, options: argparse.Namespace) -> None:
    _load(server, stream=False, at_once=4, n=40)  # warm up
    n_done = 40
    for at_once in options.concurrency:
        n = max(50, round(options.requests * (0.3 if at_once == 1 else 1)))
        cpu = server.cpu_seconds()
        result = _load(server, stream=False, at_once=at_once, n=n)
        n_done += len(result.whole)
        done = len(result.whole)
        row[f"req/s c{at_once}"] = done / result.wall
        row[f"p50 ms c{at_once}"] = _ms(result.whole, 50)
        row[f"p99 ms c{at_once}"] = _ms(result.whole, 99)
        row[f"failed c{at_once}"] = result.n_failed
        if at_once == 16 and done:
            row["CPU s/1000 requests"] = (server.cpu_seconds() - cpu) / done * 1000
        if result.why:
            row["why"] = result.why
    for at_once in options.streams:
        cpu, memory = server.cpu_seconds(), server.memory_mb()
        result = _load(server, stream=True, at_once=at_once, n=at_once)
        n_done += len(result.whole)
        done = len(result.whole)
        row[f"first token p50 ms, {at_once} streams"] = _ms(result.first, 50)
        row[f"first token p99 ms, {at_once} streams"] = _ms(result.first, 99)
        row[f"failed, {at_once} streams"] = result.n_failed
        if done:
            row[f"CPU s/1000 streams, {at_once}"] = (
                (server.cpu_seconds() - cpu) / done * 1000
            )
            grown = server.peak_mb() - memory
            row[f"KB per stream, {at_once}"] = max(0.0, grown) / at_once * 1024
        if result.why:
            row["why"] = result.why
    row["peak MB"] = server.peak_mb()
    if server.env is not None:
        row["calls served"], row["calls recorded"] = n_done, n_records(server)


def _load(server: Server, *, stream: bool, at_once: int, n: int) -> Result:
    orders = Orders(server.port, server.key, stream, at_once, n)
    command = python("-m", "benchmarks.gateway.load", json.dumps(asdict(orders)))
    log = Path(os.environ["BENCH_DIR"]) / f"load-{server.name}.log"
    log.unlink(missing_ok=True)
    with Process(command, log=log) as load:
        assert load.wait(seconds=300) == 0, load.output[-2000:]
    return Result(**json.loads(load.output.strip().splitlines()[-1]))


def _ms(seconds: list[float], percent: int) -> float:
    if len(seconds) < 2:
        return float("nan")
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


def _table(rows: dict[str, Row]) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| figure | " + " | ".join(rows) + " |", "| --- |" + " --- |" * len(rows)]
    for name in names:
        cells = (_cell(row.get(name, "")) for row in rows.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value[:60]
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-gateway ARGS=")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=_numbers, default=[1, 16, 64, 256])
    parser.add_argument("--streams", type=_numbers, default=[200, 1000])
    return parser.parse_args()


def _numbers(text: str) -> Iterable[int]:
    return [int(part) for part in text.split(",") if part]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
