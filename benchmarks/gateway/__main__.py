"""`make bench-gateway`: what we add in front of a provider, in one table.

The provider's stand-in called directly, two bare pass-throughs (the floors: by hand on
a bare socket, and with aiohttp), aiassist with real PostgreSQL and Redis, and LiteLLM's
proxy if LITELLM_HOME names a virtual environment that has it (`pip install
'litellm[proxy]'`). CPU is that of the servers' processes, stores left out; compare the
ratios, not the seconds.

Every figure is the median of `--runs` rounds; in each, the servers take turns. LiteLLM
takes part in the first round only, because its streams take a minute. About two
minutes a round at the defaults, and two more for LiteLLM.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
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
# By hand on a bare socket, and with a library as most would write it.
FLOORS = {"floor, bare socket": "floor", "floor, aiohttp": "plain_floor"}
# Usage records are written once a second: their CPU time is part of the calls', and
# none of the calls' that come after them.
SETTLING_SECONDS = 1.2


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["BENCH_DIR"] = str(folder)
        provider = stack.enter_context(direct())
        servers = [provider]
        for name, module in FLOORS.items():
            servers.append(stack.enter_context(floor(provider.port, name, module)))
        servers.append(stack.enter_context(aiassist(provider.port, folder)))
        if home := os.environ.get("LITELLM_HOME"):
            servers.append(stack.enter_context(litellm(provider.port, Path(home))))
        rounds: dict[str, list[Row]] = {server.name: [] for server in servers}
        served = dict.fromkeys(rounds, 0)
        for number in range(options.runs):
            for server in servers:
                if number == 0 or server.name != "litellm":
                    row: Row = {}
                    served[server.name] += _measure(server, row, options)
                    rounds[server.name].append(row)
        rows = {name: _median(found) for name, found in rounds.items()}
        for server in servers:
            _compare(rows[server.name], rows["direct"])
            if server.env is not None:
                rows[server.name]["calls served"] = served[server.name]
                rows[server.name]["calls recorded"] = n_records(server)
        _say(_table(rows))
        _say(json.dumps(rows))


def _measure(server: Server, row: Row, options: argparse.Namespace) -> int:
    """Fill in one round's figures; return how many calls were served."""
    n_done = len(_load(server, stream=False, at_once=4, n=40).whole)  # warm up
    for at_once in options.concurrency:
        time.sleep(SETTLING_SECONDS)
        cpu = server.cpu_seconds()
        result = _load(
            server,
            stream=False,
            at_once=at_once,
            n=options.requests,
            seconds=options.seconds,
        )
        done = len(result.whole)
        n_done += done
        row[f"req/s c{at_once}"] = done / result.wall
        row[f"p50 ms c{at_once}"] = _ms(result.whole, 50)
        row[f"p99 ms c{at_once}"] = _ms(result.whole, 99)
        row[f"failed c{at_once}"] = result.n_failed
        if at_once == 16 and done:
            time.sleep(SETTLING_SECONDS)
            row["CPU s/1000 requests"] = (server.cpu_seconds() - cpu) / done * 1000
        if result.why:
            row["why"] = result.why
    peaks = [server.peaks_mb()]
    for at_once in options.streams:
        time.sleep(SETTLING_SECONDS)
        server.forget_peaks()
        cpu, memory = server.cpu_seconds(), server.memory_mb()
        result = _load(server, stream=True, at_once=at_once, n=at_once)
        done = len(result.whole)
        n_done += done
        row[f"first token p50 ms, {at_once} streams"] = _ms(result.first, 50)
        row[f"first token p99 ms, {at_once} streams"] = _ms(result.first, 99)
        row[f"failed, {at_once} streams"] = result.n_failed
        if done:
            time.sleep(SETTLING_SECONDS)
            row[f"CPU s/1000 streams, {at_once}"] = (
                (server.cpu_seconds() - cpu) / done * 1000
            )
            peaks.append(server.peaks_mb())
            grown = peaks[-1][1] - memory
            row[f"KB per stream, {at_once}"] = grown / at_once * 1024
        if result.why:
            row["why"] = result.why
    row["peak MB"] = max(once for once, _ in peaks)
    row["peak MB, shared pages in each"] = max(in_each for _, in_each in peaks)
    return n_done


def _median(rounds: Sequence[Row]) -> Row:
    """Return the median of each figure; of texts the first."""
    merged: Row = {}
    for name in dict.fromkeys(name for row in rounds for name in row):
        found = [row[name] for row in rounds if name in row]
        numbers = [value for value in found if not isinstance(value, str)]
        merged[name] = statistics.median(numbers) if numbers else found[0]
    return merged


def _compare(row: Row, direct: Row) -> None:
    """Add what a server takes longer than the provider itself."""
    for name in list(row):
        above = name.startswith("first token p50") or name == "p50 ms c1"
        value, without = row[name], direct.get(name)
        if above and not isinstance(value, str) and not isinstance(without, str):
            row[f"{name}, above direct"] = value - (without or 0.0)


def _load(
    server: Server, *, stream: bool, at_once: int, n: int, seconds: float = 60.0
) -> Result:
    orders = Orders(server.port, server.key, stream, at_once, n, seconds)
    command = python("-m", "benchmarks.gateway.load", json.dumps(asdict(orders)))
    log = Path(os.environ["BENCH_DIR"]) / f"load-{server.port}.log"
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
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--requests", type=int, default=20_000, help="at most")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each of them")
    parser.add_argument("--concurrency", type=_numbers, default=[1, 16, 64, 256])
    parser.add_argument("--streams", type=_numbers, default=[200, 1000])
    return parser.parse_args()


def _numbers(text: str) -> Iterable[int]:
    return [int(part) for part in text.split(",") if part]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
