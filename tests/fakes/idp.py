"""An OpenID Connect provider on a free port, which says whatever a test wants.

Source: https://openid.net/specs/openid-connect-core-1_0.html
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class FakeIdp:
    """Whoever comes with any code is `claims`."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.exchanges: list[dict[str, list[str]]] = []  # bodies sent to /token
        idp = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/openid-configuration":
                    self._answer(idp.configuration())
                else:
                    self._answer(idp.claims)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                idp.exchanges.append(parse_qs(body.decode()))
                self._answer({"access_token": "at", "token_type": "Bearer"})

            def _answer(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def start(self) -> "FakeIdp":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
