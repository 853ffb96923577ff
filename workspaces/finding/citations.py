"""Are cited lines still what they were? Asked before a citation is shown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256 as sha256_of
from typing import Protocol

from workspaces.content.storage import in_batches, unpack
from workspaces.content.texts import NotIndexable, text_of
from workspaces.finding.search import Hit
from workspaces.models import Blob, SourceFile, Workspace


class Cited(Protocol):
    """What a search hit or a stored citation tells."""

    @property
    def path(self) -> str: ...
    @property
    def start_line(self) -> int: ...
    @property
    def end_line(self) -> int: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class LineCheck:
    """What became of cited lines.

    `changed`: they are not what was cited, at the place that was cited. Then
    `moved_to` says where the same lines stand now, None where they do not.
    """

    exists: bool  # the file is still there
    changed: bool
    moved_to: tuple[int, int] | None = None  # first and last line, 1-based


_SAME = LineCheck(exists=True, changed=False)
_GONE = LineCheck(exists=False, changed=True)


def check_lines(
    *, workspace: Workspace, path: str, start: int, end: int, sha256: str
) -> LineCheck:
    """Compare the lines `start` to `end` of the content `sha256` with what is there."""
    return check_citations(
        workspace=workspace, citations=[_Lines(path, start, end, sha256)]
    )[0]


def check_citations(
    *, workspace: Workspace, citations: Sequence[Cited]
) -> list[LineCheck]:
    """Return one check for each citation, in their order.

    Costs one query while nothing has changed. Where the old content is gone, other
    bytes in the file count as changed lines.
    """
    present = _present(workspace, {cited.path for cited in citations})
    return _checked(workspace, citations, present)


def _checked(
    workspace: Workspace, citations: Sequence[Cited], present: Mapping[str, str]
) -> list[LineCheck]:
    stale = {
        sha
        for cited in citations
        if present.get(cited.path, cited.sha256) != cited.sha256
        for sha in (cited.sha256, present[cited.path])
    }
    texts = _texts(workspace, stale)
    return [_check(cited, present.get(cited.path), texts) for cited in citations]


def as_they_stand(hits: Sequence[Hit], workspaces: Sequence[Workspace]) -> list[Hit]:
    """Return the hits as their files are now, in their order, to be cited.

    An index may be older than the files. Lines that moved are told at their new place,
    lines that are no more are marked as changed, those of deleted files are left out.
    """
    by_workspace: defaultdict[str, list[Hit]] = defaultdict(list)
    for hit in hits:
        by_workspace[hit.workspace_id].append(hit)
    now: dict[Hit, Hit | None] = {}
    for workspace in workspaces:
        cited = by_workspace.get(workspace.pk, [])
        if not cited:
            continue
        present = _present(workspace, {hit.path for hit in cited})
        checks = _checked(workspace, cited, present)
        for hit, check in zip(cited, checks, strict=True):
            now[hit] = _as_it_stands(hit, check, present.get(hit.path))
    return [fresh for hit in hits if (fresh := now.get(hit)) is not None]


def _as_it_stands(hit: Hit, check: LineCheck, sha256: str | None) -> Hit | None:
    if not check.exists or sha256 is None:
        return None
    if not check.changed:
        return replace(hit, sha256=sha256)
    if check.moved_to is None:
        return replace(hit, changed=True)
    start, end = check.moved_to
    return replace(hit, start_line=start, end_line=end, sha256=sha256)


def _check(cited: Cited, present: str | None, texts: dict[str, list[str]]) -> LineCheck:
    if present is None:
        return _GONE
    if present == cited.sha256:
        return _SAME
    before, after = texts.get(cited.sha256), texts.get(present)
    if before is None or after is None:
        return LineCheck(exists=True, changed=True)
    start = max(1, cited.start_line)
    lines = before[start - 1 : cited.end_line]
    if lines and after[start - 1 : start - 1 + len(lines)] == lines:
        return _SAME
    place = _find(lines, after)
    moved_to = (place + 1, place + len(lines)) if place is not None else None
    return LineCheck(exists=True, changed=True, moved_to=moved_to)


def _find(lines: list[str], text: list[str]) -> int | None:
    """Return where the lines stand, None for nowhere, twice or lines of no weight."""
    if not any(line.strip() for line in lines):
        return None
    found = None
    for place in range(len(text) - len(lines) + 1):
        if text[place] == lines[0] and text[place : place + len(lines)] == lines:
            if found is not None:
                return None
            found = place
    return found


def _present(workspace: Workspace, paths: set[str]) -> dict[str, str]:
    rows = SourceFile.objects.for_workspace(workspace)
    found: dict[str, str] = {}
    for some in in_batches(sorted(paths)):
        found.update(rows.filter(path__in=some).values_list("path", "sha256"))
    return found


def _texts(workspace: Workspace, shas: set[str]) -> dict[str, list[str]]:
    """Return the lines of those contents that are still there, retired ones too."""
    found: dict[str, list[str]] = {}
    blobs = Blob.objects.for_workspace(workspace)
    for some in in_batches(sorted(shas)):
        for blob in blobs.filter(sha256__in=some):
            data = unpack(blob.content, blob.n_bytes)
            if sha256_of(data).hexdigest() != blob.sha256:
                continue
            try:
                found[blob.sha256] = text_of(data).split("\n")
            except NotIndexable:
                continue
    return found


@dataclass(frozen=True, slots=True)
class _Lines:
    path: str
    start_line: int
    end_line: int
    sha256: str
