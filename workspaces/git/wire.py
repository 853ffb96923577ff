"""Git's smart HTTP protocol, as much of it as fetching one commit's files takes.

Version 0, which every server speaks: the refs are listed, one is asked for with depth
1 and without its large files, and the pack comes in a side band. Every byte goes
through our egress client: checked addresses, no redirects, limits on time and bytes.
Source: https://git-scm.com/docs/http-protocol, https://git-scm.com/docs/pack-protocol
"""

import base64
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from django.conf import settings

from aiassist.lib.egress import AddressRefused, Answer, AnswerTooLarge, Caps
from aiassist.lib.public_egress import (
    Trust,
    checked_url,
    open_url,
)
from workspaces.content.paths import shown
from workspaces.git.errors import (
    GitRefused,
    GitUnavailable,
    GitUrlRefused,
    RepositoryTooLarge,
)

MAX_URL_CHARS = 500
_MAX_REFS_BYTES = 32 * 1024 * 1024
_MAX_REFS = 500_000
_MAX_LINES = 10_000  # before the pack
_SHA = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@#-]{0,254}")
_BANDS = "side-band-64k"


class _Moved(GitRefused):
    message = "The repository has moved. Give its new address."


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository and what opens it. Never logged: it holds the token."""

    url: str
    username: str = ""
    token: str = ""

    def headers(self) -> dict[str, str]:
        headers = {"User-Agent": "git/2.43.0 aiassist", "Accept": "*/*"}
        if self.token:
            user = self.username or _usual_username(self.url)
            pair = base64.b64encode(f"{user}:{self.token}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        return headers

    def __repr__(self) -> str:
        return "Remote(…)"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the pack holds."""

    object_id: str  # of the commit, or of the tag that leads to it
    branch: str  # full name of the ref; "" for a commit's id, or one that none keeps


def checked_repository(url: str) -> str:
    """Return the address cleaned. Raises GitUrlRefused.

    The addresses behind its name are checked when the connection is made.
    """
    clean = url.strip().rstrip("/")
    if len(clean) > MAX_URL_CHARS or not clean.isprintable():
        raise GitUrlRefused
    try:
        parts = urlsplit(clean)
        checked_url(clean, trust())
    except (ValueError, AddressRefused):
        raise GitUrlRefused from None
    if parts.scheme != "https" or parts.query or parts.fragment or "?" in clean:
        raise GitUrlRefused
    if len(parts.path) < 2 or ".." in parts.path.split("/"):
        raise GitUrlRefused
    return clean


def is_ref(name: str) -> bool:
    """Tell whether a branch, tag or commit may be called so."""
    return bool(_REF.fullmatch(name)) and ".." not in name and "//" not in name


def trust() -> Trust:
    """Return the code hosts that the operator allows beside the public ones."""
    return Trust(
        frozenset(settings.GIT_IMPORT_ALLOWED_HOSTS), settings.GIT_IMPORT_CA_FILE
    )


async def fetch_pack(
    remote: Remote,
    ref: str,
    into: IO[bytes],
    *,
    max_bytes: int,
    max_blob_bytes: int,
) -> Fetched:
    """Write the pack of one commit's files; files beyond `max_blob_bytes` may lack.

    Raises GitRefused, GitUnavailable, RepositoryTooLarge, EgressError.
    """
    url, refs, capabilities = await _list_refs(remote)
    wanted, branch = _resolve(ref, refs, capabilities)
    request = _request(wanted, capabilities, max_blob_bytes)
    caps = Caps(
        idle_seconds=60.0,
        total_seconds=float(settings.GIT_IMPORT_SECONDS),
        max_bytes=max_bytes + max_bytes // 8 + 1024 * 1024,
    )
    headers = remote.headers() | {
        "Content-Type": "application/x-git-upload-pack-request",
        "Accept": "application/x-git-upload-pack-result",
    }
    written = 0
    try:
        async with open_url(
            "POST",
            f"{url}/git-upload-pack",
            content=request,
            headers=headers,
            caps=caps,
            trust=trust(),
        ) as answer:
            _require_ok(answer, "git-upload-pack-result")
            async with aclosing(_lines(answer)) as lines:
                async for piece in _pack_of(lines):
                    written += len(piece)
                    if written > max_bytes:
                        raise RepositoryTooLarge
                    into.write(piece)
    except AnswerTooLarge:
        raise RepositoryTooLarge from None
    return Fetched(wanted, branch)


async def _list_refs(remote: Remote) -> tuple[str, dict[str, str], set[str]]:
    """Return the address that answered, its refs and what it can do."""
    try:
        return await _refs_at(remote.url, remote)
    except _Moved:
        # Some hosts send from `name` to `name.git`; we go there ourselves.
        return await _refs_at(f"{remote.url}.git", remote)


async def _refs_at(url: str, remote: Remote) -> tuple[str, dict[str, str], set[str]]:
    async with open_url(
        "GET",
        f"{url}/info/refs?service=git-upload-pack",
        headers=remote.headers(),
        caps=Caps(total_seconds=60.0, max_bytes=_MAX_REFS_BYTES),
        trust=trust(),
    ) as answer:
        _require_ok(answer, "git-upload-pack-advertisement")
        refs, capabilities = await _read_refs(answer)
        return url, refs, capabilities


def _require_ok(answer: Answer, kind: str) -> None:
    status = answer.status
    if status in (401, 403):
        raise GitRefused(
            "The git host does not let us in. Is the repository private? Then give a "
            "token that may read it."
        )
    if status in (404, 410):
        raise GitRefused(
            "The git host has no repository there, or hides it without a token."
        )
    if 300 <= status < 400:
        raise _Moved
    if status == 429 or status >= 500:
        raise GitUnavailable(f"The git host answered with {status}. We try again.")
    if status != 200:
        raise GitRefused(f"The git host answered with {status}.")
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip()
    if content_type != f"application/x-{kind}":
        raise GitRefused("There is no git repository at this address.")


async def _read_refs(answer: Answer) -> tuple[dict[str, str], set[str]]:
    refs: dict[str, str] = {}
    capabilities: set[str] = set()
    n_flushes = 0
    async with aclosing(_lines(answer)) as lines:
        async for line in lines:
            if line is None:
                n_flushes += 1
                if n_flushes == 2:
                    break
                continue
            if line.startswith(b"# service="):
                continue
            _raise_if_error(line)
            plain, _, after = line.partition(b"\0")
            if after:
                capabilities = set(after.decode("utf-8", "replace").split())
            object_id, _, name = plain.decode("utf-8", "replace").strip().partition(" ")
            if not _SHA.fullmatch(object_id) or len(refs) >= _MAX_REFS:
                raise GitRefused(
                    "The git host lists its branches in a way we cannot read."
                )
            refs[name] = object_id
    if any(c.startswith("object-format=sha256") for c in capabilities):
        raise GitRefused("Repositories with SHA-256 object names cannot be imported.")
    refs.pop("capabilities^{}", None)
    if not refs:
        raise GitRefused("This repository is empty.")
    return refs, capabilities


def _resolve(ref: str, refs: dict[str, str], capabilities: set[str]) -> tuple[str, str]:
    """Return the object to ask for and the full name of what leads to it."""
    if not ref:
        if "HEAD" not in refs:
            raise GitRefused("This repository has no default branch; name one.")
        targets = [c for c in capabilities if c.startswith("symref=HEAD:")]
        return refs["HEAD"], _kept(targets[0].partition(":")[2] if targets else "")
    for name in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}"):
        if name in refs and name != "HEAD":
            return refs[name], _kept(name)
    if _SHA.fullmatch(ref):
        if ref in refs.values() or capabilities & {
            "allow-tip-sha1-in-want",
            "allow-reachable-sha1-in-want",
            "allow-any-sha1-in-want",
        }:
            return ref, ""
        raise GitRefused("This git host gives out branches and tags only.")
    raise GitRefused(f"The repository has no branch or tag {shown(ref)}.")


def _kept(branch: str) -> str:
    """Return the name if it can be one and is as short as our column."""
    return branch if is_ref(branch) else ""


def _request(wanted: str, capabilities: set[str], max_blob_bytes: int) -> bytes:
    if _BANDS not in capabilities or "shallow" not in capabilities:
        raise GitRefused("This git host is too old: it gives out whole histories only.")
    ours = [_BANDS, "no-progress", "ofs-delta", "agent=aiassist"]
    asked = [c for c in ours if c.partition("=")[0] in _names(capabilities)]
    lines = []
    if "filter" in capabilities:
        asked.append("filter")
    lines.append(f"want {wanted} {' '.join(asked)}\n")
    lines.append("deepen 1\n")
    if "filter" in capabilities:
        lines.append(f"filter blob:limit={max_blob_bytes + 1}\n")
    return b"".join(map(_line, lines)) + b"0000" + _line("done\n")


def _names(capabilities: set[str]) -> set[str]:
    return {capability.partition("=")[0] for capability in capabilities}


def _line(text: str) -> bytes:
    data = text.encode()
    return f"{len(data) + 4:04x}".encode() + data


async def _pack_of(lines: AsyncIterator[bytes | None]) -> AsyncIterator[bytes]:
    """Yield the pack's pieces: band 1 after the shallow lines and the NAK."""
    n_lines = 0
    started = False
    async for line in lines:
        if line is None:
            continue
        if not started:
            n_lines += 1
            if n_lines > _MAX_LINES:
                raise GitUnavailable
            _raise_if_error(line)
            if line.startswith((b"shallow ", b"unshallow ", b"NAK", b"ACK ")):
                continue
            started = True
        band, piece = line[:1], line[1:]
        if band == b"\x01":
            yield piece
        elif band == b"\x03":
            raise GitRefused("The git host broke off.")
        elif band != b"\x02":
            raise GitUnavailable


def _raise_if_error(line: bytes) -> None:
    if line.startswith(b"ERR "):
        raise GitRefused("The git host refused: it has no such commit to give.")


async def _lines(answer: Answer) -> AsyncGenerator[bytes | None, None]:
    """Yield pkt-lines; None is a flush."""
    held = bytearray()
    async for chunk in answer.chunks():
        held += chunk
        position = 0
        while len(held) - position >= 4:
            try:
                length = int(bytes(held[position : position + 4]), 16)
            except ValueError:
                raise GitUnavailable from None
            if length in (1, 2, 3):
                raise GitUnavailable
            if length == 0:
                position += 4
                yield None
                continue
            if len(held) - position < length:
                break
            yield bytes(held[position + 4 : position + length])
            position += length
        del held[:position]
    if held:
        raise GitUnavailable("The git host broke off in the middle. We try again.")


def _usual_username(url: str) -> str:
    host = urlsplit(url).hostname or ""
    if host.endswith("bitbucket.org"):
        return "x-token-auth"
    return "oauth2" if "gitlab" in host else "x-access-token"
