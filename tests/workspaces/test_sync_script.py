"""The script that users take: a folder in, an index job out; stopped and taken up."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from tests.workspaces.test_paths import REFUSED
from workspaces.content.files import put_file
from workspaces.models import IndexJob, SourceFile, Sync

SCRIPT = Path(__file__).resolve().parents[2] / "static/clients/aiassist_sync.py"
LONG_AFTER = time.time_ns() + 3600 * 10**9


@pytest.fixture
def script():
    return SimpleNamespace(**run_path(str(SCRIPT)))


@pytest.fixture
def folder(tmp_path):
    files = {
        "src/app.py": "x = 1\n",
        'odd "name".py': "y = 2\n",
        "ä ö.py": "z = 3\n",
        ".gitignore": "out/\n",
        ".aiassistignore": "docs/\n!vendor/\n",
        "vendor/ours.py": "ours = 1\n",
        "docs/a.md": "# A\n",
        "out/built.py": "b = 1\n",
        ".env": "KEY=1\n",
        "node_modules/x.js": "1\n",
    }
    for path, text in files.items():
        (tmp_path / "code" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / path).write_text(text)
    (tmp_path / "code/link.py").symlink_to("/etc/passwd")
    return tmp_path / "code"


KEPT = {
    *("src/app.py", 'odd "name".py', "ä ö.py", ".gitignore", ".aiassistignore"),
    "vendor/ours.py",
}


def run(asgi_server, alice, folder, *more, key=""):
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), "--no-wait", *more],
        env={
            "PATH": os.environ["PATH"],
            "AIASSIST_URL": asgi_server,
            "AIASSIST_KEY": key or alice.key,
            "AIASSIST_WORKSPACE": alice.workspace.pk,
            "XDG_CACHE_HOME": str(folder.parent / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def paths(alice):
    rows = SourceFile.objects.for_workspace(alice.workspace)
    return set(rows.values_list("path", flat=True))


@pytest.mark.parametrize("by_git", [False, True])
def test_a_folder_comes_in_without_what_is_ignored(asgi_server, alice, folder, by_git):
    if by_git:
        subprocess.run(["git", "init", "-q", str(folder)], check=True)

    done = run(asgi_server, alice, folder)

    assert done.returncode == 0, done.stderr
    assert paths(alice) == KEPT
    told = json.loads(done.stdout)
    assert IndexJob.objects.get(pk=told["job"]).workspace_id == alice.workspace.pk
    assert "may hold secrets" in done.stderr


def test_it_sends_only_what_changed_and_deletes_what_went(asgi_server, alice, folder):
    run(asgi_server, alice, folder)
    put_file(workspace=alice.workspace, path="old.py", data=b"1\n")
    (folder / "src/app.py").write_text("x = 2\n")

    kept = run(asgi_server, alice, folder, "--keep")
    assert "1 to send" in kept.stderr
    assert "old.py" in paths(alice)
    done = run(asgi_server, alice, folder)

    assert "0 to send, 6 unchanged, 1 to delete" in done.stderr
    assert paths(alice) == KEPT


def test_an_interrupted_sync_goes_on_where_it_was(asgi_server, alice, folder):
    (folder / "big.py").write_text("x = 1\n" * 200_000)  # more than the tier takes
    assert run(asgi_server, alice, folder).returncode == 1
    assert paths(alice) == set(), "nothing before the commit"
    arrived = Sync.objects.get(state="open")
    (folder / "big.py").unlink()

    done = run(asgi_server, alice, folder)

    assert done.returncode == 0, done.stderr
    assert paths(alice) == KEPT
    assert arrived.workspace_id == alice.workspace.pk


ODD_NAMES = {
    b"new\nline.py": None,
    b"bad\xff.py": None,
    b"back\\slash.py": None,
    b"%2e%2e/hidden.py": None,
    b"/".join([b"d" * 200] * 6) + b"/deep.py": None,
    "e\u0301.py".encode(): "\u00e9.py",
    "o\u0308.py".encode(): "\u00f6.py",
    "\u00f6.py".encode(): "\u00f6.py",  # twice in one folder
    b"Case.py": "Case.py",
    b"case.py": "case.py",
}


def test_f2_odd_names_do_not_keep_a_folder_from_being_synced(
    asgi_server, alice, folder
):
    for name in ODD_NAMES:
        place = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"odd = 1\n# " + repr(name).encode())
    os.mkfifo(folder / "pipe.py")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "one-line.py").write_bytes(b"x = 1; " * 20_000)

    done = run(asgi_server, alice, folder)

    assert done.returncode == 0, done.stderr
    kept = {name for name in ODD_NAMES.values() if name}
    assert paths(alice) == KEPT | kept | {"one-line.py"}
    assert done.stderr.count("left out: '") == 6
    assert "new\\nline.py" in done.stderr


@pytest.mark.parametrize("path", [path for path in REFUSED if path])
def test_f2_the_script_sends_no_name_that_would_be_refused(script, path):
    assert not script.sendable(path)


def test_a_preview_sends_nothing(asgi_server, alice, folder):
    done = run(asgi_server, alice, folder, "--preview")

    assert done.returncode == 0, done.stderr
    assert "6 files" in done.stderr
    assert paths(alice) == set()
    assert not Sync.objects.exists()


def test_a_wrong_key_is_told_in_a_sentence(asgi_server, alice, folder):
    done = run(asgi_server, alice, folder, key="aia_wrong")

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_remembered_digest_that_is_wrong_is_found_out(
    asgi_server, alice, folder, script, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    digests = script.Digests(str(folder))
    seen = os.lstat(folder / "src/app.py")
    digests.keep("src/app.py", seen, "0" * 64, LONG_AFTER)
    digests.save()

    done = run(asgi_server, alice, folder)

    assert done.returncode == 0, done.stderr
    assert "once more" in done.stderr
    file = SourceFile.objects.get(workspace=alice.workspace, path="src/app.py")
    assert file.sha256 == sha256(b"x = 1\n").hexdigest()


class Hasher:
    """Hashes a folder as the script does, and tells which files it read for that."""

    def __init__(self, script, folder):
        self.script, self.folder = script, str(folder)
        self.read = []

    def submit(self, work, folder, path):
        self.read.append(path)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work, folder, path)

    def __call__(self, looked_at=LONG_AFTER):
        self.read.clear()
        digests = self.script.Digests(self.folder)
        files = self.script.listed(self.folder)
        manifest = self.script.hashed(self.folder, files, digests, looked_at, self)
        digests.save()
        return manifest


@pytest.fixture
def hasher(script, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("a = 1\n")
    (tmp_path / "code/b.py").write_text("b = 1\n")
    return Hasher(script, tmp_path / "code")


def test_a_file_that_nobody_touched_is_not_read_again(hasher, tmp_path):
    first = hasher()
    assert sorted(hasher.read) == ["a.py", "b.py"]

    assert hasher() == first
    assert hasher.read == []
    (kept,) = (tmp_path / "cache/aiassist").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def rewritten(place):
    place.write_text("a = 2\n")


def replaced(place):
    place.with_name("new").write_text("a = 2\n")
    place.with_name("new").replace(place)


@pytest.mark.parametrize("change", [rewritten, replaced])
def test_a_file_changed_under_its_old_size_and_time_is_read_again(
    hasher, tmp_path, change
):
    place = tmp_path / "code/a.py"
    before = place.stat()
    hasher()

    while place.stat().st_ctime_ns == before.st_ctime_ns:  # the clock has steps
        change(place)
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert hasher()["a.py"] == sha256(b"a = 2\n").hexdigest()
    assert hasher.read == ["a.py"]


def test_a_file_that_changed_just_before_is_not_remembered(hasher, tmp_path):
    changed = (tmp_path / "code/a.py").stat().st_ctime_ns
    hasher(looked_at=changed + 2 * 10**9)

    hasher()

    assert sorted(hasher.read) == ["a.py", "b.py"]


@pytest.mark.parametrize(
    "held", ["", "{", "[]", '{"version": "0", "files": {"a.py": 1}}', "\xff"]
)
def test_a_broken_memory_is_no_memory(hasher, tmp_path, held):
    first = hasher()
    (kept,) = (tmp_path / "cache/aiassist").iterdir()
    kept.write_text(held, encoding="latin-1")

    assert hasher() == first
    assert sorted(hasher.read) == ["a.py", "b.py"]
    assert hasher() == first
    assert hasher.read == []
