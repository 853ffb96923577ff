"""What would come of an upload: told from a manifest, nothing stored or embedded.

Chunks are estimated from bytes. How many bytes a chunk takes is measured on the heads
of files that the client sends, cut by the real splitter; without heads, averages of
known repositories must do. So the answer names the files whose heads would settle it.
The time is that of this server's last index jobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from zlib import crc32

from billing.models import Tier
from billing.tiers.selectors import tier_of, tiers_by_rank
from workspaces.content.paths import normalise
from workspaces.content.storage import charged_bytes, megabytes
from workspaces.content.texts import (
    MAX_LINE_CHARS,
    MAX_TEXT_BYTES,
    TOO_LARGE,
    NotIndexable,
    indexable_text,
    objection,
    too_long_a_line,
)
from workspaces.errors import PathRefused
from workspaces.ignoring.filters import GENERATED
from workspaces.ignoring.leaving_out import rules_of, stored_ignore_files
from workspaces.ignoring.rules import Rules, Verdict, is_ignore_file
from workspaces.ignoring.skips import Skips
from workspaces.indexing.languages import is_binary, language_of
from workspaces.indexing.splitting import split
from workspaces.jobs.pace import BYTES_PER_CHUNK as OTHER_BYTES_PER_CHUNK
from workspaces.jobs.pace import measured_pace
from workspaces.models import (
    LeftOutFile,
    SourceFile,
    UserStorage,
    Workspace,
)
from workspaces.receiving.archives import reason_of, too_long, visible

MAX_HEAD_CHARS = 64 * 1024  # of one file
MAX_CUT_BYTES = 3 * 512 * 1024  # of all heads that are cut to measure
# Whose heads settle the estimate: those that weigh most, and others as they come.
LARGEST, OTHERS = 40, 120
ENOUGH_BYTES = 32 * 1024  # of one language: then its own measure is believed alone
# Bytes a chunk, used where no head was sent: geometric means over 24 repositories (each
# counts by the root of its chunks), given in docs/developer/indexing-performance.md.
BYTES_PER_CHUNK = {
    "bash": 430,
    "c": 390,
    "c_sharp": 450,
    "cpp": 380,
    "css": 260,
    "csv": 300,
    "go": 370,
    "html": 430,
    "java": 410,
    "javascript": 360,
    "json": 340,
    "kotlin": 590,
    "markdown": 430,
    "php": 410,
    "python": 420,
    "restructuredtext": 590,
    "ruby": 410,
    "rust": 380,
    "scss": 510,
    "text": 430,
    "toml": 250,
    "tsx": 370,
    "typescript": 360,
    "xml": 520,
    "yaml": 380,
}
# How much a file's head tells of its rest, beside what others of its language tell.
_LIKE_ITS_HEAD = 0.5
_START_SECONDS = 1.0  # accepting, planning and switching


@dataclass(frozen=True, slots=True)
class NamedFile:
    """What a client tells about one file."""

    size: int
    sha256: str = ""
    head: str | None = None  # its first characters; None: not sent
    longest_line: int = 0  # characters; 0: unknown


@dataclass(slots=True)
class LanguageShare:
    """One language's part of what would be indexed."""

    files: int = 0
    bytes: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Break:
    """A limit of the tier that this would break."""

    policy: str
    limit: int
    needed: int
    detail: str
    tier: str  # the smallest tier that takes it; "": none does


@dataclass(slots=True)
class Preview:
    """What an upload of these files would do."""

    files: int = 0
    bytes: int = 0
    unchanged: int = 0  # files that are indexed as they are
    chunks: int = 0
    new_chunks: int = 0  # those that must be embedded
    seconds: float = 0.0
    chunks_per_second: float = 0.0
    is_measured: bool = False  # False: nothing was indexed here yet
    heads_wanted: list[str] = field(default_factory=list)  # paths; none: settled
    languages: dict[str, LanguageShare] = field(default_factory=dict)
    skips: Skips = field(
        default_factory=lambda: Skips(limit=LeftOutFile.MAX_PER_WORKSPACE)
    )
    tier: str = ""
    breaks: list[Break] = field(default_factory=list)
    takes: str = ""  # the smallest tier that takes all of it; "": none does


def preview(
    *,
    workspace: Workspace,
    files: Mapping[str, NamedFile],
    ignore_files: Mapping[str, str] | None = None,
) -> Preview:
    """Say what a sync of exactly these files would do."""
    tier = tier_of(workspace.user)
    found = Preview(tier=tier.code)
    sent = dict(ignore_files or {})
    sent |= {
        path: file.head
        for path, file in files.items()
        if file.head is not None and is_ignore_file(path)
    }
    rules = rules_of(workspace, stored_ignore_files(workspace) | sent)
    stored, kept = _judge(files, rules, found)
    _judge_limits(workspace, stored, tier, found)
    _estimate(workspace, kept, found)
    found.heads_wanted = _heads_wanted(kept)
    return found


def _judge(
    files: Mapping[str, NamedFile], rules: Rules, found: Preview
) -> tuple[dict[str, NamedFile], dict[str, NamedFile]]:
    """Return what would be stored, and what of it would be indexed."""
    stored: dict[str, NamedFile] = {}
    kept: dict[str, NamedFile] = {}
    for raw, file in files.items():
        try:
            path = normalise(raw)
        except PathRefused as error:
            found.skips.add(visible(raw), reason_of(error))
            continue
        verdict = rules.verdict(path)
        reason = verdict.reason
        if not reason and path in stored:
            reason = "is named twice once Unicode is normalised"
        if not reason:
            stored[path] = file
            reason = _objection(file, verdict)
        if reason:
            found.skips.add(path, reason)
        else:
            kept[path] = file
    return stored, kept


def _objection(file: NamedFile, verdict: Verdict) -> str:
    if file.size > MAX_TEXT_BYTES:
        return TOO_LARGE
    if file.longest_line > MAX_LINE_CHARS:
        return too_long_a_line(file.longest_line)
    if file.head is None:
        return ""
    head = file.head.encode("utf-8", "surrogateescape")
    if is_binary(head):
        return "is binary"
    reason = objection(head)
    return "" if reason == GENERATED and verdict.named else reason


def _judge_limits(
    workspace: Workspace, stored: Mapping[str, NamedFile], tier: Tier, found: Preview
) -> None:
    by_content = {file.sha256 or path: file.size for path, file in stored.items()}
    storage = UserStorage.objects.filter(user=workspace.user).first()
    elsewhere = (storage.n_bytes if storage else 0) - charged_bytes(workspace)
    needs = {
        "files": len(stored),
        "file_bytes": max((file.size for file in stored.values()), default=0),
        "storage_bytes": elsewhere + sum(by_content.values()),
    }
    tiers = tiers_by_rank()
    for policy, needed in needs.items():
        limit = _limit(tier, policy)
        if needed > limit:
            taker = next((t for t in tiers if _limit(t, policy) >= needed), None)
            code = taker.code if taker else ""
            found.breaks.append(
                Break(policy, limit, needed, _sentence(policy, needed, tier), code)
            )
    taker = next(
        (t for t in tiers if all(n <= _limit(t, p) for p, n in needs.items())), None
    )
    found.takes = taker.code if taker else ""


def _limit(tier: Tier, policy: str) -> int:
    return {
        "files": tier.max_files_per_workspace,
        "file_bytes": tier.max_file_bytes,
        "storage_bytes": tier.max_storage_bytes,
    }[policy]


def _sentence(policy: str, needed: int, tier: Tier) -> str:
    if policy == "files":
        return (
            f"These are {needed:,} files; the tier '{tier.code}' holds "
            f"{tier.max_files_per_workspace:,} in a workspace."
        )
    if policy == "file_bytes":
        return f"The largest file has {megabytes(needed)}: it {too_long(tier)}."
    return (
        f"With what you store elsewhere this makes {megabytes(needed)}; the tier "
        f"'{tier.code}' stores {megabytes(tier.max_storage_bytes)}."
    )


def _estimate(
    workspace: Workspace, kept: Mapping[str, NamedFile], found: Preview
) -> None:
    languages = {
        path: language_of(path, file.head.encode() if file.head is not None else None)
        for path, file in kept.items()
    }
    cut = _cut_heads(kept)
    density = _density(kept, languages, cut)
    indexed = set(
        SourceFile.objects.for_workspace(workspace)
        .searched()
        .values_list("path", "sha256")
    )
    found.files = len(kept)
    found.bytes = sum(file.size for file in kept.values())
    chunks = new_chunks = 0.0
    totals: dict[str, float] = {}
    for path, file in kept.items():
        language = languages[path]
        share = found.languages.setdefault(language, LanguageShare())
        share.files += 1
        share.bytes += file.size
        n_chunks = _chunks_of(file, cut.get(path), density.get(language))
        totals[language] = totals.get(language, 0.0) + n_chunks
        chunks += n_chunks
        if (path, file.sha256) in indexed:
            found.unchanged += 1
        else:
            new_chunks += n_chunks
    for language, share in found.languages.items():
        share.chunks = round(totals[language])
    found.chunks, found.new_chunks = round(chunks), round(new_chunks)
    pace = measured_pace()
    found.chunks_per_second = round(pace.chunks_per_second, 1)
    found.is_measured = pace.is_measured
    seconds = _START_SECONDS + pace.seconds_to_embed(new_chunks)
    if not workspace.generation:
        seconds += pace.seconds_to_read(found.bytes)
    found.seconds = round(seconds, 1)


def _cut_heads(kept: Mapping[str, NamedFile]) -> dict[str, tuple[int, int]]:
    """Cut heads as the indexer would; return the bytes cut and the chunks of each."""
    with_head = sorted(
        (path for path, file in kept.items() if file.head),
        key=_spread,
    )
    cut: dict[str, tuple[int, int]] = {}
    left = MAX_CUT_BYTES
    for path in with_head:
        head = kept[path].head or ""
        data = head.encode("utf-8", "surrogateescape")[: kept[path].size]
        if len(data) > left:
            continue
        try:
            n_chunks = len(split(path, indexable_text(data)))
        except NotIndexable:
            continue
        left -= len(data)
        cut[path] = len(data), n_chunks
    return cut


def _heads_wanted(kept: Mapping[str, NamedFile]) -> list[str]:
    """Name the files whose heads would settle the estimate and are not known."""
    texts = [path for path, file in kept.items() if file.size]
    largest = nlargest(LARGEST, texts, key=lambda path: (kept[path].size, path))
    others = nsmallest(OTHERS, texts, key=_spread)
    chosen = dict.fromkeys(largest + others)
    return [path for path in chosen if kept[path].head is None]


def _spread(path: str) -> tuple[int, str]:
    """Order files in a way that no folder weighs more by its name."""
    return crc32(path.encode()), path


def _density(
    kept: Mapping[str, NamedFile],
    languages: Mapping[str, str],
    cut: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """Return each language's chunks a byte: measured, mixed with the average."""
    measured: dict[str, list[int]] = {}
    for path, (n_bytes, n_chunks) in cut.items():
        sums = measured.setdefault(languages[path], [0, 0])
        sums[0] += n_bytes
        sums[1] += n_chunks
    density: dict[str, float] = {}
    for language in set(languages.values()):
        average = 1 / BYTES_PER_CHUNK.get(language, OTHER_BYTES_PER_CHUNK)
        n_bytes, n_chunks = measured.get(language, [0, 0])
        trust = min(1.0, n_bytes / ENOUGH_BYTES)
        own = n_chunks / n_bytes if n_bytes else average
        density[language] = trust * own + (1 - trust) * average
    return density


def _chunks_of(
    file: NamedFile, cut: tuple[int, int] | None, density: float | None
) -> float:
    if not file.size:
        return 0.0
    usual = density or 1 / OTHER_BYTES_PER_CHUNK
    if cut is None:
        return max(1.0, file.size * usual)
    n_bytes, n_chunks = cut
    own = n_chunks / n_bytes
    rest = _LIKE_ITS_HEAD * own + (1 - _LIKE_ITS_HEAD) * usual
    return n_chunks + (file.size - n_bytes) * rest
