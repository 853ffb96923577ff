"""Qdrant's REST interface, as far as we use it, on qdrant-client's local engine.

`python -m tests.fakes.qdrant_server PORT [FOLDER]`: several processes share one
store, as they would share a real server. With a folder it survives a kill -9.

`PUT /trouble {"after": 3, "how": "die"}`: three more writes succeed, then the next
one finds the server dying before it, or every call answered "500", "drop" (the
connection is cut) or "hang" (no answer). `{"how": ""}` ends the trouble.
`GET /trouble` tells how many writes there were, and how many calls were struck.
Source: https://api.qdrant.tech/api-reference
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models

_engine = QdrantClient(":memory:")
_lock = threading.Lock()
_DONE = {"operation_id": 1, "status": "completed"}
_READ_VERBS = {"query", "scroll", "count"}


class Trouble:
    """What goes wrong next, and when."""

    def __init__(self) -> None:
        self.writes = 0
        self.struck = 0
        self.left = 0
        self.how = ""
        self._over = threading.Event()

    def plan(self, how: str, after: int) -> None:
        """Start counting anew; whoever hangs is let go."""
        self._over.set()
        self._over = threading.Event()
        self.how, self.left, self.writes, self.struck = how, after, 0, 0

    def strike(self, *, is_write: bool) -> str:
        """Return what happens to this call: "" if nothing."""
        if is_write and (self.left > 0 or not self.how):
            self.writes += 1
            self.left -= 1
            return ""
        if not self.how or self.left > 0:
            return ""
        if self.how == "die":
            if is_write:
                os._exit(9)
            return ""
        self.struck += 1
        if self.how == "hang":
            self._over.wait()
        return self.how


_trouble = Trouble()


class Handler(BaseHTTPRequestHandler):
    """One request at a time reaches the engine, which knows no threads."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def answer(self) -> None:
        """Run the request; errors as Qdrant words them."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == ["trouble"]:
            if self.command == "PUT":
                _trouble.plan(body["how"], body.get("after", 0))
            told = {"writes": _trouble.writes, "struck": _trouble.struck}
            self.send({**told, "how": _trouble.how}, 200)
            return
        is_write = self.command != "GET" and parts[-1] not in _READ_VERBS
        struck = _trouble.strike(is_write=is_write)
        if struck == "500":
            self.send({"status": {"error": "trouble"}}, 500)
            return
        if struck:
            self.close_connection = True
            return
        try:
            with _lock:
                status, result = 200, run(self.command, parts, body)
        except LookupError as error:
            status, result = 404, None
            reason = str(error)
        except ValueError as error:
            status = 404 if "not found" in str(error) else 409
            result, reason = None, str(error)
        said: Any = "ok" if status == 200 else {"error": reason}
        self.send({"result": result, "status": said, "time": 0.0}, status)

    def send(self, answer: dict[str, Any], status: int) -> None:
        """Answer in JSON."""
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815


def run(method: str, parts: list[str], body: dict[str, Any]) -> Any:
    """Return the `result` of one call; raises LookupError for an unknown address."""
    match method, parts:
        case "GET", ["collections"]:
            return _plain(_engine.get_collections())
        case "GET", ["collections", name, "exists"]:
            return {"exists": _engine.collection_exists(name)}
        case "PUT", ["collections", name]:
            made = models.CreateCollection.model_validate(body)
            return _engine.create_collection(
                name,
                vectors_config=made.vectors,
                sparse_vectors_config=made.sparse_vectors,
            )
        case "DELETE", ["collections", name]:
            return _engine.delete_collection(name)
        case "PUT", ["collections", name, "index"]:
            return _DONE  # the local engine needs none
        case "PUT", ["collections", name, "points"]:
            points = [models.PointStruct.model_validate(p) for p in body["points"]]
            _engine.upsert(name, points)
            return _DONE
        case "POST", ["collections", name, "points", verb]:
            return points_verb(name, verb, body)
    raise LookupError("no such address")


def points_verb(name: str, verb: str, body: dict[str, Any]) -> Any:
    """Return the result of payload, delete, query, scroll or count."""
    where = models.Filter.model_validate(body["filter"]) if body.get("filter") else None
    match verb:
        case "payload":
            _engine.set_payload(name, body["payload"], where or body["points"])
            return _DONE
        case "delete":
            _engine.delete(name, body["points"])
            return _DONE
        case "count":
            return _plain(_engine.count(name, where, exact=True))
        case "scroll":
            records, after = _engine.scroll(
                name, where, limit=body["limit"], offset=body.get("offset")
            )
            return {"points": [_plain(r) for r in records], "next_page_offset": after}
        case "query":
            query = body["query"]
            query = query.get("nearest", query) if isinstance(query, dict) else query
            if isinstance(query, dict):
                query = models.SparseVector.model_validate(query)
            found = _engine.query_points(
                name,
                query=query,
                using=body["using"],
                limit=body["limit"],
                query_filter=where,
                with_payload=True,
            )
            return _plain(found)
    raise LookupError("no such address")


def _plain(answer: Any) -> Any:
    return answer.model_dump(mode="json", exclude_none=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _engine = QdrantClient(path=sys.argv[2], force_disable_check_same_thread=True)
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()
