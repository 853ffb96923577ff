"""A passage of the user's own code, as found for a question and cited in an answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """Whole lines of one file. `n` is what an answer cites: [1], [2], …"""

    n: int
    workspace_id: str
    path: str
    start_line: int  # 1-based, inclusive
    end_line: int  # inclusive
    language: str
    symbol: str  # dotted, "" where there is none
    score: float
    sha256: str  # of the file's raw bytes
    text: str
    changed: bool = False  # the file holds these lines no more

    @property
    def place(self) -> str:
        """`path:start-end`, as answers write it."""
        return f"{self.path}:{self.start_line}-{self.end_line}"

    def citation(self) -> dict[str, object]:
        """Return what a client is told; the text stays with the workspace."""
        return {
            "n": self.n,
            "workspace_id": self.workspace_id,
            "path": self.path,
            "start_line": self.start_line,
            "end_line": self.end_line,
            "symbol": self.symbol,
            "score": self.score,
            "sha256": self.sha256,
            "changed": self.changed,
        }
