"""Qdrant's REST interface, as far as we use it, on Qdrant's own engine.

`python -m benchmarks.edge_server PORT FOLDER`: lets several production processes share
one vector store on a machine that has no Qdrant server. The engine is the server's;
what a call costs on the way is Python's and JSON's, so a real server is faster.

Source: https://api.qdrant.tech/api-reference
"""

import json
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import qdrant_edge as edge

# Vectors are scanned as int8; a server builds a graph besides, and is quicker.
_NO_GRAPH = edge.HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10**9)
_DONE = {"operation_id": 1, "status": "completed"}
_READ_VERBS = {"query", "scroll", "count"}
_INDEX_KINDS = {
    "integer": edge.PayloadSchemaType.Integer,
    "keyword": edge.PayloadSchemaType.Keyword,
}
_OPTIMISE_FROM = 10_000  # points written since the last time, and a third of them all
_DISTANCES = {"Cosine": edge.Distance.Cosine, "Dot": edge.Distance.Dot}


class Collections:
    """One shard a collection; writes to a shard are made one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._shards: dict[str, edge.EdgeShard] = {}
        self.writing: dict[str, threading.Lock] = {}
        self._written: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)
        for made in sorted(folder.glob("*/config.json")):
            self._open(made.parent, json.loads(made.read_text()), new=False)

    def names(self) -> list[str]:
        return sorted(self._shards)

    def get(self, name: str) -> edge.EdgeShard:
        """Return a collection; raises LookupError."""
        shard = self._shards.get(name)
        if shard is None:
            raise LookupError(f"Collection `{name}` not found")
        return shard

    def create(self, name: str, body: dict[str, Any]) -> None:
        """Make a collection; raises ValueError when there is one."""
        with self._lock:
            if name in self._shards:
                raise ValueError(f"Collection `{name}` already exists!")
            home = self._folder / name
            home.mkdir()
            self._open(home, body, new=True)
            (home / "config.json").write_text(json.dumps(body))

    def wrote(self, name: str, n_points: int) -> None:
        """Put segments in order now and then, as a server does by itself."""
        self._written[name] += n_points
        if self._written[name] < _OPTIMISE_FROM:
            return
        shard = self.get(name)
        n_all = shard.count(edge.CountRequest(exact=False))
        if self._written[name] * 3 >= n_all:
            shard.optimize()
            self._written[name] = 0

    def drop(self, name: str) -> bool:
        with self._lock:
            shard = self._shards.pop(name, None)
            if shard is None:
                return False
            with self.writing.pop(name):
                shard.close()
            shutil.rmtree(self._folder / name)
            return True

    def _open(self, home: Path, body: dict[str, Any], *, new: bool) -> None:
        folder = str(home / "shard")
        config = _config(body)
        opened = (
            edge.EdgeShard.create(folder, config)
            if new
            else edge.EdgeShard.load(folder, config)
        )
        self._shards[home.name] = opened
        self.writing[home.name] = threading.Lock()


def _config(body: dict[str, Any]) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=given["size"],
                distance=_DISTANCES[given["distance"]],
                hnsw_config=_NO_GRAPH,
                quantization_config=_quantisation(given),
            )
            for name, given in body["vectors"].items()
        },
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf if given.get("modifier") == "idf" else None
            )
            for name, given in (body.get("sparse_vectors") or {}).items()
        },
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=20_000),
        max_search_threads=len(os.sched_getaffinity(0)),
    )


def _quantisation(given: dict[str, Any]) -> edge.ScalarQuantizationConfig | None:
    wanted = (given.get("quantization_config") or {}).get("scalar")
    if wanted is None:
        return None
    return edge.ScalarQuantizationConfig(
        edge.ScalarType.Int8, quantile=wanted.get("quantile")
    )


class Handler(BaseHTTPRequestHandler):
    """Reads run side by side; writes to one collection one after another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    collections: Collections

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        parts = urlsplit(self.path).path.strip("/").split("/")
        said: Any = "ok"
        try:
            status, result = 200, self.run(parts, body)
        except LookupError as error:
            status, result, said = 404, None, {"error": str(error)}
        except ValueError as error:
            status, result, said = 409, None, {"error": str(error)}
        data = json.dumps({"result": result, "status": said, "time": 0.0}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

    def run(self, parts: list[str], body: dict[str, Any]) -> Any:
        """Return the `result` of one call; raises LookupError for an unknown one."""
        known = self.collections
        match self.command, parts:
            case "GET", ["collections"]:
                return {"collections": [{"name": name} for name in known.names()]}
            case "GET", ["collections", name, "exists"]:
                return {"exists": name in known.names()}
            case "PUT", ["collections", name]:
                known.create(name, body)
                return True
            case "DELETE", ["collections", name]:
                return known.drop(name)
            case "POST", ["collections", name, "points", verb] if verb in _READ_VERBS:
                return _READS[verb](known.get(name), body)
            case _, ["collections", name, *rest]:
                shard = known.get(name)
                operation = _write(rest, body)
                with known.writing[name]:
                    shard.update(operation)
                    known.wrote(name, len(body.get("points") or ()))
                return _DONE
        raise LookupError("no such address")


def _write(rest: list[str], body: dict[str, Any]) -> edge.UpdateOperation:
    match rest:
        case ["index"]:
            kind = _INDEX_KINDS[body["field_schema"]]
            return edge.UpdateOperation.create_field_index(body["field_name"], kind)
        case ["points"]:
            points = [_point(given) for given in body["points"]]
            return edge.UpdateOperation.upsert_points(points)
        case ["points", "payload"] if body.get("filter"):
            where = _filter(body["filter"])
            assert where is not None
            return edge.UpdateOperation.set_payload_by_filter(where, body["payload"])
        case ["points", "payload"]:
            return edge.UpdateOperation.set_payload(body["points"], body["payload"])
        case ["points", "delete"]:
            return edge.UpdateOperation.delete_points(body["points"])
    raise LookupError("no such address")


def _query(shard: edge.EdgeShard, body: dict[str, Any]) -> Any:
    wanted = body["query"]
    wanted = wanted.get("nearest", wanted) if isinstance(wanted, dict) else wanted
    if isinstance(wanted, dict):
        wanted = edge.SparseVector(wanted["indices"], wanted["values"])
    request = edge.QueryRequest(
        limit=body["limit"],
        query=edge.Query.Nearest(wanted, using=body["using"]),
        filter=_filter(body.get("filter")),
        with_payload=True,
        params=_params(body),
    )
    return {
        "points": [
            {"id": str(p.id), "version": 0, "score": p.score, "payload": p.payload}
            for p in shard.query(request)
        ]
    }


def _params(body: dict[str, Any]) -> edge.SearchParams | None:
    wanted = (body.get("params") or {}).get("quantization")
    if not wanted:
        return None
    return edge.SearchParams(
        quantization=edge.QuantizationSearchParams(rescore=wanted.get("rescore"))
    )


def _scroll(shard: edge.EdgeShard, body: dict[str, Any]) -> Any:
    request = edge.ScrollRequest(
        offset=body.get("offset"),
        limit=body["limit"],
        filter=_filter(body.get("filter")),
        with_payload=True,
        with_vector=False,
    )
    records, after = shard.scroll(request)
    return {
        "points": [{"id": str(r.id), "payload": r.payload} for r in records],
        "next_page_offset": None if after is None else str(after),
    }


def _count(shard: edge.EdgeShard, body: dict[str, Any]) -> Any:
    request = edge.CountRequest(exact=True, filter=_filter(body.get("filter")))
    return {"count": shard.count(request)}


_READS: dict[str, Callable[[edge.EdgeShard, dict[str, Any]], Any]] = {
    "query": _query,
    "scroll": _scroll,
    "count": _count,
}


def _point(given: dict[str, Any]) -> edge.Point:
    vectors = {
        name: edge.SparseVector(value["indices"], value["values"])
        if isinstance(value, dict)
        else value
        for name, value in given["vector"].items()
    }
    return edge.Point(given["id"], vectors, given.get("payload"))


def _filter(given: dict[str, Any] | None) -> edge.Filter | None:
    if not given:
        return None
    must, should, must_not = (
        [_condition(c) for c in given.get(name) or []] or None
        for name in ("must", "should", "must_not")
    )
    return edge.Filter(must=must, should=should, must_not=must_not)


def _condition(given: dict[str, Any]) -> Any:
    if "has_id" in given:
        return edge.HasIdCondition(set(given["has_id"]))
    if "key" not in given:
        return _filter(given)
    if given.get("range"):
        bounds = {k: v for k, v in given["range"].items() if v is not None}
        return edge.FieldCondition(given["key"], range=edge.RangeFloat(**bounds))
    match = given["match"]
    matched = (
        edge.MatchAny(match["any"])
        if "any" in match
        else edge.MatchValue(match["value"])
    )
    return edge.FieldCondition(given["key"], match=matched)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    port, folder = sys.argv[1:]
    Handler.collections = Collections(Path(folder))
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
