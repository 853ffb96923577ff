"""A user's server that hears of events: TLS on the loopback, answers as scripted."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fakes.git_server import certificate_in


@dataclass
class Heard:
    """One message as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Notes what it is told; `will` says what it answers, once each, then 204."""

    folder: Path
    heard: list[Heard] = field(default_factory=list)
    script: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def start(self) -> "Receiver":
        certificate, key = certificate_in(self.folder)
        self.ca_file = str(certificate)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("localhost", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"localhost:{self._server.server_address[1]}"
        self.url = f"https://{self.host}/hook"
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()
        return self

    def stop(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def will(self, status: int, **headers: str) -> None:
        """Answer one message so; `retry_after="7"` is the header Retry-After."""
        self.script.append(lambda asked: _answer(asked, status, headers))

    def will_tell(self, body: bytes) -> None:
        """Answer one call with this."""
        self.script.append(lambda asked: _answer(asked, 200, {}, body))

    def will_hang(self) -> None:
        """Take one message and answer nothing."""
        self.script.append(self._hang)

    def _hang(self, asked: BaseHTTPRequestHandler) -> None:
        self.closing.wait(30)

    def will_flood(self) -> None:
        """Answer one message with a body that never ends."""

        def flood(asked: BaseHTTPRequestHandler) -> None:
            asked.send_response(200)
            asked.end_headers()
            while not self.closing.is_set():
                asked.wfile.write(b"x" * 65536)

        self.script.append(flood)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                headers = {k.lower(): v for k, v in self.headers.items()}
                heard = Heard(self.path, headers, self.rfile.read(length))
                receiver.heard.append(heard)
                answer = receiver.script.pop(0) if receiver.script else None
                try:
                    if answer is None:
                        _answer(self, 204, {})
                    else:
                        answer(self)
                except OSError:  # who asked has left
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return None

        return Handler


def _answer(
    asked: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    body: bytes = b"",
) -> None:
    asked.send_response(status)
    for name, value in headers.items():
        asked.send_header(name.replace("_", "-"), value)
    asked.send_header("Content-Length", str(len(body)))
    asked.end_headers()
    asked.wfile.write(body)
