"""The script that users take: a folder in, an index job out; stopped and taken up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workspaces.files import put_file
from workspaces.models import IndexJob, SourceFile, Sync

SCRIPT = Path(__file__).resolve().parents[2] / "static/clients/aiassist_sync.py"


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
