"""A vector database in a process of its own, which a test may break and mend."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.support.ports import free_port, listens, wait_for
from tests.support.processes import Process, python, unmeasured


class VectorServer:
    """Keeps its points in a folder, so that it comes back as it was killed."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder = str(home / "qdrant")
        self.process = Process(
            python("-m", "tests.fakes.qdrant_server", str(self.port), folder),
            log=home / "qdrant.log",
            env=unmeasured(os.environ),
        )

    def start(self) -> None:
        """Start it, in the place of one that was killed."""
        self.process.start()
        wait_for(lambda: listens(self.port), seconds=30, what=self.process.output)

    def trouble(self, how: str, *, after: int = 0) -> None:
        """Let so many more writes succeed; then "die", "500", "drop" or "hang"."""
        self._ask("PUT", {"how": how, "after": after})

    def writes(self) -> int:
        """Return how many writes succeeded since `trouble` was last called."""
        return int(self._ask("GET", {})["writes"])

    def was_struck(self) -> bool:
        """Tell whether `trouble` has come over it since it was called."""
        try:
            return int(self._ask("GET", {})["struck"]) > 0
        except OSError:
            return True  # it died of it

    def _ask(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        request = Request(
            f"{self.url}/trouble", json.dumps(body).encode(), method=method
        )
        with urlopen(request, timeout=5) as answer:
            result: dict[str, Any] = json.load(answer)
            return result
