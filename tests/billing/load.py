"""Several real processes that spend one user's quota at the same time."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.billing.people import NOON
from tests.support.ports import wait_for
from tests.support.processes import Process, python, unmeasured


class Load:
    """Starts `n` processes, lets them go together, adds up what came of it."""

    def __init__(
        self,
        folder: Path,
        *,
        user: str,
        keys: Sequence[str],
        env: Mapping[str, str],
        n: int,
        **orders: Any,
    ) -> None:
        self._go, self._stop = folder / "go", folder / "stop"
        orders |= {"user": user, "keys": list(keys), "begin": NOON.isoformat()}
        orders |= {"go": str(self._go), "stop": str(self._stop)}
        self._admitted = folder / "admitted"
        orders |= {"admitted": str(self._admitted)}
        command = python("-m", "tests.billing.hammer", json.dumps(orders))
        self.processes = [
            Process(command, log=folder / f"hammer-{i}.log", env=unmeasured(env))
            for i in range(n)
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for process in self.processes:
            self._stack.enter_context(process)
        for process in self.processes:
            process.wait_for_output("ready")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def n_admitted(self) -> int:
        """How many calls any process was admitted and did not give back."""
        marks = self._admitted.read_bytes() if self._admitted.exists() else b""
        return marks.count(b"a") - marks.count(b"r")

    def go(self) -> None:
        """Let every process begin."""
        self._go.touch()

    def result(self, *, seconds: float = 60.0) -> dict[str, Any]:
        """Return the sums of all that ended by themselves."""
        wait_for(
            lambda: not any(process.alive for process in self.processes),
            seconds=seconds,
            what="the end of the load",
        )
        counts: Counter[str] = Counter()
        slowest = 0.0
        for process in self.processes:
            last = process.output.strip().splitlines()[-1]
            if not last.startswith("{"):
                # Killed on purpose, or a failure that the test should show.
                assert "Traceback" not in process.output, process.output
                continue
            told = json.loads(last)
            slowest = max(slowest, told.pop("slowest_seconds"))
            counts.update(told)
        return {**counts, "slowest_seconds": slowest}

    def finish(self, *, seconds: float = 60.0) -> dict[str, Any]:
        """Stop the load and return its sums."""
        self._stop.touch()
        return self.result(seconds=seconds)
