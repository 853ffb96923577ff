"""The repositories that are searched, each at one commit, read from a git folder.

A folder given by `--repositories` holds one git repository each, `<owner>+<name>` (a
checkout, a bare one, or one below it in `repo`). What is missing is cloned from
GitHub into the cache, once.
"""

import subprocess
import tarfile
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

from workspaces.content.texts import NotIndexable, indexable_text
from workspaces.ignoring.filters import hard_refusal, soft_refusal
from workspaces.indexing.languages import language_of

# Data and prose of such size are no code; they would only take time to embed.
_MOST_DATA_BYTES = 100_000
_DATA = frozenset({"csv", "json", "text", "xml"})


@dataclass(frozen=True)
class Repository:
    """One repository at one commit, in one half of the benchmark."""

    name: str  # owner/name on GitHub
    commit: str
    language: str
    half: str  # "development" or "test"

    @property
    def key(self) -> str:
        return self.name.replace("/", "+")


# Half by repository, not by query: what is tuned on four is judged on four others.
REPOSITORIES = (
    Repository(
        "pallets/flask",
        "2ac89889f4cc330eabd50f295dcef02828522c69",
        "python",
        "development",
    ),
    Repository(
        "gin-gonic/gin",
        "dcaa4296d111981ffb31ac3eba90bb63e1eb5ab9",
        "go",
        "development",
    ),
    Repository(
        "google/gson",
        "9835b6f90192f79cdf5300c528fc6212455fb6c1",
        "java",
        "development",
    ),
    Repository(
        "jqlang/jq",
        "579e6f76cffd7643ba4002a2c3618a5ea710589a",
        "c",
        "development",
    ),
    Repository(
        "encode/httpx",
        "ae1b9f66238f75ced3ced5e4485408435de10768",
        "python",
        "test",
    ),
    Repository(
        "fastify/fastify",
        "83e69762aff047940b376fc2a266d143499ef727",
        "javascript",
        "test",
    ),
    Repository(
        "BurntSushi/ripgrep",
        "3fce3b5bb0236da2df6d99672afb8a719642eca7",
        "rust",
        "test",
    ),
    Repository(
        "sinatra/sinatra",
        "cb22afd7902b566b6eaba6c4ea89739494a65d12",
        "ruby",
        "test",
    ),
)


@dataclass(frozen=True)
class Commit:
    """A commit's subject and the files that it changed."""

    sha: str
    subject: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Checkout:
    """A repository's git folder."""

    repository: Repository
    folder: Path

    @cached_property
    def files(self) -> dict[str, str]:
        """Return the text of each file that the product would index, by path."""
        packed = self._git("archive", "--format=tar", self.repository.commit)
        files: dict[str, str] = {}
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            for member in archive:
                name = member.name
                if not member.isfile() or hard_refusal(name) or soft_refusal(name):
                    continue
                source = archive.extractfile(member)
                data = source.read() if source else b""
                if _is_data(name, data):
                    continue
                try:
                    files[name] = indexable_text(data)
                except NotIndexable:
                    continue
        return dict(sorted(files.items()))

    def commits(self, most: int) -> list[Commit]:
        """Return the latest commits that are no merges, newest first."""
        log = self._git(
            "log",
            "--no-merges",
            f"-n{most}",
            "--name-only",
            "--format=%x00%H%x01%s%x01",
            self.repository.commit,
        ).decode("utf-8", "replace")
        commits = []
        for entry in log.split("\x00")[1:]:
            sha, subject, names = entry.split("\x01")
            paths = tuple(line for line in names.split("\n") if line)
            commits.append(Commit(sha, subject, paths))
        return commits

    def _git(self, *arguments: str) -> bytes:
        return subprocess.run(
            ["git", "-C", str(self.folder), *arguments], check=True, capture_output=True
        ).stdout


def open_checkout(repository: Repository, folder: Path | None, cache: Path) -> Checkout:
    """Find the repository below the folder, else clone it into the cache."""
    if folder is not None:
        for place in (folder / repository.key / "repo", folder / repository.key):
            if (place / "HEAD").is_file() or (place / ".git").exists():
                return Checkout(repository, place)
    clone = cache / "clones" / repository.key
    if not clone.is_dir():
        clone.parent.mkdir(parents=True, exist_ok=True)
        url = f"https://github.com/{repository.name}.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", url, clone], check=True)
    return Checkout(repository, clone)


def _is_data(path: str, data: bytes) -> bool:
    return len(data) > _MOST_DATA_BYTES and language_of(path, data[:4096]) in _DATA
