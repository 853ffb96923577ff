"""A file that moved keeps its vectors, though its name is part of what is embedded.

A passage's embedded text starts with its path, so that under a new name it would be
another text. Where a job drops a file and adds one with the same content or the same
file name, passages with equal lines take over what was computed under the old name.
"""

from collections import defaultdict
from pathlib import PurePosixPath

from workspaces.indexing.manifest import Manifest
from workspaces.indexing.reading import CutFile, Reader

_MOST_CANDIDATES = 3


class Renames:
    """Finds under which name a new file's passages were embedded before."""

    def __init__(self, manifest: Manifest, reader: Reader) -> None:
        self._manifest = manifest
        self._reader = reader
        self._by_content: defaultdict[str, list[str]] = defaultdict(list)
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        for path, sha in manifest.drop.items():
            self._by_content[sha].append(path)
            if path not in manifest.add:
                self._by_name[PurePosixPath(path).name].append(path)

    def aliases(self, file: CutFile) -> dict[str, str]:
        """Return embedded texts → the texts whose vectors may stand in for them."""
        if not file.chunks or file.path in self._manifest.drop:
            return {}
        before: dict[tuple[str, str], str] = {}
        for old in self._candidates(file.path, file.sha256):
            for chunk in self._reader.cut(old, self._manifest.drop[old]).chunks:
                before.setdefault((chunk.symbol, chunk.text), chunk.embedded_text)
        return {
            chunk.embedded_text: before[key]
            for chunk in file.chunks
            if (key := (chunk.symbol, chunk.text)) in before
        }

    def _candidates(self, path: str, sha256: str) -> list[str]:
        same_content = self._by_content.get(sha256)
        if same_content:
            return same_content[:1]
        return self._by_name.get(PurePosixPath(path).name, [])[:_MOST_CANDIDATES]
