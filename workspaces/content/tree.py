"""A workspace's files as folders, one level at a time."""

from collections import defaultdict
from dataclasses import dataclass

from workspaces.models import SourceFile, Workspace


@dataclass(frozen=True, slots=True)
class Child:
    """A file, or a folder with what it holds in all."""

    name: str
    path: str
    is_folder: bool
    n_files: int = 1
    n_bytes: int = 0
    language: str = ""
    skipped: str = ""  # why it is not indexed; "": it is


def children_of(workspace: Workspace, folder: str) -> list[Child]:
    """Return folders, then files, of a folder; [] when there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    rows = (
        SourceFile.objects.for_workspace(workspace)
        .filter(path__startswith=prefix)
        .order_by("path")
        .values_list("path", "n_bytes", "language", "skipped")
    )
    files: list[Child] = []
    folders: defaultdict[str, list[int]] = defaultdict(list)
    for path, n_bytes, language, skipped in rows.iterator():
        name, slash, _ = path[len(prefix) :].partition("/")
        if slash:
            folders[name].append(n_bytes)
        else:
            files.append(
                Child(
                    name,
                    path,
                    is_folder=False,
                    n_bytes=n_bytes,
                    language=language,
                    skipped=skipped,
                )
            )
    found = [
        Child(name, f"{prefix}{name}", True, n_files=len(held), n_bytes=sum(held))
        for name, held in sorted(folders.items())
    ]
    return found + files
