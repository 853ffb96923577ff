"""What the tests of git imports share: a small repository, and its import."""

from workspaces.git.importing import run_import
from workspaces.git.sources import ask_import
from workspaces.models import SourceFile

FILES = {
    "src/app.py": b"def main():\n    return 1\n",
    ".gitignore": b"src/app.py\n",
    ".aiassistignore": b"docs/\n",
    "docs/a.md": b"# A\n",
    ".env": b"KEY=1\n",
    "big.lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
}


def paths(workspace):
    rows = SourceFile.objects.for_workspace(workspace)
    return set(rows.values_list("path", flat=True))


def imported(alice, host, name="code", **more):
    job = ask_import(workspace=alice.workspace, url=f"{host.url}/{name}.git", **more)
    run_import(alice.workspace.pk)
    job.refresh_from_db()
    return job
