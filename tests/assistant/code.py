"""A workspace with real code in it, indexed for real."""

import hashlib
from typing import Any

from tests.support.people import Person

RETRIES = '''"""How calls are tried again."""

import random


def retry_delay(attempt: int, asked_seconds: float | None = None) -> float:
    """Return the seconds to wait before the next try, with jitter."""
    if asked_seconds is not None:
        return asked_seconds
    return 0.25 * 2**attempt * random.uniform(0.5, 1.0)


class Retrier:
    """Calls a function until it succeeds."""

    def __init__(self, max_tries: int = 3) -> None:
        self.max_tries = max_tries
'''
TIMEOUTS = '''CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30


def timeout_for(path: str) -> int:
    """Return the time limit of a request to this path."""
    return READ_TIMEOUT_SECONDS if path.startswith("/slow") else 10
'''
FILES = {"src/retries.py": RETRIES, "src/timeouts.py": TIMEOUTS}


def hit(path: str = "src/retries.py", text: str = RETRIES, **changes: Any) -> Any:
    """Return a search hit of whole lines."""
    from workspaces.finding.search import Hit  # noqa: PLC0415 - needs Django set up

    values: dict[str, Any] = {
        "workspace_id": "workspace_1",
        "path": path,
        "start_line": 1,
        "end_line": len(text.splitlines()),
        "language": "python",
        "symbol": "",
        "score": 0.9,
        "text": text,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "generation": 1,
    }
    return Hit(**(values | changes))


def passage(n: int = 1, text: str = RETRIES, **changes: Any) -> Any:
    """Return a passage as the gateway hands it to a provider."""
    from assistant.passages import Passage  # noqa: PLC0415 - needs Django set up

    values: dict[str, Any] = {
        "n": n,
        "workspace_id": "workspace_1",
        "path": "src/retries.py",
        "start_line": 1,
        "end_line": len(text.splitlines()),
        "language": "python",
        "symbol": "",
        "score": 0.9,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "text": text,
    }
    return Passage(**(values | changes))


def indexed(person: Person, files: dict[str, str] | None = None) -> Any:
    """Return the person's workspace with these files uploaded and indexed.

    Ask for the fixture `vectors` beside it.
    """
    # Needs Django set up, and loads Qdrant's engine and the embedding model.
    from workspaces.content.files import put_file  # noqa: PLC0415
    from workspaces.indexing.runner import run_next  # noqa: PLC0415
    from workspaces.vectors import get_store  # noqa: PLC0415

    for path, text in (files or FILES).items():
        put_file(workspace=person.workspace, path=path, data=text.encode())
    while run_next(get_store):
        pass
    person.workspace.refresh_from_db()
    assert person.workspace.status == "ready"
    return person.workspace
