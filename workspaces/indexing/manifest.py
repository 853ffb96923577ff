"""What a job has to do, as of its start: the files to index, the files to drop."""

import json
from dataclasses import asdict, dataclass
from typing import TypeVar

import zstandard
from django.db.models import Exists, Model, OuterRef, QuerySet, Sum
from django.db.models.functions import Coalesce

from workspaces.indexing.generations import INDEX_VERSION
from workspaces.models import IndexedFile, SourceFile, Workspace

R = TypeVar("R", bound=Model)
S = TypeVar("S", bound=Model)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The difference between the workspace's files and its visible generation.

    Its size, and with it a job's cost, follows the change and not the workspace.
    """

    version: str  # of the splitter and the model that the job began with
    salt: str  # part of each point's id
    add: dict[str, str]  # path → sha256, in path order
    drop: dict[str, str]  # path → sha256 as the visible generation shows it
    n_kept: int  # files that stay as they are,
    n_kept_points: int  # and what they have in the index
    n_bytes: int  # of the files to add

    @classmethod
    def of(cls, workspace: Workspace, *, rebuild: bool, generation: int) -> "Manifest":
        """Compare; where nothing can be kept, everything goes and comes anew."""
        files = SourceFile.objects.for_workspace(workspace).searched()
        shown = IndexedFile.objects.visible(workspace)
        new: QuerySet[SourceFile] = files
        gone: QuerySet[IndexedFile] = shown
        salt = f"{INDEX_VERSION}/{generation}"
        if not rebuild and workspace.index_version == INDEX_VERSION:
            new, gone = _not_in(files, shown), _not_in(shown, files)
            salt = INDEX_VERSION
        added = list(new.values_list("path", "sha256", "n_bytes").iterator())
        dropped = list(gone.values_list("path", "sha256", "n_points").iterator())
        return cls(
            version=INDEX_VERSION,
            # A rebuild must not overwrite points that searches still see.
            salt=salt,
            # Sorted here, as databases order by their own collations.
            add={path: sha for path, sha, _ in sorted(added)},
            drop={path: sha for path, sha, _ in dropped},
            n_kept=files.count() - len(added),
            n_kept_points=total(shown, "n_points") - sum(n for *_, n in dropped),
            n_bytes=sum(n for *_, n in added),
        )

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> "Manifest":
        return cls(**json.loads(zstandard.ZstdDecompressor().decompress(packed)))

    def pack(self) -> bytes:
        return zstandard.ZstdCompressor().compress(json.dumps(asdict(self)).encode())

    @property
    def n_files(self) -> int:
        return self.n_kept + len(self.add)


def total(rows: "QuerySet[SourceFile] | QuerySet[IndexedFile]", column: str) -> int:
    """Return a column's sum, 0 where there is no row."""
    summed: int = rows.aggregate(total=Coalesce(Sum(column), 0))["total"]
    return summed


def _not_in(these: "QuerySet[R]", others: "QuerySet[S]") -> "QuerySet[R]":
    """Leave out files that stand with the same content in the other table."""
    same = others.filter(path=OuterRef("path"), sha256=OuterRef("sha256"))
    return these.exclude(Exists(same))
