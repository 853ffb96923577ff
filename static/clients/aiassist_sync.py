#!/usr/bin/env python3
"""Sync a folder into an aiassist workspace. Needs Python 3.8 and nothing else.

    export AIASSIST_URL=http://127.0.0.1:8000 AIASSIST_KEY=aia_...
    python aiassist_sync.py ~/src/project --workspace workspace_...
    python aiassist_sync.py ~/src/project --create project
    python aiassist_sync.py ~/src/project --workspace workspace_... --preview

Only what changed is sent, compressed and in parallel. What your ignore files and the
service leave out is not sent at all. Stop it at any time and start it again: it goes
on where it was. Files that nobody has touched since the last time are not read again.
"""

import argparse
import concurrent.futures
import gzip
import hashlib
import http.client
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
import unicodedata
import urllib.parse

VERSION = "1"
IGNORE_NAMES = (".gitignore", ".aiassistignore")
# Never worth hashing; the service would leave them out as well.
PRUNED = {
    ".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".tox",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".gradle", ".terraform",
}  # fmt: skip
BATCH_BYTES = 2 * 1024 * 1024
BATCH_FILES = 250
HEAD_CHARS = 8000
LONGEST_TEXT = 2 * 1024 * 1024  # what is longer is not indexed
ROUNDS = 4  # a file may turn out to be no text: then another one's head is asked for
MAX_PATH_BYTES = 1024
DRIVE = re.compile(r"[A-Za-z]:")
BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
SPELLED = {}  # names as they are here, where the service keeps another Unicode form
TRIES = 6
SETTLED_NS = 3 * 10**9  # FAT counts a file's time in steps of two seconds


class Failed(Exception):
    """Told to the user as it is."""


class Refused(Failed):
    def __init__(self, status, problem):
        super().__init__(problem.get("detail") or "The service answered %d." % status)
        self.status = status
        self.code = problem.get("code", "")
        self.problem = problem


class Service:
    """Calls the API; every thread keeps one connection."""

    def __init__(self, url, key):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failed("--url must be an http:// or https:// address.")
        self._parts = parts
        self._key = key
        self._local = threading.local()

    def call(self, method, path, body=None, content_type="application/json"):
        """Return the parsed answer; try again what may pass."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        packed = gzip.compress(body, 5) if body is not None else None
        pause = 0.5
        for attempt in range(1, TRIES + 1):
            try:
                status, headers, data = self._once(method, path, packed, content_type)
            except (OSError, http.client.HTTPException) as error:
                self._close()
                if attempt == TRIES:
                    raise Failed(f"Cannot reach the service: {error}") from error
                time.sleep(pause)
                pause *= 2
                continue
            if status < 300:
                return json.loads(data) if data else None
            try:
                problem = json.loads(data)
            except ValueError:
                problem = {}
            if status in (429, 502, 503, 504) and attempt < TRIES:
                wait = headers.get("Retry-After", "")
                time.sleep(min(float(wait), 60) if wait.isdigit() else pause)
                pause *= 2
                continue
            raise Refused(status, problem)

    def _once(self, method, path, packed, content_type):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = (
                http.client.HTTPSConnection
                if self._parts.scheme == "https"
                else http.client.HTTPConnection
            )
            connection = kind(self._parts.hostname, self._parts.port, timeout=120)
            self._local.connection = connection
        headers = {
            "Authorization": "Bearer " + self._key,
            "Accept": "application/json",
            "User-Agent": "aiassist-sync/" + VERSION,
        }
        if packed is not None:
            headers["Content-Type"] = content_type
            headers["Content-Encoding"] = "gzip"
        connection.request(
            method, self._parts.path.rstrip("/") + "/api/v1" + path, packed, headers
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def _close(self):
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def listed(folder):
    """Return the folder's files: relative paths with '/', and each one's `stat`."""
    found = listed_by_git(folder)
    if found is None:
        found = listed_by_walking(folder)
    files = {}
    for spelled in sorted(found):
        path = unicodedata.normalize("NFC", spelled)
        if path in files or not sendable(path):
            say("left out: %a (a name that is not allowed, or there twice)" % spelled)
            continue
        if path != spelled:
            SPELLED[path] = spelled
        files[path] = found[spelled]
    return files


def place(folder, path):
    return os.path.join(folder, SPELLED.get(path, path))


def listed_by_walking(folder):
    found = {}
    waiting = [""]
    while waiting:
        place = waiting.pop()
        try:
            names = os.listdir(os.path.join(folder, place))
        except OSError:
            continue
        for name in names:
            if add_file(found, folder, place + name) and name not in PRUNED:
                waiting.append(place + name + "/")
    return found


def listed_by_git(folder):
    """Return what git tracks or would track; None outside of a work tree."""
    try:
        asked = subprocess.run(
            ["git", "-C", folder, "ls-files", "-z", "-co", "--exclude-standard"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    if asked.returncode:
        return None
    found = {}
    for raw in asked.stdout.split(b"\0"):
        if raw:
            add_file(found, folder, os.fsdecode(raw))
    return found


def add_file(found, folder, path):
    """Note a file, but no link; return whether it is a folder instead."""
    try:
        # Not what the folder says of it: Windows brings that up to date later.
        seen = os.lstat(os.path.join(folder, path))
    except OSError:
        return False
    if stat.S_ISREG(seen.st_mode):
        found[path] = seen
    return stat.S_ISDIR(seen.st_mode)


def sendable(path):
    """Tell whether the service takes this name; one that it does not stops a sync."""
    if not (path.isascii() and path.isprintable()):
        if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in path):
            return False
        if BIDI_CONTROLS.intersection(path):
            return False
    if len(path.encode()) > MAX_PATH_BYTES:
        return False
    seen = path
    for _ in range(4):  # as written, and what three layers of percent signs hide
        if "\\" in seen or "\0" in seen or DRIVE.match(seen):
            return False
        parts = seen.split("/")
        if len(parts) > path.count("/") + 1 or {"", ".", ".."}.intersection(parts):
            return False
        if "%" not in seen:
            break
        seen = urllib.parse.unquote(seen)
    return True


def read(folder, path):
    with open(place(folder, path), "rb") as file:
        return file.read()


def digest(folder, path):
    found = hashlib.sha256()
    with open(place(folder, path), "rb") as file:
        for piece in iter(lambda: file.read(1024 * 1024), b""):
            found.update(piece)
    return found.hexdigest()


class Digests:
    """The SHA-256 of files that nobody has touched since they were read, on disk.

    What changes twice within a step of the clock looks the same afterwards. So, as in
    git's index, a file counts only when its times were well past as it was looked at.
    """

    def __init__(self, folder):
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32] + ".json"
        self._place = os.path.join(cache_folder(), name)
        self._known = self._read()
        self._kept = {}

    def _read(self):
        try:
            with open(self._place, encoding="ascii") as file:
                held = json.load(file)
        except (OSError, ValueError):
            return {}
        if not isinstance(held, dict) or held.get("version") != VERSION:
            return {}
        return held.get("files", {})

    def get(self, path, seen):
        """Return the digest of a file that is as it was, else None."""
        held = self._known.get(path)
        if held is None or held[:-1] != signature(seen):
            return None
        self._kept[path] = held
        return held[-1]

    def keep(self, path, seen, found, looked_at):
        """Keep a digest; the file was read after it was looked at."""
        if max(seen.st_mtime_ns, seen.st_ctime_ns) + SETTLED_NS < looked_at:
            self._kept[path] = [*signature(seen), found]

    def forget(self):
        self._known, self._kept = {}, {}

    def save(self):
        """Write what is known now; without it the next time only takes longer."""
        if self._kept == self._known or not os.path.isabs(self._place):
            return
        draft = "%s.%d" % (self._place, os.getpid())
        try:
            os.makedirs(os.path.dirname(self._place), mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open(os.open(draft, flags, 0o600), "w", encoding="ascii") as file:
                file.write(json.dumps({"version": VERSION, "files": self._kept}))
            os.replace(draft, self._place)
        except OSError:
            return


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or ""
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "aiassist")


def signature(seen):
    return [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]


def hashed(folder, files, digests, looked_at, pool):
    """Return path: SHA-256; what cannot be read is told and left out."""
    manifest = {path: digests.get(path, seen) for path, seen in files.items()}
    futures = {
        path: pool.submit(digest, folder, path)
        for path, known in manifest.items()
        if known is None
    }
    for path, future in futures.items():
        try:
            manifest[path] = future.result()
            digests.keep(path, files[path], manifest[path], looked_at)
        except OSError as error:
            del manifest[path]
            say(f"left out: {path} ({error.strerror})")
    return manifest


def ignore_texts(folder, paths):
    texts = {}
    for path in paths:
        if path.rpartition("/")[2] in IGNORE_NAMES:
            try:
                texts[path] = read(folder, path)[:200000].decode("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
    return texts


def batches(folder, paths):
    """Cut the paths into groups that make requests of a good size."""
    batch, held = [], 0
    for path in paths:
        try:
            size = os.path.getsize(place(folder, path))
        except OSError:
            size = 0
        if batch and (held + size > BATCH_BYTES or len(batch) >= BATCH_FILES):
            yield batch
            batch, held = [], 0
        batch.append(path)
        held += size
    if batch:
        yield batch


def multipart(folder, paths):
    boundary = "aiassist" + os.urandom(12).hex()
    pieces = []
    for path in paths:
        name = path.replace('"', "%22")
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{name}"; filename="f"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        pieces += [head.encode(), read(folder, path), b"\r\n"]
    pieces.append((f"--{boundary}--\r\n").encode())
    return b"".join(pieces), "multipart/form-data; boundary=" + boundary


def upload(service, address, sync_id, folder, paths):
    """Send one batch; a name that a form cannot carry goes alone."""
    plain = [path for path in paths if '"' not in path and path.isprintable()]
    if plain:
        body, content_type = multipart(folder, plain)
        service.call("POST", f"{address}/sync/{sync_id}/files", body, content_type)
    for path in set(paths) - set(plain):
        service.call(
            "PUT",
            f"{address}/files/{urllib.parse.quote(path)}",
            read(folder, path),
            "application/octet-stream",
        )
    return len(paths)


def sync(service, workspace, folder, delete_missing, digests, pool):
    """Bring the workspace up to the folder; return the index job."""
    address = "/workspaces/" + workspace
    for _ in range(3):
        looked_at = time.time_ns()
        manifest = hashed(folder, listed(folder), digests, looked_at, pool)
        plan = service.call(
            "POST",
            address + "/sync",
            {
                "files": manifest,
                "delete_missing": delete_missing,
                "ignore_files": ignore_texts(folder, manifest),
            },
        )
        say(
            "%d files: %d to send, %d unchanged, %d to delete, %d left out"
            % (
                len(manifest),
                len(plan["missing"]),
                plan["unchanged"],
                plan["deleted"],
                plan["n_skipped"],
            )
        )
        tell_skipped(plan)
        try:
            job = send_and_commit(service, address, plan, folder, pool)
            digests.save()
            return job
        except (Refused, FileNotFoundError) as error:
            if isinstance(error, Refused) and error.code not in (
                "content_mismatch",
                "sync_closed",
            ):
                raise
            say("files changed meanwhile; once more")
            digests.forget()
    raise Failed("The folder keeps changing. Try again when it rests.")


def send_and_commit(service, address, plan, folder, pool):
    one = f"{address}/sync/{plan['sync_id']}"
    missing = plan["missing"]
    for _ in range(3):
        send(service, address, plan["sync_id"], folder, missing, pool)
        try:
            return service.call("POST", one + "/commit")
        except Refused as error:
            if error.code != "incomplete_sync":
                raise
        # An ignore file that has come meanwhile asks for more.
        missing = service.call("GET", one)["missing"]
    raise Failed("The service keeps asking for more. Try again.")


def send(service, address, sync_id, folder, missing, pool):
    sent = 0
    futures = [
        pool.submit(upload, service, address, sync_id, folder, batch)
        for batch in batches(folder, missing)
    ]
    try:
        for future in concurrent.futures.as_completed(futures):
            sent += future.result()
            progress(f"sent {sent} of {len(missing)}")
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def wait(service, workspace, job):
    """Follow the job to its end; return whether it went well."""
    address = "/workspaces/{}/jobs/{}".format(workspace, job["id"])
    while job["state"] in ("queued", "running"):
        progress("indexing: %d of %d files" % (job["files_done"], job["files_total"]))
        time.sleep(0.5)
        job = service.call("GET", address)
    say(
        "%s: %d files, %d chunks%s"
        % (
            job["state"],
            job["files_done"],
            job["chunks"],
            ". " + job["error"] if job["error"] else "",
        )
    )
    return job["state"] == "succeeded"


def preview(service, workspace, folder):
    """Show what a sync would do; nothing is sent but names, sizes and some heads."""
    files = {path: {"size": seen.st_size} for path, seen in listed(folder).items()}
    body = {"files": files, "ignore_files": ignore_texts(folder, files)}
    for _ in range(ROUNDS):
        found = service.call("POST", f"/workspaces/{workspace}/preview", body)
        wanted = [path for path in found["heads_wanted"] if path in files]
        if not wanted:
            break
        for path in wanted:
            files[path].update(beginning(folder, path))
    estimate, fit = found["estimate"], found["fit"]
    say("%d files, %d bytes" % (found["files"], found["bytes"]))
    for language, share in sorted(
        found["languages"].items(), key=lambda item: -item[1]["chunks"]
    ):
        say(
            "  %-14s %6d files %8d chunks" % (language, share["files"], share["chunks"])
        )
    tell_skipped(found)
    say(
        "about %d chunks, %d of them new, in about %.0f s"
        % (estimate["chunks"], estimate["new_chunks"], estimate["seconds"])
    )
    for broken in fit["breaks"]:
        say("does not fit: " + broken["detail"])
    return bool(fit["fits"])


def beginning(folder, path):
    """What the service counts chunks by: of no text as much as shows that."""
    if is_private(path):  # the service does not ask for these
        return {"head": ""}
    try:
        with open(place(folder, path), "rb") as file:
            data = file.read(LONGEST_TEXT)
    except OSError:
        return {"head": ""}
    head = data[:HEAD_CHARS]
    if b"\0" in head:
        return {"head": head[: head.index(b"\0") + 1].decode("utf-8", "ignore")}
    lines = data.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    longest = max(map(len, lines))
    return {"head": head.decode("utf-8", "ignore"), "longest_line": longest}


def is_private(path):
    name = path.rpartition("/")[2].lower()
    return name.startswith((".env", "id_")) or name.endswith((".pem", ".key", ".env"))


def tell_skipped(answer):
    for reason in answer["skipped_reasons"][:10]:
        say("  left out: %6d  %s" % (reason["count"], reason["reason"]))


def say(text):
    sys.stderr.write(("\r\x1b[K" if sys.stderr.isatty() else "") + text + "\n")


def progress(text):
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()


def arguments(argv):
    parser = argparse.ArgumentParser(
        description="Sync a folder into an aiassist workspace."
    )
    parser.add_argument("folder")
    parser.add_argument("--url", default=os.environ.get("AIASSIST_URL", ""))
    parser.add_argument("--workspace", default=os.environ.get("AIASSIST_WORKSPACE", ""))
    parser.add_argument("--create", metavar="NAME", help="make a new workspace first")
    parser.add_argument("--preview", action="store_true", help="only say what would be")
    parser.add_argument("--keep", action="store_true", help="delete nothing there")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait for the index"
    )
    parser.add_argument(
        "--rehash", action="store_true", help="read files that seem untouched, too"
    )
    parser.add_argument("--jobs", type=int, default=4, help="parallel uploads")
    return parser.parse_args(argv)


def main(argv=None):
    options = arguments(argv)
    # Not an argument: other users of the machine could read it.
    key = os.environ.get("AIASSIST_KEY", "")
    try:
        if not key or not options.url:
            raise Failed("Set AIASSIST_KEY, and AIASSIST_URL or --url.")
        folder = os.path.abspath(options.folder)
        if not os.path.isdir(folder):
            raise Failed(f"There is no folder {folder}.")
        service = Service(options.url, key)
        workspace = options.workspace
        if options.create:
            workspace = service.call("POST", "/workspaces", {"name": options.create})[
                "id"
            ]
            say("created " + workspace)
        if not workspace:
            raise Failed("Name the workspace: --workspace ID or --create NAME.")
        if options.preview:
            return 0 if preview(service, workspace, folder) else 1
        digests = Digests(folder)
        if options.rehash:
            digests.forget()
        with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
            job = sync(service, workspace, folder, not options.keep, digests, pool)
        sys.stdout.write(json.dumps({"workspace": workspace, "job": job["id"]}) + "\n")
        sys.stdout.flush()
        if options.no_wait:
            return 0
        return 0 if wait(service, workspace, job) else 1
    except Failed as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("stopped; start it again to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main())
