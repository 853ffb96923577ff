"""The operations of the OpenAPI document, made in process, with an example of each.

What walks the document (T2, T4) needs a body that the operation takes. An operation
without an example fails the walks, so that a new one cannot be forgotten.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests.workspaces.packing import zip_of

JSON = "application/json"
MULTIPART = "multipart/form-data"
BYTES = "application/octet-stream"
A_FILE = b"x = 1\n"
# The smallest body that each operation takes. `{name}`: one's own id.
EXAMPLES: dict[str, dict[str, Any]] = {
    "POST /api/v1/assistant/chat": {"message": "What is 1?"},
    "POST /api/v1/assistant/complete": {"prefix": "x = ", "language": "python"},
    "POST /api/v1/assistant/explain": {"code": "x = 1", "language": "python"},
    "POST /api/v1/assistant/generate": {"instruction": "Add.", "language": "python"},
    "POST /api/v1/assistant/query": {"query": "one"},
    "POST /api/v1/auth/token": {"email": "{email}", "password": "{password}"},
    "POST /api/v1/auth/token/refresh": {"refresh": "{refresh}"},
    "POST /api/v1/auth/token/revoke": {"token": "{refresh}"},
    "POST /api/v1/hooks/git/{hook_id}": {"ref": "refs/heads/main"},
    "POST /api/v1/keys": {"name": "mine"},
    "PATCH /api/v1/keys/{key_id}": {"name": "mine"},
    "POST /api/v1/limits/check": {"feature": "search"},
    "PATCH /api/v1/me": {"full_name": "Mine"},
    "POST /api/v1/provider-keys": {"provider": "openai", "key": "sk-one-of-mine"},
    "PUT /api/v1/provider-keys/{provider_key_id}": {
        "key": "sk-one-of-mine",
        "base_url": "https://models.example.com/v1",
    },
    "POST /api/v1/webhooks": {"url": "https://hooks.example.com/mine"},
    "PATCH /api/v1/webhooks/{webhook_id}": {"description": "mine"},
    "POST /api/v1/workspaces": {"name": "mine"},
    "PATCH /api/v1/workspaces/{workspace_id}": {"name": "mine"},
    "POST /api/v1/workspaces/{workspace_id}/import": {
        "url": "https://github.com/encode/httpx"
    },
    "POST /api/v1/workspaces/{workspace_id}/preview": {
        "files": {"b.py": {"size": len(A_FILE)}}
    },
    "POST /api/v1/workspaces/{workspace_id}/search": {"query": "one"},
    "POST /api/v1/workspaces/{workspace_id}/sync": {
        "files": {"b.py": sha256(A_FILE).hexdigest()},
        "delete_missing": False,
    },
    "POST /v1/chat/completions": {
        "model": "auto",
        "messages": [{"role": "user", "content": "What is 1?"}],
    },
    "POST /v1/completions": {"model": "auto", "prompt": "x = "},
    "POST /v1/embeddings": {"model": "auto", "input": "one"},
    "POST /v1/events": {"type": "view"},
    "POST /v1/responses": {"model": "auto", "input": "What is 1?"},
    "POST /v1/messages": {
        "model": "auto",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "What is 1?"}],
    },
    "POST /v1/messages/count_tokens": {
        "model": "auto",
        "messages": [{"role": "user", "content": "What is 1?"}],
    },
}
# Bodies whose members the document does not name, and what ids they may hold.
FREE_FORM: dict[str, tuple[str, ...]] = {
    "POST /api/v1/hooks/git/{hook_id}": (),
    "POST /v1/chat/completions": ("workspace_id",),
    "POST /v1/completions": ("workspace_id",),
    "POST /v1/embeddings": (),
    "POST /v1/events": (),
    "POST /v1/messages": ("workspace_id",),
    "POST /v1/responses": ("workspace_id",),
    "POST /v1/messages/count_tokens": (),
}


@dataclass(frozen=True)
class Operation:
    """One method of one path of the document."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]  # (where, name)
    media_type: str  # "": takes no body
    members: tuple[str, ...]  # of the body, nested ones too

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def fields(self) -> Iterator[tuple[str, str]]:
        """Return (where, name) of all that a caller may say."""
        yield from self.parameters
        yield from (("body", name) for name in self.members)
        yield from (("body", name) for name in FREE_FORM.get(self.name, ()))

    @property
    def needs_example(self) -> bool:
        return self.media_type == JSON

    @property
    def can_stream(self) -> bool:
        return "stream" in self.members or "workspace_id" in FREE_FORM.get(
            self.name, ()
        )

    def send(
        self,
        client: APIClient,
        ids: dict[str, str],
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Call it with the example, `ids` in path and example, `body` over it."""
        address = self.path
        for name, value in ids.items():
            address = address.replace(f"{{{name}}}", value)
        if query:
            address = f"{address}?{urlencode(query)}"
        members = {**filled(EXAMPLES.get(self.name, {}), ids), **(body or {})}
        return client.generic(
            self.method,
            address,
            self._encoded(members),
            content_type=MULTIPART_CONTENT
            if self.media_type == MULTIPART
            else self.media_type or JSON,
            headers=headers or {},
        )

    def _encoded(self, members: dict[str, Any]) -> Any:
        if self.media_type == BYTES:
            return A_FILE
        if self.media_type != MULTIPART:
            return json.dumps(members) if members else b""
        name, content = "b.py", A_FILE
        if self.path.endswith("/archive"):
            name, content = "file", zip_of({"c.py": A_FILE}).getvalue()
        upload = SimpleUploadedFile(name, content)
        return encode_multipart(BOUNDARY, {**members, name: upload})


def filled(example: Any, ids: dict[str, str]) -> Any:
    """Return the example with one's own ids in place of `{name}`."""
    if isinstance(example, dict):
        return {name: filled(value, ids) for name, value in example.items()}
    if isinstance(example, str) and example.startswith("{"):
        return ids[example.strip("{}")]
    return example


@cache
def operations() -> tuple[Operation, ...]:
    """Return every operation of the document."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    return tuple(
        _operation(document, method.upper(), path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    )


def _operation(
    document: Any, method: str, path: str, described: dict[str, Any]
) -> Operation:
    content = described.get("requestBody", {}).get("content", {})
    media_type = next(iter(content), "")
    schema = content[media_type]["schema"] if content else {}
    return Operation(
        method,
        path,
        tuple((p["in"], p["name"]) for p in described.get("parameters", ())),
        media_type,
        tuple(sorted(set(_members(document, schema)))),
    )


def _members(document: Any, schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for part in schema:
            yield from _members(document, part)
        return
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        yield from _members(document, document["components"]["schemas"][name])
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from _members(document, inner)
    for part in ("items", "allOf", "oneOf", "anyOf", "additionalProperties"):
        yield from _members(document, schema.get(part))
