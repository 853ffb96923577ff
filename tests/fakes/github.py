"""A GitHub as far as signing in needs one: whoever comes is `person`.

Source: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
"""

import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


class FakeGitHub:
    """Gives a code for a click, a token for a code, and a person for a token."""

    def __init__(self, port: int, *, client_id: str, client_secret: str) -> None:
        self.person: dict[str, Any] = {}
        self.emails: list[dict[str, Any]] = []
        self.scopes: list[str] = []
        codes: set[str] = set()
        tokens: set[str] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                query = dict(parse_qs(asked.query))
                if asked.path == "/login/oauth/authorize":
                    self._consent(query)
                elif (
                    self.headers.get("Authorization", "").removeprefix("token ")
                    not in tokens
                ):
                    self._answer({"message": "Bad credentials"}, status=401)
                elif asked.path == "/api/v3/user":
                    self._answer(hub.person)
                elif asked.path == "/api/v3/user/emails":
                    self._answer(hub.emails)
                else:
                    self._answer({"message": "Not Found"}, status=404)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                sent = parse_qs(body)
                secret, code = sent.get("client_secret"), sent.get("code", [""])[0]
                if secret != [client_secret] or code not in codes:
                    self._answer({"error": "bad_verification_code"})
                    return
                codes.discard(code)
                tokens.add(token := secrets.token_hex(8))
                self._answer({"access_token": token, "token_type": "bearer"})

            def _consent(self, query: dict[str, list[str]]) -> None:
                if query["client_id"] != [client_id]:
                    self._answer({"message": "Not Found"}, status=404)
                    return
                hub.scopes.append(query["scope"][0])
                codes.add(code := secrets.token_hex(8))
                back = urlencode({"code": code, "state": query["state"][0]})
                page = f'<a href="{query["redirect_uri"][0]}?{back}">Authorize</a>'
                self._send(page.encode(), "text/html")

            def _answer(self, body: object, *, status: int = 200) -> None:
                self._send(json.dumps(body).encode(), "application/json", status)

            def _send(self, data: bytes, kind: str, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def start(self) -> "FakeGitHub":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
