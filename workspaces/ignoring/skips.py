"""Files left out and why: a bounded list, a full count, and a count by reason."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

SECRET = "may hold secrets, so it is never stored"
_FIRST = (SECRET, "is larger than")
_MOST_REASONS = 100
_OTHER = "other reasons"


class Holder(Protocol):
    """A row that shows what was left out: a job, a sync."""

    skipped: list[dict[str, str]]
    n_skipped: int
    skipped_reasons: list[dict[str, str | int]]


FIELDS = ("skipped", "n_skipped", "skipped_reasons")


@dataclass(slots=True)
class Skips:
    """`entries` is a sample that holds a path of every reason."""

    limit: int = 200  # entries kept
    entries: list[dict[str, str]] = field(default_factory=list)
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    _shown: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, holder: Holder) -> "Skips":
        """Return what the row holds."""
        skips = cls()
        skips._take(
            holder.skipped,
            {str(r["reason"]): int(r["count"]) for r in holder.skipped_reasons},
            holder.n_skipped,
        )
        return skips

    def add(self, path: str, reason: str) -> None:
        self.count += 1
        self._count(reason, 1)
        self._show(path, reason)

    def extend(self, other: "Skips") -> None:
        """Add what another list holds and counts."""
        self._take(other.entries, other.reasons, other.count)

    def store_in(self, holder: Holder, limit: int = 200) -> None:
        """Write into the row what fits there, the gravest first."""
        sample = Skips(limit=limit)
        for entry in self.entries:
            sample._show(entry["path"], entry["reason"])
        holder.skipped = sorted(sample.entries, key=_gravity)
        holder.n_skipped = self.count
        holder.skipped_reasons = self.by_reason()

    def by_reason(self) -> list[dict[str, str | int]]:
        """Return each reason with its number of files, most first."""
        return [
            {"reason": reason, "count": count}
            for reason, count in self.reasons.most_common()
        ]

    def _take(
        self,
        entries: Iterable[dict[str, str]],
        reasons: Mapping[str, int],
        count: int,
    ) -> None:
        for entry in entries:
            self._show(entry["path"], entry["reason"])
        for reason, n_files in reasons.items():
            self._count(reason, n_files)
        self.count += count

    def _count(self, reason: str, n_files: int) -> None:
        known = reason in self.reasons or len(self.reasons) < _MOST_REASONS
        self.reasons[reason if known else _OTHER] += n_files

    def _show(self, path: str, reason: str) -> None:
        if len(self.entries) >= self.limit:
            if reason in self._shown or not self._make_room():
                return
        self.entries.append({"path": path, "reason": reason})
        self._shown[reason] += 1

    def _make_room(self) -> bool:
        """Drop the last entry of the reason that has the most."""
        reason, n_shown = self._shown.most_common(1)[0]
        if n_shown < 2:
            return False
        for index in range(len(self.entries) - 1, -1, -1):
            if self.entries[index]["reason"] == reason:
                del self.entries[index]
                break
        self._shown[reason] -= 1
        return True


def _gravity(entry: dict[str, str]) -> int:
    for rank, start in enumerate(_FIRST):
        if entry["reason"].startswith(start):
            return rank
    return len(_FIRST)
