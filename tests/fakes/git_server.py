"""A git host of one's own: `git http-backend` over TLS on the loopback."""

import base64
import datetime
import gzip
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_ENV = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "PATH": os.environ.get("PATH", ""),
}


@dataclass
class GitServer:
    """Serves every bare repository below `root`; notes what it was asked."""

    root: Path
    url: str
    host: str  # `localhost:port`
    ca_file: str
    token: str = ""  # asked for as a password where set
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    pauses: threading.Event = field(default_factory=threading.Event)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    def repository(self, name: str = "code") -> "Repository":
        return Repository(self.root / f"{name}.git", self.root / f"{name}-work")


@dataclass
class Repository:
    """A bare repository and a work tree that pushes to it."""

    bare: Path
    work: Path

    def __post_init__(self) -> None:
        if not self.bare.exists():
            _git("init", "-q", "--bare", "-b", "main", str(self.bare))
            _git("-C", str(self.bare), "config", "uploadpack.allowFilter", "true")
            _git("init", "-q", "-b", "main", str(self.work))

    def commit(self, files: Mapping[str, bytes], *, branch: str = "main") -> str:
        """Add the files to the branch, return the commit's id."""
        git = ("-C", str(self.work))
        if branch != "main":
            _git(*git, "checkout", "-q", "-B", branch)
        for path, data in files.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_bytes(data)
        _git(*git, "add", "-A", "-f")
        return self.push(branch)

    def push(self, branch: str = "main") -> str:
        git = ("-C", str(self.work))
        _git(*git, "commit", "-q", "--allow-empty", "-m", "change")
        _git(*git, "push", "-q", "-f", str(self.bare), f"HEAD:{branch}")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        return _git("-C", str(self.work), *arguments)


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], env=_ENV, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """Serve the folder's repositories until the block ends."""
    certificate, key = certificate_in(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    host = f"localhost:{server.server_address[1]}"
    told = GitServer(root, f"https://{host}", host, str(certificate))
    server.told = told  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.pauses.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        return

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve(body)

    def _serve(self, body: bytes) -> None:
        told: GitServer = self.server.told  # type: ignore[attr-defined]
        path, _, query = self.path.partition("?")
        told.asked.append(f"{self.command} {path}")
        if path in told.answers:
            self._answer(*told.answers[path])
            return
        sent = self.headers.get("Authorization", "").partition(" ")[2]
        told.credentials.append(base64.b64decode(sent).decode())
        if told.token and not told.credentials[-1].endswith(f":{told.token}"):
            self._answer(401, {"WWW-Authenticate": "Basic"}, b"")
            return
        if self.command == "POST" and "pause" in path:
            told.pauses.wait(30)
        self._answer(*self._cgi(told, path, query, body))

    def _cgi(
        self, told: GitServer, path: str, query: str, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        environment = {
            **_ENV,
            "GIT_PROJECT_ROOT": str(told.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=environment,
            capture_output=True,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = {}
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            headers[name] = value
        status = int(headers.pop("Status", "200").split()[0])
        return status, headers, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            return  # whoever asked has gone


def certificate_in(folder: Path) -> tuple[Path, Path]:
    """A certificate for the loopback that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    moment = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - datetime.timedelta(days=1))
        .not_valid_after(moment + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "ca.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private
